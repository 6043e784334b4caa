"""The autoencoder (Hinton and Salakhutdinov 2006): a code of few numbers from which an image can be made again.

With an encoder f and a decoder g, and an error e summed over the channels and places of an image x in [0, 1],

    loss = 1/n sum_i e(x_i, g(f(x_i)))

where e is the squared error (x - y)^2, the absolute one |x - y|, or the binary cross-entropy
-x log s(y) - (1 - x) log(1 - s(y)), s being the logistic function. For the first two, y itself is the image, unbounded
in the loss and clipped into [0, 1] where an image is asked for; for the last it is s(y), computed from logits, because
probabilities would have to be kept from 0 and 1. The cross-entropy of grey values is an error and no likelihood: it
is not 0 for a perfect reconstruction.

Promised: the loss is the mean over images of sums over their numbers, whatever the error; the loss of parts of a batch
is that of the whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from torch import Tensor, nn
from torch.nn import functional

from nlprep.core.randomness import seeded_torch
from vision.backbones.networks import make_backbone, make_decoder
from vision.images.collection import unit_pixels
from vision.models.labels import refuse_classes
from vision.models.model import ImageModel

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vision.backbones.configuration import BackboneConfig
    from vision.images.collection import Shape


class CodeSettings(Protocol):
    """What the settings of every autoencoder say."""

    @property
    def dimension(self) -> int:
        """Numbers in a code."""

    @property
    def backbone(self) -> BackboneConfig:
        """The network that makes features, whose mirror decodes."""


class Autoencoder(ImageModel):
    """A plain autoencoder.

    Args:
        shape: Of the images.
        config: Its settings, `vision.models.configuration.AutoencoderConfig`, or those of a class derived from it.
        num_classes: Must be 0: it sees no labels.
        seed: Of its weights.
    """

    def __init__(self, shape: Shape, config: CodeSettings, *, num_classes: int = 0, seed: int = 1) -> None:
        super().__init__()
        refuse_classes(num_classes, "an autoencoder")
        self.shape, self.config, self.dimension, self.num_classes = shape, config, config.dimension, num_classes
        with seeded_torch(seed):
            self.backbone = make_backbone(config.backbone, shape)
            self.to_code = nn.Linear(self.backbone.dimension, config.dimension)
            self.decoder = make_decoder(config.backbone, shape, config.dimension)

    def forward(self, images: Tensor, **given: Tensor) -> Mapping[str, Tensor]:  # noqa: ARG002 - sees no labels
        """The ``loss``: the error of an image, in the mean over images."""
        pixels = unit_pixels(images)
        made = self.decoder(self._code(pixels)).float()
        return {"loss": reconstruction_errors(made, pixels, self.config.error).mean()}

    def encode(self, images: Tensor) -> Tensor:
        """Codes (b, dimension)."""
        return self._code(unit_pixels(images))

    def decode(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:  # noqa: ARG002 - sees no labels
        """Images of codes."""
        made: Tensor = self.decoder(codes).float()
        return made.sigmoid() if self.config.error == "bce" else made.clamp(0, 1)

    def reconstruct(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images of the codes of images."""
        return self.decode(self.encode(images), labels)

    def scores(self, images: Tensor) -> Mapping[str, Tensor]:
        """``reconstruction_error``, as the loss has it, of each image."""
        pixels = unit_pixels(images)
        made = self.decoder(self._code(pixels)).float()
        return {"reconstruction_error": reconstruction_errors(made, pixels, self.config.error)}

    def _code(self, pixels: Tensor) -> Tensor:
        code: Tensor = self.to_code(self.backbone(pixels))
        return activated(code, self.config.code_activation)


def activated(codes: Tensor, activation: str) -> Tensor:
    """Codes after the last operation of an encoder: ``linear``, ``relu`` or ``sigmoid``."""
    if activation == "linear":
        return codes
    return codes.relu() if activation == "relu" else codes.sigmoid()


def reconstruction_errors(made: Tensor, pixels: Tensor, error: str) -> Tensor:
    """Errors of images, summed over their numbers.

    Args:
        made: (b, channels, height, width) what a decoder gave: for ``bce`` logits.
        pixels: Likewise, in [0, 1].
        error: ``squared``, ``absolute`` or ``bce``.

    Returns:
        (b,).
    """
    if error == "squared":
        each = (made - pixels).square()
    elif error == "absolute":
        each = (made - pixels).abs()
    else:
        each = functional.binary_cross_entropy_with_logits(made, pixels, reduction="none")
    return each.flatten(1).sum(1)
