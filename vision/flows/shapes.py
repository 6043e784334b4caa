"""Increasing functions of one number, by parameters that a network gives: what couplings apply to each number.

Each is a `Shape`: how many parameters a number takes, the function with the logarithm of its slope, and its inverse.
With parameters of 0 each is the identity, or near it.

- `Additive`: y = x + t (Dinh et al. 2015). Volumes are kept.
- `Scaled`: y = x exp(s) + t (Dinh et al. 2017) with s = bound tanh(r / bound), so that a scale may grow as well as
  shrink, but by exp(bound) at the most: an unbounded one makes infinite samples of what lies far out.
- `Spline`: a monotonic rational-quadratic spline inside [-limit, limit] and the identity outside (Durkan et al. 2019,
  "Neural Spline Flows", equations 4 to 8 and 25 to 29); widths and heights of bins are shares of a softmax with a
  floor, slopes at knots a softplus with one, the outermost 1.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional

from nlprep.core.errors import OptionError


class Shape(nn.Module, ABC):
    """An increasing function of a number.

    Attributes:
        multiple: Parameters for each number.
    """

    multiple: int

    @abstractmethod
    def forward(self, numbers: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """The function and the logarithm of its slope, both (...).

        Args:
            numbers: (...).
            parameters: (..., `multiple`), of the same precision.
        """

    @abstractmethod
    def inverse(self, numbers: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """What is mapped to these, and the logarithm of the inverse's slope; arguments as `forward`."""


class Additive(Shape):
    """A shift."""

    multiple = 1

    def forward(self, numbers: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Shifted."""
        return numbers + parameters[..., 0], torch.zeros_like(numbers)

    def inverse(self, numbers: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Shifted back."""
        return numbers - parameters[..., 0], torch.zeros_like(numbers)


class Scaled(Shape):
    """A bounded scale and a shift.

    Args:
        bound: Of the scale's logarithm.
    """

    multiple = 2

    def __init__(self, bound: float = 2.0) -> None:
        super().__init__()
        if not 0 < bound < math.inf:
            raise OptionError(f"bound = {bound}: give a number above 0")
        self.bound = bound

    def forward(self, numbers: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Scaled, then shifted."""
        raw, shift = parameters.unbind(-1)
        log_scale = self._bounded(raw)
        return torch.addcmul(shift, numbers, log_scale.exp()), log_scale

    def inverse(self, numbers: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Shifted back, then scaled back."""
        raw, shift = parameters.unbind(-1)
        log_scale = self._bounded(raw)
        return (numbers - shift) * (-log_scale).exp(), -log_scale

    def _bounded(self, raw: Tensor) -> Tensor:
        return self.bound * torch.tanh(raw / self.bound)


class Spline(Shape):
    """A monotonic rational-quadratic spline.

    Args:
        bins: Pieces.
        limit: Outside [-limit, limit] it is the identity.
    """

    smallest_bin, smallest_slope = 1e-3, 1e-3

    def __init__(self, bins: int = 8, limit: float = 3.0) -> None:
        super().__init__()
        if bins < 1 or bins * self.smallest_bin >= 1 or not 0 < limit < math.inf:
            raise OptionError(f"bins = {bins}, limit = {limit}: give 1 to 999 bins and a limit above 0")
        self.bins, self.limit = bins, limit
        self.multiple = 3 * bins - 1

    def forward(self, numbers: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """The spline."""
        outside = numbers.abs() > self.limit
        inner = numbers.clamp(-self.limit, self.limit)
        left, width, low, height, before, after = self._bin(parameters, inner, of_heights=False)
        slope = height / width
        share = ((inner - left) / width).clamp(0, 1)
        mixed = share * (1 - share)
        below = slope + (before + after - 2 * slope) * mixed
        mapped = low + height * (slope * share.square() + before * mixed) / below
        change = self._log_slope(share, slope, before, after, below)
        return torch.where(outside, numbers, mapped), torch.where(outside, 0.0, change)

    def inverse(self, numbers: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """By the root of a quadratic that is in the bin, in the form that does not cancel."""
        outside = numbers.abs() > self.limit
        inner = numbers.clamp(-self.limit, self.limit)
        left, width, low, height, before, after = self._bin(parameters, inner, of_heights=True)
        slope = height / width
        above = inner - low
        bend = before + after - 2 * slope
        a = height * (slope - before) + above * bend
        b = height * before - above * bend
        c = -slope * above
        root = (b.square() - 4 * a * c).clamp(min=0).sqrt()
        share = (2 * c / (-b - root)).clamp(0, 1)
        mapped = left + share * width
        below = slope + bend * share * (1 - share)
        change = -self._log_slope(share, slope, before, after, below)
        return torch.where(outside, numbers, mapped), torch.where(outside, 0.0, change)

    @staticmethod
    def _log_slope(share: Tensor, slope: Tensor, before: Tensor, after: Tensor, below: Tensor) -> Tensor:
        mixed = share * (1 - share)
        inner = after * share.square() + 2 * slope * mixed + before * (1 - share).square()
        return 2 * slope.log() + inner.log() - 2 * below.log()

    def _bin(self, parameters: Tensor, numbers: Tensor, *, of_heights: bool) -> tuple[Tensor, ...]:
        """Where the bin of each number begins and how long it is, both ways, and the slopes at its ends."""
        bins = self.bins
        wide, tall, slopes = parameters[..., :bins], parameters[..., bins : 2 * bins], parameters[..., 2 * bins :]
        lefts, widths = self._knots(wide)
        lows, heights = self._knots(tall)
        # A parameter of 0 is a slope of 1.
        flat = math.log(math.expm1(1 - self.smallest_slope))
        inner = self.smallest_slope + functional.softplus(slopes + flat)
        ends = torch.ones_like(lefts[..., :1])
        slopes = torch.cat([ends, inner, ends], -1)
        starts = (lows if of_heights else lefts)[..., 1:]
        place = (numbers[..., None] >= starts).sum(-1, keepdim=True)
        return tuple(
            values.gather(-1, chosen)[..., 0]
            for values, chosen in (
                (lefts, place), (widths, place), (lows, place), (heights, place), (slopes, place), (slopes, place + 1),
            )
        )  # fmt: skip

    def _knots(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        """Beginnings and lengths of bins, (..., bins) each."""
        shares = self.smallest_bin + (1 - self.bins * self.smallest_bin) * raw.softmax(-1)
        ends = 2 * self.limit * functional.pad(shares.cumsum(-1), (1, 0)) - self.limit
        # The last end by name, not by a sum that misses it by a rounding error.
        ends = torch.cat([ends[..., :-1], torch.full_like(ends[..., :1], self.limit)], -1)
        return ends[..., :-1], ends.diff(dim=-1)
