"""BYOL: its loss against a loop, its target against a formula, going on after a stop, codes that do not collapse."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from vision_toys import SMALL, StoppingExamples, settings, toy_images

from nlprep.core.training import fit
from nlprep.core.training.steps.step import Moment
from vision.images.collection import ImageExamples, Images
from vision.models.byol import Byol
from vision.models.momentum import momentum_at
from vision.models.view_configuration import ByolConfig
from vision.views.configuration import ViewConfig
from vision.views.making import make_views

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = (3, 8, 8)
CONFIG = ByolConfig(hidden=8, outputs=5, momentum=0.8, backbone=SMALL["mlp"])


def examples(count: int = 24) -> ImageExamples:
    return ImageExamples(toy_images(count, SHAPE), keys=True)


def trained(**changes: Any) -> dict[str, torch.Tensor]:
    """All weights, those of the target among them, after three steps on batches of eight."""
    model = Byol(SHAPE, CONFIG)
    fit(model.step(), examples(), config=settings(**{"steps": 3} | changes), validation=examples(12))
    return dict(model.state_dict())


@pytest.mark.slow
def test_the_loss_is_that_of_a_loop_over_images() -> None:
    model = Byol(SHAPE, CONFIG)
    with torch.no_grad():
        for weights in model.target.parameters():
            weights.add_(0.1)
    batch = examples().batch(np.arange(5), np.arange(5, dtype=np.uint64))
    views = [make_views(batch["images"], batch["keys"], CONFIG.views, view=view) for view in (0, 1)]
    total = 0.0
    for number in range(5):
        one, other = (pixels[number : number + 1] for pixels in views)
        for seen, predicted in ((one, other), (other, one)):
            prediction = model.predictor(model.network.head(model.backbone(seen)))[0]
            target = model.target.head(model.target.encoder.backbone(predicted))[0]
            total += float((prediction / prediction.norm() - target / target.norm()).square().sum().detach())
    with torch.no_grad():
        found = model(**batch)
    assert float(found["loss"]) == pytest.approx(total / 5, rel=1e-5)
    with torch.no_grad():
        targets = torch.nn.functional.normalize(model.target.project(torch.cat(views)), dim=1)
    deviation = float(targets.numpy().std(0).mean())
    assert float(found["spread"]) == pytest.approx(deviation * math.sqrt(5), rel=1e-5)


def test_no_gradient_goes_to_the_target_nor_through_it() -> None:
    model = Byol(SHAPE, CONFIG)
    batch = examples().batch(np.arange(5), np.arange(5, dtype=np.uint64))
    model(**batch)["loss"].backward()
    assert all(weights.grad is None for weights in model.target.parameters())
    # What the target says is a constant: the online network's gradient is that of the predictions alone.
    views = model.network.make(batch["images"], batch["keys"])
    one, other = model.target.project(views).detach().chunk(2)
    first, second = model.predictor(model.network.project(views)).chunk(2)
    loss = 4 - 2 * torch.cosine_similarity(first, other) - 2 * torch.cosine_similarity(second, one)
    wanted = torch.autograd.grad(loss.mean(), list(model.network.parameters()))
    for weights, gradient in zip(model.network.parameters(), wanted, strict=True):
        torch.testing.assert_close(weights.grad, gradient)
    assert any(bool(gradient.any()) for gradient in wanted)


def test_the_target_is_the_average_that_the_formula_says() -> None:
    model = Byol(SHAPE, CONFIG)
    step = model.step()
    wanted = [weights.clone() for weights in model.target.parameters()]
    follow = step.after_update

    def remembered(player: str, *, moment: Moment) -> None:
        share = 1 - 0.2 * (math.cos(math.pi * moment.step / 4) + 1) / 2
        for place, weights in enumerate(model.network.parameters()):
            wanted[place] = share * wanted[place] + (1 - share) * weights.detach()
        follow(player, moment=moment)

    step.after_update = remembered  # type: ignore[method-assign]
    fit(step, examples(), config=settings(steps=4))
    for weights, value in zip(model.target.parameters(), wanted, strict=True):
        torch.testing.assert_close(weights, value)
    assert not torch.equal(next(model.target.parameters()), next(model.network.parameters()))
    assert [momentum_at(Moment(step, 10), 0.8) for step in (0, 10)] == pytest.approx([0.8, 1.0])


@pytest.mark.slow
def test_parts_of_a_batch_learn_what_the_whole_does() -> None:
    whole, parts = trained(), trained(micro_batch_size=2)
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, rtol=1e-3, atol=2e-5)


def test_a_run_that_was_stopped_ends_with_the_same_bits(tmp_path: Path) -> None:
    config = settings(steps=6, average=0.9)
    with pytest.raises(RuntimeError, match="stopped"):
        fit(
            Byol(SHAPE, CONFIG).step(), StoppingExamples(toy_images(24, SHAPE), keys=True), config=config,
            directory=tmp_path / "run",
        )  # fmt: skip
    halves = []
    for directory in (tmp_path / "run", None):
        model = Byol(SHAPE, CONFIG)
        history = fit(model.step(), examples(), config=config, directory=directory)
        assert bool(history.resumed_from) == (directory is not None)
        halves.append(model.state_dict())
    assert all(torch.equal(value, halves[1][name]) for name, value in halves[0].items())


@pytest.mark.slow
def test_codes_do_not_collapse_and_would_without_predictor_and_target() -> None:
    colours = np.random.default_rng(1).integers(0, 256, (64, 3, 1, 1), dtype=np.uint8)
    images = Images(np.broadcast_to(colours, (64, *SHAPE)).copy())
    views = ViewConfig(strength=0.1, grey=0)
    config = replace(CONFIG, hidden=32, outputs=8, momentum=0.9, views=views)
    found = {}
    for mode in ("usual", "collapsing"):
        model: Any = Byol(SHAPE, config)
        step = model.step()
        if mode == "collapsing":
            model.predictor = torch.nn.Identity()
            # Not registered: it is the network itself.
            del model.target
            object.__setattr__(model, "target", model.network)
            step.followers = []
        history = fit(
            step, ImageExamples(images, keys=True), validation=ImageExamples(images, keys=True),
            config=settings(steps=40, batch_size=32, evaluate_every=40, learning_rate=5e-3),
        )  # fmt: skip
        codes = model.encode(torch.from_numpy(images.pixels)).detach()
        record = next(record for record in history.records if "validation_loss" in record)
        found[mode] = (record["validation_spread"], float(codes.std(0).mean() / codes.abs().mean()))
        assert record["validation_loss"] < 1
    assert found["usual"][0] > 0.3
    assert found["usual"][1] > 0.3
    assert found["collapsing"][0] < 0.1
