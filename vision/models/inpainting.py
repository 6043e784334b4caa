"""Inpainting: what was in the hole?

A rectangle of each image, at a place drawn anew in every step, turns grey, and a decoder makes of the features of what
is left the whole image, of which the hole H_i counts (Pathak et al. 2016, "Context Encoders: Feature Learning by
Inpainting", equation 1). With D numbers in an image and predictions p,

    loss = 1/n sum_i D / |H_i| sum_(j in H_i) (x_ij - p_ij)^2,

the mean over the hole, times the numbers of an image, so that it compares with the errors of autoencoders. Deviations:
no adversary, which is for the looks of what is filled in; the hole is one rectangle of the image's proportions.

In a picture and in scores the hole is in the middle. A code is of the whole image.

Promised, and tested: only the hole counts, and what is in it does not change what is predicted.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from vision.backbones.networks import make_decoder
from vision.images.collection import unit_pixels
from vision.models.pretext import PretextModel, seeded_head

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from vision.images.collection import Shape
    from vision.models.pretext_configuration import InpaintingConfig

_GREY = 0.5


class Inpainting(PretextModel):
    """A model that fills in a hole.

    Args:
        shape: Of the images.
        config: Its settings.
        num_classes: Must be 0: it sees no labels.
        seed: Of its weights.

    Attributes:
        hole: Height and width of the hole, in pixels.
    """

    config: InpaintingConfig
    told = "all but the middle"

    def __init__(self, shape: Shape, config: InpaintingConfig, *, num_classes: int = 0, seed: int = 1) -> None:
        super().__init__(shape, config, num_classes=num_classes, seed=seed)
        self.hole = (max(1, round(config.hole * shape[1])), max(1, round(config.hole * shape[2])))
        with seeded_head(seed):
            self.decoder = make_decoder(config.backbone, shape, self.backbone.dimension)

    def forward(self, images: Tensor, **given: Tensor) -> Mapping[str, Tensor]:  # noqa: ARG002 - sees no labels
        """The ``loss``, over holes."""
        pixels = unit_pixels(images)
        room = (self.shape[1] - self.hole[0] + 1, self.shape[2] - self.hole[1] + 1)
        corners = torch.stack([torch.randint(side, (len(pixels),), device=pixels.device) for side in room], 1)
        return {"loss": self.hole_errors(pixels, corners).mean()}

    def reconstruct(self, images: Tensor, labels: Tensor | None = None) -> Tensor:  # noqa: ARG002 - sees no labels
        """Images whose middle is filled in."""
        pixels = unit_pixels(images)
        hidden = self.holes(self._middle(pixels))
        return torch.where(hidden, self.predict(pixels, hidden), pixels).clamp(0, 1)

    def scores(self, images: Tensor) -> Mapping[str, Tensor]:
        """``reconstruction_error`` of each image: of its middle, as the loss has it."""
        pixels = unit_pixels(images)
        return {"reconstruction_error": self.hole_errors(pixels, self._middle(pixels))}

    def hole_errors(self, pixels: Tensor, corners: Tensor) -> Tensor:
        """Squared errors in the hole, (b,), scaled to the numbers of an image.

        Args:
            pixels: (b, channels, height, width) in [0, 1].
            corners: (b, 2) int64, the hole's top and left.
        """
        hidden = self.holes(corners)
        errors = (self.predict(pixels, hidden) - pixels).square() * hidden
        return errors.flatten(1).sum(1) * (self.shape[1] * self.shape[2] / math.prod(self.hole))

    def predict(self, pixels: Tensor, hidden: Tensor) -> Tensor:
        """What the decoder makes of what is not hidden, (b, channels, height, width), about [0, 1]."""
        features = self.backbone(torch.where(hidden, _GREY, pixels))
        made: Tensor = self.decoder(features)
        return made.float() + _GREY

    def holes(self, corners: Tensor) -> Tensor:
        """(b, 1, height, width): whether a pixel is in the hole of which (b, 2) is the top left corner."""
        inside = []
        for axis in (0, 1):
            places = torch.arange(self.shape[1 + axis], device=corners.device)
            first = corners[:, axis, None]
            inside.append((places >= first) & (places < first + self.hole[axis]))
        return (inside[0][:, :, None] & inside[1][:, None, :])[:, None]

    def _middle(self, pixels: Tensor) -> Tensor:
        corner = [(self.shape[1 + axis] - self.hole[axis]) // 2 for axis in (0, 1)]
        return torch.tensor(corner, device=pixels.device).expand(len(pixels), 2)
