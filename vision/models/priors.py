"""What codes are distributed as before an image is seen: the priors of variational models.

- **Normal** (`NormalPrior`): N(0, I), which has nothing to learn and a divergence in closed form.
- **Flow** (`FlowPrior`): an autoregressive flow (Papamakarios et al. 2017, "Masked Autoregressive Flow"), learned with
  the decoder. What an encoder makes of all images together is seldom N(0, I), and where it is not, codes drawn from the
  prior are none that the decoder knows, and the bound pays for it (Hoffman and Johnson 2016). Each of its layers takes
  y to u by

      u_i = (y_i - t_i(y_1 .. y_(i-1))) exp(l_i(y_1 .. y_(i-1))),        log |du / dy| = sum_i l_i,

  whose t and l are one network that masks keep from seeing what comes later (Germain et al. 2015, MADE); every second
  layer goes through the numbers from the last to the first; what comes out of the last layer is N(0, I). So that

      log p(z) = log N(u(z); 0, I) + sum of all l.

  A density is one pass through the network, at the price of nearly nothing beside a decoder; drawing codes is one pass
  for each number of a code. In the bound it does what an inverse autoregressive flow of the posterior does (Chen et al.
  2017, "Variational Lossy Autoencoder", section 3.2), and the decoder is one layer deeper for it. |l| stays below 3, by
  a hyperbolic tangent: scales without a bound are how flows diverge. Layers begin as the identity, and so a flow as
  N(0, I).

Promised, and tested: densities are those of the change of variables with autograd's Jacobian, and integrate to one; no
number sees itself or a later one; what is drawn goes back to the noise that it was drawn from.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from nlprep.objectives.divergences import gaussian_log_density

if TYPE_CHECKING:
    from vision.models.configuration import PriorConfig

_LARGEST = 3.0
"""What the logarithm of a scale of a layer stays below."""


class Prior(nn.Module, ABC):
    """A distribution of codes.

    Attributes:
        dimension: Numbers in a code.
    """

    dimension: int

    @abstractmethod
    def log_density(self, codes: Tensor) -> Tensor:
        """(...) in nats, of codes (..., dimension); float32 at least."""

    @abstractmethod
    def from_noise(self, noise: Tensor) -> Tensor:
        """Codes (..., dimension) of standard normal numbers of the same shape."""


class NormalPrior(Prior):
    """N(0, I).

    Args:
        dimension: Numbers in a code.
    """

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.dimension = dimension

    def log_density(self, codes: Tensor) -> Tensor:
        """That of a standard normal variable."""
        return gaussian_log_density(codes)

    def from_noise(self, noise: Tensor) -> Tensor:
        """The noise itself."""
        return noise


class MaskedLayer(nn.Module):
    """One autoregressive layer: each number shifted and scaled by what those before it say.

    Args:
        dimension: Numbers in a code.
        width: Units of its network.
        backward: Whether the last number is the first.
    """

    mask_in: Tensor
    mask_inside: Tensor
    mask_out: Tensor

    def __init__(self, dimension: int, width: int, *, backward: bool) -> None:
        super().__init__()
        self.backward = backward
        places = torch.arange(dimension)
        if backward:
            places = places.flip(0)
        # A unit of degree m sees the numbers up to place m, and is seen by those after it.
        degrees = torch.arange(width) % max(1, dimension - 1)
        self.register_buffer("mask_in", (degrees[:, None] >= places).float(), persistent=False)
        self.register_buffer("mask_inside", (degrees[:, None] >= degrees).float(), persistent=False)
        mask_out = (places[:, None] > degrees).float()
        self.register_buffer("mask_out", torch.cat([mask_out, mask_out]), persistent=False)
        self.into = nn.Linear(dimension, width)
        self.inside = nn.Linear(width, width)
        self.out = nn.Linear(width, 2 * dimension)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Values on the way to noise, and the logarithm of the change of volume, (..., dimension) and (...)."""
        shift, log_scale = self._parameters_of(values)
        return (values - shift) * log_scale.exp(), log_scale.sum(-1)

    def invert(self, noise: Tensor) -> Tensor:
        """Values of which `forward` makes these: one number after another."""
        values = torch.zeros_like(noise)
        order = range(noise.shape[-1])
        for place in reversed(order) if self.backward else order:
            shift, log_scale = self._parameters_of(values)
            number = noise[..., place] * (-log_scale[..., place]).exp() + shift[..., place]
            values = values.index_copy(-1, torch.tensor([place], device=noise.device), number[..., None])
        return values

    def _parameters_of(self, values: Tensor) -> tuple[Tensor, Tensor]:
        hidden = functional.silu(functional.linear(values, self.into.weight * self.mask_in, self.into.bias))
        inside = functional.linear(hidden, self.inside.weight * self.mask_inside, self.inside.bias)
        hidden = functional.silu(hidden + inside)
        found = functional.linear(hidden, self.out.weight * self.mask_out, self.out.bias)
        shift, raw = (found.float() if found.dtype in (torch.bfloat16, torch.float16) else found).chunk(2, -1)
        return shift, _LARGEST * torch.tanh(raw / _LARGEST)


class FlowPrior(Prior):
    """An autoregressive flow.

    Args:
        dimension: Numbers in a code.
        layers: How many.
        width: Units of each one's network.
    """

    def __init__(self, dimension: int, *, layers: int, width: int) -> None:
        super().__init__()
        self.dimension = dimension
        self.layers = nn.ModuleList(MaskedLayer(dimension, width, backward=number % 2 == 1) for number in range(layers))

    def log_density(self, codes: Tensor) -> Tensor:
        """By the change of variables."""
        noise, change = self.to_noise(codes)
        return gaussian_log_density(noise) + change

    def to_noise(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """The noise that codes are of, and the logarithm of |d noise / d code|: (..., dimension) and (...)."""
        change = codes.new_zeros(codes.shape[:-1], dtype=torch.promote_types(codes.dtype, torch.float32))
        for layer in self.layers:
            codes, more = layer(codes)
            change = change + more
        return codes, change

    def from_noise(self, noise: Tensor) -> Tensor:
        """By the layers' inverses, from the last to the first."""
        for layer in reversed(self.layers):
            noise = layer.invert(noise)  # type: ignore[operator]
        return noise


def make_prior(config: PriorConfig, dimension: int) -> Prior:
    """The prior that settings describe, its weights drawn from torch's generator."""
    if config.kind == "normal":
        return NormalPrior(dimension)
    return FlowPrior(dimension, layers=config.layers, width=config.width)
