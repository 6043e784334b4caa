"""Skip-gram on processor threads: `skipgram_kernel` over chunks of the corpus, without locks."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import numpy as np

from nlprep.embeddings.skipgram.model import Parameters
from nlprep.embeddings.skipgram.sampling import (
    HELD_OUT_EPOCH,
    AliasTable,
    as_thresholds,
    epoch_key,
    keep_probabilities,
    noise_weights,
)
from nlprep.embeddings.skipgram.simd_kernel import LANES
from nlprep.embeddings.skipgram.skipgram_kernel import list_examples, score_examples, train_range

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nlprep.corpus import EncodedCorpus
    from nlprep.embeddings.configuration import SkipGramConfig
    from nlprep.embeddings.skipgram.model import Chunk

_CACHE_LINE_FLOATS = 16


class CompiledEngine:
    """The `nlprep.embeddings.skipgram.model.Engine` of the CPU.

    Rows are padded to whole vectors with zeros, which stay zero; each thread has one more row of zeros, which stands
    in where a block of contexts or outputs is not full.
    """

    def __init__(
        self,
        corpus: EncodedCorpus,
        config: SkipGramConfig,
        bounds: NDArray[np.int64],
        threads: int,
        parameters: Parameters,
    ) -> None:
        counts = corpus.vocabulary.counts
        self._config = config
        self._ids = _read_only(corpus.ids)
        self._bounds = _read_only(bounds)
        self._keep = as_thresholds(keep_probabilities(counts, config.subsample))
        self._negatives = AliasTable.build(noise_weights(counts, config.negative_exponent))
        self._stride = -(-config.dimension // LANES) * LANES
        self._inputs = self._padded(parameters.inputs, threads)
        self._outputs = self._padded(parameters.outputs, threads)
        self._blanks: SimpleQueue[int] = SimpleQueue()
        for thread in range(threads):
            self._blanks.put((len(counts) + thread) * self._stride)
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None
        # Compile, or load what was compiled, before any clock starts.
        self._train_chunk(0, 0, 0, 0.0, 0.0)

    def _padded(self, matrix: NDArray[np.float32], num_blanks: int) -> NDArray[np.float32]:
        rows, dimension = matrix.shape
        size = (rows + num_blanks) * self._stride
        storage = np.zeros(size + _CACHE_LINE_FLOATS, np.float32)
        aligned = -storage.ctypes.data // storage.itemsize % _CACHE_LINE_FLOATS
        flat = storage[aligned : aligned + size]
        flat.reshape(-1, self._stride)[:rows, :dimension] = matrix
        return flat

    def _train_chunk(self, first: int, last: int, epoch: int, rate_first: float, rate_last: float) -> None:
        blank = self._blanks.get()
        try:
            train_range(
                self._ids,
                self._bounds,
                int(np.searchsorted(self._bounds, first, side="right")) - 1,
                first,
                last,
                self._config.window,
                self._config.negatives,
                epoch_key(self._config.seed, epoch),
                rate_first,
                rate_last,
                self._keep,
                self._negatives.thresholds,
                self._negatives.aliases,
                self._inputs,
                self._outputs,
                self._stride,
                blank,
            )
        finally:
            self._blanks.put(blank)

    def train(self, chunks: list[Chunk], epoch: int) -> None:
        """Train on chunks, in order with one thread and as threads come free with more."""

        def work(chunk: Chunk) -> None:
            self._train_chunk(chunk.first, chunk.last, epoch, chunk.rate_first, chunk.rate_last)

        if self._pool is None:
            for chunk in chunks:
                work(chunk)
        else:
            for _ in self._pool.map(work, chunks):
                pass

    def parameters(self) -> Parameters:
        """Views of both matrices without their padding."""
        rows, dimension = len(self._keep), self._config.dimension
        return Parameters(
            self._inputs.reshape(-1, self._stride)[:rows, :dimension],
            self._outputs.reshape(-1, self._stride)[:rows, :dimension],
        )

    def examples(self, first: int, last: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """The examples that training on ``first:last`` would see in an epoch of its own."""
        contexts = np.empty(2 * self._config.window * (last - first), np.int32)
        outputs = np.empty((len(contexts), 1 + self._config.negatives), np.int32)
        count = 0
        inside = self._bounds[(self._bounds > first) & (self._bounds < last)].tolist()
        for start, end in zip([first, *inside], [*inside, last], strict=True):
            count += list_examples(
                self._ids,
                start,
                end,
                self._config.window,
                self._config.negatives,
                epoch_key(self._config.seed, HELD_OUT_EPOCH),
                self._keep,
                self._negatives.thresholds,
                self._negatives.aliases,
                contexts[count:],
                outputs[count:],
            )
        return contexts[:count], outputs[:count]

    def scores(self, contexts: NDArray[np.int32], outputs: NDArray[np.int32]) -> NDArray[np.float32]:
        """Inner products of contexts (e,) with their outputs (e, k); 0 for outputs of -1."""
        found = np.empty(outputs.shape, np.float32)
        score_examples(
            np.ascontiguousarray(contexts),
            np.ascontiguousarray(outputs),
            self._inputs,
            self._outputs,
            self._stride,
            found,
        )
        return found


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    """A plain read-only view: numba compiles once for each kind of array, writable and read-only ones apart."""
    view = np.asarray(array).view()
    view.flags.writeable = False
    return view
