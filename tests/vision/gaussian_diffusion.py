"""What a diffusion model is of Gaussian data, pixel by pixel, whose optimal network and all that follows are known."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from nlprep.core.randomness import seeded_torch
from vision.models.configuration import DiffusionConfig
from vision.models.diffusion import Diffusion

SHAPE = (1, 4, 4)


class OptimalNetwork(nn.Module):
    """The conditional expectation of the noise, or of v, given x_t, for x_0 ~ N(mean, scale^2).

    Args:
        model: Whose process and prediction.
        mean: Of the data in [-1, 1].
        scale: Their standard deviation.
    """

    def __init__(self, model: Diffusion, mean: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.process, self.unit = model.process, 1000 / model.process.levels
        self.mean, self.scale = mean, scale

    def forward(self, noisy: Tensor, levels: Tensor) -> Tensor:
        at = (levels / self.unit).round().long()
        signal, noise = (values[at].view(-1, 1, 1, 1).to(noisy) for values in (self.process.signal, self.process.noise))
        mean, scale = self.mean.to(noisy), self.scale.to(noisy)
        spread = (signal * scale).square() + noise.square()
        clean = mean + signal * scale.square() / spread * (noisy - signal * mean)
        wrong = noise / spread * (noisy - signal * mean)
        return wrong if self.process.prediction == "epsilon" else signal * wrong - noise * clean


def gaussian_model(levels: int = 100, **changes: Any) -> tuple[Diffusion, Tensor, Tensor]:
    """A model with the optimal network, in float64, and the mean and scale of its data."""
    config = DiffusionConfig(**{"levels": levels, "sampling_steps": 10} | changes)
    model = Diffusion(SHAPE, config).double()
    with seeded_torch(7):
        mean, scale = 0.6 * torch.rand(SHAPE).double() - 0.3, 0.05 + 0.15 * torch.rand(SHAPE).double()
    model.network = OptimalNetwork(model, mean, scale)  # type: ignore[assignment]
    return model, mean, scale


def spreads(model: Diffusion, scale: Tensor) -> Tensor:
    """Variances of x_t, (T + 1, *shape)."""
    signal, noise = (values.view(-1, 1, 1, 1) for values in (model.process.signal, model.process.noise))
    return (signal * scale).square() + noise.square()


def bound_gap(model: Diffusion, mean: Tensor, scale: Tensor) -> float:
    """Nats by which the bound of Gaussian data with the optimal network is short of their entropy.

    It is the divergence of q(x_T) from the normal, and of each q(x_(t-1) | x_t) from a Gaussian with the same mean and
    the model's variance.
    """
    process, variances = model.process, spreads(model, scale)
    last = variances[-1]
    gap = ((last + (process.signal[-1] * mean).square() - 1 - last.log()) / 2).sum()
    for level in range(1, process.levels + 1):
        before, now = variances[level - 1], variances[level]
        true = before - (1 - process.beta[level]) * before.square() / now
        ratio = true / process.reverse[level]
        gap = gap + ((ratio - 1 - ratio.log()) / 2).sum()
    return float(gap)
