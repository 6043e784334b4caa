"""What a model is trained on, in an order that is a function of the seed alone.

The examples of a run are one endless sequence: epoch after epoch, each a permutation that depends on (seed, epoch).
Optimiser step s takes the ``batch_size`` positions from ``s * batch_size``, whichever process, loader worker or
restart asks for them. No remainder is dropped at the end of an epoch: a batch may begin in one and end in the next.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from nlprep.core.randomness import combine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from torch import Tensor

    from nlprep.core.randomness import Seeds

_ORDER, _DRAWS, _VALIDATION = 1, 2, 3
"""Purposes, so that no two uses of one seed meet the same numbers."""


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


class ExampleOrder:
    """Which examples, with which seeds, stand at given positions of a run.

    Args:
        num_examples: Their number, at least 1.
        seed: The run's seed.
    """

    def __init__(self, num_examples: int, seed: int) -> None:
        self.num_examples = num_examples
        self.seed = seed
        self._epoch = -1
        self._permutation = np.zeros(0, np.int64)

    def permutation(self, epoch: int) -> NDArray[np.int64]:
        """The order of the examples in an epoch; the last one asked for is kept."""
        if epoch != self._epoch:
            # PCG64 seeded by the key: every epoch's order stands alone.
            generator = np.random.Generator(np.random.PCG64(int(combine(self.seed, _ORDER, epoch))))
            self._permutation = generator.permutation(self.num_examples)
            self._epoch = epoch
        return self._permutation

    def at(self, start: int, stop: int) -> tuple[NDArray[np.int64], Seeds]:
        """The examples at positions ``start`` to ``stop``.

        Returns:
            Indices (n,) and seeds (n,).
        """
        indices, seeds = [], []
        while start < stop:
            epoch, offset = divmod(start, self.num_examples)
            taken = self.permutation(epoch)[offset : offset + stop - start]
            indices.append(taken)
            seeds.append(combine(self.seed, _DRAWS, epoch, taken))
            start += len(taken)
        return np.concatenate(indices), np.concatenate(seeds)


def validation_seeds(seed: int, indices: NDArray[np.int64]) -> Seeds:
    """The seeds of validation examples: the same at every evaluation, so that losses compare."""
    return combine(seed, _VALIDATION, indices)


def describe_first_examples(examples: Examples, seed: int, *, count: int = 8) -> dict[str, list[Any]]:
    """What tells one collection of examples from another of the same size: its first few in the run's order.

    Returns:
        For each tensor its dtype, its shape and a number: a checksum of integers, the mean of floats, which may
        differ in the last bits from machine to machine.
    """
    import torch

    order = ExampleOrder(len(examples), seed)
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
        seed: The run's seed.
        batch_size: Examples of one optimiser step, over all processes.
        rank: This process.
        world_size: Processes; divides ``batch_size``.
        parts: Parts to divide this process's share into; divides it.
    """

    def __init__(
        self, examples: Examples, *, seed: int, batch_size: int, rank: int, world_size: int, parts: int
    ) -> None:
        self.examples = examples
        self.order = ExampleOrder(len(examples), seed)
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
    """Validation examples in order, shared out between processes; the last batch may be smaller.

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
