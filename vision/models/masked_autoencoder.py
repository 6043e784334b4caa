"""The masked autoencoder: a vision transformer sees some patches and fills in the others.

Of N patches a share is hidden, drawn anew for each image in every step; the encoder is given the visible ones only, the
decoder their codes and, at the hidden places, a learned token (He et al. 2021, "Masked Autoencoders Are Scalable Vision
Learners", section 3). With patches t_j as targets and predictions p_j of q numbers each,

    loss = 1/n sum_i N / |H_i| sum_(j in H_i) || t_ij - p_ij ||^2

over the hidden patches H_i: the paper's mean over hidden patches, times the numbers of an image. With ``normalize`` a
target is (t - mean(t)) / sqrt(var(t) + 1e-6) of its own patch, as in the paper. Deviations: features are the mean of
the tokens, without a class token; places are learned in encoder and decoder.

In a picture, normalised predictions need a mean and a variance to become pixels. Those of the hidden patch are the
answer: with them even a model that learned nothing draws a blurred copy. So a picture takes both from the visible
patches of the image.

Promised: visible patches do not count in the loss; what is hidden changes neither codes of the visible patches nor
the picture; a code of a whole image is the backbone's feature.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from nlprep.core.errors import OptionError
from nlprep.core.randomness import combine, seeded_torch, uniforms
from vision.backbones.networks import make_backbone
from vision.backbones.vit import TransformerBlock, VisionTransformer
from vision.images.collection import unit_pixels
from vision.models.labels import refuse_classes
from vision.models.model import ImageModel

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vision.images.collection import Shape
    from vision.models.configuration import MaskedAutoencoderConfig

_FLOOR = 1e-6
_DEVIATION = 0.02
_FIXED, _PURPOSE_MASK = 1, 1


class MaskedAutoencoder(ImageModel):
    """A masked autoencoder.

    Args:
        shape: Of the images.
        config: Its settings.
        num_classes: Must be 0: it sees no labels.
        seed: Of its weights.

    Raises:
        OptionError: A mask that leaves no patch visible, or hides none.
    """

    backbone: VisionTransformer

    def __init__(self, shape: Shape, config: MaskedAutoencoderConfig, *, num_classes: int = 0, seed: int = 1) -> None:
        super().__init__()
        refuse_classes(num_classes, "a masked autoencoder")
        self.shape, self.config, self.num_classes = shape, config, num_classes
        with seeded_torch(seed):
            backbone = make_backbone(config.backbone, shape)
            if not isinstance(backbone, VisionTransformer):
                raise OptionError("the backbone of a masked autoencoder must be a vit")
            self.backbone = backbone
            self.dimension = backbone.dimension
            numbers = shape[0] * backbone.patch**2
            width = config.decoder_width
            self.to_decoder = nn.Linear(backbone.dimension, width)
            self.hidden_token = nn.Parameter(_DEVIATION * torch.randn(1, 1, width))
            self.decoder_places = nn.Parameter(_DEVIATION * torch.randn(1, backbone.tokens, width))
            self.decoder = nn.Sequential(
                *(TransformerBlock(width, config.decoder_heads) for _ in range(config.decoder_depth)),
                nn.LayerNorm(width),
                nn.Linear(width, numbers),
            )
        self.visible = round(backbone.tokens * (1 - config.mask))
        if not 0 < self.visible < backbone.tokens:
            raise OptionError(
                f"mask = {config.mask}: of {backbone.tokens} patches {self.visible} would be visible: choose another "
                "share, or smaller patches"
            )

    def forward(self, images: Tensor, **given: Tensor) -> Mapping[str, Tensor]:  # noqa: ARG002 - sees no labels
        """The ``loss``, over hidden patches."""
        pixels = unit_pixels(images)
        order = torch.rand(len(pixels), self.backbone.tokens, device=pixels.device).argsort(1)
        return {"loss": self.masked_errors(pixels, order).mean()}

    def encode(self, images: Tensor) -> Tensor:
        """Codes (b, dimension): the backbone's features of whole images."""
        codes: Tensor = self.backbone(unit_pixels(images))
        return codes

    def reconstruct(self, images: Tensor, labels: Tensor | None = None) -> Tensor:  # noqa: ARG002 - sees no labels
        """Images whose hidden patches are filled in, the same patches hidden in all (see `masked_images`)."""
        pixels = unit_pixels(images)
        order = self._fixed_order(len(pixels), pixels.device)
        patches = self._patches(pixels)
        filled = self.predict(pixels, order).float()
        if self.config.normalize:
            seen = patches.gather(1, _rows(order[:, : self.visible], patches)).flatten(1)
            # Never those of a hidden patch, which would be the answer.
            mean, variance = seen.mean(1)[:, None, None], seen.var(1, unbiased=False)[:, None, None]
            filled = filled * (variance + _FLOOR).sqrt() + mean
        return self._images(torch.where(self._hidden(order)[:, :, None], filled, patches)).clamp(0, 1)

    def masked_images(self, images: Tensor) -> Tensor:
        """What `reconstruct` begins with: images whose hidden patches are grey."""
        pixels = unit_pixels(images)
        hidden = self._hidden(self._fixed_order(len(pixels), pixels.device))
        return self._images(torch.where(hidden[:, :, None], 0.5, self._patches(pixels)))

    def scores(self, images: Tensor) -> Mapping[str, Tensor]:
        """``reconstruction_error`` of each image: of its hidden patches, as the loss has it, under the fixed mask."""
        pixels = unit_pixels(images)
        return {"reconstruction_error": self.masked_errors(pixels, self._fixed_order(len(pixels), pixels.device))}

    def masked_errors(self, pixels: Tensor, order: Tensor) -> Tensor:
        """Errors of hidden patches, (b,), scaled to the numbers of an image.

        Args:
            pixels: (b, channels, height, width) in [0, 1].
            order: (b, N) the patches of each image, those that are visible first.
        """
        targets = self._patches(pixels)
        if self.config.normalize:
            variances = targets.var(2, unbiased=False, keepdim=True)
            targets = (targets - targets.mean(2, keepdim=True)) / (variances + _FLOOR).sqrt()
        errors = (self.predict(pixels, order).float() - targets).square().sum(2)
        hidden = self.backbone.tokens - self.visible
        return (errors * self._hidden(order)).sum(1) * (self.backbone.tokens / hidden)

    def predict(self, pixels: Tensor, order: Tensor) -> Tensor:
        """What the decoder says of every patch, (b, N, numbers of a patch), from the visible ones alone."""
        tokens = self.backbone.embed(pixels)
        codes = self.to_decoder(self.backbone.transform(tokens.gather(1, _rows(order[:, : self.visible], tokens))))
        unseen = self.hidden_token.to(codes.dtype).expand(len(codes), order.shape[1] - self.visible, -1)
        shuffled = torch.cat([codes, unseen], 1)
        predictions: Tensor = self.decoder(shuffled.gather(1, _rows(order.argsort(1), shuffled)) + self.decoder_places)
        return predictions

    def _hidden(self, order: Tensor) -> Tensor:
        """(b, N): whether a patch is hidden."""
        return order.argsort(1) >= self.visible

    def _fixed_order(self, count: int, device: torch.device) -> Tensor:
        """(count, N), the same for every image and every model of so many patches."""
        draws = uniforms(combine(_FIXED, np.arange(self.backbone.tokens)), 1, purpose=_PURPOSE_MASK)[:, 0]
        order = torch.from_numpy(np.argsort(draws, kind="stable"))
        return order.to(device).expand(count, -1)

    def _patches(self, pixels: Tensor) -> Tensor:
        """(b, N, numbers of a patch), row by row."""
        patch = self.backbone.patch
        found = nn.functional.unfold(self.backbone.padded(pixels), patch, stride=patch)
        return found.transpose(1, 2)

    def _images(self, patches: Tensor) -> Tensor:
        """The inverse of `_patches`, without what was added at the borders."""
        patch, (rows, columns) = self.backbone.patch, self.backbone.grid
        size = (rows * patch, columns * patch)
        images = nn.functional.fold(patches.transpose(1, 2), size, patch, stride=patch)
        return images[:, :, : self.shape[1], : self.shape[2]]


def _rows(places: Tensor, tokens: Tensor) -> Tensor:
    """Places (b, n) as an index of tokens (b, N, width) along their second axis."""
    return places[:, :, None].expand(-1, -1, tokens.shape[2])
