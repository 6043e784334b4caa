"""What every backbone is: a module from images to features; and what makes images of codes again."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from torch import Tensor, nn

if TYPE_CHECKING:
    from vision.images.collection import Shape


class Backbone(nn.Module, ABC):
    """A network from images to a vector of features each.

    Attributes:
        shape: (channels, height, width) of the images that it takes.
        dimension: Numbers in a vector of features.
    """

    shape: Shape
    dimension: int

    @abstractmethod
    def forward(self, pixels: Tensor) -> Tensor:
        """Features.

        Args:
            pixels: (b, channels, height, width) float in [0, 1]; what normalisation they need is done here.

        Returns:
            (b, dimension).
        """

    def forward_maps(self, pixels: Tensor) -> Tensor | None:  # noqa: ARG002 - most have none
        """The last features that still have places, (b, channels', height', width'); None where there are none."""
        return None


class Decoder(nn.Module, ABC):
    """A network from codes to as many numbers for each pixel as a likelihood needs.

    Attributes:
        dimension: Numbers in a code.
        shape: (channels, height, width) of what it makes; the channels may be a multiple of an image's.
    """

    dimension: int
    shape: Shape

    @abstractmethod
    def forward(self, codes: Tensor) -> Tensor:
        """Unbounded numbers (b, channels, height, width), such as logits, of codes (b, dimension)."""
