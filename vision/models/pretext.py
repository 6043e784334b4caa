"""What models have in common that learn from a question whose answer is in the image itself.

Something is done to an image, or taken away from it, and a head on top of the features has to say what it was. After
training the head has done its work: a **code** is the mean over places of the last maps (`PooledBackbone`) of the image
as it is, as for models that compare views.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nlprep.core.randomness import combine, seeded_torch
from vision.images.collection import unit_pixels
from vision.models.joint_embedding import PooledBackbone
from vision.models.labels import refuse_classes
from vision.models.model import ImageModel

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from torch import Tensor

    from vision.backbones.backbone import Backbone
    from vision.images.collection import Shape

_HEAD = 1


class PretextModel(ImageModel):
    """A backbone whose maps are averaged to codes.

    Args:
        shape: Of the images.
        config: The model's settings.
        num_classes: Must be 0: it sees no labels.
        seed: Of its weights.

    Attributes:
        encoder: The network.
    """

    def __init__(self, shape: Shape, config: Any, *, num_classes: int = 0, seed: int = 1) -> None:
        super().__init__()
        refuse_classes(num_classes, "a model of pretext tasks")
        self.shape, self.config, self.num_classes = shape, config, num_classes
        with seeded_torch(seed):
            self.encoder = PooledBackbone(config.backbone, shape)
        self.dimension = self.encoder.dimension

    @property
    def backbone(self) -> Backbone:
        """The network, whose maps are averaged to codes."""
        return self.encoder.backbone

    def encode(self, images: Tensor) -> Tensor:
        """Codes (b, dimension): features of the images as they are, before the head."""
        codes: Tensor = self.encoder(unit_pixels(images))
        return codes


def seeded_head(seed: int) -> AbstractContextManager[None]:
    """Let weights of the head, in the block, be a function of the model's seed."""
    return seeded_torch(int(combine(seed, _HEAD)))
