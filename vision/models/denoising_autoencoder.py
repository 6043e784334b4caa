"""The denoising autoencoder: what was spoiled has to be made whole, which takes knowing what images are like.

With noise q, drawn anew in every step (Vincent et al. 2008, "Extracting and Composing Robust Features with Denoising
Autoencoders", equation 5; 2010),

    loss = 1/n sum_i e(x_i, g(f(y_i))),    y_i ~ q(. | x_i)

the error being that of the plain autoencoder, summed over the numbers of an image, against the clean image. Codes and
reconstructions are those of images as they are given; `denoise` is `reconstruct`.

Promised: with no noise it is the plain autoencoder; the best linear one is the closed form (C + s^2)^-1 C of images
with covariance C and Gaussian noise s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vision.images.collection import unit_pixels
from vision.images.noise import add_noise
from vision.models.autoencoder import Autoencoder, reconstruction_errors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from vision.models.configuration import DenoisingAutoencoderConfig


class DenoisingAutoencoder(Autoencoder):
    """A denoising autoencoder; arguments as the plain one's."""

    config: DenoisingAutoencoderConfig

    def forward(self, images: Tensor, **given: Tensor) -> Mapping[str, Tensor]:  # noqa: ARG002 - sees no labels
        """The ``loss``: the error of what is made of spoiled images, in the mean over images."""
        pixels = unit_pixels(images)
        made = self.decoder(self._code(add_noise(pixels, self.config.noise, self.config.amount))).float()
        return {"loss": reconstruction_errors(made, pixels, self.config.error).mean()}
