"""Bytes as real numbers, so that a density of these bounds the probability of the bytes (Theis et al. 2016).

A byte b of 256 levels becomes y = (b + u) / 256 in [0, 1), and

    log P(b) >= E_u [log p(y) - log q(u | b)] - d log 256

for an image of d numbers, p being a density of y and q what u is drawn of. **Uniform**: q = 1. **Variational** (Ho et
al. 2019, "Flow++", section 3.1): u is the logistic of standard normal numbers that went through a flow that is told the
image; the bound is tighter, and as uniform noise is one of the choices it has, never worse by more than what its
learning misses. The number of levels is 256 and no other: with pixels in [0, 1], b is 255 times a pixel.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from nlprep.core.errors import NlprepError
from vision.flows.transform import no_change, summed

if TYPE_CHECKING:
    from vision.flows.transform import Transform

LEVELS = 256


class UniformDequantization(nn.Module):
    """Uniform noise."""

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images with noise, (b, ...) in [0, 1), and log q of it (b,), which is 0.

        Args:
            images: (b, ...) uint8, or float in [0, 1] that are levels of a byte.

        Raises:
            NlprepError: Pixels between the levels.
        """
        levels = byte_levels(images)
        return (levels + torch.rand_like(levels)) / LEVELS, no_change(levels)


class VariationalDequantization(nn.Module):
    """Noise that a flow makes, told the image.

    Args:
        flow: From noise in the logits of u to standard normal numbers, of images of the same shape; its context is the
            image, in [-1, 1].
    """

    def __init__(self, flow: Transform) -> None:
        super().__init__()
        self.flow = flow

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """As `UniformDequantization`, with the log-density of the noise drawn."""
        levels = byte_levels(images)
        normal = torch.randn_like(levels)
        logits, change = self.flow.inverse(normal, levels / (LEVELS / 2) - 1)
        noise = logits.sigmoid()
        slope = summed(functional.logsigmoid(logits) + functional.logsigmoid(-logits))
        density = summed(-normal.square() / 2 - math.log(2 * math.pi) / 2) - change - slope
        # In float32 a logistic may be 1, which would be the next level.
        noise = noise.clamp(max=1 - 2**-14)
        return (levels + noise) / LEVELS, density


def byte_levels(images: Tensor) -> Tensor:
    """Levels 0 to 255 as float32, of bytes or of such pixels in [0, 1].

    Raises:
        NlprepError: Pixels between the levels: their probability is none.
    """
    if images.dtype == torch.uint8:
        return images.float()
    levels = images * (LEVELS - 1)
    rounded = levels.round()
    if images.numel() and float((levels - rounded).abs().max()) > 1e-2:
        raise NlprepError("pixels between the 256 levels have no probability: give bytes")
    return rounded


def bits_per_dimension(nats: Tensor, numbers: int) -> Tensor:
    """Bits for each number of an image, of nats (...) of minus the log-probability of its bytes."""
    return nats / (numbers * math.log(2))


def byte_nats(log_density: Tensor, noise_density: Tensor, numbers: int) -> Tensor:
    """Minus the bound of the log-probability of bytes, (b,) nats.

    Args:
        log_density: (b,) of images with noise, in [0, 1).
        noise_density: (b,) of the noise.
        numbers: Of an image.
    """
    return noise_density - log_density + numbers * math.log(LEVELS)
