"""The one exact nearest-neighbour search: inner products in blocks, the best of each row kept.

CSLS, refinement, evaluation, translation, neighbours and sentence retrieval all come here. Cosine is the
inner product of rows of length one; CSLS for a fixed query is an inner product plus an offset per key.

Memory stays flat: a block of similarities is made by BLAS, scanned while it is in the processor's cache and
forgotten. Blocks do not depend on the number of threads, so the answer does not either. Inside `search_device` the
same calls compute on a GPU.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nlprep.core.errors import OptionError
from nlprep.core.progress import SILENT
from nlprep.core.threads import blas_threads, resolve_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import torch
    from numpy.typing import NDArray

    from nlprep.core.progress import Progress

FEW_QUERIES = 64
"""Up to this many queries the search is plain NumPy, which starts at once; numba takes a moment to import."""
FEW_PRODUCTS = 1 << 22
"""Up to this many query-key pairs too."""
# Measured: large enough for BLAS to pack well, small enough that a block is scanned from cache.
_BLOCK_ROWS = 768
_BLOCK_COLUMNS = 1536
_PLAIN_BLOCK = 1 << 24
"""Similarities in a block of the plain search: 64 MB of float32."""

_device: ContextVar[torch.device | None] = ContextVar("search device", default=None)


@contextmanager
def search_device(name: str | None) -> Iterator[None]:
    """Search on a torch device inside the block: ``cuda``, say; ``cpu`` is the search compiled for processors.

    Few queries are answered by the processor all the same. Scores may differ from a processor's in their last bits,
    as sums are made in another order.

    Raises:
        OptionError: No such device.
    """
    device = None
    if name is not None and name != "cpu":
        from nlprep.core.devices import find_device

        device = find_device(name)
    token = _device.set(device)
    try:
        yield
    finally:
        _device.reset(token)


@dataclass(frozen=True)
class MutualNeighbors:
    """The best entries of every row and every column of one matrix of similarities.

    Attributes:
        target_scores: (n, k) float32, of the best targets of each source row, falling.
        targets: (n, k) int64, these target rows.
        source_scores: (m, k) float32, of the best sources of each target row, falling.
        sources: (m, k) int64, these source rows.
    """

    target_scores: NDArray[np.float32]
    targets: NDArray[np.int64]
    source_scores: NDArray[np.float32]
    sources: NDArray[np.int64]


def top_k(
    queries: NDArray[np.floating],
    keys: NDArray[np.floating],
    k: int,
    *,
    offsets: NDArray[np.floating] | None = None,
    threads: int | None = None,
    progress: Progress = SILENT,
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The ``k`` keys of highest score for each query, exactly.

    The score of query x and key y is ``x @ y``, plus y's offset. All values must be finite.

    Args:
        queries: (q, d); converted to float32 block by block if they are of another type.
        keys: (n, d), possibly memory-mapped.
        k: How many to keep; all n are returned when there are fewer.
        offsets: (n,) added to the scores of the keys.
        threads: Processors to use; all by default.
        progress: Where to report.

    Returns:
        Scores (q, min(k, n)) float32, falling, and indices of keys (q, min(k, n)) int64. Of keys with equal
        computed scores the one of lower index comes first.

    Raises:
        OptionError: Shapes that do not fit, no keys, or ``k`` below 1.
    """
    k = _checked(queries, keys, k)
    added = _checked_offsets(offsets, len(keys))
    if len(queries) <= FEW_QUERIES or len(queries) * len(keys) <= FEW_PRODUCTS:
        return _top_k_plain(queries, keys, k, added)
    device = _device.get()
    if device is not None:
        from nlprep.vectors.nearest_device import search as search_there

        return search_there(queries, keys, k, device, key_offsets=added, progress=progress)[0]
    from nlprep.vectors.nearest_kernel import scan_rows

    column_offsets = np.zeros(len(keys), np.float32) if added is None else added
    scores = np.full((len(queries), k), -np.inf, np.float32)
    indices = np.full((len(queries), k), -1, np.int32)

    def search(rows: slice, _: int) -> None:
        block = np.empty((rows.stop - rows.start, _BLOCK_COLUMNS), np.float32)
        some = _rows_of(queries, rows)
        for start in range(0, len(keys), _BLOCK_COLUMNS):
            columns = slice(start, min(start + _BLOCK_COLUMNS, len(keys)))
            similarities = _multiply(some, _rows_of(keys, columns), block)
            scan_rows(similarities, column_offsets[columns], start, scores[rows], indices[rows])

    _over_row_blocks(search, len(queries), threads, progress)
    return scores, indices.astype(np.int64)


