"""Compiled scans that keep the best entries of a block of similarities while it is still in cache."""

from __future__ import annotations

import numpy as np

from nlprep.core.compilation import compiled

CHUNK = 32
"""Similarities compared against their thresholds at once: two or four vector registers."""


@compiled
def _insert(scores, indices, score, index):
    """Put an entry into a falling list, behind its equals, dropping the last one."""
    place = len(scores) - 1
    while place > 0 and scores[place - 1] < score:
        scores[place] = scores[place - 1]
        indices[place] = indices[place - 1]
        place -= 1
    scores[place] = score
    indices[place] = index


@compiled
def scan_rows(block, offsets, first, scores, indices):
    """Merge a block into the lists of its rows.

    Args:
        block: (r, c) float32 similarities of r queries with c consecutive keys.
        offsets: (c,) float32 added to the columns.
        first: The index of the first key.
        scores: (r, k) float32 falling lists so far, updated.
        indices: (r, k) int32 keys of the lists, updated.
    """
    rows, columns = block.shape
    last = scores.shape[1] - 1
    for i in range(rows):
        row = block[i]
        threshold = scores[i, last]
        for start in range(0, columns, CHUNK):
            stop = min(start + CHUNK, columns)
            better = 0
            # A plain count, so that the compiler makes vector compares of it.
            for j in range(start, stop):
                better += row[j] + offsets[j] > threshold
            if better:
                for j in range(start, stop):
                    score = row[j] + offsets[j]
                    if score > threshold:
                        _insert(scores[i], indices[i], score, np.int32(first + j))
                        threshold = scores[i, last]


@compiled
def scan_both(
    block,
    row_offsets,
    column_offsets,
    first_row,
    first_column,
    scores,
    indices,
    column_scores,
    column_indices,
    thresholds,
):
    """Merge a block into the lists of its rows and of its columns.

    Args:
        block: (r, c) float32 similarities of r consecutive source rows with c consecutive target rows.
        row_offsets: (r,) float32 added where the lists of the columns are concerned.
        column_offsets: (c,) float32 added where the lists of the rows are concerned.
        first_row: Index of the first source row.
        first_column: Index of the first target row.
        scores: (r, k) float32 falling lists of the rows, updated.
        indices: (r, k) int32, updated.
        column_scores: (c, k) float32 falling lists of the columns, updated.
        column_indices: (c, k) int32, updated.
        thresholds: (c,) float32 last scores of the columns' lists, updated.
    """
    rows, columns = block.shape
    last = scores.shape[1] - 1
    last_column = column_scores.shape[1] - 1
    for i in range(rows):
        row = block[i]
        threshold = scores[i, last]
        offset = row_offsets[i]
        for start in range(0, columns, CHUNK):
            stop = min(start + CHUNK, columns)
            better = 0
            for j in range(start, stop):
                better += (row[j] + column_offsets[j] > threshold) | (row[j] + offset > thresholds[j])
            if better:
                for j in range(start, stop):
                    score = row[j] + column_offsets[j]
                    if score > threshold:
                        _insert(scores[i], indices[i], score, np.int32(first_column + j))
                        threshold = scores[i, last]
                    score = row[j] + offset
                    if score > thresholds[j]:
                        _insert(column_scores[j], column_indices[j], score, np.int32(first_row + i))
                        thresholds[j] = column_scores[j, last_column]


@compiled
def merge_lists(scores, indices, other_scores, other_indices):
    """Merge falling lists with others of the same rows; of equal scores the lower index comes first."""
    rows, k = scores.shape
    merged = np.empty(k, np.float32)
    names = np.empty(k, np.int32)
    for i in range(rows):
        a = 0
        b = 0
        for place in range(k):
            one, other = scores[i, a], other_scores[i, b]
            if one > other or (one == other and indices[i, a] < other_indices[i, b]):
                merged[place] = one
                names[place] = indices[i, a]
                a += 1
            else:
                merged[place] = other
                names[place] = other_indices[i, b]
                b += 1
        scores[i] = merged
        indices[i] = names
