"""A linear-Gaussian model of images, whose likelihood is probabilistic PCA's closed form (Tipping and Bishop 1999)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch.distributions import MultivariateNormal

from vision.backbones.configuration import BackboneConfig
from vision.images.collection import Images
from vision.models.configuration import ImportanceWeightedConfig, LikelihoodConfig, VaeConfig
from vision.models.importance_weighted import ImportanceWeightedAutoencoder
from vision.models.vae import Vae

SHAPE = (1, 3, 4)
DIMENSION = 3
FLOOR = 0.01


@dataclass(frozen=True)
class Parts:
    """x = center + weights z + scale e; the columns of the weights are orthogonal, so that posteriors are diagonal."""

    weights: torch.Tensor
    center: torch.Tensor
    scale: float


def draw_parts() -> Parts:
    generator = torch.Generator().manual_seed(3)
    basis, _ = torch.linalg.qr(torch.randn(math.prod(SHAPE), DIMENSION, generator=generator, dtype=torch.float64))
    lengths = torch.tensor([0.35, 0.25, 0.15], dtype=torch.float64)
    center = 0.4 + 0.2 * torch.rand(math.prod(SHAPE), generator=generator, dtype=torch.float64)
    return Parts(basis * lengths, center, 0.1)


def linear_gaussian_vae(*, samples: int = 0, gradient: str = "double", widened: float = 0.0) -> tuple[Vae, Parts]:
    """A model with no hidden layers whose decoder is the parts', and its posterior the exact one.

    Args:
        samples: Of the importance-weighted bound; 0: a variational autoencoder.
        gradient: Of the former.
        widened: Added to the logarithm of the posterior's standard deviations, and to its means: no longer exact.
    """
    parts = draw_parts()
    backbone = BackboneConfig(kind="mlp", depth=0)
    likelihood = LikelihoodConfig(kind="gaussian", floor=FLOOR)
    vae: Vae
    if samples:
        config = ImportanceWeightedConfig(
            dimension=DIMENSION, samples=samples, gradient=gradient, backbone=backbone, likelihood=likelihood
        )
        vae = ImportanceWeightedAutoencoder(SHAPE, config)
    else:
        vae = Vae(SHAPE, VaeConfig(dimension=DIMENSION, backbone=backbone, likelihood=likelihood))
    variance = parts.scale**2
    # W^T W + s^2, which is diagonal; the posterior is N(M^-1 W^T (x - c), s^2 M^-1).
    gram = (parts.weights**2).sum(0) + variance
    towards = (parts.weights / gram).T
    vae.double()
    with torch.no_grad():
        vae.decoder.layers[-1].weight.copy_(parts.weights)
        vae.decoder.layers[-1].bias.copy_(parts.center)
        vae.likelihood.raw_scale.fill_(math.log(parts.scale - FLOOR))
        # Pixels come as 2 x - 1: x = (y + 1) / 2.
        vae.to_posterior.weight[:DIMENSION] = towards / 2
        vae.to_posterior.bias[:DIMENSION] = towards @ (0.5 - parts.center) + widened
        vae.to_posterior.weight[DIMENSION:] = 0
        vae.to_posterior.bias[DIMENSION:] = (variance / gram).log() / 2 + widened
    return vae.float(), parts


def planted_images(parts: Parts, count: int) -> Images:
    """Images drawn from the model, in bytes; their likelihoods are closed forms of what the bytes are."""
    generator = torch.Generator().manual_seed(4)
    codes = torch.randn(count, DIMENSION, generator=generator, dtype=torch.float64)
    noise = torch.randn(count, math.prod(SHAPE), generator=generator, dtype=torch.float64)
    pixels = parts.center + codes @ parts.weights.T + parts.scale * noise
    return Images((pixels.clamp(0, 1) * 255).round().to(torch.uint8).numpy().reshape(count, *SHAPE))


def exact_log_likelihoods(parts: Parts, images: torch.Tensor | np.ndarray) -> torch.Tensor:
    """(b,) log p(x): of N(center, W W^T + s^2 I)."""
    covariance = parts.weights @ parts.weights.T + parts.scale**2 * torch.eye(math.prod(SHAPE), dtype=torch.float64)
    pixels = torch.as_tensor(images).double().flatten(1) / 255
    return MultivariateNormal(parts.center, covariance).log_prob(pixels).float()
