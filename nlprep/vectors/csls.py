"""CSLS between two sets of vectors, all against all (Conneau et al. 2018, section 2.3).

CSLS(x, z) = 2 cos(x, z) - r_T(x) - r_S(z), where r is the mean cosine of a vector to its nearest neighbours on the
other side: what lies close to everybody is no answer to anybody. `nlprep.translation.index.bilingual` answers questions
with the same, its neighbourhood means stored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nlprep.core.progress import SILENT
from nlprep.vectors.nearest import MutualNeighbors, mutual_top_k

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nlprep.core.progress import Progress


def find_candidates(
    source: NDArray[np.float32],
    target: NDArray[np.float32],
    count: int = 1,
    *,
    neighborhood: int = 10,
    threads: int | None = None,
    progress: Progress = SILENT,
) -> MutualNeighbors:
    """The best counterparts of every row of either side, with their CSLS.

    Two products of the matrices: one for both sides' neighbourhood means, one for both sides' best.

    Args:
        source: (n, r) rows of length one in the shared space.
        target: (m, r) likewise.
        count: Counterparts of each; fewer where a side has fewer rows.
        neighborhood: Neighbours averaged; fewer likewise.
        threads: Processors to use; all by default.
        progress: Where to report.

    >>> import numpy as np
    >>> words = np.eye(3, dtype=np.float32)
    >>> found = find_candidates(words, words[[2, 0, 1]], neighborhood=1)
    >>> found.targets[:, 0].tolist(), found.target_scores[:, 0].tolist()
    ([1, 2, 0], [0.0, 0.0, 0.0])
    """
    fewest = min(len(source), len(target))
    near = mutual_top_k(source, target, min(neighborhood, fewest), threads=threads, progress=progress)
    source_means = near.target_scores.mean(axis=1, dtype=np.float32)
    target_means = near.source_scores.mean(axis=1, dtype=np.float32)
    # Half of CSLS is searched for, and the query's own mean, which ranks nothing, comes in afterwards.
    best = mutual_top_k(
        source,
        target,
        min(count, fewest),
        source_offsets=-source_means / 2,
        target_offsets=-target_means / 2,
        threads=threads,
        progress=progress,
    )
    return MutualNeighbors(
        2 * best.target_scores - source_means[:, None],
        best.targets,
        2 * best.source_scores - target_means[:, None],
        best.sources,
    )


def mutual_pairs(candidates: MutualNeighbors) -> NDArray[np.int64]:
    """The pairs of rows that are each other's best, (p, 2), by rising source row.

    >>> import numpy as np
    >>> words = np.eye(3, dtype=np.float32)
    >>> mutual_pairs(find_candidates(words, words[[2, 0, 1]], neighborhood=1)).tolist()
    [[0, 1], [1, 2], [2, 0]]
    """
    targets = candidates.targets[:, 0]
    mutual = np.flatnonzero(candidates.sources[targets, 0] == np.arange(len(targets)))
    return np.stack([mutual, targets[mutual]], axis=1)


def mean_csls(candidates: MutualNeighbors) -> float:
    """How well the two sides meet: CSLS of every word's best counterpart, averaged over both sides' words.

    >>> import numpy as np
    >>> words = np.eye(3, dtype=np.float32)
    >>> mean_csls(find_candidates(words, words, neighborhood=2))
    1.0
    """
    of_sources, of_targets = (
        scores[:, 0].mean(dtype=np.float64) for scores in (candidates.target_scores, candidates.source_scores)
    )
    return float((of_sources + of_targets) / 2)
