"""Orders in which a run meets its examples, each a function of positions and the seed alone.

The examples of a run are one endless sequence: epoch after epoch, each of which has every example once. Whoever asks
for a position (another process, a loader worker, a run that goes on) finds the same example there with the same seed.
`ExampleOrder` shuffles an epoch as a whole; `ShardOrder` shuffles examples that lie in files so that they can be read
one file after another.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from nlprep.core.errors import OptionError
from nlprep.core.randomness import combine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from nlprep.core.randomness import Seeds

# Purposes, so that no two uses of one seed meet the same numbers; validation's is 3.
_ORDER, _DRAWS, _SHARDS = 1, 2, 4


class Order(Protocol):
    """Which examples, with which seeds, stand at given positions of a run.

    Attributes:
        num_examples: Examples of an epoch: as many as there are.
    """

    num_examples: int

    def at(self, start: int, stop: int) -> tuple[NDArray[np.int64], Seeds]:
        """The examples at positions ``start`` to ``stop``, counted over all epochs.

        Must be a function of its arguments alone. Positions are asked for in rising order, a part of each batch at a
        time, so that what was computed last is worth keeping.

        Returns:
            Indices (n,) and their seeds (n,), best made by `example_seeds`.
        """

    def describe(self) -> dict[str, Any]:
        """What tells this order from others: a few values fit for JSON, which checkpoints hold.

        A run only goes on with an order that describes itself alike. The run's seed need not be among the values.
        """


def example_seeds(seed: int, epoch: int, indices: NDArray[np.int64]) -> Seeds:
    """The seeds of examples in an epoch, whatever the order: all that is random about an example comes of its own.

    Args:
        seed: The run's.
        epoch: From 0.
        indices: (n,) which examples.

    Returns:
        (n,) uint64.
    """
    return combine(seed, _DRAWS, epoch, indices)


class ExampleOrder:
    """Every epoch a permutation of all examples, which is held in memory: eight bytes for each example.

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
            self._permutation = _permute(self.num_examples, self.seed, _ORDER, epoch)
            self._epoch = epoch
        return self._permutation

    def at(self, start: int, stop: int) -> tuple[NDArray[np.int64], Seeds]:
        """As for `Order`."""
        indices, seeds = [], []
        while start < stop:
            epoch, offset = divmod(start, self.num_examples)
            taken = self.permutation(epoch)[offset : offset + stop - start]
            indices.append(taken)
            seeds.append(example_seeds(self.seed, epoch, taken))
            start += len(taken)
        return np.concatenate(indices), np.concatenate(seeds)

    def describe(self) -> dict[str, Any]:
        """Its kind."""
        return {"kind": "permutation"}


class ShardOrder:
    """Every epoch a permutation of shards, and within each a permutation of its examples or of windows of them.

    Shards are read one after another, each once in an epoch, and while one is being read only its own examples are
    asked for (a batch may end one shard and begin the next). With a ``window``, a shard's examples come in sequence
    but for a shuffle within so many of them: at most a window has to be held, and a shard that is compressed or far
    away is read from its beginning to its end. The smaller the window, the more neighbours in a shard meet in batches.

    Every process and every loader worker asks for its part of each batch, so that each of them reads all shards.

    Memory is that of one shard's permutation (one window's), and a few numbers for each shard.

    Args:
        sizes: Examples in each shard. Example ``i`` of shard ``s`` has the index ``sum(sizes[:s]) + i``.
        seed: The run's seed.
        window: Neighbouring examples that are shuffled among themselves; None: those of a whole shard.

    Raises:
        OptionError: A negative size, no examples at all, or a window below 1.
    """

    def __init__(self, sizes: Sequence[int] | NDArray[np.integer], seed: int, *, window: int | None = None) -> None:
        self.sizes = np.asarray(sizes, np.int64).reshape(-1)
        if not len(self.sizes) or self.sizes.min() < 0 or not self.sizes.any():
            raise OptionError("sizes of shards: must be numbers of examples, at least one of them above 0")
        if window is not None and window < 1:
            raise OptionError(f"window = {window}: must be at least 1, or none for whole shards")
        self.seed = seed
        self.window = window
        self.num_examples = int(self.sizes.sum())
        self._firsts = np.cumsum(self.sizes) - self.sizes
        self._epoch = -1
        self._shards = self._ends = np.zeros(0, np.int64)
        self._place: tuple[int, int, int] | None = None
        self._permutation = np.zeros(0, np.int64)

    def at(self, start: int, stop: int) -> tuple[NDArray[np.int64], Seeds]:
        """As for `Order`."""
        indices, seeds = [], []
        while start < stop:
            epoch, offset = divmod(start, self.num_examples)
            taken = self._take(epoch, offset, stop - start)
            indices.append(taken)
            seeds.append(example_seeds(self.seed, epoch, taken))
            start += len(taken)
        return np.concatenate(indices), np.concatenate(seeds)

    def describe(self) -> dict[str, Any]:
        """Its kind, its window and the sizes of the shards: their number and a checksum."""
        checksum = zlib.crc32(self.sizes.astype("<i8").tobytes())
        return {"kind": "shards", "shards": len(self.sizes), "sizes": f"{checksum:08x}", "window": self.window}

    def _take(self, epoch: int, offset: int, most: int) -> NDArray[np.int64]:
        """Examples from a place in an epoch on, as far as one window goes."""
        if epoch != self._epoch:
            self._shards = _permute(len(self.sizes), self.seed, _SHARDS, epoch)
            self._ends = np.cumsum(self.sizes[self._shards])
            self._epoch = epoch
        number = int(np.searchsorted(self._ends, offset, side="right"))
        shard = int(self._shards[number])
        size = int(self.sizes[shard])
        window = min(self.window or size, size)
        part, inside = divmod(offset - int(self._ends[number]) + size, window)
        place = epoch, shard, part
        if place != self._place:
            self._permutation = _permute(min(window, size - part * window), self.seed, _ORDER, *place)
            self._place = place
        taken: NDArray[np.int64] = self._firsts[shard] + part * window + self._permutation[inside : inside + most]
        return taken


def _permute(count: int, *key: int) -> NDArray[np.int64]:
    # PCG64 seeded by the key: every permutation stands alone.
    return np.random.Generator(np.random.PCG64(int(combine(*key)))).permutation(count)
