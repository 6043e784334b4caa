"""A residual convolutional network for encoders and its mirror, deeper than the plain one at the same sizes.

Blocks normalise before they convolve (He et al. 2016, "Identity mappings"), so that the sum of all blocks is what
passes through; their last convolution begins at nothing, by which a deep network begins as a shallow one. Sides are
halved by convolutions of stride 2 and doubled by repeating pixels and convolving (Odena et al. 2016).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional

from vision.backbones.backbone import Backbone, Decoder
from vision.backbones.layers import centred, make_activation, make_norm, sizes_halved

if TYPE_CHECKING:
    from vision.images.collection import Shape

_WIDEST = 4


def residual_channels(width: int, stages: int) -> list[int]:
    """Channels at each size: twice as many after each halving, four times the first at the most."""
    return [width * min(2**stage, _WIDEST) for stage in range(stages)]


class ResidualBlock(nn.Module):
    """Maps plus two convolutions of them, each after a normalisation and an activation.

    Args:
        channels: Of the maps.
        norm: Of the maps.
        activation: Its name.
    """

    def __init__(self, channels: int, *, norm: str, activation: str) -> None:
        super().__init__()
        last = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)  # type: ignore[arg-type]
        self.layers = nn.Sequential(
            make_norm(norm, channels),
            make_activation(activation),
            nn.Conv2d(channels, channels, 3, padding=1),
            make_norm(norm, channels),
            make_activation(activation),
            last,
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Maps of the same shape."""
        changed: Tensor = maps + self.layers(maps)
        return changed


class ResidualBackbone(Backbone):
    """Residual blocks at each of several sizes; the features are the last maps, place by place.

    Args:
        shape: Of the images.
        width: Channels at their own size.
        depth: Halvings; None: as many as leave the shorter side under 8.
        blocks: At each size.
        norm: Of the maps.
        activation: Its name.
    """

    def __init__(self, shape: Shape, *, width: int, depth: int | None, blocks: int, norm: str, activation: str) -> None:
        super().__init__()
        self.shape = shape
        sizes = sizes_halved(shape, depth)
        channels = residual_channels(width, len(sizes))
        layers: list[nn.Module] = [nn.Conv2d(shape[0], width, 3, padding=1)]
        for place in range(len(sizes)):
            if place:
                kernel = tuple(4 if side > 1 else 3 for side in sizes[place - 1])
                layers.append(nn.Conv2d(channels[place - 1], channels[place], kernel, stride=2, padding=1))  # type: ignore[arg-type]
            layers += [ResidualBlock(channels[place], norm=norm, activation=activation) for _ in range(blocks)]
        layers += [make_norm(norm, channels[-1]), make_activation(activation)]
        self.layers = nn.Sequential(*layers)
        self.dimension = channels[-1] * sizes[-1][0] * sizes[-1][1]

    def forward(self, pixels: Tensor) -> Tensor:
        """Features (b, dimension)."""
        return self.forward_maps(pixels).flatten(1)

    def forward_maps(self, pixels: Tensor) -> Tensor:
        """The last maps."""
        maps: Tensor = self.layers(centred(pixels))
        return maps


class Enlarged(nn.Module):
    """Maps at a larger size, each pixel that of the nearest place, convolved.

    Args:
        size: Height and width.
        channels: Of the maps given.
        into: Of those made.
    """

    def __init__(self, size: tuple[int, int], channels: int, into: int) -> None:
        super().__init__()
        self.size = size
        self.convolution = nn.Conv2d(channels, into, 3, padding=1)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (b, into, *size)."""
        larger: Tensor = self.convolution(functional.interpolate(maps, size=self.size))
        return larger


class ResidualDecoder(Decoder):
    """The mirror of `ResidualBackbone`: a linear layer to its last maps, residual blocks and enlargements.

    Args:
        shape: Of what it makes.
        dimension: Numbers in a code.
        width: As the backbone's.
        depth: Likewise.
        blocks: Likewise.
        norm: Likewise.
        activation: Likewise.
    """

    def __init__(
        self, shape: Shape, dimension: int, *, width: int, depth: int | None, blocks: int, norm: str, activation: str
    ) -> None:
        super().__init__()
        self.shape, self.dimension = shape, dimension
        sizes = sizes_halved(shape, depth)
        channels = residual_channels(width, len(sizes))
        self.maps = (channels[-1], *sizes[-1])
        self.first = nn.Linear(dimension, channels[-1] * sizes[-1][0] * sizes[-1][1])
        layers: list[nn.Module] = []
        for place in range(len(sizes) - 1, -1, -1):
            layers += [ResidualBlock(channels[place], norm=norm, activation=activation) for _ in range(blocks)]
            if place:
                layers.append(Enlarged(sizes[place - 1], channels[place], channels[place - 1]))
        layers += [make_norm(norm, width), make_activation(activation), nn.Conv2d(width, shape[0], 3, padding=1)]
        self.layers = nn.Sequential(*layers)

    def forward(self, codes: Tensor) -> Tensor:
        """Numbers (b, channels, height, width)."""
        made: Tensor = self.layers(self.first(codes).view(-1, *self.maps))
        return made
