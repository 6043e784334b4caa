"""Continuous flows: data are carried to noise and back along a field of velocities (Chen et al. 2018).

dx/dt = v(x, t) carries noise (t = 0) to data (t = 1). The logarithm of the volume changes by the divergence of v on the
way (instantaneous change of variables), so from data to noise by

    log |det| = - integral from 0 to 1 of tr(dv/dx)(x_t, t) dt.

Both are integrated in equal steps, there and back the same, so that an inverse misses by the scheme's error: by Euler's
scheme, by the midpoint's, of second order, which asks for velocities twice a step, or by the classical one of Runge and
Kutta, of fourth, which asks four times. The trace is exact, a product for each number of an event, or estimated by
Hutchinson (1990), the mean of v^T (dv/dx) v over some vectors of signs, the same on the whole way and for all events of
a batch; signs have no more variance than normal numbers, and none of a diagonal.

**Flow matching** (Lipman et al. 2023, equation 23, with straight paths as Liu et al. 2023) learns v by regression
instead of likelihood: with noise z, data x and t uniform,

    mean |v((1 - t) z + t x, t) - (x - z)|^2,

the square summed over an event. Nothing is integrated in training.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from nlprep.core.errors import OptionError
from vision.flows.transform import Transform, summed

if TYPE_CHECKING:
    from collections.abc import Callable


SCHEMES = ("euler", "midpoint", "runge-kutta")
"""How a way is integrated."""


class Continuous(Transform):
    """A flow along a field of velocities.

    Args:
        velocity: A module from events (b, ...), times (b,) and perhaps a context to velocities (b, ...).
        steps: Of the scheme.
        exact: Whether traces are exact.
        event_axes: 3 for images, 1 for vectors.
        scheme: ``euler``, ``midpoint`` or ``runge-kutta``.
        probes: Vectors of an estimate of traces.

    Raises:
        OptionError: Fewer than one step or probe, or no such scheme.
    """

    def __init__(
        self, velocity: nn.Module, *, steps: int = 32, exact: bool = True, event_axes: int = 1,
        scheme: str = "runge-kutta", probes: int = 1,
    ) -> None:  # fmt: skip
        super().__init__()
        if steps < 1 or probes < 1:
            raise OptionError(f"steps = {steps}, probes = {probes}: give at least 1")
        if scheme not in SCHEMES:
            raise OptionError(f"scheme {scheme!r}: choose from {', '.join(SCHEMES)}")
        self.velocity, self.steps, self.exact, self.event_axes = velocity, steps, exact, event_axes
        self.scheme, self.probes = scheme, probes

    def matching_loss(self, data: Tensor, context: Tensor | None = None) -> Tensor:
        """Of flow matching, (b,), at noise and times drawn by torch's generator."""
        noise = torch.randn_like(data)
        times = torch.rand(len(data), device=data.device, dtype=data.dtype)
        between = times.view(-1, *[1] * (data.dim() - 1))
        said = self._velocity(torch.lerp(noise, data, between), times, context)
        return summed((said - (data - noise)).square())

    def carry(
        self, events: Tensor, context: Tensor | None = None, *, to_data: bool, steps: int | None = None
    ) -> Tensor:
        """Events (b, ...) at the other end, without what happens to volume; ``steps`` are the transform's, or others.

        Raises:
            OptionError: Fewer than one step.
        """
        steps = self.steps if steps is None else steps
        if steps < 1:
            raise OptionError(f"steps = {steps}: give at least 1")

        def slope(now: Tensor, times: Tensor) -> Tensor:
            return self._velocity(now, times, context)

        return _integrated(slope, events, steps, self.scheme, to_data=to_data)

    def _forward(self, data: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return self._carried(data, context, to_data=False)

    def _inverse(self, noise: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return self._carried(noise, context, to_data=True)

    def _encode(self, data: Tensor, context: Tensor | None) -> Tensor:
        with torch.autocast(data.device.type, enabled=False):
            return self.carry(data, context, to_data=False)

    def _decode(self, noise: Tensor, context: Tensor | None) -> Tensor:
        with torch.autocast(noise.device.type, enabled=False):
            return self.carry(noise, context, to_data=True)

    def _carried(self, events: Tensor, context: Tensor | None, *, to_data: bool) -> tuple[Tensor, Tensor]:
        kept = torch.is_grad_enabled()
        probes = [] if self.exact else self._draw_probes(events)

        def slope(now: Tensor, times: Tensor) -> Tensor:
            """Velocities with their divergence as one more number."""
            if not kept or not now.requires_grad:
                now = now.detach().requires_grad_()
            places = now[:, :-1]
            moved = self._velocity(places.view(events.shape), times, context).flatten(1)
            traces = _divergence(moved, places, probes, differentiable=kept)
            made = torch.cat([moved, traces[:, None]], 1)
            return made if kept else made.detach()

        with torch.inference_mode(False), torch.enable_grad(), torch.autocast(events.device.type, enabled=False):
            given = events.clone() if events.is_inference() else events
            flat = torch.cat([given.flatten(1), summed(torch.zeros_like(given))[:, None].to(given.dtype)], 1)
            ends = _integrated(slope, flat, self.steps, self.scheme, to_data=to_data)
        if not kept:
            ends = ends.detach()
        return ends[:, :-1].view(events.shape), ends[:, -1].to(torch.promote_types(events.dtype, torch.float32))

    def _draw_probes(self, events: Tensor) -> list[Tensor]:
        """Signs, (b, numbers) each, the same for all events."""
        drawn = torch.randint(0, 2, (self.probes, *events.shape[1:]), device=events.device)
        return [(2 * one - 1).to(events.dtype).flatten().expand(len(events), -1) for one in drawn]

    def _velocity(self, events: Tensor, times: Tensor, context: Tensor | None) -> Tensor:
        said: Tensor = self.velocity(events, times) if context is None else self.velocity(events, times, context)
        return said.to(events.dtype)


def _integrated(
    slope: Callable[[Tensor, Tensor], Tensor], start: Tensor, steps: int, scheme: str, *, to_data: bool
) -> Tensor:
    """From t = 0 to 1 or back."""
    size = 1 / steps if to_data else -1 / steps
    now = start
    for step in range(steps):
        time = step * size if to_data else 1 + step * size

        def at(offset: float, time: float = time) -> Tensor:
            return start.new_full((len(start),), time + offset)

        first = slope(now, at(0.0))
        if scheme == "euler":
            now = now + size * first
            continue
        second = slope(now + size / 2 * first, at(size / 2))
        if scheme == "midpoint":
            now = now + size * second
            continue
        third = slope(now + size / 2 * second, at(size / 2))
        fourth = slope(now + size * third, at(size))
        now = now + size / 6 * (first + 2 * second + 2 * third + fourth)
    return now


def _divergence(moved: Tensor, places: Tensor, probes: list[Tensor], *, differentiable: bool) -> Tensor:
    """tr(dv/dx) of each event, (b,); without probes, the exact one."""
    if probes:
        estimates = []
        for probe in probes:
            (product,) = torch.autograd.grad(moved, places, probe, create_graph=differentiable, retain_graph=True)
            estimates.append((product * probe).sum(1))
        return torch.stack(estimates).mean(0)
    total = torch.zeros_like(moved[:, 0])
    for number in range(moved.shape[1]):
        (row,) = torch.autograd.grad(moved[:, number].sum(), places, create_graph=differentiable, retain_graph=True)
        total = total + row[:, number]
    return total


class VectorVelocity(nn.Module):
    """Velocities of vectors, by fully connected layers that see the time.

    Args:
        numbers: Of a vector.
        width: Units in a layer.
        depth: Layers before the last.
        context: Numbers told besides.
    """

    def __init__(self, numbers: int, *, width: int = 128, depth: int = 3, context: int = 0) -> None:
        super().__init__()
        sizes = [numbers + 3 + context, *depth * [width]]
        layers: list[nn.Module] = []
        for layer in range(depth):
            layers += [nn.Linear(sizes[layer], width), nn.SiLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(sizes[-1], numbers))

    def forward(self, events: Tensor, times: Tensor, context: Tensor | None = None) -> Tensor:
        """(b, numbers)."""
        angles = torch.pi * times[:, None]
        told = [events, times[:, None], angles.sin(), angles.cos()]
        said: Tensor = self.layers(torch.cat(told if context is None else [*told, context], 1))
        return said
