"""Transforms of some numbers by what a network says of others: couplings and autoregressive maps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from nlprep.core.errors import OptionError
from vision.flows.transform import Transform, no_change, summed

if TYPE_CHECKING:
    from collections.abc import Callable

    from vision.flows.shapes import Shape

    _Function = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


class Coupling(Transform):
    """Half the channels stay; the others are changed as a network says that sees these (Dinh et al. 2015, 2017).

    Args:
        channels: Of images, or numbers of a vector; at least 2.
        shape: The function that is applied to each number.
        network: A module from the channels that stay, (b, `kept`, ...), and perhaps a context, to ``shape.multiple``
            numbers for each of those that do not, (b, multiple * (channels - kept), ...): the first
            parameter of all of them, then the second.
        event_axes: 3 for images, 1 for vectors.
        last_stay: Whether it is the last channels that stay instead of the first.
    """

    def __init__(
        self, channels: int, shape: Shape, network: nn.Module, *, event_axes: int = 1, last_stay: bool = False
    ) -> None:
        super().__init__()
        if channels < 2:
            raise OptionError(f"channels = {channels}: a coupling needs at least two, some of which stay")
        self.event_axes = event_axes
        self.kept = kept_channels(channels)
        self.channels, self.last_stay = channels, last_stay
        self.shape, self.network = shape, network

    def _forward(self, data: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return self._mapped(self.shape.forward, data, context)

    def _inverse(self, noise: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return self._mapped(self.shape.inverse, noise, context)

    def _mapped(self, mapped: _Function, events: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        changed = self.channels - self.kept
        if self.last_stay:
            moving, staying = events[:, :changed], events[:, changed:]
        else:
            staying, moving = events[:, : self.kept], events[:, self.kept :]
        said = self.network(staying) if context is None else self.network(staying, context)
        made, change = mapped(moving, parted(said, moving, self.shape.multiple))
        whole = torch.cat([made, staying] if self.last_stay else [staying, made], 1)
        return whole, summed(change)


class MaskedAutoregressive(Transform):
    """Each number is changed as a network says that sees those before it (Papamakarios et al. 2017, "MAF").

    The way to noise is computed at once; the way back takes a pass for each number. The other way round, as an inverse
    autoregressive flow (Kingma et al. 2016), it is `vision.flows.transform.Inverted` of this.

    Args:
        numbers: Of a vector.
        shape: The function that is applied to each number.
        network: Such as `vision.flows.networks.AutoregressiveNetwork`, with ``shape.multiple`` numbers for each.
    """

    def __init__(self, numbers: int, shape: Shape, network: nn.Module) -> None:
        super().__init__()
        self.numbers, self.shape, self.network = numbers, shape, network

    def _forward(self, data: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        made, change = self.shape(data, self._said(data, context))
        return made, summed(change)

    def _inverse(self, noise: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        if not self.numbers:
            return noise, no_change(noise)
        data = torch.zeros_like(noise)
        change = torch.zeros_like(noise)
        # After i passes the first i numbers are right, and they are all that the next one needs.
        for _ in range(self.numbers):
            data, change = self.shape.inverse(noise, self._said(data, context))
        return data, summed(change)

    def _said(self, data: Tensor, context: Tensor | None) -> Tensor:
        said: Tensor = self.network(data) if context is None else self.network(data, context)
        return said.to(data.dtype).view(len(data), self.numbers, self.shape.multiple)


def kept_channels(channels: int) -> int:
    """How many channels of a coupling stay: a half, of an odd number the smaller one."""
    return channels // 2


def parted(said: Tensor, moving: Tensor, multiple: int) -> Tensor:
    """What a network said, (b, multiple * n, ...), as parameters of each number, (b, n, ..., multiple).

    In the precision of the numbers, whatever the network was computed in.
    """
    parameters = said.to(moving.dtype).reshape(len(said), multiple, *moving.shape[1:])
    return parameters.movedim(1, -1)
