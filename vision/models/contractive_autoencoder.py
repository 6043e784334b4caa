"""The contractive autoencoder: codes that do not follow every small change of an image.

With the Jacobian J(x), d x p, of the encoder f (Rifai et al. 2011, "Contractive Auto-Encoders: Explicit Invariance
During Feature Extraction", equation 4),

    loss = 1/n sum_i [ e(x_i, g(f(x_i))) + contraction || J(x_i) ||_F^2 ]

Derivatives are by the pixels in [0, 1]. The norm is *exact* with a backward pass for each of the d numbers of a code,
or *estimated* (Hutchinson 1990): for v of independent signs, E || v J ||^2 = || J ||_F^2, one backward pass for each v.
The estimate is unbiased; its variance for one v is 2 sum_(k != l) (J J^T)_kl^2, nothing if the numbers of a code
depend on different directions.

Promised: exact is what autograd's Jacobian gives and, for one logistic layer, the closed form
sum_j (h_j (1 - h_j))^2 || W_j ||^2; the estimate's mean is that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from vision.images.collection import unit_pixels
from vision.models.autoencoder import Autoencoder, reconstruction_errors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from vision.models.configuration import ContractiveAutoencoderConfig

_EXACT_DIMENSION = 16


class ContractiveAutoencoder(Autoencoder):
    """A contractive autoencoder; arguments as the plain one's."""

    config: ContractiveAutoencoderConfig

    def forward(self, images: Tensor, **given: Tensor) -> Mapping[str, Tensor]:  # noqa: ARG002 - sees no labels
        """The ``loss``, its ``error`` and the ``contraction``, that is the mean squared norm of the Jacobian."""
        pixels = unit_pixels(images)
        # In validation, too, where gradients are off.
        with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
            # The fast kernels of attention have no second derivative.
            pixels = pixels.detach().requires_grad_()
            codes = self._code(pixels)
            squares = self._squared_norms(codes, pixels)
        error = reconstruction_errors(self.decoder(codes).float(), pixels.detach(), self.config.error).mean()
        contraction = squares.mean()
        return {"loss": error + self.config.contraction * contraction, "error": error, "contraction": contraction}

    def squared_norms(self, images: Tensor, *, exact: bool = True) -> Tensor:
        """|| J ||_F^2 of each image, (b,), without a gradient.

        Args:
            images: As `encode` takes them.
            exact: Or estimated, with the settings' number of directions from torch's generator.
        """
        with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
            pixels = unit_pixels(images).detach().requires_grad_()
            return self._squared_norms(self._code(pixels), pixels, exact=exact).detach()

    def _squared_norms(self, codes: Tensor, pixels: Tensor, *, exact: bool | None = None) -> Tensor:
        if exact is None:
            kind = self.config.jacobian
            exact = self.dimension <= _EXACT_DIMENSION if kind == "auto" else kind == "exact"
        if exact:
            units = torch.eye(self.dimension, dtype=codes.dtype, device=codes.device)
            directions = [unit.expand_as(codes) for unit in units]
        else:
            draws = [torch.rand(codes.shape, device=codes.device) for _ in range(self.config.probes)]
            directions = [torch.where(draw < 0.5, -1.0, 1.0).to(codes.dtype) for draw in draws]
        total = torch.zeros(len(pixels), device=pixels.device)
        # Images do not depend on each other, so that one pass gives each its own v J.
        for direction in directions:
            (product,) = torch.autograd.grad(codes, pixels, direction, create_graph=True)
            total = total + product.float().flatten(1).square().sum(1)
        return total if exact else total / len(directions)
