"""Losses that couple the examples of a batch are not computed on parts of it, whatever the step says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from nlprep.core.errors import OptionError
from nlprep.core.training.configuration import TrainingConfig
from nlprep.core.training.loop import fit
from nlprep.core.training.steps.step import PlainStep
from nlprep.core.training.steps.wholeness import check_whole, divided
from nlprep.objectives.info_nce import info_nce, nt_xent


class Points:
    def __len__(self):
        return 8

    def batch(self, indices, seeds):
        return {"x": torch.sin(torch.from_numpy(np.asarray(indices, np.float32))[:, None] * torch.arange(1.0, 4.0))}


class Contrasted(nn.Module):
    def __init__(self, loss):
        super().__init__()
        self.one, self.other, self.loss = nn.Linear(3, 2), nn.Linear(3, 2), loss

    def forward(self, x):
        return {"loss": self.loss(self.one(x), self.other(x))}


@pytest.mark.parametrize("loss", [info_nce, nt_xent])
def test_a_contrast_in_a_step_that_says_nothing_is_refused_in_parts(loss):
    settings = {"steps": 1, "batch_size": 8, "precision": "fp32"}
    whole = fit(PlainStep(Contrasted(loss)), Points(), config=TrainingConfig(**settings))
    assert whole.steps == 1
    with pytest.raises(OptionError, match=r"a contrast couples the examples of a batch.*CoupledStep"):
        fit(PlainStep(Contrasted(loss)), Points(), config=TrainingConfig(**settings, micro_batch_size=4))
    # Outside the loop nothing is divided, after a failure inside it too.
    assert torch.isfinite(loss(torch.ones(2, 2), torch.ones(2, 2)))


def test_blocks_within_blocks():
    with divided(2):
        with divided(1):
            check_whole("this")
        with pytest.raises(OptionError, match="this couples"):
            check_whole("this")
    check_whole("this")
