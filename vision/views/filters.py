"""Blur, noise, edges and holes, each image's its own. Beyond an edge there are the edge's pixels."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from vision.views.draws import normals

_GREY = 0.5
_SOBEL = (1.0, 2.0, 1.0)
# The largest change that one of Sobel's two sums can show, which is drawn as white.
_STEEPEST = 4.0


def blur_radius(height: int) -> int:
    """How many pixels the blur's kernel reaches in each direction."""
    return max(1, height // 20)


def blurred(pixels: Tensor, widths: Tensor) -> Tensor:
    """Images blurred by Gaussian kernels.

    A kernel reaches a twentieth of the height in each direction, at least one pixel, as that of Chen et al. (2020,
    appendix A), and its weights add up to 1.

    Args:
        pixels: (b, channels, height, width) in [0, 1].
        widths: (b,) standard deviations in pixels, above 0.
    """
    radius = blur_radius(pixels.shape[2])
    away = torch.arange(-radius, radius + 1, device=pixels.device)
    kernels = (-away.square() / (2 * widths.double().square()[:, None])).exp()
    kernels = (kernels / kernels.sum(1, keepdim=True)).to(pixels.dtype)
    for axis in (2, 3):
        beyond = (0, 0, radius, radius) if axis == 2 else (radius, radius, 0, 0)
        wide = pad(pixels, beyond, mode="replicate")
        made = torch.zeros_like(pixels)
        for place in range(len(away)):
            made.addcmul_(wide.narrow(axis, place, pixels.shape[axis]), kernels[:, place].view(-1, 1, 1, 1))
        pixels = made
    return pixels


def noisy(pixels: Tensor, deviations: Tensor, keys: Tensor) -> Tensor:
    """Images plus normal numbers, cut to [0, 1].

    Args:
        pixels: (b, channels, height, width) in [0, 1].
        deviations: (b,) standard deviations.
        keys: (b,) int64, of which an image's numbers are a function.
    """
    noise = normals(keys, pixels[0].numel()).view_as(pixels) if len(pixels) else torch.zeros_like(pixels)
    return torch.addcmul(pixels, noise, deviations.view(-1, 1, 1, 1)).clamp_(0, 1)


def edges(pixels: Tensor) -> Tensor:
    """The steepness of each channel, by Sobel's filter: 1 at an edge between black and white along an axis."""
    wide = pad(pixels, (1, 1, 1, 1), mode="replicate")
    height, width = pixels.shape[2:]
    down, across = torch.zeros_like(pixels), torch.zeros_like(pixels)
    for place, weight in enumerate(_SOBEL):
        for sign, end in ((-1, 0), (1, 2)):
            down.add_(wide[:, :, end : end + height, place : place + width], alpha=sign * weight)
            across.add_(wide[:, :, place : place + height, end : end + width], alpha=sign * weight)
    return (down.square_().add_(across.square_()).sqrt_() / _STEEPEST).clamp_(0, 1)


def cut_out(pixels: Tensor, middles: Tensor, side: float) -> Tensor:
    """Images with a grey square in them (DeVries and Taylor 2017), of which the edge may cut a part off.

    Args:
        pixels: (b, channels, height, width) in [0, 1].
        middles: (b, 2) int64: rows and columns; a negative one: no square.
        side: Of the square, as a share of the shorter side; at least a pixel.
    """
    height, width = pixels.shape[2:]
    length = max(1, round(side * min(height, width)))
    first = middles - length // 2
    down, across = (
        (place >= first[:, axis, None]) & (place < first[:, axis, None] + length)
        for axis, place in enumerate(
            (torch.arange(height, device=pixels.device), torch.arange(width, device=pixels.device))
        )
    )
    hole = (down[:, :, None] & across[:, None, :] & (middles[:, :1, None] >= 0))[:, None]
    return pixels.masked_fill(hole, _GREY)
