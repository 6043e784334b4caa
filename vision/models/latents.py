"""Ways through the codes of a model that makes images of them: between two images, and along one number of a code.

Models that make images of random numbers, and codes of images by other means, have ways between those numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

import torch

from nlprep.core.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from vision.models.diffusion import Inversion
    from vision.models.model import CanDecode

_SMALLEST_SINE = 1e-6


@runtime_checkable
class CanGenerate(Protocol):
    """Models that make images of standard normal numbers, which are no codes of theirs."""

    def draw_latents(self, number: int) -> Tensor:
        """(number, ...) standard normal numbers, with torch's generator."""

    def generate(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """(b, channels, height, width) float32 in [0, 1] of such numbers (b, ...)."""


@runtime_checkable
class CanInvert(CanGenerate, Protocol):
    """Models that find the numbers of an image, too."""

    def invert(self, images: Tensor) -> Inversion:
        """Numbers of which `CanGenerate.generate` makes the images again, about."""


def telling_numbers(model: CanGenerate, latents: Tensor, number: int, *, labels: Tensor | None = None) -> list[int]:
    """The numbers of latents (1, d) that change the image most, when they go from -2 to 2, in falling order.

    Standard normal numbers all vary alike, so that nothing in them says which matter.

    Args:
        model: What makes images of them.
        latents: (1, d).
        number: How many to give.
        labels: (1,) where the model has classes.
    """
    ends = latents.repeat(2 * latents.shape[1], 1).view(2, latents.shape[1], -1)
    places = torch.arange(latents.shape[1], device=latents.device)
    ends[0, places, places], ends[1, places, places] = -2, 2
    spread = None if labels is None else labels.expand(2 * latents.shape[1])
    low, high = model.generate(ends.flatten(0, 1), spread).chunk(2)
    changes = (high - low).square().flatten(1).sum(1)
    found: list[int] = changes.argsort(descending=True, stable=True)[:number].tolist()
    return found


def traverse_latents(
    model: CanGenerate, latents: Tensor, places: Sequence[int], values: Sequence[float], *, labels: Tensor | None = None
) -> Tensor:
    """Images of latents (1, d) of which one number at a time is given one value after another.

    Returns:
        (places, values, channels, height, width) float32 in [0, 1].
    """
    changed = latents[:, None].repeat(len(places), len(values), 1)
    given = torch.tensor(list(values), dtype=latents.dtype, device=latents.device)
    for row, place in enumerate(places):
        changed[row, :, place] = given
    made = model.generate(changed.flatten(0, 1), None if labels is None else labels.expand(len(places) * len(values)))
    return made.view(len(places), len(values), *made.shape[1:])


def interpolate_codes(first: Tensor, second: Tensor, steps: int, *, spherical: bool = False) -> Tensor:
    """Codes on the way from some to others, the ends included.

    Args:
        first: (b, d).
        second: (b, d).
        steps: Codes of each way, at least 2.
        spherical: Turn from the one direction to the other, the length changing evenly: what lies between draws from
            N(0, I) in many dimensions is then no nearer to 0 than they are. No: straight.

    Returns:
        (b, steps, d).

    Raises:
        OptionError: Shapes that do not fit, or fewer than two steps.
    """
    if first.shape != second.shape or first.dim() != 2:
        raise OptionError(f"codes of shapes {list(first.shape)} and {list(second.shape)}: expected (b, d) twice")
    if steps < 2:
        raise OptionError(f"steps = {steps}: give at least 2, the ends")
    share = torch.linspace(0, 1, steps, dtype=first.dtype, device=first.device)[:, None]
    one, other = first[:, None], second[:, None]
    straight = one + share * (other - one)
    if not spherical:
        return straight
    lengths, other_lengths = one.norm(dim=-1, keepdim=True), other.norm(dim=-1, keepdim=True)
    cosine = (one * other).sum(-1, keepdim=True) / (lengths * other_lengths).clamp(min=1e-12)
    angle = cosine.clamp(-1, 1).acos()
    sine = angle.sin()
    turned = (torch.sin((1 - share) * angle) * one / lengths + torch.sin(share * angle) * other / other_lengths) / sine
    turned = turned * (lengths + share * (other_lengths - lengths))
    # Along one line there is no way to turn that is better than others.
    return torch.where(sine.abs() < _SMALLEST_SINE, straight, turned)


def interpolate(
    model: CanDecode, first: Tensor, second: Tensor, steps: int = 8, *, labels: Tensor | None = None,
    spherical: bool = False,
) -> Tensor:  # fmt: skip
    """Images of the codes between codes: arguments as `interpolate_codes`, and labels (b,) where the model has classes.

    Returns:
        (b, steps, channels, height, width) float32 in [0, 1].
    """
    codes = interpolate_codes(first, second, steps, spherical=spherical)
    return _decode(model, codes, labels)


def interpolate_latents(
    model: CanGenerate, first: Tensor, second: Tensor, steps: int = 8, *, labels: Tensor | None = None,
    spherical: bool = True,
) -> Tensor:  # fmt: skip
    """Images of the numbers between numbers, as `interpolate`; by default by turning, as they are normal draws.

    Args:
        model: What makes images of them.
        first: (b, ...) as `CanGenerate.draw_latents` gives them, or as an inversion does.
        second: Likewise.
        steps: As `interpolate_codes`.
        labels: (b,) where the model has classes.
        spherical: As `interpolate_codes`.

    Returns:
        (b, steps, channels, height, width) float32 in [0, 1].
    """
    if first.shape != second.shape:
        raise OptionError(f"latents of shapes {list(first.shape)} and {list(second.shape)}: give twice the same")
    between = interpolate_codes(first.flatten(1), second.flatten(1), steps, spherical=spherical)
    spread = None if labels is None else labels.repeat_interleave(steps)
    made = model.generate(between.view(-1, *first.shape[1:]), spread)
    return made.view(len(first), steps, *made.shape[1:])


def traverse(
    model: CanDecode, codes: Tensor, dimensions: Sequence[int], values: Sequence[float], *,
    labels: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Images of codes of which one number at a time is given one value after another.

    Args:
        model: What makes images of codes.
        codes: (b, d).
        dimensions: Which numbers, from 0.
        values: What they are given.
        labels: (b,) where the model has classes.

    Returns:
        (b, dimensions, values, channels, height, width) float32 in [0, 1].

    Raises:
        OptionError: A dimension that codes do not have.
    """
    for dimension in dimensions:
        if not 0 <= dimension < codes.shape[1]:
            raise OptionError(f"dimension {dimension}: codes have 0 to {codes.shape[1] - 1}")
    changed = codes[:, None, None].repeat(1, len(dimensions), len(values), 1)
    given = torch.tensor(list(values), dtype=codes.dtype, device=codes.device)
    for place, dimension in enumerate(dimensions):
        changed[:, place, :, dimension] = given
    return _decode(model, changed, labels)


def _decode(model: CanDecode, codes: Tensor, labels: Tensor | None) -> Tensor:
    """Images of codes (b, ..., d), with the label of their first axis."""
    each = codes[0, ..., 0].numel()
    spread = None if labels is None else labels.repeat_interleave(each)
    made = model.decode(codes.flatten(0, -2), spread)
    return made.view(*codes.shape[:-1], *made.shape[1:])
