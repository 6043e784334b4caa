"""Layers with a bounded Lipschitz constant: a convolution's own spectral norm, not that of its kernel laid flat.

A convolution with zeros beyond the edge is a matrix of all its numbers, and its largest singular value is what bounds
how far it moves things apart. The largest singular value of the kernel as a matrix (channels out, channels in x places)
bounds nothing: the convolution's may be larger by the root of the number of places. So the power iteration is that of
the convolution and its transpose, on maps of the size that it meets (Gouk et al. 2021; Behrmann et al. 2019, sec. 2).

The weights are divided by max(1, norm / most). The estimate belongs to the parameters and is brought up to date when
they change (`NormedLayer.refresh`), not on the way through: so nothing depends on how many parts a batch has, and
training and evaluation compute the same. An iteration comes from below; `refresh(until_settled=True)` iterates until it
stands still, which whatever relies on the bound asks for.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_SETTLED, _MOST_ITERATIONS = 1e-5, 500


class NormedLayer(nn.Module):
    """A convolution of stride 1 that keeps the size of maps, or a fully connected layer, with a bounded norm.

    Args:
        inputs: Channels, or numbers of a vector.
        outputs: Likewise.
        size: Height and width of the maps; none: vectors.
        kernel: Places of the kernel, an odd number.
        most: Largest norm.
    """

    left: Tensor
    right: Tensor

    def __init__(
        self, inputs: int, outputs: int, *, size: tuple[int, int] | None = None, kernel: int = 3, most: float = 0.9
    ) -> None:
        super().__init__()
        self.most, self.size = most, size
        made = nn.Linear(inputs, outputs) if size is None else nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
        self.weight, self.bias = made.weight, made.bias
        self._padding = kernel // 2
        shape = () if size is None else size
        self.register_buffer("left", functional.normalize(torch.randn(1, outputs, *shape).flatten(), dim=0))
        self.register_buffer("right", functional.normalize(torch.randn(1, inputs, *shape).flatten(), dim=0))
        self.refresh(until_settled=True)

    def norm(self) -> Tensor:
        """The estimate of the largest singular value, with its gradient by the weights."""
        return (self.left * self._mapped(self.right, self.weight)).sum()

    @torch.no_grad()
    def refresh(self, *, until_settled: bool = False) -> None:
        """Iterate once, or until the estimate stands still."""
        if self.weight.is_meta:
            # Made to be counted alone: there are no numbers.
            return
        before = 0.0
        for _ in range(_MOST_ITERATIONS if until_settled else 1):
            left = self._mapped(self.right, self.weight)
            self.left.copy_(functional.normalize(left, dim=0))
            right = self._mapped_back(self.left, self.weight)
            self.right.copy_(functional.normalize(right, dim=0))
            now = float(right.norm())
            if abs(now - before) <= _SETTLED * max(now, 1e-12):
                break
            before = now

    def forward(self, given: Tensor) -> Tensor:
        """(b, outputs, ...) of (b, inputs, ...)."""
        weight = self.weight / (self.norm() / self.most).clamp(min=1)
        if self.size is None:
            return functional.linear(given, weight, self.bias)
        return functional.conv2d(given, weight, self.bias, padding=self._padding)

    def _mapped(self, numbers: Tensor, weight: Tensor) -> Tensor:
        if self.size is None:
            return weight @ numbers
        maps = numbers.view(1, weight.shape[1], *self.size)
        return functional.conv2d(maps, weight, padding=self._padding).flatten()

    def _mapped_back(self, numbers: Tensor, weight: Tensor) -> Tensor:
        if self.size is None:
            return weight.T @ numbers
        maps = numbers.view(1, weight.shape[0], *self.size)
        return functional.conv_transpose2d(maps, weight, padding=self._padding).flatten()


class LipSwish(nn.Module):
    """x s(b x) / 1.1, whose slope is below 1 for any b > 0 (Chen et al. 2019, section 3.3); b is learned."""

    def __init__(self) -> None:
        super().__init__()
        self.raw = nn.Parameter(torch.tensor(0.5))

    def forward(self, given: Tensor) -> Tensor:
        """Of each number."""
        return given * torch.sigmoid(given * functional.softplus(self.raw)) / 1.1
