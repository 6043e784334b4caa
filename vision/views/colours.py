"""Changes of colour, each image's its own.

Brightness, contrast and saturation are Pillow's (`PIL.ImageEnhance`): an image is moved away from, or towards, black, a
grey of its mean luminance, or its own luminance, and cut to [0, 1]. The hue is turned in the space of hue, saturation
and value (Smith 1978), which keeps the other two. Luminance is 0.299 red + 0.587 green + 0.114 blue.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)
"""Places of the changes in `vision.views.draws.ViewDraws.factors`."""
_LUMINANCE = (0.299, 0.587, 0.114)
_TINY = 1e-12


def luminance(pixels: Tensor) -> Tensor:
    """(b, 1, height, width) of pixels with one or three channels."""
    if pixels.shape[1] == 1:
        return pixels
    red, green, blue = _LUMINANCE
    return (pixels[:, :1] * red).add_(pixels[:, 1:2], alpha=green).add_(pixels[:, 2:], alpha=blue)


def jitter(pixels: Tensor, factors: Tensor, order: Tensor) -> Tensor:
    """Images with other colours, each changed in its own order.

    Args:
        pixels: (b, channels, height, width) float32 in [0, 1]; overwritten.
        factors: (b, 4): what brightness, contrast and saturation are multiplied by, and what is added to the hue.
        order: (b, 4): of these; it takes less time where images whose hue has the same place stand together.

    Returns:
        Of the same shape. Grey images have neither saturation nor hue.
    """
    # Three blends, before, between or after which the hue is turned.
    turned = (order == HUE).int().argmax(1)
    blends = order[order != HUE].view(-1, 3)
    amounts = factors.gather(1, blends)
    of_mean, of_own = (blends == CONTRAST).float(), (blends == SATURATION).float()
    turns = factors[:, HUE]
    for place in range(4):
        if pixels.shape[1] == 3:
            rows = ((turned == place) & (turns != 0)).nonzero()[:, 0]
            changed(pixels, rows, partial(turn_hue, turns=turns[rows]))
        if place < 3:
            grey = luminance(pixels)
            aim = grey.mean((2, 3), keepdim=True) * of_mean[:, place].view(-1, 1, 1, 1)
            aim = torch.addcmul(aim, grey, of_own[:, place].view(-1, 1, 1, 1))
            pixels = torch.lerp(aim, pixels, amounts[:, place].view(-1, 1, 1, 1)).clamp_(0, 1)
    return pixels


def changed(pixels: Tensor, rows: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """Images, overwritten, of which some are changed.

    Args:
        pixels: (b, channels, height, width).
        rows: (n,) ascending places of those that are.
        change: What makes images (n, channels, height, width) others of the same shape.
    """
    if len(rows):
        first, last = rows[0].item(), rows[-1].item()
        if last - first + 1 == len(rows):
            pixels[first : last + 1] = change(pixels[first : last + 1])
        else:
            pixels.index_copy_(0, rows, change(pixels.index_select(0, rows)))
    return pixels


def turn_hue(pixels: Tensor, turns: Tensor) -> Tensor:
    """Colours with another hue.

    Args:
        pixels: (b, 3, height, width) in [0, 1].
        turns: (b,) shares of the circle.
    """
    red, green, blue = pixels.unbind(1)
    most = torch.maximum(torch.maximum(red, green), blue)
    least = torch.minimum(torch.minimum(red, green), blue)
    chroma = most - least
    # 1 where a channel is the (first) largest, else 0: numbers, since choosing by truth values takes ten times as long.
    of_red, of_green = torch.empty_like(red), torch.empty_like(red)
    torch.eq(red, most, out=of_red)
    torch.eq(green, most, out=of_green)
    of_green.mul_(1 - of_red)
    of_blue = 1 - of_red - of_green
    # The hue, in sixths of the circle.
    hue = (green - blue).mul_(of_red).addcmul_(blue - red, of_green).addcmul_(red - green, of_blue)
    hue.div_(chroma.clamp(min=_TINY)).add_(of_green, alpha=2).add_(of_blue, alpha=4)
    hue.add_(6 * turns[:, None, None])
    hue.sub_((hue / 6).floor_(), alpha=6)
    # Each channel as a function of it: a trapezium about its own place on the circle, between the least and the most.
    made = torch.empty_like(pixels)
    for channel, (middle, sign, base) in enumerate(((3, 1, -1), (2, -1, 2), (4, -1, 2))):
        share = (hue - middle).abs_().mul_(sign).add_(base).clamp_(0, 1)
        torch.addcmul(least, chroma, share, out=made[:, channel])
    return made


def without_colour(pixels: Tensor, grey: Tensor) -> Tensor:
    """Images (b, channels, height, width), overwritten, of which those that ``grey`` (b,) names lose their colours."""
    if pixels.shape[1] == 1:
        return pixels
    return changed(pixels, grey.nonzero()[:, 0], lambda some: luminance(some).expand(-1, 3, -1, -1))
