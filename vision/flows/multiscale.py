"""Images to vectors of noise at several scales (Dinh et al. 2017, section 3.6; Kingma and Dhariwal 2018, figure 2).

After each level but the last, half of the channels leave: they are noise already, given the half that stays. What is
left is computed on at a quarter of the places. As here written, the noise of what leaves is made standard by a scale
and a shift that a network says of what stays,

    z = (h_leaving - m(h_staying)) exp(-s(h_staying)),

which is the same density as that of a learned Gaussian N(m, exp(s)^2) of h_leaving; so that a flow is one transform to
one vector of standard normal numbers, all of which its inverse needs, and a sample at a temperature is one of noise
times that.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from nlprep.core.errors import NlprepError
from vision.flows.coupling import kept_channels, parted
from vision.flows.linear import Squeeze
from vision.flows.networks import VectorNetwork
from vision.flows.shapes import Scaled
from vision.flows.transform import Transform, no_change, summed

if TYPE_CHECKING:
    from collections.abc import Callable

    from vision.images.collection import Shape as ImageShape


class Standardized(Transform):
    """Numbers less a mean and over a deviation that a network says of a context.

    Args:
        network: From the context to two numbers for each: all logarithms of deviations, then all means. For images what
            it says may be vectors, which hold at every place.
        event_axes: 3 for images, 1 for vectors.
        bound: Of the logarithms.
    """

    def __init__(self, network: nn.Module, *, event_axes: int = 3, bound: float = 5.0) -> None:
        super().__init__()
        self.network, self.event_axes = network, event_axes
        self.shape = Scaled(bound)

    def _forward(self, data: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        made, change = self.shape.inverse(data, self._said(data, context))
        return made, summed(change)

    def _inverse(self, noise: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        made, change = self.shape(noise, self._said(noise, context))
        return made, summed(change)

    def _said(self, events: Tensor, context: Tensor | None) -> Tensor:
        if context is None:
            raise NlprepError("this flow is told what its images are: give a context, such as their classes")
        said = self.network(context)
        if said.dim() < events.dim():
            said = said[:, :, None, None].expand(-1, -1, *events.shape[2:])
        return parted(said, events, 2)


class MultiScale(Transform):
    """Levels of transforms, between which half of the channels leave.

    Args:
        shape: Of the images.
        levels: Each maps images of some shape to images of the same: first the image's own after a squeeze, then of
            half the channels of the one before after a squeeze.
        network: Makes a network of maps, ``network(inputs, outputs)``, for the numbers that leave.
    """

    event_axes = 3

    def __init__(self, shape: ImageShape, levels: list[Transform], network: Callable[[int, int], nn.Module]) -> None:
        super().__init__()
        shapes = level_shapes(shape, len(levels))
        self.squeeze = Squeeze()
        self.levels = nn.ModuleList(levels)
        self.shapes = shapes
        self.leaving = nn.ModuleList(
            Standardized(network(kept_channels(channels), 2 * (channels - kept_channels(channels))))
            for channels, _, _ in shapes[:-1]
        )

    @property
    def noise_axes(self) -> int:
        """Vectors."""
        return 1

    def initialize(self, data: Tensor, context: Tensor | None = None) -> Tensor:
        """Each level from what comes to it."""
        with torch.no_grad():
            maps = data.reshape(-1, *data.shape[-3:])
            for level in self._transforms():
                maps = level.initialize(self.squeeze.encode(maps))
                maps = maps[:, : kept_channels(maps.shape[1])]
        return super().initialize(data, context)

    def refresh(self, *, until_settled: bool = False) -> None:
        """Each level."""
        for level in self._transforms():
            level.refresh(until_settled=until_settled)

    def _transforms(self) -> list[Transform]:
        return [cast("Transform", level) for level in self.levels]

    def _forward(self, data: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        maps, total, left = data, no_change(data), []
        for place, level in enumerate(self.levels):
            maps, change = level(self.squeeze.encode(maps))
            total = total + change
            if place < len(self.leaving):
                kept = kept_channels(maps.shape[1])
                maps, leaving = maps[:, :kept], maps[:, kept:]
                noise, change = self.leaving[place](leaving, maps)
                total = total + change
                left.append(noise.flatten(1))
        return torch.cat([*left, maps.flatten(1)], 1), total

    def _inverse(self, noise: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        *left, maps = self._parted(noise)
        total = no_change(noise)
        for place in reversed(range(len(self.levels))):
            if place < len(left):
                leaving, change = cast("Transform", self.leaving[place]).inverse(left[place], maps)
                total = total + change
                maps = torch.cat([maps, leaving], 1)
            maps, change = cast("Transform", self.levels[place]).inverse(maps)
            total = total + change
            maps = self.squeeze.decode(maps)
        return maps, total

    def _encode(self, data: Tensor, context: Tensor | None) -> Tensor:
        maps, left = data, []
        for place, level in enumerate(self._transforms()):
            maps = level.encode(self.squeeze.encode(maps))
            if place < len(self.leaving):
                kept = kept_channels(maps.shape[1])
                maps, leaving = maps[:, :kept], maps[:, kept:]
                left.append(cast("Transform", self.leaving[place]).encode(leaving, maps).flatten(1))
        return torch.cat([*left, maps.flatten(1)], 1)

    def _decode(self, noise: Tensor, context: Tensor | None) -> Tensor:
        *left, maps = self._parted(noise)
        for place in reversed(range(len(self.levels))):
            if place < len(left):
                leaving = cast("Transform", self.leaving[place]).decode(left[place], maps)
                maps = torch.cat([maps, leaving], 1)
            maps = self.squeeze.decode(cast("Transform", self.levels[place]).decode(maps))
        return maps

    def _parted(self, noise: Tensor) -> list[Tensor]:
        """What left after each level, and what came of the last."""
        shapes = [
            (channels - kept_channels(channels), height, width) for channels, height, width in self.shapes[:-1]
        ] + [self.shapes[-1]]
        parts = torch.split(noise, [math.prod(shape) for shape in shapes], 1)
        return [part.view(-1, *shape) for part, shape in zip(parts, shapes, strict=True)]


class ClassNoise(Transform):
    """Of the vectors that `MultiScale` makes, what comes of the last level with a mean and a deviation of each class.

    Args:
        shape: Of the last level's maps, each channel of which has its own.
        classes: How many; the context is a one among zeros.
    """

    def __init__(self, shape: ImageShape, classes: int) -> None:
        super().__init__()
        self.shape = shape
        self.last = Standardized(VectorNetwork(classes, 2 * shape[0], depth=0))

    def _forward(self, data: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        before, maps = self._parted(data)
        made, change = self.last(maps, context)
        return torch.cat([before, made.flatten(1)], 1), change

    def _inverse(self, noise: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        before, maps = self._parted(noise)
        made, change = self.last.inverse(maps, context)
        return torch.cat([before, made.flatten(1)], 1), change

    def _parted(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        last = math.prod(self.shape)
        first = vectors.shape[1] - last
        return vectors[:, :first], vectors[:, first:].reshape(len(vectors), *self.shape)


class Squeezed(Transform):
    """A transform of squares of 2 x 2 places as channels, of images that stay as they are; so is its context.

    Args:
        inner: Of images with four times the channels and half the sides.
    """

    event_axes = 3

    def __init__(self, inner: Transform) -> None:
        super().__init__()
        self.squeeze, self.inner = Squeeze(), inner

    def initialize(self, data: Tensor, context: Tensor | None = None) -> Tensor:
        """The inner one."""
        return self.squeeze.decode(self.inner.initialize(self.squeeze.encode(data), self._told(context)))

    def refresh(self, *, until_settled: bool = False) -> None:
        """The inner one."""
        self.inner.refresh(until_settled=until_settled)

    def _forward(self, data: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        made, change = self.inner(self.squeeze.encode(data), self._told(context))
        return self.squeeze.decode(made), change

    def _inverse(self, noise: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        made, change = self.inner.inverse(self.squeeze.encode(noise), self._told(context))
        return self.squeeze.decode(made), change

    def _encode(self, data: Tensor, context: Tensor | None) -> Tensor:
        return self.squeeze.decode(self.inner.encode(self.squeeze.encode(data), self._told(context)))

    def _decode(self, noise: Tensor, context: Tensor | None) -> Tensor:
        return self.squeeze.decode(self.inner.decode(self.squeeze.encode(noise), self._told(context)))

    def _told(self, context: Tensor | None) -> Tensor | None:
        return None if context is None else self.squeeze.encode(context)


def level_shapes(shape: ImageShape, levels: int) -> list[ImageShape]:
    """Shapes of the maps in each level, after its squeeze.

    Raises:
        NlprepError: A side that cannot be halved as often.
    """
    channels, height, width = shape
    shapes = []
    for level in range(levels):
        if height % 2 or width % 2:
            raise NlprepError(
                f"images of {shape[1]} x {shape[2]} cannot be halved {levels} times: "
                f"give sides that {2**levels} divides, or at most {level} levels"
            )
        channels, height, width = 4 * channels, height // 2, width // 2
        shapes.append((channels, height, width))
        channels = kept_channels(channels)
    return shapes
