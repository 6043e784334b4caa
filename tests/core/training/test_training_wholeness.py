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
    with pytest.raises(OptionError, match=r"couples the examples of a batch.*CoupledStep"):
        fit(PlainStep(Contrasted(loss)), Points(), config=TrainingConfig(**settings, micro_batch_size=4))
    # Outside the loop nothing is divided, after a failure inside it too.
    assert torch.isfinite(loss(torch.ones(2, 2), torch.ones(2, 2)))


class Spread(nn.Module):
    """A loss of one's own that no house loss warns of: how far the outputs of a batch lie from their mean."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, x):
        return {"loss": -((self.layer(x) - self.layer(x).mean(0)) ** 2).mean()}


class Noisy(nn.Module):
    """A mean over examples that is random in evaluation mode as well, and keeps what it saw last."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 2)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x):
        self.seen.copy_(x.sum().detach() + self.seen)
        return {"loss": ((self.layer(x) + torch.randn(len(x), 2)) ** 2).mean()}


def test_a_coupled_loss_that_nobody_declared_is_found():
    settings = {"steps": 1, "batch_size": 8, "precision": "fp32"}
    assert fit(PlainStep(Spread()), Points(), config=TrainingConfig(**settings)).steps == 1
    for part in (1, 4):
        divided = TrainingConfig(**settings, micro_batch_size=part)
        with pytest.raises(OptionError, match=r"the loss couples the examples.*-0\.\d+ together, .*coupled = False"):
            fit(PlainStep(Spread()), Points(), config=divided)
        assert fit(PlainStep(Spread(), coupled=False), Points(), config=divided).steps == 1


def test_looking_for_a_coupled_loss_leaves_no_trace():
    noisy = Noisy()
    fit(PlainStep(noisy), Points(), config=TrainingConfig(steps=1, batch_size=8, micro_batch_size=4, precision="fp32"))
    every = Points().batch(np.arange(8), None)["x"].sum()
    torch.testing.assert_close(noisy.seen, every)


def test_blocks_within_blocks():
    with divided(2):
        with divided(1):
            check_whole("this")
        with pytest.raises(OptionError, match="this couples"):
            check_whole("this")
    check_whole("this")
