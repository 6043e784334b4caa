"""A residual convolutional network over patches of an image, and its mirror: much network for little arithmetic.

The first layer is a "patchify" stem (Dosovitskiy et al. 2021; Liu et al. 2022, "A ConvNet for the 2020s"): one
convolution whose stride is the side of a patch, after which an image of 28 x 28 pixels has 7 x 7 places. What stages at
larger sizes would cost, which on small images is most, is not spent. Its kernel reaches a pixel beyond the patch on
each side. All blocks are at this one size (`vision.backbones.residual.ResidualBlock`). The mirror ends with a 3 x 3
convolution to as many numbers as a patch has, laid out as its pixels (Shi et al. 2016, "sub-pixel convolution"): each
patch also sees those about it, and it is arithmetic at the small size. On photographs the seams of patches are seen all
the same. With ``overlap`` there are none: each patch makes pixels up to half a patch beyond itself, which are added to
its neighbours', and what it adds falls to nothing there (`FadingPatches`).

Sides that the patch does not divide are continued on the right and below; the mirror cuts that off again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from nlprep.core.errors import OptionError
from vision.backbones.backbone import Backbone, Decoder
from vision.backbones.layers import centred, make_activation, make_norm
from vision.backbones.residual import ResidualBlock

if TYPE_CHECKING:
    from vision.images.collection import Shape

_OVERLAP = 1


class PatchBackbone(Backbone):
    """A patchify stem and residual blocks; the features are the maps, place by place.

    Args:
        shape: Of the images.
        patch: Side of a patch in pixels.
        width: Channels.
        blocks: Residual blocks.
        norm: Of the maps.
        activation: Its name.

    Raises:
        OptionError: A patch larger than the image.
    """

    def __init__(self, shape: Shape, *, patch: int, width: int, blocks: int, norm: str, activation: str) -> None:
        super().__init__()
        self.shape = shape
        rows, columns = count_patches(shape, patch)
        self.missing = (columns * patch - shape[2], rows * patch - shape[1])
        self.layers = nn.Sequential(
            nn.Conv2d(shape[0], width, patch + 2 * _OVERLAP, stride=patch, padding=_OVERLAP),
            *(ResidualBlock(width, norm=norm, activation=activation) for _ in range(blocks)),
            make_norm(norm, width),
            make_activation(activation),
        )
        self.dimension = width * rows * columns

    def forward(self, pixels: Tensor) -> Tensor:
        """Features (b, dimension)."""
        return self.forward_maps(pixels).flatten(1)

    def forward_maps(self, pixels: Tensor) -> Tensor:
        """The last maps, (b, width, rows, columns) of patches."""
        if any(self.missing):
            right, below = self.missing
            pixels = functional.pad(pixels, (0, right, 0, below), mode="replicate")
        maps: Tensor = self.layers(centred(pixels))
        return maps


class PatchDecoder(Decoder):
    """The mirror of `PatchBackbone`: a linear layer to its maps, residual blocks, and the patches' pixels.

    Args:
        shape: Of what it makes.
        dimension: Numbers in a code.
        patch: As the backbone's.
        width: Likewise.
        blocks: Likewise.
        norm: Likewise.
        activation: Likewise.
        overlap: Whether the patches that it makes fade into each other.

    Raises:
        OptionError: A patch larger than the image.
    """

    def __init__(
        self, shape: Shape, dimension: int, *, patch: int, width: int, blocks: int, norm: str, activation: str,
        overlap: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.shape, self.dimension = shape, dimension
        self.maps = (width, *count_patches(shape, patch))
        self.first = nn.Linear(dimension, width * self.maps[1] * self.maps[2])
        self.layers = nn.Sequential(
            *(ResidualBlock(width, norm=norm, activation=activation) for _ in range(blocks)),
            make_norm(norm, width),
            make_activation(activation),
            *(
                [FadingPatches(width, shape[0], patch)]
                if overlap
                else [nn.Conv2d(width, shape[0] * patch**2, 3, padding=1), nn.PixelShuffle(patch)]
            ),
        )

    def forward(self, codes: Tensor) -> Tensor:
        """Numbers (b, channels, height, width)."""
        made: Tensor = self.layers(self.first(codes).view(-1, *self.maps))
        return made[..., : self.shape[1], : self.shape[2]]


class FadingPatches(nn.Module):
    """A transposed convolution whose kernel is twice as wide as its stride and fades out towards its edges.

    At each pixel four patches add up (on the borders of an image fewer), with weights that are one together and change
    little from pixel to pixel: a triangle in each direction. So no pixel is at an edge that others are not at, as in
    Bartlett's window of overlapping frames of sound.

    Args:
        width: Channels of maps.
        channels: Of what it makes.
        patch: Side of a patch in pixels.
    """

    window: Tensor

    def __init__(self, width: int, channels: int, patch: int) -> None:
        super().__init__()
        self.patch = patch
        self.whole = nn.ConvTranspose2d(width, channels, 2 * patch, stride=patch, padding=patch // 2)
        self.register_buffer("window", fading_window(patch), persistent=False)

    def forward(self, maps: Tensor) -> Tensor:
        """Numbers (b, channels, patch times rows, patch times columns) of maps (b, width, rows, columns)."""
        kernel = self.whole.weight * self.window
        made = functional.conv_transpose2d(maps, kernel, self.whole.bias, self.patch, self.patch // 2)
        # Of an odd side half is not taken off in front, so that there is one too much behind.
        return made[..., : self.patch * maps.shape[2], : self.patch * maps.shape[3]]


def fading_window(patch: int) -> Tensor:
    """(2 patch, 2 patch) weights, which add up to one wherever four windows, a patch apart, lie over each other.

    >>> window = fading_window(2)
    >>> window[0].tolist(), float(window[:2, :2].sum() + window[2:, :2].sum() + window[:2, 2:].sum())
    ([0.0625, 0.1875, 0.1875, 0.0625], 3.0)
    """
    rising = (torch.arange(patch) + 0.5) / patch
    side = torch.cat([rising, rising.flip(0)])
    return side[:, None] * side


def count_patches(shape: Shape, patch: int) -> tuple[int, int]:
    """Rows and columns of patches that cover an image.

    Raises:
        OptionError: A patch larger than the image.
    """
    _, height, width = shape
    if patch > max(height, width):
        raise OptionError(f"patch = {patch}: the images have {height} x {width} pixels: choose a smaller one")
    return -(-height // patch), -(-width // patch)
