"""What a model is trained on, and the batches that are made of it.

Optimiser step s takes the ``batch_size`` positions from ``s * batch_size`` of an endless order (see
`nlprep.core.training.data.orders`), whichever process, loader worker or restart asks for them. No remainder is dropped
at the end of an epoch: a batch may begin in one and end in the next.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from nlprep.core.errors import OptionError
from nlprep.core.randomness import combine
from nlprep.core.training.data.orders import ExampleOrder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from torch import Tensor

    from nlprep.core.randomness import Seeds
    from nlprep.core.training.data.orders import Order

_VALIDATION = 3
"""A purpose, so that no two uses of one seed meet the same numbers; orders have others."""


class Examples(Protocol):
    """Examples that can be fetched by number, several at once."""

    def __len__(self) -> int:
        """How many there are."""

    def batch(self, indices: NDArray[np.int64], seeds: Seeds) -> dict[str, Tensor]:
        """Fetch examples.

        Called in loader processes when there are any, so that it should not change ``self``.

        Args:
            indices: (b,) which ones; one may occur twice.
            seeds: (b,) uint64. All that is random about an example (masks, crops, noise) must be a function of its
                seed, which is one of (run's seed, epoch, index): then a resumed run meets the same examples.

        Returns:
            Tensors by name, examples along the first axis.
        """


@runtime_checkable
class OrderedExamples(Protocol):
    """Examples that say in which order they want to be met, such as those that lie in shards."""

    def order(self, seed: int) -> Order:
        """The order of a run with this seed; its ``num_examples`` are those that there are."""


def choose_order(examples: Examples, seed: int) -> Order:
    """The order that examples ask for (`OrderedExamples`), or else a permutation in every epoch.

    Raises:
        OptionError: Their order is of another number of examples.
    """
    if not isinstance(examples, OrderedExamples):
        return ExampleOrder(len(examples), seed)
    order = examples.order(seed)
    if order.num_examples != len(examples):
        raise OptionError(
            f"the order is of {order.num_examples:,} examples, and there are {len(examples):,}: make them agree"
        )
    return order


def validation_seeds(seed: int, indices: NDArray[np.int64]) -> Seeds:
    """The seeds of validation examples: the same at every evaluation, so that losses compare."""
    return combine(seed, _VALIDATION, indices)


def describe_first_examples(examples: Examples, order: Order, *, count: int = 8) -> dict[str, list[Any]]:
    """What tells one collection of examples from another of the same size: its first few in the run's order.

    Returns:
        For each tensor its dtype, its shape and a number: a checksum of integers, the mean of floats, which may
        differ in the last bits from machine to machine.
    """
    import torch

    described: dict[str, list[Any]] = {}
    for name, tensor in examples.batch(*order.at(0, min(count, len(examples)))).items():
        number = (
            float(tensor.double().mean())
            if tensor.is_floating_point()
            else zlib.crc32(tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes())
        )
        described[name] = [str(tensor.dtype), list(tensor.shape), number]
    return described


def same_examples(one: dict[str, list[Any]], other: dict[str, list[Any]]) -> bool:
    """Whether two results of `describe_first_examples` are of the same examples."""
    if one.keys() != other.keys():
        return False
    return all(
        one[name][:2] == other[name][:2] and bool(np.isclose(one[name][2], other[name][2], rtol=1e-3, equal_nan=True))
        if "float" in one[name][0]
        else one[name] == other[name]
        for name in one
    )


class MicroBatches:
    """The batches of one process as a sequence, for a loader to fetch by number.

    Number ``s * parts + p`` is the p-th part of this process's share of optimiser step s.

    Args:
        examples: Where examples come from.
        order: In which they come.
        batch_size: Examples of one optimiser step, over all processes.
        rank: This process.
        world_size: Processes; divides ``batch_size``.
        parts: Parts to divide this process's share into; divides it.
    """

    def __init__(
        self, examples: Examples, order: Order, *, batch_size: int, rank: int, world_size: int, parts: int
    ) -> None:
        self.examples = examples
        self.order = order
        self.batch_size = batch_size
        self.rank = rank
        self.world_size = world_size
        self.parts = parts

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        step, part = divmod(number, self.parts)
        share = self.batch_size // self.world_size
        size = share // self.parts
        start = step * self.batch_size + self.rank * share + part * size
        return self.examples.batch(*self.order.at(start, start + size))


class ValidationBatches:
    """Validation examples in sequence, shared out between processes; the last batch may be smaller.

    Args:
        examples: Where examples come from.
        seed: The run's seed.
        size: Examples in a batch.
        rank: This process.
        world_size: Processes.
    """

    def __init__(self, examples: Examples, *, seed: int, size: int, rank: int, world_size: int) -> None:
        self.examples = examples
        self.seed = seed
        self.size = size
        self.starts = range(rank * size, len(examples), world_size * size)

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        start = self.starts[number]
        indices = np.arange(start, min(start + self.size, len(self.examples)))
        return self.examples.batch(indices, validation_seeds(self.seed, indices))

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        return (self[number] for number in range(len(self)))
