"""Networks that tell a transform of some numbers what to do with others; at first they say 0."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional


def silence(layer: nn.Conv2d | nn.Linear) -> None:
    """Let a layer say 0 at first, so that a transform begins as one that changes nothing."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


class VectorNetwork(nn.Module):
    """Fully connected layers of vectors, and of what they are told besides.

    Args:
        inputs: Numbers given.
        outputs: Numbers said.
        width: Units in a layer.
        depth: Layers before the last.
        context: Numbers told besides.
    """

    def __init__(self, inputs: int, outputs: int, *, width: int = 128, depth: int = 2, context: int = 0) -> None:
        super().__init__()
        sizes = [inputs + context] + depth * [width]
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(sizes):
            layers += [nn.Linear(before, after), nn.SiLU()]
        last = nn.Linear(sizes[-1], outputs)
        silence(last)
        self.layers = nn.Sequential(*layers, last)

    def forward(self, given: Tensor, context: Tensor | None = None) -> Tensor:
        """(b, outputs) of (b, inputs) and perhaps (b, context)."""
        said: Tensor = self.layers(given if context is None else torch.cat([given, context], 1))
        return said


class ImageNetwork(nn.Module):
    """Three convolutions, of 3 x 3, 1 x 1 and 3 x 3 places (Kingma and Dhariwal 2018, section B).

    Args:
        inputs: Channels given.
        outputs: Channels said.
        width: Channels between.
        context: Numbers told besides (vectors, the same at every place) or channels of maps of the same size.
    """

    def __init__(self, inputs: int, outputs: int, *, width: int = 64, context: int = 0) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs + context, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 1)
        self.last = nn.Conv2d(width, outputs, 3, padding=1)
        silence(self.last)

    def forward(self, given: Tensor, context: Tensor | None = None) -> Tensor:
        """(b, outputs, height, width) of (b, inputs, height, width)."""
        if context is not None:
            if context.dim() == 2:
                context = context[:, :, None, None].expand(-1, -1, *given.shape[2:])
            given = torch.cat([given, context], 1)
        maps = functional.relu(self.second(functional.relu(self.first(given), inplace=True)), inplace=True)
        said: Tensor = self.last(maps)
        return said


class MaskedLinear(nn.Linear):
    """A linear layer some of whose weights are 0 and stay so.

    Args:
        mask: (outputs, inputs) of 0 and 1.
    """

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__(mask.shape[1], mask.shape[0])
        self.register_buffer("mask", mask)

    def forward(self, given: Tensor) -> Tensor:
        """As a linear layer."""
        return functional.linear(given, self.weight * self.mask, self.bias)


class AutoregressiveNetwork(nn.Module):
    """What it says of a number depends on those before it alone (Germain et al. 2015, "MADE").

    Units have degrees: one of degree d sees numbers up to d, and what is said of number i (from 1) is of units of a
    degree below i.

    Args:
        numbers: Of a vector.
        multiple: Numbers said of each.
        width: Units in a layer.
        depth: Layers before the last.
        context: Numbers told besides, which all may see.
        turned: Whether the last number is the first.
    """

    def __init__(
        self, numbers: int, multiple: int, *, width: int = 128, depth: int = 2, context: int = 0, turned: bool = False
    ) -> None:
        super().__init__()
        order = torch.arange(1, numbers + 1)
        if turned:
            order = order.flip(0)
        seen = torch.cat([order, torch.zeros(context, dtype=torch.long)])
        layers: list[nn.Module] = []
        for _ in range(depth):
            # Degrees from 0, whose units see the context and biases alone, to one less than the numbers.
            degrees = torch.arange(width) % numbers
            layers += [MaskedLinear((degrees[:, None] >= seen[None]).float()), nn.SiLU()]
            seen = degrees
        said = order.repeat_interleave(multiple)
        last = MaskedLinear((said[:, None] > seen[None]).float())
        silence(last)
        self.layers = nn.Sequential(*layers, last)

    def forward(self, given: Tensor, context: Tensor | None = None) -> Tensor:
        """(b, numbers x multiple), what is said of each number next to each other."""
        said: Tensor = self.layers(given if context is None else torch.cat([given, context], 1))
        return said
