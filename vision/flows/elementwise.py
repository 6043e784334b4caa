"""Transforms of each number by itself: activation normalisation, a fixed scale, and the logit of pixels."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from nlprep.core.errors import OptionError
from vision.flows.transform import Transform, no_change, summed

_CONSTANT = 1e-6
"""What varies less than this is left at its scale: what is constant has none."""


class ActNorm(Transform):
    """Activation normalisation (Kingma and Dhariwal 2018, section 3.1): a shift and a scale of each channel, learned.

    y = (x + b) exp(s). `initialize` sets them so that each channel of the batch has mean 0 and variance 1. A channel
    that does not vary is centred and keeps its scale; so does every one of a batch of one number. Before that, and if
    nobody calls it, it changes nothing.

    Args:
        channels: Of images, or numbers of a vector.
        event_axes: 3 for images, 1 for vectors.
    """

    def __init__(self, channels: int, event_axes: int = 1) -> None:
        super().__init__()
        self.event_axes = event_axes
        self.shift = nn.Parameter(torch.zeros(channels))
        self.log_scale = nn.Parameter(torch.zeros(channels))

    @torch.no_grad()
    def initialize(self, data: Tensor, context: Tensor | None = None) -> Tensor:
        """Set both from the data."""
        first = data.dim() - self.event_axes
        values = data.movedim(first, 0).flatten(1)
        if values.shape[1]:
            # In float64, so that the order of sums, and so the number of processes, does not show.
            variance, mean = torch.var_mean(values.double(), dim=1, correction=0)
            deviation = variance.sqrt()
            self.shift.copy_(-mean)
            self.log_scale.copy_(torch.where(deviation > _CONSTANT, -deviation.clamp(min=_CONSTANT).log(), 0.0))
        return super().initialize(data, context)

    def _forward(self, data: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        shift, log_scale = self._shaped()
        return (data + shift) * log_scale.exp(), self._change(data)

    def _inverse(self, noise: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        shift, log_scale = self._shaped()
        return noise * (-log_scale).exp() - shift, -self._change(noise)

    def _shaped(self) -> tuple[Tensor, Tensor]:
        axes = (-1,) + (1,) * (self.event_axes - 1)
        return self.shift.view(axes), self.log_scale.view(axes)

    def _change(self, batch: Tensor) -> Tensor:
        places = math.prod(batch.shape[2:])
        return no_change(batch) + places * self.log_scale.sum()


class Affine(Transform):
    """A fixed shift and scale of all numbers, y = (x + shift) scale.

    Args:
        shift: Added first.
        scale: Not 0.
        event_axes: Of what it takes.
    """

    def __init__(self, shift: float, scale: float, event_axes: int = 3) -> None:
        super().__init__()
        if not scale or not math.isfinite(scale) or not math.isfinite(shift):
            raise OptionError(f"shift = {shift}, scale = {scale}: give finite numbers, the scale not 0")
        self.shift, self.scale, self.event_axes = shift, scale, event_axes

    def _forward(self, data: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return (data + self.shift) * self.scale, self._change(data)

    def _inverse(self, noise: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return noise / self.scale - self.shift, -self._change(noise)

    def _change(self, batch: Tensor) -> Tensor:
        return no_change(batch) + math.prod(batch.shape[1:]) * math.log(abs(self.scale))


class Logit(Transform):
    """The logit of numbers in [0, 1], which then may be any (Dinh et al. 2017, section 4.1).

    y = log p - log(1 - p) with p = a + (1 - 2a) x, so that 0 and 1 stay finite.

    Args:
        margin: a, above 0 and below a half.
        event_axes: Of what it takes.
    """

    def __init__(self, margin: float = 0.05, event_axes: int = 3) -> None:
        super().__init__()
        if not 0 < margin < 0.5:
            raise OptionError(f"margin = {margin}: give a number above 0 and below 0.5")
        self.margin, self.event_axes = margin, event_axes

    def _forward(self, data: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        inner = self.margin + (1 - 2 * self.margin) * data
        logits = inner.log() - torch.log1p(-inner)
        return logits, self._change(logits)

    def _inverse(self, noise: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        # What is infinite stays no number: a sigmoid would make white of it, and nobody would know.
        data = (noise.sigmoid() - self.margin) / (1 - 2 * self.margin) + 0 * noise
        return data, -self._change(noise)

    def _change(self, logits: Tensor) -> Tensor:
        # Of the sigmoid: s(y) s(-y); of the margin, its factor.
        slopes = functional.softplus(logits) + functional.softplus(-logits)
        return summed(slopes + math.log1p(-2 * self.margin))
