"""A small convolutional network that halves an image's sides again and again, and its mirror of transposed ones.

Kernels have 4 x 4 places and a stride of 2: the stride divides them, so that a transposed convolution adds up equally
many products at each pixel and draws no checkerboard (Odena et al. 2016). Odd sides are halved downwards; the mirror
is told the size that it has to come back to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from vision.backbones.backbone import Backbone, Decoder
from vision.backbones.layers import centred, make_activation, make_norm, sizes_halved

if TYPE_CHECKING:
    from vision.images.collection import Shape

_WIDEST = 8


def stage_channels(width: int, stages: int) -> list[int]:
    """Channels of each stage: twice as many after each halving, eight times the first at the most."""
    return [width * min(2**stage, _WIDEST) for stage in range(stages)]


class ConvolutionalBackbone(Backbone):
    """Convolutions of stride 2; the features are the last maps, place by place.

    Args:
        shape: Of the images.
        width: Channels after the first.
        depth: How many; None: as many as leave the shorter side under 8.
        norm: Of the maps.
        activation: Its name.
    """

    def __init__(self, shape: Shape, *, width: int, depth: int | None, norm: str, activation: str) -> None:
        super().__init__()
        self.shape = shape
        sizes = sizes_halved(shape, depth)
        channels = [shape[0], *stage_channels(width, len(sizes) - 1)]
        layers: list[nn.Module] = []
        for place, (height, across) in enumerate(sizes[:-1]):
            # A side of one pixel stays one.
            kernel = (4 if height > 1 else 3, 4 if across > 1 else 3)
            layers += [
                nn.Conv2d(channels[place], channels[place + 1], kernel, stride=2, padding=1, bias=norm == "none"),
                make_norm(norm, channels[place + 1]),
                make_activation(activation),
            ]
        self.layers = nn.Sequential(*layers)
        self.dimension = channels[-1] * sizes[-1][0] * sizes[-1][1]

    def forward(self, pixels: Tensor) -> Tensor:
        """Features (b, dimension)."""
        return self.forward_maps(pixels).flatten(1)

    def forward_maps(self, pixels: Tensor) -> Tensor:
        """The last maps."""
        maps: Tensor = self.layers(centred(pixels))
        return maps


class ConvolutionalDecoder(Decoder):
    """The mirror of `ConvolutionalBackbone`: a linear layer to its last maps, and transposed convolutions.

    Args:
        shape: Of what it makes.
        dimension: Numbers in a code.
        width: As the backbone's.
        depth: Likewise.
        norm: Likewise.
        activation: Likewise.
    """

    def __init__(
        self, shape: Shape, dimension: int, *, width: int, depth: int | None, norm: str, activation: str
    ) -> None:
        super().__init__()
        self.shape, self.dimension = shape, dimension
        sizes = sizes_halved(shape, depth)
        channels = stage_channels(width, len(sizes) - 1) or [shape[0]]
        self.maps = (channels[-1], *sizes[-1])
        self.first = nn.Linear(dimension, channels[-1] * sizes[-1][0] * sizes[-1][1])
        layers: list[nn.Module] = []
        for place in range(len(sizes) - 1, 0, -1):
            last = place == 1
            into = shape[0] if last else channels[place - 2]
            small, large = sizes[place], sizes[place - 1]
            kernel = tuple(4 if side > 1 else 3 for side in large)
            # From n sides a transposed convolution makes 2n - 4 + kernel; what is missing is added on one side.
            missing = tuple(
                side - (2 * (part - 1) - 2 + size) for side, part, size in zip(large, small, kernel, strict=True)
            )
            layers += [
                make_norm(norm, channels[place - 1]) if place < len(sizes) - 1 else nn.Identity(),
                make_activation(activation),
                nn.ConvTranspose2d(
                    channels[place - 1], into, kernel, stride=2, padding=1, output_padding=missing,  # type: ignore[arg-type]
                ),
            ]  # fmt: skip
        self.layers = nn.Sequential(*layers)

    def forward(self, codes: Tensor) -> Tensor:
        """Numbers (b, channels, height, width)."""
        made: Tensor = self.layers(self.first(codes).view(-1, *self.maps))
        return made
