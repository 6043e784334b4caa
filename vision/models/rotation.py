"""Rotation prediction: by how many quarters was this image turned?

Of every image all turns are shown in one batch, and a linear layer on top of the features says which is which (Gidaris,
Singh and Komodakis 2018, "Unsupervised Representation Learning by Predicting Image Rotations", equations 2 and 3):

    loss = 1/n sum_i 1/4 sum_(k = 0..3)  - log softmax(W f(turned(x_i, k)) + b)[k].

At chance it is log 4. Images that are not square are turned by none and two quarters, which keep their sides; at chance
that is log 2. The ``accuracy`` is recorded besides. Deviation: the features are the mean of the last maps over their
places, and nothing else is done to images, where the paper's code also shifts and mirrors them.

Promised, and tested: the loss is that of a loop over images and turns; the head leaves no trace in a code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from vision.images.collection import unit_pixels
from vision.models.pretext import PretextModel, seeded_head

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from vision.images.collection import Shape
    from vision.models.pretext_configuration import RotationConfig


class RotationPrediction(PretextModel):
    """A model that says by how many quarters an image was turned.

    Args:
        shape: Of the images.
        config: Its settings.
        num_classes: Must be 0: it sees no labels.
        seed: Of its weights.

    Attributes:
        turns: Quarters, against the clock, that images are turned by.
    """

    config: RotationConfig

    def __init__(self, shape: Shape, config: RotationConfig, *, num_classes: int = 0, seed: int = 1) -> None:
        super().__init__(shape, config, num_classes=num_classes, seed=seed)
        self.turns = (0, 1, 2, 3) if shape[1] == shape[2] else (0, 2)
        with seeded_head(seed):
            self.head = nn.Linear(self.dimension, len(self.turns))

    def forward(self, images: Tensor, **given: Tensor) -> Mapping[str, Tensor]:  # noqa: ARG002 - sees no labels
        """The ``loss``, in nats, and the ``accuracy``."""
        pixels = unit_pixels(images)
        turned = torch.cat([torch.rot90(pixels, turn, (2, 3)) for turn in self.turns])
        logits = self.head(self.encoder(turned)).float()
        right = torch.arange(len(self.turns), device=pixels.device).repeat_interleave(len(pixels))
        return {
            "loss": functional.cross_entropy(logits, right),
            "accuracy": (logits.argmax(1) == right).float().mean(),
        }
