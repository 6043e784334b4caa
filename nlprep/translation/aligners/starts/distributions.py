"""A first dictionary out of nothing: words that stand alike to their own language (Artetxe et al., ACL 2018)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nlprep.core.threads import blas_threads
from nlprep.vectors.csls import find_candidates
from nlprep.vectors.normalization import fit_normalization

if TYPE_CHECKING:
    from numpy.typing import NDArray

FREQUENT = 4_000
"""Words of each side that are described, as in the paper's release."""


def match_distributions(
    source: NDArray[np.float32],
    target: NDArray[np.float32],
    *,
    frequent: int = FREQUENT,
    neighborhood: int = 10,
    threads: int | None = None,
) -> NDArray[np.int64]:
    """Pair words whose similarities to the words of their own language are distributed alike.

    The sorted similarities of a word to all others do not say which words they are to, so they can be compared
    across languages (section 3.2). The similarities are those of vectors of which the singular values have been
    halved in exponent, as there. A guess that is right for a few words in a hundred: enough for
    `nlprep.translation.aligners.self_learning` to start from.

    Args:
        source: (n, d) normalised vectors, frequent words first.
        target: (m, e) likewise; e may differ from d.
        frequent: Words of each side that are described; of the smaller side's number at most.
        neighborhood: Neighbours averaged by CSLS.
        threads: Processors to use; all by default.

    Returns:
        (2 k, 2) rows: for each of the k words of either side the best of the other.
    """
    count = min(frequent, len(source), len(target))
    with blas_threads(threads):
        one, other = (_describe(side[:count]) for side in (source, target))
    found = find_candidates(one, other, neighborhood=neighborhood, threads=threads)
    own = np.arange(count)
    return np.concatenate([np.stack([own, found.targets[:, 0]], 1), np.stack([found.sources[:, 0], own], 1)])


def _describe(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sorted similarities of every vector to all, (k, k), normalised as the vectors were."""
    # X X^T to the power of a half is U S U^T, where X = U S V^T.
    squares, directions = np.linalg.eigh((vectors.T @ vectors).astype(np.float64))
    roots = np.sqrt(np.maximum(squares, 1e-12 * max(squares.max(), 1e-300)))
    turned = vectors @ (directions / np.sqrt(roots)).astype(np.float32)
    similarities = turned @ turned.T
    similarities.sort(axis=1)
    return fit_normalization(similarities, "unit,center,unit").apply(similarities)
