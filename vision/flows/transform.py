"""What every part of a flow is: an invertible map that says how it changes volume.

A transform takes data x towards noise, y = f(x), and noise back to data, x = f^-1(y). Both ways it says the logarithm
of the absolute determinant of *its* Jacobian, which is what a density needs (change of variables):

    log p(x) = log p_noise(f(x)) + log |det df/dx|.

An **event** is one x: a vector (1 axis) or an image (3 axes, channels first). Before its axes may stand any number of
axes of a batch, none included; log-determinants have those alone. They are computed in float32 at least, whatever
precision networks inside a transform are computed in: a sum over thousands of numbers in bf16 would be no sum.

Where nobody asks for a density, as in sampling, the map alone is computed (`Transform.encode`, `Transform.decode`):
some determinants take far longer than the map.

What a transform is told besides (a class, another image) is its **context**, with the same batch axes and one event of
its own; most use none.

Some scales are set from data, before training (`Transform.initialize`). It is the loop's door `Step.initialize` that
calls it, with the whole first batch, once: whichever direction is computed first, nothing is set on the way.
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from typing import cast

import torch
from torch import Tensor, nn

from nlprep.core.errors import NlprepError


class Transform(nn.Module, ABC):
    """An invertible map of events.

    Attributes:
        event_axes: Axes of what it takes: 1 of vectors, 3 of images.
        noise_axes: Axes of what it makes of that; the same unless it says otherwise.
    """

    event_axes: int = 1

    @property
    def noise_axes(self) -> int:
        """As `event_axes`, unless overridden."""
        return self.event_axes

    def forward(self, data: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Towards noise.

        Args:
            data: (..., *event) float.
            context: (..., *event of the context).

        Returns:
            What it is mapped to, (..., *event), and log |det| of the Jacobian, (...).

        Raises:
            NlprepError: Fewer axes than an event has, or a context with another batch.
        """
        flat, told, batch = _flattened(data, context, self.event_axes)
        made, change = self._forward(flat, told)
        return _unflattened(made, batch), change.reshape(batch)

    def inverse(self, noise: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """From noise to data; arguments and results as `forward`, the determinant that of the inverse map.

        Raises:
            NlprepError: As `forward`; or the inverse, where it is found step by step, was not found to tolerance.
        """
        flat, told, batch = _flattened(noise, context, self.noise_axes)
        made, change = self._inverse(flat, told)
        return _unflattened(made, batch), change.reshape(batch)

    def encode(self, data: Tensor, context: Tensor | None = None) -> Tensor:
        """Towards noise, without the determinant; arguments and errors as `forward`."""
        flat, told, batch = _flattened(data, context, self.event_axes)
        return _unflattened(self._encode(flat, told), batch)

    def decode(self, noise: Tensor, context: Tensor | None = None) -> Tensor:
        """From noise to data, without the determinant; arguments and errors as `inverse`."""
        flat, told, batch = _flattened(noise, context, self.noise_axes)
        return _unflattened(self._decode(flat, told), batch)

    def initialize(self, data: Tensor, context: Tensor | None = None) -> Tensor:
        """Set what depends on data, from these; the same again when called again with the same.

        Args:
            data: (..., *event), the whole first batch.
            context: As in `forward`.

        Returns:
            What the transform then maps them to.
        """
        return self.encode(data, context)

    def refresh(self, *, until_settled: bool = False) -> None:
        """Bring up to date what is estimated from the parameters beside them (norms of convolutions).

        Called after every update of the parameters; ``until_settled``, before it is relied on for inverses.
        """

    @abstractmethod
    def _forward(self, data: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """`forward` of a batch of one axis."""

    @abstractmethod
    def _inverse(self, noise: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """`inverse` of a batch of one axis."""

    def _encode(self, data: Tensor, context: Tensor | None) -> Tensor:
        """`encode` of a batch of one axis; for transforms whose determinant takes long to override."""
        return self._forward(data, context)[0]

    def _decode(self, noise: Tensor, context: Tensor | None) -> Tensor:
        """`decode` of a batch of one axis; as `_encode`."""
        return self._inverse(noise, context)[0]


def _flattened(given: Tensor, context: Tensor | None, axes: int) -> tuple[Tensor, Tensor | None, torch.Size]:
    """Events and their context with one axis of a batch, and the axes that there were."""
    if given.dim() < axes:
        raise NlprepError(f"an event here has {axes} axes, and this has {given.dim()}: give a batch, or one event")
    batch = given.shape[: given.dim() - axes]
    if len(batch) == 1:
        return given, context, batch
    count = math.prod(batch)
    if context is not None:
        if context.shape[: len(batch)] != batch:
            raise NlprepError(f"a batch {tuple(batch)} and a context {tuple(context.shape)}: give one for each event")
        context = context.reshape(count, *context.shape[len(batch) :])
    return given.reshape(count, *given.shape[len(batch) :]), context, batch


def _unflattened(made: Tensor, batch: torch.Size) -> Tensor:
    return made if len(batch) == 1 else made.reshape(*batch, *made.shape[1:])


class Composition(Transform):
    """One transform after another, the first next to the data.

    Args:
        *parts: At least one; the axes of each are those that the one before makes.
    """

    def __init__(self, *parts: Transform) -> None:
        super().__init__()
        if not parts:
            raise NlprepError("a composition needs at least one transform")
        for before, after in itertools.pairwise(parts):
            if before.noise_axes != after.event_axes:
                raise NlprepError(
                    f"{type(before).__name__} makes events of {before.noise_axes} axes, "
                    f"{type(after).__name__} takes {after.event_axes}"
                )
        self.parts = nn.ModuleList(parts)
        self.event_axes = parts[0].event_axes

    @property
    def noise_axes(self) -> int:
        """The last one's."""
        return self.transforms[-1].noise_axes

    @property
    def transforms(self) -> tuple[Transform, ...]:
        """The parts."""
        return tuple(cast("Transform", part) for part in self.parts)

    def initialize(self, data: Tensor, context: Tensor | None = None) -> Tensor:
        """Each from what the ones before make of the data."""
        for part in self.transforms:
            data = part.initialize(data, context)
        return data

    def refresh(self, *, until_settled: bool = False) -> None:
        """Each."""
        for part in self.transforms:
            part.refresh(until_settled=until_settled)

    def _forward(self, data: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        total = no_change(data)
        for part in self.parts:
            data, change = part(data, context)
            total = total + change
        return data, total

    def _inverse(self, noise: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        total = no_change(noise)
        for part in reversed(self.transforms):
            noise, change = part.inverse(noise, context)
            total = total + change
        return noise, total

    def _encode(self, data: Tensor, context: Tensor | None) -> Tensor:
        for part in self.transforms:
            data = part.encode(data, context)
        return data

    def _decode(self, noise: Tensor, context: Tensor | None) -> Tensor:
        for part in reversed(self.transforms):
            noise = part.decode(noise, context)
        return noise


class Inverted(Transform):
    """A transform the other way round: what was its way to data is now the way to noise.

    Args:
        transform: What sets nothing from data, since it would be set from what it is not given now.
    """

    def __init__(self, transform: Transform) -> None:
        super().__init__()
        self.transform = transform
        self.event_axes = transform.noise_axes

    @property
    def noise_axes(self) -> int:
        """The axes that the other takes."""
        return self.transform.event_axes

    def refresh(self, *, until_settled: bool = False) -> None:
        """As the other."""
        self.transform.refresh(until_settled=until_settled)

    def _forward(self, data: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return self.transform.inverse(data, context)

    def _inverse(self, noise: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        made, change = self.transform(noise, context)
        return made, change

    def _encode(self, data: Tensor, context: Tensor | None) -> Tensor:
        return self.transform.decode(data, context)

    def _decode(self, noise: Tensor, context: Tensor | None) -> Tensor:
        return self.transform.encode(noise, context)


def no_change(batch: Tensor) -> Tensor:
    """Log-determinants (b,) of 0, in float32 or float64, for events (b, ...)."""
    return batch.new_zeros(len(batch), dtype=torch.promote_types(batch.dtype, torch.float32))


def summed(log_scales: Tensor) -> Tensor:
    """Sums (b,) over all other axes, in float32 or float64."""
    wide = log_scales.to(torch.promote_types(log_scales.dtype, torch.float32))
    # Flattened, maps with channels last would be copied.
    return wide.sum(tuple(range(1, wide.dim()))) if wide.dim() > 1 else wide
