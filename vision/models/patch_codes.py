"""Codes of an image's patches, by a network that sees one patch at a time, and their mean as the image's.

Patches are squares with a quarter of the shorter side; those of an image's grid overlap by half, so that there are
seven in a row of a square image, as in van den Oord, Li and Vinyals (2018, "Representation Learning with Contrastive
Predictive Coding", section 3.3: 64 of 256 pixels, every 32).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from nlprep.core.errors import OptionError
from nlprep.core.randomness import seeded_torch
from vision.backbones.networks import make_backbone
from vision.images.collection import unit_pixels
from vision.models.labels import refuse_classes
from vision.models.model import ImageModel

if TYPE_CHECKING:
    from vision.backbones.backbone import Backbone
    from vision.images.collection import Shape
    from vision.models.pretext_configuration import ContextPredictionConfig, CpcConfig

_SMALLEST = 8
"""Pixels of the shorter side, below which a quarter of it is no patch."""


class PatchModel(ImageModel):
    """A model of patches.

    Args:
        shape: Of the images.
        config: Its settings.
        num_classes: Must be 0: it sees no labels.
        seed: Of its weights.

    Attributes:
        backbone: The network, of patches.
        to_codes: What makes codes of its features.
        side: Of a patch, in pixels.
        grid: Patches from top to bottom and from left to right.

    Raises:
        OptionError: Images too small to have patches.
    """

    def __init__(
        self, shape: Shape, config: ContextPredictionConfig | CpcConfig, *, num_classes: int = 0, seed: int = 1
    ) -> None:
        super().__init__()
        refuse_classes(num_classes, "a model of patches")
        channels, height, width = shape
        if min(height, width) < _SMALLEST:
            raise OptionError(
                f"images of {height} x {width} pixels have no patches to compare: give sides of {_SMALLEST} or more"
            )
        self.shape, self.config, self.num_classes, self.dimension = shape, config, num_classes, config.dimension
        self.side = min(height, width) // 4
        self._stride = max(1, self.side // 2)
        self.grid = ((height - self.side) // self._stride + 1, (width - self.side) // self._stride + 1)
        with seeded_torch(seed):
            self.backbone: Backbone = make_backbone(config.backbone, (channels, self.side, self.side))
            self.to_codes = nn.Linear(self.backbone.dimension, config.dimension)

    def codes_of(self, patches: Tensor) -> Tensor:
        """Codes (..., dimension) of patches (..., channels, side, side) in [0, 1]."""
        codes: Tensor = self.to_codes(self.backbone(patches.flatten(0, -4)))
        return codes.view(*patches.shape[:-3], self.dimension)

    def patches_of(self, pixels: Tensor) -> Tensor:
        """The patches of the grid, (b, *grid, channels, side, side)."""
        rows = pixels.unfold(2, self.side, self._stride).unfold(3, self.side, self._stride)
        return rows.permute(0, 2, 3, 1, 4, 5)

    def encode(self, images: Tensor) -> Tensor:
        """Codes (b, dimension): the mean of those of the grid's patches."""
        return self.codes_of(self.patches_of(unit_pixels(images))).mean((1, 2))
