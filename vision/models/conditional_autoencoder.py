"""An autoencoder whose decoder is told the class, so that the code need not say it.

As `vision.models.autoencoder`, but an image is made of a code and a label, g(f(x), y). What the label tells the code is
free not to hold; nothing makes it forget it, and a wide code will not. The encoder sees no labels, so that an image
without one has a code.

Promised: another label makes another image of the same code; without classes it is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from nlprep.core.errors import OptionError
from nlprep.core.randomness import seeded_torch
from vision.backbones.networks import make_decoder
from vision.images.collection import unit_pixels
from vision.models.autoencoder import Autoencoder, reconstruction_errors
from vision.models.labels import with_classes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from vision.images.collection import Shape
    from vision.models.configuration import AutoencoderConfig


class ConditionalAutoencoder(Autoencoder):
    """An autoencoder conditioned on labels.

    Args:
        shape: Of the images.
        config: The autoencoder's settings.
        num_classes: How many classes.
        seed: Of its weights.

    Raises:
        OptionError: No classes.
    """

    def __init__(self, shape: Shape, config: AutoencoderConfig, *, num_classes: int = 0, seed: int = 1) -> None:
        if num_classes < 1:
            raise OptionError("num_classes = 0: a conditional autoencoder needs classes: give images with labels")
        super().__init__(shape, config, seed=seed)
        self.num_classes = num_classes
        with seeded_torch(seed):
            self.decoder = make_decoder(config.backbone, shape, config.dimension + num_classes)

    def forward(self, images: Tensor, **given: Tensor) -> Mapping[str, Tensor]:
        """The ``loss``: the error of an image, in the mean over images, given ``labels`` (b,)."""
        pixels = unit_pixels(images)
        return {"loss": self._errors(pixels, given.get("labels")).mean()}

    def decode(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images of codes and labels."""
        return super().decode(with_classes(codes, labels, self.num_classes))

    def scores(self, images: Tensor, labels: Tensor | None = None) -> Mapping[str, Tensor]:
        """``reconstruction_error`` of each image; where labels are missing, that of the class that suits it best."""
        pixels = unit_pixels(images)
        if labels is not None:
            return {"reconstruction_error": self._errors(pixels, labels)}
        every = [
            self._errors(pixels, torch.full((len(pixels),), label, device=pixels.device))
            for label in range(self.num_classes)
        ]
        return {"reconstruction_error": torch.stack(every).amin(0)}

    def _errors(self, pixels: Tensor, labels: Tensor | None) -> Tensor:
        made = self.decoder(with_classes(self._code(pixels), labels, self.num_classes)).float()
        return reconstruction_errors(made, pixels, self.config.error)
