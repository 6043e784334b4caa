"""Where the places of a grid lie, and what becomes of all of them together."""

from __future__ import annotations

import torch
from torch import Tensor

COORDINATES = 2
"""Numbers that say where a place lies."""


def coordinates_of(grid: Tensor) -> Tensor:
    """(h, w, 2): down and across in [-1, 1], of the middles of places; a grid of a single one has it at 0.

    Args:
        grid: (b, h, w, n), whose dtype and device they have.

    Example:
        >>> coordinates_of(torch.zeros(1, 1, 2, 5))
        tensor([[[ 0.0000, -0.5000],
                 [ 0.0000,  0.5000]]])
    """
    sides = [(2 * torch.arange(size, dtype=grid.dtype, device=grid.device) + 1) / size - 1 for size in grid.shape[1:3]]
    return torch.stack(torch.meshgrid(*sides, indexing="ij"), 2)


def with_places(grid: Tensor) -> Tensor:
    """A grid (b, h, w, n) whose vectors say where they lie, (b, h, w, n + 2).

    Source: Liu et al. 2018, "An Intriguing Failing of Convolutional Neural Networks and the CoordConv Solution".
    """
    return torch.cat([grid, coordinates_of(grid).expand(len(grid), -1, -1, -1)], 3)


def pool_places(grid: Tensor, pooling: str) -> Tensor:
    """One vector (b, n) of a grid (b, h, w, n): of each unit the largest number (``max``) or the ``mean``."""
    return grid.amax((1, 2)) if pooling == "max" else grid.mean((1, 2))
