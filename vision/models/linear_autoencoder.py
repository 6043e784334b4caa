"""The linear autoencoder: two matrices, and principal components.

With A (p, d), B (d, p) and c (p,), rows x of the n images' p numbers,

    loss = 1/n sum_i || x_i - (x_i - m) A B - c ||^2

where m, fixed in the first step, is the mean of its batch, so that numbers are about 0; c is learned. Baldi and Hornik
(1989, "Neural Networks and Principal Component Analysis: Learning from Examples Without Local Minima") show that every
minimum spans the first d principal directions and every other stationary point is a saddle: so the rows of B and the
columns of A, whatever the start, come to the subspace that the singular value decomposition gives, though not to its
axes.

Promised: the subspace of B's rows, and of A's columns as far as the images span, is that of PCA.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from nlprep.core.randomness import seeded_torch
from nlprep.core.training.steps.step import PlainStep
from vision.images.collection import unit_pixels
from vision.models.autoencoder import reconstruction_errors
from vision.models.labels import refuse_classes
from vision.models.model import ImageModel

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nlprep.core.training.steps.step import Batch
    from vision.images.collection import Shape
    from vision.models.configuration import LinearAutoencoderConfig


class LinearAutoencoder(ImageModel):
    """A linear autoencoder.

    Args:
        shape: Of the images.
        config: Its settings.
        num_classes: Must be 0: it sees no labels.
        seed: Of its weights.
    """

    centre: Tensor

    def __init__(self, shape: Shape, config: LinearAutoencoderConfig, *, num_classes: int = 0, seed: int = 1) -> None:
        super().__init__()
        refuse_classes(num_classes, "a linear autoencoder")
        self.shape, self.config, self.dimension, self.num_classes = shape, config, config.dimension, num_classes
        pixels = math.prod(shape)
        self.register_buffer("centre", torch.full((pixels,), 0.5))
        with seeded_torch(seed):
            self.encoder = nn.Linear(pixels, config.dimension, bias=False)
            self.decoder = nn.Linear(config.dimension, pixels)
        with torch.no_grad():
            # Tied at first, so that directions begin with some of the image in them.
            self.decoder.weight.copy_(self.encoder.weight.T)
            self.decoder.bias.fill_(0.5)

    def forward(self, images: Tensor, **given: Tensor) -> Mapping[str, Tensor]:  # noqa: ARG002 - sees no labels
        """The ``loss``: the squared error of an image, in the mean over images."""
        pixels = unit_pixels(images)
        return {"loss": self._errors(pixels).mean()}

    def encode(self, images: Tensor) -> Tensor:
        """Codes (b, dimension)."""
        codes: Tensor = self.encoder(unit_pixels(images).flatten(1) - self.centre)
        return codes

    def decode(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:  # noqa: ARG002 - sees no labels
        """Images of codes."""
        return self._made(codes).clamp(0, 1)

    def reconstruct(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images of the codes of images."""
        return self.decode(self.encode(images), labels)

    def scores(self, images: Tensor) -> Mapping[str, Tensor]:
        """``reconstruction_error``, the squared one, of each image."""
        return {"reconstruction_error": self._errors(unit_pixels(images))}

    def step(self) -> PlainStep:
        """One player, whose centre is the mean of the first batch."""
        return _CentredStep(self, unit="images")

    def _made(self, codes: Tensor) -> Tensor:
        made: Tensor = self.decoder(codes)
        return made.float().view(-1, *self.shape)

    def _errors(self, pixels: Tensor) -> Tensor:
        return reconstruction_errors(self._made(self.encode(pixels)), pixels, "squared")


class _CentredStep(PlainStep):
    def initialize(self, modules: Mapping[str, nn.Module], batch: Batch) -> None:
        model = modules["model"]
        if isinstance(model, LinearAutoencoder):
            mean = unit_pixels(batch["images"]).flatten(1).mean(0)
            model.centre.copy_(mean)
            model.decoder.bias.copy_(mean)
