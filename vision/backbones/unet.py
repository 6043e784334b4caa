"""A small U-Net (Ronneberger et al. 2015) from noisy images to images of the same size, told how noisy they are.

As in Ho et al. 2020 ("Denoising Diffusion Probabilistic Models", appendix B), in small: residual blocks at each of
several sizes on the way down, attention at the smallest, and blocks on the way up that also see what those of the same
size had on the way down. The level of noise is told to every block, as a scale and a shift of its maps (Dhariwal and
Nichol 2021, section 3), of sines and cosines (Vaswani et al. 2017). Sides are halved upwards by convolutions of stride
2, so that any size will do, and doubled by repeating pixels. The last convolution begins at nothing: the untrained
network says 0.

Squares of pixels may be taken as one place with so many more channels (Luhman and Luhman 2022, "Improving Diffusion
Model Efficiency Through Patching"): of 2 x 2, the network computes a sixth of what it would of single pixels at that
width.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from vision.backbones.layers import make_norm, sizes_halved
from vision.backbones.residual import Enlarged, residual_channels

if TYPE_CHECKING:
    from vision.backbones.configuration import UNetConfig
    from vision.images.collection import Shape

_LONGEST_PERIOD = 10_000.0


def wave_features(levels: Tensor, dimension: int) -> Tensor:
    """Sines and cosines of numbers at geometric frequencies, from 1 down to about 1 / 10,000.

    Args:
        levels: (b,).
        dimension: An even number.

    Returns:
        (b, dimension) float32.
    """
    half = dimension // 2
    places = torch.arange(half, device=levels.device, dtype=torch.float32)
    angles = levels.float()[:, None] * torch.exp(-math.log(_LONGEST_PERIOD) * places / half)
    return torch.cat([angles.sin(), angles.cos()], 1)


class ToldBlock(nn.Module):
    """Maps plus two convolutions of them, the second of maps scaled and shifted by what is told.

    Args:
        channels: Of the maps given.
        into: Of those made.
        told: Numbers that tell the level of noise.
    """

    def __init__(self, channels: int, into: int, told: int) -> None:
        super().__init__()
        self.first_norm, self.second_norm = make_norm("group", channels), make_norm("group", into)
        self.first = nn.Conv2d(channels, into, 3, padding=1)
        self.second = _silent(nn.Conv2d(into, into, 3, padding=1))
        self.telling = nn.Linear(told, 2 * into)
        self.across = nn.Conv2d(channels, into, 1) if channels != into else nn.Identity()

    def forward(self, maps: Tensor, told: Tensor) -> Tensor:
        """Maps (b, into, height, width) of maps (b, channels, height, width) and numbers (b, told)."""
        changed = self.first(functional.silu(self.first_norm(maps)))
        scale, shift = self.telling(told)[..., None, None].chunk(2, 1)
        changed = self.second(functional.silu(self.second_norm(changed) * (1 + scale) + shift))
        total: Tensor = self.across(maps) + changed
        return total


class PlaceAttention(nn.Module):
    """Maps plus what each place finds at the others, by attention of one head.

    Args:
        channels: Of the maps.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = make_norm("group", channels)
        self.asked = nn.Conv2d(channels, 3 * channels, 1)
        self.found = _silent(nn.Conv2d(channels, channels, 1))

    def forward(self, maps: Tensor) -> Tensor:
        """Maps of the same shape."""
        places = self.asked(self.norm(maps)).flatten(2).transpose(1, 2)
        found = functional.scaled_dot_product_attention(*places.chunk(3, 2))
        total: Tensor = maps + self.found(found.transpose(1, 2).reshape(maps.shape))
        return total


