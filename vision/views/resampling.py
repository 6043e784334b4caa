"""Parts of images brought to one size, each image's its own, with what is between pixels weighed as Pillow does.

A pixel of the result is a mean of those of the crop about its place, with weights that fall linearly to nothing at the
distance of a pixel or, where the crop is larger than the result, of as many as fall on one: without that, what is fine
would show as what is coarse ("antialiasing"). Both axes are done one after the other, each as sums over few rows of a
table, which is what `torch.nn.functional.embedding_bag` is made for.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag


def resized_crops(images: Tensor, boxes: Tensor, flips: Tensor, size: tuple[int, int]) -> Tensor:
    """Crops of images, of one size.

    Args:
        images: (b, channels, height, width) uint8, or floats in [0, 1].
        boxes: (b, 4) int64: each crop's top, left, height and width.
        flips: (b,) bool: whether it is mirrored, left to right.
        size: Height and width of the result.

    Returns:
        (b, channels, *size) float32 in [0, 1].
    """
    count, channels, height, width = images.shape
    top, left, rows, columns = boxes.unbind(1)
    # Columns are the rows of a table first, with the places of each beside each other.
    table = images.permute(0, 3, 1, 2).contiguous().float().view(count * width, channels * height)
    places, weights = bilinear_weights(left, columns, width, size[1], flips)
    if not images.is_floating_point():
        weights = weights / 255
    found = _gathered(table, places, weights, width)
    table = found.view(count, size[1], channels, height).transpose(1, 3).reshape(count * height, channels * size[1])
    found = _gathered(table, *bilinear_weights(top, rows, height, size[0]), height)
    return found.view(count, size[0], channels, size[1]).transpose(1, 2).contiguous()


def bilinear_weights(
    starts: Tensor, lengths: Tensor, side: int, size: int, flips: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Which pixels of a side count for each pixel of the result, and how much.

    Args:
        starts: (b,) where the crop begins.
        lengths: (b,) and how long it is.
        side: Pixels of the image's side.
        size: Of the result's.
        flips: (b,) whether the result is in the opposite order; None: none is.

    Returns:
        (b, size, t) places on the image's side, int64, and weights, float32, whose sum over t is 1.
    """
    # As many as the longest crop, the whole side, takes.
    taps = 2 if side <= size else math.ceil(2 * side / size) + 1
    ends = lengths.float()[:, None]
    scales = ends / size
    reach = scales.clamp(min=1)
    middles = torch.arange(0.5, size, device=starts.device)
    centres = middles * scales
    if flips is not None:
        centres = torch.lerp(centres, ends - centres, flips.float()[:, None])
    first = (centres - reach + 0.5).floor_().clamp_(min=0)
    places = first[:, :, None] + torch.arange(taps, dtype=first.dtype, device=starts.device)
    weights = (places + (0.5 - centres)[:, :, None]).abs_().div_(-reach[:, :, None]).add_(1).clamp_(min=0)
    # What lies beyond the crop's end counts for nothing.
    weights.mul_((ends[:, :, None] - places).clamp_(0, 1))
    weights.div_(weights.sum(2, keepdim=True))
    places = torch.minimum(places, ends[:, :, None] - 1).add_(starts[:, None, None])
    return places.long(), weights


def _gathered(table: Tensor, places: Tensor, weights: Tensor, side: int) -> Tensor:
    """Weighed sums of an image's own rows in a table (b * side, n), (b * size, n)."""
    places += torch.arange(0, len(places) * side, side, device=places.device)[:, None, None]
    taps = places.shape[2]
    return embedding_bag(places.view(-1, taps), table, per_sample_weights=weights.view(-1, taps), mode="sum")
