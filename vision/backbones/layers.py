"""The small parts that several backbones are made of."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from torch import Tensor, nn

if TYPE_CHECKING:
    from vision.images.collection import Shape

_GROUPS, _LEAST_IN_A_GROUP = 8, 4
_SMALLEST = 8

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "silu": nn.SiLU,
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "leaky-relu": nn.LeakyReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}


def make_activation(name: str) -> nn.Module:
    """A fresh activation of a name in `vision.backbones.configuration.ACTIVATIONS`."""
    return _ACTIVATIONS[name]()


def make_norm(name: str, channels: int) -> nn.Module:
    """A fresh normalisation of maps: ``group`` (Wu and He 2018), ``batch`` or ``none``.

    Groups are 8, or as many as divide the channels and leave at least four in each: a group of one number, where maps
    have one place, would be normalised to nothing.
    """
    if name == "batch":
        return nn.BatchNorm2d(channels)
    if name == "none":
        return nn.Identity()
    groups = math.gcd(_GROUPS, channels)
    while groups > 1 and channels // groups < _LEAST_IN_A_GROUP:
        groups //= 2
    return nn.GroupNorm(groups, channels)


def centred(pixels: Tensor) -> Tensor:
    """Numbers in [0, 1] as ones in [-1, 1], about which weights are drawn."""
    return 2 * pixels - 1


def sizes_halved(shape: Shape, depth: int | None) -> list[tuple[int, int]]:
    """Heights and widths of an image and after each halving, rounded down, but never below one pixel.

    Args:
        shape: Of the image.
        depth: How many halvings; None: as many as leave the shorter side under 8.
    """
    sizes = [shape[1:]]
    while len(sizes) <= depth if depth is not None else min(sizes[-1]) >= _SMALLEST:
        height, width = sizes[-1]
        sizes.append((max(1, height // 2), max(1, width // 2)))
    return sizes
