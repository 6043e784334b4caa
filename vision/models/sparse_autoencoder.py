"""Sparse autoencoders: more units than are needed, few of which an image may use.

With an encoder f of d units, a decoder g and an error e summed over the numbers of an image,

    loss = 1/n sum_i e(x_i, g(z_i)) + weight S,        z_i = f(x_i)

- ``l1``: z is rectified, S = 1/n sum_i sum_j z_ij;
- ``kl``: z is logistic, S = sum_j KL(target || 1/n sum_i z_ij) (Ng 2011, "Sparse Autoencoder", CS294A). It couples the
  examples of a batch, so that parts of one and several processes are refused;
- ``k-sparse``: S = 0, and z has only the ``active`` largest values of an image, rectified (Makhzani and Frey 2013, who
  keep linear ones; after rectification a code of fewer than k is possible and none is negative).

A price on activity alone would be evaded by small codes and a decoder that makes much of them; so with ``l1`` the price
is of z_ij ||w_j||, where w_j is what a unit adds to the decoder's first layer.

Promised: a code's form (not negative, below 1, at most k), the loss as above, and a higher weight leaves less activity.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from nlprep.core.training.steps.step import PlainStep
from nlprep.objectives.sparsity import keep_largest, kl_penalty, l1_penalty
from vision.images.collection import unit_pixels
from vision.models.autoencoder import Autoencoder, reconstruction_errors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vision.models.configuration import SparseAutoencoderConfig


class SparseAutoencoder(Autoencoder):
    """A sparse autoencoder; arguments as the plain one's."""

    config: SparseAutoencoderConfig

    def forward(self, images: Tensor, **given: Tensor) -> Mapping[str, Tensor]:  # noqa: ARG002 - sees no labels
        """The ``loss``, its ``error``, the ``sparsity`` that is priced, and the ``active`` units of an image."""
        pixels = unit_pixels(images)
        codes = self._code(pixels)
        error = reconstruction_errors(self.decoder(codes).float(), pixels, self.config.error).mean()
        active = (codes.detach() > _ACTIVE).sum(1).float().mean()
        if self.config.sparsity == "k-sparse":
            return {"loss": error, "active": active}
        if self.config.sparsity == "kl":
            sparsity = kl_penalty(codes, self.config.target)
        else:
            sparsity = l1_penalty(codes.float() * self._scales())
        return {"loss": error + self.config.weight * sparsity, "error": error, "sparsity": sparsity, "active": active}

    def step(self) -> PlainStep:
        """One player; with ``kl`` its loss couples the examples of a batch."""
        return PlainStep(self, unit="images", coupled=True if self.config.sparsity == "kl" else None)

    def _code(self, pixels: Tensor) -> Tensor:
        codes: Tensor = self.to_code(self.backbone(pixels))
        if self.config.sparsity == "kl":
            return codes.sigmoid()
        if self.config.sparsity == "k-sparse":
            codes = keep_largest(codes, self.config.active)
        return codes.relu()

    def _scales(self) -> Tensor | float:
        """Lengths (d,) of what a unit adds to the decoder's first layer."""
        first = next((layer for layer in self.decoder.modules() if isinstance(layer, nn.Linear)), None)
        return 1.0 if first is None or first.in_features != self.dimension else first.weight.float().norm(dim=0)


# A logistic unit is never quite off.
_ACTIVE = 0.1
