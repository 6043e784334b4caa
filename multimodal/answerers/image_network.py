"""The network of images that is trained from nothing, and what stands for an image where an encoder is given."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from multimodal.fusions.places import COORDINATES, with_places
from nlprep.core.errors import OptionError
from vision.images.collection import unit_pixels

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from multimodal.answerers.configuration import ImageNetworkConfig
    from vision.encoders.image_encoder import ImageEncoder
    from vision.images.collection import Shape

_LEAST = 2


class ImageNetwork(nn.Module):
    """Convolutions of 3 x 3, each followed by batch norm and a ReLU, of images that say where their pixels lie.

    Args:
        shape: (channels, height, width) of images.
        config: Its settings.
        gridded: Whether a fusion of grids takes what it makes, or else one of vectors, for which places are pooled.

    Attributes:
        dimension: Numbers at a place of the grid, or in the vector.

    Raises:
        OptionError: Images that are too small to be halved so often.
    """

    def __init__(self, shape: Shape, config: ImageNetworkConfig, *, gridded: bool) -> None:
        super().__init__()
        channels, *sides = shape
        for place in range(config.strided):
            if min(sides) < _LEAST:
                raise OptionError(
                    f"strided = {config.strided}: images of {shape[1]} x {shape[2]} can be halved {place} times"
                )
            sides = [(side + 1) // 2 for side in sides]
        self.config, self.gridded = config, gridded
        widths = [channels + COORDINATES, *[config.width] * config.layers]
        self.layers = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Conv2d(before, after, 3, stride=2 if place < config.strided else 1, padding=1, bias=False),
                    nn.BatchNorm2d(after),
                    nn.ReLU(),
                )
                for place, (before, after) in enumerate(pairwise(widths))
            )
        )
        pooled = {"mean": 1, "max": 1, "mean-max": 2, "all": sides[0] * sides[1]}[config.pooling]
        self.dimension = config.width * (1 if gridded else pooled)

    def forward(self, images: Tensor) -> Tensor:
        """A grid (b, h, w, dimension), or vectors (b, dimension), of images (b, channels, height, width)."""
        pixels = with_places(unit_pixels(images).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        grid: Tensor = self.layers(pixels).permute(0, 2, 3, 1)
        if self.gridded:
            return grid
        if self.config.pooling == "all":
            return grid.flatten(1)
        made = {"mean": lambda: [grid.mean((1, 2))], "max": lambda: [grid.amax((1, 2))]}
        made["mean-max"] = lambda: [*made["mean"](), *made["max"]()]
        return torch.cat(made[self.config.pooling](), 1)


def encoder_features(encoder: ImageEncoder, pixels: NDArray[np.uint8], *, gridded: bool) -> Tensor:
    """What a frozen encoder makes of images, as `multimodal.questions.features.encode_images` keeps it.

    Args:
        encoder: Nothing in it changes, statistics of batch norms included.
        pixels: (b, channels, height, width) uint8, of its shape.
        gridded: Whether a grid is wanted, (b, h, w, c), or vectors (b, d).

    Raises:
        OptionError: A grid of an encoder that has none.
    """
    from nlprep.evaluation.encoder import evaluation_mode
    from vision.models.files import find_backbone

    low = torch.autocast(encoder.device.type, torch.bfloat16, enabled=encoder.precision == "bf16")
    with evaluation_mode(encoder.module), low:
        given = torch.from_numpy(pixels).to(encoder.device)
        if not gridded:
            vectors: Tensor = encoder.module(given).float()
            return vectors
        backbone = find_backbone(encoder.saved.model)
        maps = None if backbone is None else backbone.forward_maps(unit_pixels(given))
        if maps is None:
            raise OptionError("the encoder's features have no places: choose a fusion of vectors, such as mlp")
        return maps.permute(0, 2, 3, 1).float()
