"""The importance-weighted autoencoder (Burda et al. 2016), with the doubly reparameterised gradient.

A variational autoencoder (`vision.models.vae`) trained on a tighter bound: with k codes of each image drawn from q and
weights w_j = p(x | z_j) p(z_j) / q(z_j | x), minimised is the mean over images of

    -log 1/k sum_j w_j,

whose expectation falls to -log p(x) as k grows; with k = 1 it is the variational autoencoder's loss (its divergence
sampled, not in closed form). The logarithm of the sum is over the codes of one image, never over a batch.

As k grows, the encoder's gradient of this drowns in noise (Rainforth et al. 2018). Tucker et al. 2019, "Doubly
Reparameterized Gradient Estimators for Monte Carlo Objectives", equation 8, give another with the same expectation:
with w'_j = w_j / sum w,

    encoder:  sum_j w'_j^2  d log w_j / d z_j  d z_j / d encoder,      where q's own parameters in log w are constants,
    decoder:  sum_j w'_j  d log w_j / d decoder.

Promised, and tested: the bound is a loop's over codes; from the same draws the gradient of the decoder is the plain
one's, and that of the encoder is in expectation; where q is the posterior it has no noise at all.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vision.images.collection import unit_pixels
from vision.models.vae import Vae

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vision.images.collection import Shape
    from vision.models.configuration import ImportanceWeightedConfig


class ImportanceWeightedAutoencoder(Vae):
    """An importance-weighted autoencoder.

    Args:
        shape: Of the images.
        config: Its settings.
        num_classes: How many classes the decoder is conditioned on; 0: it sees no labels.
        seed: Of its weights.
    """

    config: ImportanceWeightedConfig

    def __init__(self, shape: Shape, config: ImportanceWeightedConfig, *, num_classes: int = 0, seed: int = 1) -> None:
        super().__init__(shape, config, num_classes=num_classes, seed=seed)

    def forward(
        self,
        images: Tensor,
        labels: Tensor | None = None,
        beta: Tensor | None = None,  # noqa: ARG002 - there is none
    ) -> Mapping[str, Tensor]:
        """``loss``, the negative of the bound, and ``negative_elbo``, that of one code, from the same draws."""
        targets = self.likelihood.targets(unit_pixels(images))
        mean, log_scale = self.posterior(targets)
        noise = torch.randn(self.config.samples, *mean.shape, dtype=mean.dtype, device=mean.device)
        codes = mean + log_scale.exp() * noise
        double = self.config.gradient == "double" and codes.requires_grad
        if double:
            # Codes carry the encoder's whole gradient; q itself is taken at its value.
            mean, log_scale = mean.detach(), log_scale.detach()
        weights = self.log_weights(targets, codes, mean, log_scale, labels)
        bound = (torch.logsumexp(weights, 0) - math.log(len(weights))).mean()
        loss = -bound
        if double:
            shares = weights.detach().softmax(0)
            # The decoder's gradient has one factor of the shares, and what goes on to the encoder another.
            codes.register_hook(lambda gradient: gradient * shares[..., None])
            surrogate = -(shares * weights).sum(0).mean()
            loss = surrogate + (loss - surrogate).detach()
        return {"loss": loss, "negative_elbo": -weights.mean().detach()}