class UNet(nn.Module):
    """A U-Net told a level of noise.

    Args:
        shape: Of the images.
        config: Its size.

    Attributes:
        dimension: Channels of the middle, the smallest maps between the way down and the way up.
    """

    def __init__(self, shape: Shape, config: UNetConfig) -> None:
        super().__init__()
        self.shape, self.patch = shape, config.patch
        sizes = [(-(-shape[1] // config.patch), -(-shape[2] // config.patch))]
        squares = shape[0] * config.patch**2
        for _ in range(len(sizes_halved((squares, *sizes[0]), config.depth)) - 1):
            sizes.append((-(-sizes[-1][0] // 2), -(-sizes[-1][1] // 2)))
        channels = residual_channels(config.width, len(sizes))
        self.width, self.dimension = config.width, channels[-1]
        told = 4 * config.width
        self.telling = nn.Sequential(nn.Linear(config.width, told), nn.SiLU(), nn.Linear(told, told), nn.SiLU())
        self.first = nn.Conv2d(squares, config.width, 3, padding=1)
        kept = [config.width]
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for place, wide in enumerate(channels):
            if place:
                self.down.append(nn.Conv2d(kept[-1], kept[-1], 3, stride=2, padding=1))
                kept.append(kept[-1])
            for _ in range(config.blocks):
                self.down.append(ToldBlock(kept[-1], wide, told))
                kept.append(wide)
        self.middle = nn.ModuleList(
            [
                ToldBlock(self.dimension, self.dimension, told),
                PlaceAttention(self.dimension) if config.attention else nn.Identity(),
                ToldBlock(self.dimension, self.dimension, told),
            ]
        )
        now = self.dimension
        for place, wide in reversed(list(enumerate(channels))):
            for _ in range(config.blocks + 1):
                self.up.append(ToldBlock(now + kept.pop(), wide, told))
                now = wide
            if place:
                self.up.append(Enlarged(sizes[place - 1], wide, wide))
        self.norm = make_norm("group", config.width)
        self.last = _silent(nn.Conv2d(config.width, squares, 3, padding=1))

    def forward(self, images: Tensor, levels: Tensor) -> Tensor:
        """What it says of noisy images.

        Args:
            images: (b, channels, height, width) float, about in [-1, 1] where there is no noise.
            levels: (b,) of noise; any numbers up to some thousands, a unit apart or more where they are to differ.

        Returns:
            (b, channels, height, width).
        """
        told = self._told(levels)
        kept = self._down(images, told)
        maps = self._middle(kept[-1], told)
        for part in self.up:
            maps = part(torch.cat([maps, kept.pop()], 1), told) if isinstance(part, ToldBlock) else part(maps)
        said: Tensor = functional.pixel_shuffle(self.last(functional.silu(self.norm(maps))), self.patch)
        # What belongs to pixels that were added to fill the last squares is nobody's.
        return said[..., : self.shape[1], : self.shape[2]]

    def middle_maps(self, images: Tensor, levels: Tensor) -> Tensor:
        """The middle's maps (b, `dimension`, height', width'); arguments as `forward`. The way up is not computed."""
        told = self._told(levels)
        return self._middle(self._down(images, told)[-1], told)

    def _told(self, levels: Tensor) -> Tensor:
        told: Tensor = self.telling(wave_features(levels, self.width))
        return told

    def _down(self, images: Tensor, told: Tensor) -> list[Tensor]:
        below, right = -self.shape[1] % self.patch, -self.shape[2] % self.patch
        if below or right:
            images = functional.pad(images, (0, right, 0, below), mode="replicate")
        count, channels, height, across = images.shape
        # By hand, because `pixel_unshuffle` leaves an empty batch as it is.
        places = images.view(count, channels, height // self.patch, self.patch, across // self.patch, self.patch)
        places = places.permute(0, 1, 3, 5, 2, 4).reshape(
            count, channels * self.patch**2, height // self.patch, across // self.patch
        )
        kept: list[Tensor] = [self.first(places)]
        for part in self.down:
            kept.append(part(kept[-1], told) if isinstance(part, ToldBlock) else part(kept[-1]))
        return kept

    def _middle(self, maps: Tensor, told: Tensor) -> Tensor:
        for part in self.middle:
            maps = part(maps, told) if isinstance(part, ToldBlock) else part(maps)
        return maps


def _silent(layer: nn.Conv2d) -> nn.Conv2d:
    """The layer, saying nothing at first."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
