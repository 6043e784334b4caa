"""Invertible residual blocks, y = x + g(x) with a g that brings things nearer (Behrmann et al. 2019; Chen et al. 2019).

With a Lipschitz constant c < 1 of g, y has one x, which x <- y - g(x) finds, nearer by c each time. What it misses by
is computed, and an inverse that is not found to tolerance is refused, not returned.

The log-determinant is a series of traces of powers of g's Jacobian J,

    log det(I + J) = sum_k (-1)^(k+1) tr(J^k) / k,

each of them estimated by v^T J^k v with v ~ N(0, I) (Hutchinson). In training the number of terms is drawn and each
divided by the chance that it is computed, so that the estimate is unbiased (Chen et al. 2019, equation 6; Kahn's
"Russian roulette"); its gradient is that of an unbiased series of its own, for which only one product with J is kept
(equation 8), whatever the number of terms:

    d log det = E[ (sum_k (-1)^k J^k^T v / P(n >= k))^T dJ v ].

In evaluation there are a stated number of terms, and what is left out is at most

    d c^(K+1) / ((K + 1) (1 - c))           (nats, for d numbers; Behrmann et al., theorem 3),

which `series_bias` says. In evaluation a vector v is drawn too, one for all events of a batch, unless the traces are
exact (`exact`), which takes a product with J for every number of an event.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from nlprep.core.errors import NlprepError, OptionError
from vision.flows.spectral import NormedLayer
from vision.flows.transform import Transform, summed

if TYPE_CHECKING:
    from collections.abc import Iterator

_SURE, _STOP = 2, 0.5
"""Terms that are always computed in training, and the chance to stop after each further one."""


class Residual(Transform):
    """An invertible residual block.

    Args:
        network: g, of events to events, of `NormedLayer` and functions with slopes of at most 1.
        lipschitz: The bound of g's constant that its layers keep to.
        event_axes: 3 for images, 1 for vectors.
        terms: Of the series, in evaluation.
        exact: Whether traces are exact in evaluation.
        tolerance: Root mean square by which an inverse may miss, relative to what is inverted (and absolute below 1).
        most_iterations: Of the inverse.
    """

    def __init__(
        self, network: nn.Module, *, lipschitz: float, event_axes: int = 1, terms: int = 20, exact: bool = False,
        tolerance: float = 1e-5, most_iterations: int = 500,
    ) -> None:  # fmt: skip
        super().__init__()
        if not 0 < lipschitz < 1:
            raise OptionError(f"lipschitz = {lipschitz}: give a number above 0 and below 1")
        if terms < 1 or most_iterations < 1:
            raise OptionError(f"terms = {terms}, most_iterations = {most_iterations}: give at least 1")
        self.network, self.lipschitz, self.event_axes = network, lipschitz, event_axes
        self.terms, self.exact, self.tolerance, self.most_iterations = terms, exact, tolerance, most_iterations

    def refresh(self, *, until_settled: bool = False) -> None:
        """The norms of the layers."""
        for layer in self.network.modules():
            if isinstance(layer, NormedLayer):
                layer.refresh(until_settled=until_settled)

    def series_bias(self, numbers: int) -> float:
        """At most so many nats are left out of the log-determinant of an event of ``numbers``, in evaluation."""
        c, terms = self.lipschitz, self.terms
        return numbers * c ** (terms + 1) / ((terms + 1) * (1 - c))

    def _forward(self, data: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        kept = torch.is_grad_enabled()
        # Products with J need gradients whatever the caller wants, and their precision is that of the determinant.
        with torch.inference_mode(False), torch.enable_grad(), torch.autocast(data.device.type, enabled=False):
            if kept and data.requires_grad:
                # Of this node, not of what lies below it.
                given = data.view_as(data)
            else:
                given = (data.clone() if data.is_inference() else data.detach()).requires_grad_()
            moved = self.network(given)
            change = self._log_determinant(given, moved, differentiable=kept)
        made = given + moved
        return (made, change) if kept else (made.detach(), change.detach())

    def _inverse(self, noise: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        data = self.solve(noise)
        _, change = self._forward(data, context)
        return data, -change

    def _encode(self, data: Tensor, context: Tensor | None) -> Tensor:
        with torch.autocast(data.device.type, enabled=False):
            made: Tensor = data + self.network(data)
        return made

    def _decode(self, noise: Tensor, context: Tensor | None) -> Tensor:
        return self.solve(noise)

    @torch.no_grad()
    def solve(self, noise: Tensor) -> Tensor:
        """The x of y, by the fixed point.

        Raises:
            NlprepError: It is missed by more than the tolerance after as many iterations as there may be; says by how
                much, and of how many events.
        """
        if not noise.numel():
            return noise
        data = noise
        scale = noise.flatten(1).square().mean(1).sqrt().clamp(min=1)
        missed = torch.full_like(scale, math.inf)
        with torch.autocast(noise.device.type, enabled=False):
            for _ in range(self.most_iterations):
                found = noise - self.network(data)
                # What x misses y by is how far the next step moves it.
                missed = (found - data).flatten(1).square().mean(1).sqrt() / scale
                data = found
                if bool((missed <= self.tolerance).all()):
                    return cast("Tensor", data)
        worse = ~(missed <= self.tolerance)
        raise NlprepError(
            f"an invertible residual block found no inverse of {int(worse.sum())} of {len(noise)} in "
            f"{self.most_iterations} iterations (missed by up to {float(missed.max()):.2g}, tolerance "
            f"{self.tolerance:.2g}): its Lipschitz constant is above what it should be, or the tolerance below what "
            f"{noise.dtype} can give"
        )

    def _log_determinant(self, given: Tensor, moved: Tensor, *, differentiable: bool) -> Tensor:
        if not self.training and self.exact:
            return self._exact(given, moved, differentiable=differentiable)
        # In evaluation one for all, so that an event's determinant does not depend on its place in the batch.
        probe = torch.randn_like(moved) if self.training else torch.randn_like(moved[:1]).expand_as(moved)
        weights = list(self._weights())
        product, total, neumann = probe, torch.zeros_like(summed(probe)), probe
        for order, weight in enumerate(weights, start=1):
            (product,) = torch.autograd.grad(moved, given, product, retain_graph=True)
            sign = 1 if order % 2 else -1
            total = total + weight * sign / order * summed(product * probe)
            # The gradient of a series of K traces is one of K terms, of which this would be the next.
            if self.training or order < len(weights):
                neumann = neumann - weight * sign * product
        if not differentiable:
            return total.detach()
        (kept,) = torch.autograd.grad(moved, given, neumann.detach(), create_graph=True)
        surrogate = summed(kept * probe)
        # The value of the one series with the gradient of the other.
        return total.detach() + surrogate - surrogate.detach()

    def _weights(self) -> Iterator[float]:
        """Of each term: 1 over the chance that it is computed."""
        if not self.training:
            yield from [1.0] * self.terms
            return
        drawn = int(torch.empty(()).geometric_(_STOP))
        for order in range(1, _SURE + drawn + 1):
            yield 1.0 if order <= _SURE else (1 - _STOP) ** -(order - _SURE - 1)

    def _exact(self, given: Tensor, moved: Tensor, *, differentiable: bool) -> Tensor:
        flat = moved.flatten(1)
        grad = torch.autograd.grad
        rows = [
            grad(flat[:, place].sum(), given, create_graph=differentiable, retain_graph=True)[0].flatten(1)
            for place in range(flat.shape[1])
        ]
        jacobian = torch.stack(rows, 1)
        one = torch.eye(flat.shape[1], dtype=jacobian.dtype, device=jacobian.device)
        change: Tensor = torch.linalg.slogdet(one + jacobian)[1]
        return change
