"""Robust autoencoders: what does not belong must not decide what is learned.

With a robust loss rho (`nlprep.objectives.robust_losses`) of scale c, and p numbers in an image,

    loss = 1/n sum_i sum_j rho(x_ij - y_ij)                                  residuals of pixels
    loss = 1/n sum_i p rho( sqrt(1/p sum_j (x_ij - y_ij)^2) )                residuals of images

where y = g(f(x)). The first forgives spoiled places of many images (Qi et al. 2014, "Robust Feature Learning by Stacked
Autoencoder with Maximum Correntropy Criterion", with correntropy); the second whole images that are unlike the others,
which then stay badly reconstructed, and so are found (as the l2,1 norm of Zhou and Paffenroth 2017, which is
``absolute``). Both are the plain squared error, halved, while residuals are far below c.

What falls back to nothing far away (Cauchy, Geman-McClure, correntropy) has hardly a gradient where everything is far
away. A network begins with residuals of half the range from black to white: give these a scale of 0.3 or so, above all
for residuals of images, or nothing is learned.

Promised: the loss is the sum of the closed forms, whatever the choice; with outliers planted, the others' error is
lower than what the squared error leaves.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from nlprep.objectives.robust_losses import find_robust_loss
from vision.images.collection import unit_pixels
from vision.models.autoencoder import Autoencoder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from vision.images.collection import Shape
    from vision.models.configuration import RobustAutoencoderConfig

# A root has no derivative at 0.
_FLOOR = 1e-12


class RobustAutoencoder(Autoencoder):
    """An autoencoder with a robust error.

    Args:
        shape: Of the images.
        config: Its settings.
        num_classes: Must be 0: it sees no labels.
        seed: Of its weights.
    """

    config: RobustAutoencoderConfig

    def __init__(self, shape: Shape, config: RobustAutoencoderConfig, *, num_classes: int = 0, seed: int = 1) -> None:
        super().__init__(shape, config, num_classes=num_classes, seed=seed)
        self._rho = find_robust_loss(config.loss)

    def forward(self, images: Tensor, **given: Tensor) -> Mapping[str, Tensor]:  # noqa: ARG002 - sees no labels
        """The ``loss`` and the ``squared_error``, in the mean over images."""
        residuals = self._residuals(images)
        squares = residuals.square().sum(1)
        if self.config.residuals == "pixels":
            losses = self._rho(residuals, self.config.scale).sum(1)
        else:
            numbers = math.prod(self.shape)
            losses = numbers * self._rho((squares / numbers + _FLOOR).sqrt(), self.config.scale)
        return {"loss": losses.mean(), "squared_error": squares.mean()}

    def decode(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:  # noqa: ARG002 - sees no labels
        """Images of codes."""
        made: Tensor = self.decoder(codes).float()
        return made.clamp(0, 1)

    def scores(self, images: Tensor) -> Mapping[str, Tensor]:
        """``reconstruction_error``, the squared one, of each image: of what does not belong it stays large."""
        return {"reconstruction_error": self._residuals(images).square().sum(1)}

    def _residuals(self, images: Tensor) -> Tensor:
        pixels = unit_pixels(images)
        made: Tensor = self.decoder(self._code(pixels)).float()
        return (pixels - made).flatten(1)
