"""Invertible linear maps: of the numbers of a vector, of an image's channels, and those that only move numbers."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from nlprep.core.errors import NlprepError, OptionError
from vision.flows.elementwise import ActNorm
from vision.flows.transform import Transform, no_change


class InvertibleLinear(Transform):
    """A learned matrix in factors, of vectors or of the channels at each place of an image (a 1 x 1 convolution).

    W = P L (U + diag(s)) with P a fixed permutation, L lower triangular with ones, U strictly upper triangular
    (Kingma and Dhariwal 2018, section 3.2, equation 10). Its log-determinant is sum log |s| *at each place*, so height
    times width of that for an image. Signs of s are fixed.

    Args:
        channels: Of images, or numbers of a vector.
        event_axes: 3 for images, 1 for vectors.
        rotated: Whether it begins as a random rotation; else it begins by turning the order of the channels, so that
            each is met as it is, and those that stayed in one coupling are changed in the next.
    """

    order: Tensor
    signs: Tensor

    def __init__(self, channels: int, event_axes: int = 1, *, rotated: bool = True) -> None:
        super().__init__()
        self.event_axes = event_axes
        if rotated:
            rotation, _ = torch.linalg.qr(torch.randn(channels, channels, dtype=torch.float64))
        else:
            rotation = torch.eye(channels, dtype=torch.float64).flip(0)
        permutation, lower, upper = torch.linalg.lu(rotation)
        scales = upper.diagonal()
        self.lower = nn.Parameter(lower.tril(-1).float())
        self.upper = nn.Parameter(upper.triu(1).float())
        self.log_scales = nn.Parameter(scales.abs().log().float())
        self.register_buffer("signs", scales.sign().float())
        # P x takes from x what stands at these places.
        self.register_buffer("order", permutation.argmax(1))

    def matrix(self) -> Tensor:
        """W (channels, channels)."""
        one = torch.eye(len(self.signs), dtype=self.lower.dtype, device=self.lower.device)
        upper = self.upper.triu(1) + torch.diag(self.signs * self.log_scales.exp())
        whole: Tensor = ((self.lower.tril(-1) + one) @ upper)[self.order]
        return whole

    def inverse_matrix(self) -> Tensor:
        """W^-1, by substitution in float64: what is lost there would be lost once for every layer above."""
        one = torch.eye(len(self.signs), dtype=torch.float64, device=self.lower.device)
        lower = self.lower.double().tril(-1) + one
        upper = self.upper.double().triu(1) + torch.diag(self.signs.double() * self.log_scales.double().exp())
        # P is one[order], and its transpose moves everything back.
        inner = torch.linalg.solve_triangular(lower, one[self.order].T, upper=False, unitriangular=True)
        whole: Tensor = torch.linalg.solve_triangular(upper, inner, upper=True)
        return whole.to(self.lower.dtype)

    def _forward(self, data: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        with torch.autocast(data.device.type, enabled=False):
            return self._applied(data, self.matrix()), self._change(data)

    def _inverse(self, noise: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        with torch.autocast(noise.device.type, enabled=False):
            return self._applied(noise, self.inverse_matrix()), -self._change(noise)

    def _applied(self, events: Tensor, matrix: Tensor) -> Tensor:
        return _mixed(events, matrix, None)

    def _change(self, events: Tensor) -> Tensor:
        return no_change(events) + math.prod(events.shape[2:]) * self.log_scales.sum()


class NormedLinear(Transform):
    """Activation normalisation and then a learned matrix, as one matrix and one shift.

    W (x + b) exp(s) is (W diag(exp(s))) x + (W diag(exp(s))) b: what belongs to channels is multiplied among channels,
    so that the many places of an image are met once instead of twice. Backwards it is one after the other.

    Args:
        channels: Of images, or numbers of a vector.
        event_axes: 3 for images, 1 for vectors.
    """

    def __init__(self, channels: int, event_axes: int = 1) -> None:
        super().__init__()
        self.event_axes = event_axes
        self.norm = ActNorm(channels, event_axes)
        self.linear = InvertibleLinear(channels, event_axes)

    def initialize(self, data: Tensor, context: Tensor | None = None) -> Tensor:
        """The normalisation."""
        self.norm.initialize(data, context)
        return super().initialize(data, context)

    def _forward(self, data: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        with torch.autocast(data.device.type, enabled=False):
            matrix = self.linear.matrix() * self.norm.log_scale.exp()
            made = _mixed(data, matrix, matrix @ self.norm.shift)
        places = math.prod(data.shape[2:])
        return made, no_change(data) + places * (self.norm.log_scale.sum() + self.linear.log_scales.sum())

    def _inverse(self, noise: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        inner, first = self.linear.inverse(noise)
        made, second = self.norm.inverse(inner)
        return made, first + second


def _mixed(events: Tensor, matrix: Tensor, shift: Tensor | None) -> Tensor:
    """A matrix, and perhaps a shift, of vectors or of the channels at each place."""
    if events.dim() == 2:
        return functional.linear(events, matrix, shift)
    # With channels last, which the result has too, the places are the rows of a matrix, and nothing is copied. Of so
    # few channels a product of matrices is faster than a convolution.
    return functional.linear(events.movedim(1, -1), matrix, shift).movedim(-1, 1)


class Permutation(Transform):
    """Numbers of a vector, or channels of an image, in another order.

    Args:
        order: Which one stands at each place.
        event_axes: 3 for images, 1 for vectors.
    """

    order: Tensor
    back: Tensor

    def __init__(self, order: Tensor, event_axes: int = 1) -> None:
        super().__init__()
        if not torch.equal(order.sort().values, torch.arange(len(order), device=order.device)):
            raise OptionError(f"order = {order.tolist()}: give each place once")
        self.event_axes = event_axes
        self.register_buffer("order", order)
        self.register_buffer("back", order.argsort())

    def _forward(self, data: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return data[:, self.order], no_change(data)

    def _inverse(self, noise: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return noise[:, self.back], no_change(noise)


class Squeeze(Transform):
    """Squares of 2 x 2 places as one place with four times the channels (Dinh et al. 2017, section 3.6)."""

    event_axes = 3

    def _forward(self, data: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        count, channels, height, width = data.shape
        if height % 2 or width % 2:
            raise NlprepError(f"images of {height} x {width} do not divide into squares of 2 x 2: give an even size")
        squares = data.view(count, channels, height // 2, 2, width // 2, 2).permute(0, 1, 3, 5, 2, 4)
        return squares.reshape(count, 4 * channels, height // 2, width // 2), no_change(data)

    def _inverse(self, noise: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        count, channels, height, width = noise.shape
        squares = noise.view(count, channels // 4, 2, 2, height, width).permute(0, 1, 4, 2, 5, 3)
        return squares.reshape(count, channels // 4, 2 * height, 2 * width), no_change(noise)


class Flatten(Transform):
    """Images as vectors.

    Args:
        shape: (channels, height, width).
    """

    event_axes = 3

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.shape = shape

    @property
    def noise_axes(self) -> int:
        """Vectors."""
        return 1

    def _forward(self, data: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return data.flatten(1), no_change(data)

    def _inverse(self, noise: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return noise.reshape(len(noise), *self.shape), no_change(noise)
