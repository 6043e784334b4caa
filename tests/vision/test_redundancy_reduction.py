"""Barlow Twins and VICReg: the losses of their views, and parts of a batch against the whole."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from vision_toys import SMALL, settings, toy_images

from nlprep.core.training import fit
from nlprep.objectives.redundancy import barlow_twins, vicreg
from vision.images.collection import ImageExamples
from vision.models.redundancy_reduction import BarlowTwins, VicReg
from vision.models.view_configuration import BarlowTwinsConfig, VicRegConfig
from vision.views.making import make_views

SHAPE = (3, 8, 8)
KINDS = {
    "barlow": (BarlowTwins, BarlowTwinsConfig(weight=0.1, hidden=8, outputs=5, backbone=SMALL["mlp"])),
    "vicreg": (VicReg, VicRegConfig(covariance=2, hidden=8, outputs=5, backbone=SMALL["mlp"])),
}
EACH = pytest.mark.parametrize("kind", KINDS)


@EACH
def test_the_loss_is_that_of_the_views(kind: str) -> None:
    make, config = KINDS[kind]
    model: Any = make(SHAPE, config)
    batch = ImageExamples(toy_images(6, SHAPE), keys=True).batch(np.arange(6), np.arange(6, dtype=np.uint64))
    with torch.no_grad():
        first, second = (
            model.network.head(model.backbone(make_views(batch["images"], batch["keys"], config.views, view=view)))
            for view in (0, 1)
        )
        expected = barlow_twins(first, second, weight=0.1) if kind == "barlow" else vicreg(first, second, covariance=2)
        torch.testing.assert_close(model(**batch)["loss"], expected)


@pytest.mark.slow
@EACH
def test_parts_of_a_batch_learn_what_the_whole_does(kind: str) -> None:
    make, config = KINDS[kind]
    # Means of the outputs have no gradient: AdamW would make steps of what rounding leaves of it.
    config = replace(config, optimizer="lars")
    examples = ImageExamples(toy_images(24, SHAPE), keys=True)
    found = []
    for size in (None, 2):
        model: Any = make(SHAPE, config)
        fit(
            model.step(),
            examples,
            config=settings(steps=3, learning_rate=1.0, micro_batch_size=size),
            validation=examples,
        )
        found.append(model.state_dict())
    begun = make(SHAPE, config).state_dict()
    assert not any(torch.equal(value, begun[name]) for name, value in found[0].items() if "head" in name)
    for name, value in found[0].items():
        torch.testing.assert_close(found[1][name], value, rtol=1e-3, atol=2e-5)