def mutual_top_k(
    source: NDArray[np.floating],
    target: NDArray[np.floating],
    k: int,
    *,
    source_offsets: NDArray[np.floating] | None = None,
    target_offsets: NDArray[np.floating] | None = None,
    threads: int | None = None,
    progress: Progress = SILENT,
) -> MutualNeighbors:
    """`top_k` in both directions out of a single product of the two matrices.

    Args:
        source: (n, d).
        target: (m, d).
        k: How many to keep, at most min(n, m).
        source_offsets: (n,) added to source rows where they are the keys, in the lists of sources.
        target_offsets: (m,) added to target rows where they are the keys, in the lists of targets.
        threads: Processors to use; all by default.
        progress: Where to report.

    Raises:
        OptionError: Shapes that do not fit, an empty side, or ``k`` below 1 or above either side.
    """
    _checked(source, target, k)
    if not 1 <= k <= min(len(source), len(target)):
        raise OptionError(f"k = {k}: must lie between 1 and the smaller side, {min(len(source), len(target))}")
    row_offsets = _checked_offsets(source_offsets, len(source))
    column_offsets = _checked_offsets(target_offsets, len(target))
    device = _device.get()
    if device is not None:
        from nlprep.vectors.nearest_device import search as search_there

        of_sources, of_targets = search_there(
            source,
            target,
            k,
            device,
            query_offsets=row_offsets,
            key_offsets=column_offsets,
            mutual=True,
            progress=progress,
        )
        assert of_targets is not None  # noqa: S101 - both directions were asked for
        return MutualNeighbors(*of_sources, *of_targets)
    from nlprep.vectors.nearest_kernel import merge_lists, scan_both

    row_offsets = np.zeros(len(source), np.float32) if row_offsets is None else row_offsets
    column_offsets = np.zeros(len(target), np.float32) if column_offsets is None else column_offsets
    scores = np.full((len(source), k), -np.inf, np.float32)
    indices = np.full((len(source), k), -1, np.int32)
    workers = min(resolve_threads(threads), -(-len(source) // _BLOCK_ROWS))
    # Each thread keeps lists of its own for the columns, which all of them meet; they are merged at the end.
    best = [np.full((len(target), k), -np.inf, np.float32) for _ in range(workers)]
    names = [np.full((len(target), k), -1, np.int32) for _ in range(workers)]
    thresholds = [np.full(len(target), -np.inf, np.float32) for _ in range(workers)]

    def search(rows: slice, worker: int) -> None:
        block = np.empty((rows.stop - rows.start, _BLOCK_COLUMNS), np.float32)
        some = _rows_of(source, rows)
        for start in range(0, len(target), _BLOCK_COLUMNS):
            columns = slice(start, min(start + _BLOCK_COLUMNS, len(target)))
            scan_both(
                _multiply(some, _rows_of(target, columns), block),
                row_offsets[rows],
                column_offsets[columns],
                rows.start,
                start,
                scores[rows],
                indices[rows],
                best[worker][columns],
                names[worker][columns],
                thresholds[worker][columns],
            )

    _over_row_blocks(search, len(source), workers, progress)
    for other in range(1, workers):
        merge_lists(best[0], names[0], best[other], names[other])
    return MutualNeighbors(scores, indices.astype(np.int64), best[0], names[0].astype(np.int64))


def mutual_neighborhood_means(
    source: NDArray[np.floating],
    target: NDArray[np.floating],
    k: int = 10,
    *,
    threads: int | None = None,
    progress: Progress = SILENT,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean similarity of every row to its ``k`` nearest rows of the other side, for both sides at once.

    These are r_T(x) and r_S(y) of CSLS (Conneau et al. 2018, section 2.3).

    Args:
        source: (n, d), rows of length one for cosine.
        target: (m, d).
        k: Size of the neighbourhood; fewer where a side has fewer rows.
        threads: Processors to use; all by default.
        progress: Where to report.

    Returns:
        (n,) and (m,) float32.
    """
    k = min(_checked(source, target, k), len(source))
    neighbors = mutual_top_k(source, target, k, threads=threads, progress=progress)
    return (
        neighbors.target_scores.mean(axis=1, dtype=np.float32),
        neighbors.source_scores.mean(axis=1, dtype=np.float32),
    )


def ranks(
    queries: NDArray[np.floating],
    keys: NDArray[np.floating],
    pairs: NDArray[np.integer],
    *,
    offsets: NDArray[np.floating] | None = None,
    threads: int | None = None,
) -> NDArray[np.int64]:
    """The places of given keys among all keys, for given queries: 1 for the best, ordered as by `top_k`.

    Args:
        queries: (q, d).
        keys: (n, d).
        pairs: (p, 2) rows of a query and of a key.
        offsets: (n,) added to the scores of the keys.
        threads: Processors to use; all by default.

    Returns:
        (p,) int64.

    Raises:
        OptionError: Shapes that do not fit, or no keys.
    """
    _checked(queries, keys, 1)
    added = _checked_offsets(offsets, len(keys))
    places = np.empty(len(pairs), np.int64)
    order = np.argsort(pairs[:, 0], kind="stable")
    step = max(1, _PLAIN_BLOCK // len(keys))
    starts = np.searchsorted(pairs[order, 0], np.arange(0, len(queries) + step, step))
    with blas_threads(threads):
        for number, first in enumerate(range(0, len(queries), step)):
            scores = _rows_of(queries, slice(first, first + step)) @ _rows_of(keys, slice(None)).T
            if added is not None:
                scores += added
            for pair in order[starts[number] : starts[number + 1]]:
                row, key = scores[pairs[pair, 0] - first], pairs[pair, 1]
                ahead = np.count_nonzero(row > row[key]) + np.count_nonzero(row[:key] == row[key])
                places[pair] = 1 + ahead
    return places


def _top_k_plain(
    queries: NDArray[np.floating], keys: NDArray[np.floating], k: int, offsets: NDArray[np.float32] | None
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    all_scores = np.empty((len(queries), k), np.float32)
    all_indices = np.empty((len(queries), k), np.int64)
    step = max(k, _PLAIN_BLOCK // max(1, min(len(queries), FEW_QUERIES)))
    for first in range(0, len(queries), FEW_QUERIES):
        rows = slice(first, min(first + FEW_QUERIES, len(queries)))
        some = _rows_of(queries, rows)
        scores = np.empty((len(some), 0), np.float32)
        indices = np.empty((len(some), 0), np.int64)
        for start in range(0, len(keys), step):
            columns = slice(start, min(start + step, len(keys)))
            block = some @ _rows_of(keys, columns).T
            if offsets is not None:
                block += offsets[columns]
            found = _best_of_rows(block, min(k, block.shape[1]))
            scores = np.concatenate([scores, np.take_along_axis(block, found, axis=1)], axis=1)
            indices = np.concatenate([indices, found + start], axis=1)
            # Earlier keys stand first, so that a stable selection keeps the lower index of equals.
            kept = _best_of_rows(scores, min(k, scores.shape[1]))
            scores = np.take_along_axis(scores, kept, axis=1)
            indices = np.take_along_axis(indices, kept, axis=1)
        all_scores[rows] = scores
        all_indices[rows] = indices
    return all_scores, all_indices


def _best_of_rows(block: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Columns of the ``k`` greatest values of each row, falling, lower columns first among equals."""
    columns = block.shape[1]
    best = np.empty((len(block), k), np.int64)
    if k == 1:
        best[:, 0] = block.argmax(axis=1)
        return best
    for row, place in zip(block, best, strict=True):
        # argpartition alone may drop the lower of two equal columns.
        candidates = np.flatnonzero(row >= np.partition(row, columns - k)[columns - k])
        place[:] = candidates[np.argsort(-row[candidates], kind="stable")[:k]]
    return best


def _over_row_blocks(
    search: Callable[[slice, int], None], num_rows: int, threads: int | None, progress: Progress
) -> None:
    """Call ``search(rows, worker)`` for every block of rows, each worker in a thread with BLAS to itself."""
    blocks = [slice(start, min(start + _BLOCK_ROWS, num_rows)) for start in range(0, num_rows, _BLOCK_ROWS)]
    workers = min(resolve_threads(threads), len(blocks))
    # A worker takes every workers-th block: the blocks are alike, and rising order within a worker is what
    # puts lower rows first among equals in the lists of columns.
    with blas_threads(1), progress.task("nearest neighbours", total=num_rows) as task:

        def work(worker: int) -> None:
            for rows in blocks[worker::workers]:
                if stopped:
                    return
                search(rows, worker)
                task.advance(rows.stop - rows.start)

        stopped: list[bool] = []
        if workers == 1:
            work(0)
            return
        with ThreadPoolExecutor(workers) as pool:
            futures = [pool.submit(work, worker) for worker in range(workers)]
            try:
                for future in futures:
                    future.result()
            except BaseException:
                # Ctrl-C lands here, in the main thread: the others end after their block.
                stopped.append(True)
                raise


def _multiply(some: NDArray[np.float32], others: NDArray[np.float32], room: NDArray[np.float32]) -> NDArray[np.float32]:
    if len(others) == room.shape[1]:
        return np.matmul(some, others.T, out=room)
    return some @ others.T


def _rows_of(matrix: NDArray[np.floating], rows: slice) -> NDArray[np.float32]:
    return np.ascontiguousarray(matrix[rows], dtype=np.float32)


def _checked(queries: NDArray[np.floating], keys: NDArray[np.floating], k: int) -> int:
    if queries.ndim != 2 or keys.ndim != 2 or queries.shape[1] != keys.shape[1]:
        raise OptionError(
            f"queries of shape {queries.shape} against keys of shape {keys.shape}: "
            "both must be matrices with the same number of columns"
        )
    if not len(keys):
        raise OptionError("there are no keys to search: give at least one vector")
    if k < 1:
        raise OptionError(f"k = {k}: must be at least 1")
    return min(k, len(keys))


def _checked_offsets(offsets: NDArray[np.floating] | None, count: int) -> NDArray[np.float32] | None:
    if offsets is None:
        return None
    if offsets.shape != (count,):
        raise OptionError(f"offsets of shape {offsets.shape}: expected one for each of the {count} keys")
    return np.ascontiguousarray(offsets, dtype=np.float32)
