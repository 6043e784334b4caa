"""A network without convolutions: every pixel is a number like any other."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from torch import Tensor, nn

from vision.backbones.backbone import Backbone, Decoder
from vision.backbones.layers import centred, make_activation

if TYPE_CHECKING:
    from vision.images.collection import Shape


class MlpBackbone(Backbone):
    """Fully connected layers, each with an activation.

    Args:
        shape: Of the images.
        width: Units in a layer, and numbers in the features.
        depth: Layers; without one the features are the pixels.
        activation: Its name.
    """

    def __init__(self, shape: Shape, *, width: int, depth: int, activation: str) -> None:
        super().__init__()
        self.shape = shape
        pixels = math.prod(shape)
        self.dimension = width if depth else pixels
        layers: list[nn.Module] = []
        for layer in range(depth):
            layers += [nn.Linear(width if layer else pixels, width), make_activation(activation)]
        self.layers = nn.Sequential(*layers)

    def forward(self, pixels: Tensor) -> Tensor:
        """Features (b, dimension)."""
        features: Tensor = self.layers(centred(pixels).flatten(1))
        return features


class MlpDecoder(Decoder):
    """The mirror of `MlpBackbone`: the same layers, and one more to the pixels.

    Args:
        shape: Of what it makes.
        dimension: Numbers in a code.
        width: Units in a layer.
        depth: Layers before the last.
        activation: Its name.
    """

    def __init__(self, shape: Shape, dimension: int, *, width: int, depth: int, activation: str) -> None:
        super().__init__()
        self.shape, self.dimension = shape, dimension
        layers: list[nn.Module] = []
        for layer in range(depth):
            layers += [nn.Linear(width if layer else dimension, width), make_activation(activation)]
        layers.append(nn.Linear(width if depth else dimension, math.prod(shape)))
        self.layers = nn.Sequential(*layers)

    def forward(self, codes: Tensor) -> Tensor:
        """Numbers (b, channels, height, width)."""
        made: Tensor = self.layers(codes)
        return made.view(-1, *self.shape)
