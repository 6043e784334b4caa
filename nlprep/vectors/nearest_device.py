"""The search of `nlprep.vectors.nearest` on a torch device, such as a GPU.

Scores and row numbers are packed into one integer each, which sorts by score and then by lower row: so equal scores
come out in the same order as on a processor, whatever the device does about ties. Products are full float32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from nlprep.core.progress import SILENT

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nlprep.core.progress import Progress

    Lists = tuple[NDArray[np.float32], NDArray[np.int64]]

BLOCK_ROWS = 8_192
BLOCK_COLUMNS = 16_384
"""A block of packed scores takes a gigabyte of the device's memory."""
_LOW = 0xFFFFFFFF
_MAGNITUDE = 0x7FFFFFFF


def search(
    queries: NDArray[np.floating],
    keys: NDArray[np.floating],
    k: int,
    device: torch.device,
    *,
    query_offsets: NDArray[np.float32] | None = None,
    key_offsets: NDArray[np.float32] | None = None,
    mutual: bool = False,
    progress: Progress = SILENT,
) -> tuple[Lists, Lists | None]:
    """The best keys of each query and, if ``mutual``, the best queries of each key, out of one product.

    Args:
        queries: (q, d).
        keys: (n, d).
        k: At most n, and q if ``mutual``.
        device: Where to compute.
        query_offsets: (q,) added where the queries are what is found.
        key_offsets: (n,) added where the keys are.
        mutual: Whether both directions are wanted.
        progress: Where to report.

    Returns:
        Scores (q, k) float32, falling, and rows (q, k) int64; the same for the keys, or None.
    """
    added = [
        None if offsets is None else torch.from_numpy(offsets).to(device) for offsets in (query_offsets, key_offsets)
    ]
    best_rows = []
    best_columns: list[Tensor | None] = [None] * -(-len(keys) // BLOCK_COLUMNS)
    with progress.task("nearest neighbours", total=len(queries)) as task:
        for first in range(0, len(queries), BLOCK_ROWS):
            some = _move(queries[first : first + BLOCK_ROWS], device)
            best: Tensor | None = None
            for number, start in enumerate(range(0, len(keys), BLOCK_COLUMNS)):
                others = _move(keys[start : start + BLOCK_COLUMNS], device)
                scores = some @ others.T
                by_query = scores if added[1] is None else scores + added[1][start : start + len(others)]
                best = _keep_best(best, _pack(by_query, start, 1), k)
                if mutual:
                    by_key = scores if added[0] is None else scores + added[0][first : first + len(some), None]
                    best_columns[number] = _keep_best(best_columns[number], _pack(by_key, first, 0).T, k)
            if best is not None:
                best_rows.append(best)
            task.advance(len(some))
    columns = [packed for packed in best_columns if packed is not None]
    return _unpack(best_rows, k), _unpack(columns, k) if mutual else None


def _move(matrix: NDArray[np.floating], device: torch.device) -> Tensor:
    # A copy, since memory-mapped rows are read-only, which torch warns about.
    return torch.from_numpy(np.array(matrix, np.float32)).to(device)


def _pack(scores: Tensor, start: int, axis: int) -> Tensor:
    """Scores (a, b) and the numbers along an axis, from ``start``, as integers in the order of both."""
    # Adding zero makes zeros of one sign, which compare alike.
    bits = (scores + 0.0).view(torch.int32)
    ordered = (bits ^ ((bits >> 31) & _MAGNITUDE)).long()
    rows = torch.arange(start, start + scores.shape[axis], device=scores.device)
    return (ordered << 32) | (_LOW - (rows[None, :] if axis == 1 else rows[:, None]))


def _keep_best(best: Tensor | None, packed: Tensor, k: int) -> Tensor:
    found = packed.topk(min(k, packed.shape[1]), dim=1).values
    if best is None:
        return found
    both = torch.cat([best, found], dim=1)
    return both.topk(min(k, both.shape[1]), dim=1).values


def _unpack(parts: list[Tensor], k: int) -> Lists:
    if not parts:
        return np.empty((0, k), np.float32), np.empty((0, k), np.int64)
    packed = torch.cat(parts).cpu()
    ordered = (packed >> 32).to(torch.int32)
    scores = (ordered ^ ((ordered >> 31) & _MAGNITUDE)).view(torch.float32)
    return scores.numpy(), (_LOW - (packed & _LOW)).numpy()
