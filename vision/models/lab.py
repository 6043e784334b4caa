"""Colours as lightness and two numbers of colour: CIE 1976 L*a*b* (D65) of sRGB pixels, and back.

Lightness L runs from 0 to 100; a from green to red and b from blue to yellow, about -110 to 100, both 0 for greys.
Distances in it are about those that are seen.
"""

from __future__ import annotations

import torch
from torch import Tensor

_TO_XYZ = (
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)
"""Of linear red, green and blue (IEC 61966-2-1)."""
_BREAK, _SLOPE, _OFFSET = (6 / 29) ** 3, (29 / 6) ** 2 / 3, 4 / 29


def to_lab(pixels: Tensor) -> Tensor:
    """L, a and b (b, 3, height, width) of red, green and blue in [0, 1] of that shape.

    >>> red = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1)
    >>> [round(value) for value in to_lab(red).flatten().tolist()]
    [53, 80, 67]
    """
    linear = torch.where(pixels <= 0.04045, pixels / 12.92, ((pixels + 0.055) / 1.055).clamp(min=0) ** 2.4)
    x, y, z = _curve(_mixed(_relative(pixels), linear)).unbind(1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], 1)


def from_lab(lab: Tensor) -> Tensor:
    """Red, green and blue in [0, 1] of L, a and b; what no screen shows is cut off."""
    lightness, a, b = lab.unbind(1)
    y = (lightness + 16) / 116
    curved = torch.stack([y + a / 500, y, y - b / 200], 1)
    relative = torch.where(curved > 6 / 29, curved**3, (curved - _OFFSET) / _SLOPE)
    linear = _mixed(_relative(lab).inverse(), relative).clamp(0, 1)
    shown: Tensor = torch.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return shown.clamp(0, 1)


def _relative(like: Tensor) -> Tensor:
    """X, Y and Z of linear colours, each over that of white."""
    matrix = torch.tensor(_TO_XYZ, dtype=like.dtype, device=like.device)
    return matrix / matrix.sum(1, keepdim=True)


def _mixed(matrix: Tensor, colours: Tensor) -> Tensor:
    # Not in half the bits, where the caller computes in these: greys would get a colour.
    with torch.autocast(colours.device.type, enabled=False):
        return torch.einsum("ij,bjhw->bihw", matrix, colours)


def _curve(relative: Tensor) -> Tensor:
    return torch.where(relative > _BREAK, relative.clamp(min=_BREAK) ** (1 / 3), _SLOPE * relative + _OFFSET)


def colours_on_screen(grid: float) -> Tensor:
    """The middles (n, 2) of the squares of a and b, of a side, that hold some colour of the screen's cube.

    >>> len(colours_on_screen(100.0))
    8

    Args:
        grid: The side of a square.
    """
    levels = torch.linspace(0, 1, 52, dtype=torch.float64, device="cpu")
    cube = torch.cartesian_prod(levels, levels, levels).T.reshape(1, 3, -1, 1)
    squares: Tensor = torch.unique((to_lab(cube)[0, 1:, :, 0].T / grid).round(), dim=0)
    return (squares * grid).float()
