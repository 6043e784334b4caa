"""Iterative refinement: map, induce a larger dictionary from the map, map again (Conneau et al. 2018).

The seed pairs always stay in: without them, refinement helps one direction and hurts the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nlprep.core.progress import SILENT
from nlprep.embeddings.nearest import mutual_top_k
from nlprep.translation.normalization import scaled_to_unit

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from nlprep.core.progress import Progress

    Fit = Callable[[NDArray[np.int64], NDArray[np.float64]], tuple[NDArray[np.float64], NDArray[np.float64]]]
    """From pairs (p, 2) and their weights (p,) to the maps of the two sides."""


@dataclass(frozen=True)
class InducedPairs:
    """Words that are each other's nearest under CSLS.

    Attributes:
        rows: (p, 2) int64, source and target rows.
        scores: (p,) float32, their CSLS.
        criterion: How well the two sides meet: CSLS of every word's best counterpart, averaged over both
            sides' words within the cut-off. Comparable between rounds, since the words stay the same.
    """

    rows: NDArray[np.int64]
    scores: NDArray[np.float32]
    criterion: float


@dataclass(frozen=True)
class Round:
    """What one round of refinement saw, before it fitted again.

    Attributes:
        number: 0 is the map from the seed alone.
        criterion: See `InducedPairs`.
        num_induced: Mutual pairs found.
        num_pairs: Pairs the next map is fitted to, the seed included.
        seed_agreement: Share of the induced pairs of seed words that the seed lists.
        chosen: Whether this round's map was returned.
    """

    number: int
    criterion: float
    num_induced: int
    num_pairs: int
    seed_agreement: float
    chosen: bool = False

    def as_mapping(self) -> dict[str, Any]:
        """Plain values, for provenance."""
        return {
            "round": self.number,
            "criterion": round(self.criterion, 6),
            "induced": self.num_induced,
            "pairs": self.num_pairs,
            "seed_agreement": round(self.seed_agreement, 4),
            "chosen": self.chosen,
        }


def induce_pairs(
    source: NDArray[np.float32],
    target: NDArray[np.float32],
    *,
    neighborhood: int = 10,
    threads: int | None = None,
    progress: Progress = SILENT,
) -> InducedPairs:
    """Find the mutual nearest neighbours under CSLS.

    Two products of the matrices: one for both sides' neighbourhood means, one for both sides' best.

    Args:
        source: (n, r) rows of length one in the shared space.
        target: (m, r) likewise.
        neighborhood: Neighbours averaged by CSLS; fewer on a side that has fewer.
        threads: Processors to use; all by default.
        progress: Where to report.
    """
    k = min(neighborhood, len(source), len(target))
    near = mutual_top_k(source, target, k, threads=threads, progress=progress)
    source_means = near.forward_scores.mean(axis=1, dtype=np.float32)
    target_means = near.backward_scores.mean(axis=1, dtype=np.float32)
    # CSLS is 2 cos - r_T(x) - r_S(y); half of it is searched for, and the query's own mean ranks nothing.
    best = mutual_top_k(
        source,
        target,
        1,
        source_offsets=-source_means / 2,
        target_offsets=-target_means / 2,
        threads=threads,
        progress=progress,
    )
    forward, backward = best.forward[:, 0], best.backward[:, 0]
    forward_scores = 2 * best.forward_scores[:, 0] - source_means
    backward_scores = 2 * best.backward_scores[:, 0] - target_means
    mutual = np.flatnonzero(backward[forward] == np.arange(len(source)))
    criterion = (forward_scores.mean(dtype=np.float64) + backward_scores.mean(dtype=np.float64)) / 2
    return InducedPairs(np.stack([mutual, forward[mutual]], axis=1), forward_scores[mutual], float(criterion))


def weigh_pairs(
    pairs: NDArray[np.int64], similarities: NDArray[np.floating], temperature: float
) -> NDArray[np.float64]:
    """Weigh the translations of a word by how well they fit under the map so far.

    Dictionaries list every sense of a word, and its vector is mostly that of one. The best of a word's
    translations keeps weight 1, another loses exp(difference of similarity / temperature); the weight of a pair
    is the mean of what it has among its source word's and among its target word's pairs.

    Args:
        pairs: (p, 2) rows.
        similarities: (p,) cosines of the pairs in the shared space.
        temperature: A difference of similarity that costs a factor of e; above 0.

    Returns:
        (p,) weights in (0, 1].
    """
    total = np.zeros(len(pairs))
    for side in (0, 1):
        _, word = np.unique(pairs[:, side], return_inverse=True)
        best = np.full(word.max(initial=-1) + 1, -np.inf)
        np.maximum.at(best, word, similarities)
        total += np.exp((similarities - best[word]) / temperature)
    return total / 2


def refine(
    fit: Fit,
    source: NDArray[np.float32],
    target: NDArray[np.float32],
    seed: NDArray[np.int64],
    *,
    assumed: NDArray[np.int64] | None = None,
    cutoff: int = 20_000,
    max_rounds: int = 5,
    tolerance: float = 0.01,
    neighborhood: int = 10,
    induced_weight: float = 1.0,
    temperature: float = 0.0,
    threads: int | None = None,
    progress: Progress = SILENT,
) -> tuple[tuple[NDArray[np.float64], NDArray[np.float64]], list[Round]]:
    """Fit to the seed, then to the seed with what the fit induces, until the criterion no longer rises.

    An induced pair joins only if the seed and the pairs assumed say nothing of either word.

    Args:
        fit: Fits the maps of both sides to pairs.
        source: (n, d) normalised source vectors, frequent words first.
        target: (m, e) normalised target vectors.
        seed: (p, 2) rows of the dictionary's pairs.
        assumed: (a, 2) rows of pairs that are likely but not sure; they weigh as induced ones do and stay.
        cutoff: Pairs are induced among the first ``cutoff`` words of each side: rare words mislead.
        max_rounds: The most rounds; 0 fits the seed alone.
        tolerance: Stop when the criterion rises by less than this share of itself.
        neighborhood: Neighbours averaged by CSLS.
        induced_weight: Weight of an induced pair, a seed pair having 1.
        temperature: Where a word has several translations, weigh them as `weigh_pairs` does; 0 weighs all
            seed pairs alike.
        threads: Processors to use; all by default.
        progress: Where to report.

    Returns:
        The maps of the round of the highest criterion, and what each round saw. The criterion needs no
        held-out pairs: see `InducedPairs`.
    """
    known = seed if assumed is None else np.concatenate([seed, assumed])
    trust = np.full(len(known), induced_weight)
    trust[: len(seed)] = 1.0

    def weights_of_known() -> NDArray[np.float64]:
        if temperature == 0:
            return trust
        sides = zip((source, target), (0, 1), maps, strict=True)
        one, other = (scaled_to_unit(rows[known[:, side]] @ matrix.astype(np.float32)) for rows, side, matrix in sides)
        return trust * weigh_pairs(known, np.einsum("ij,ij->i", one, other), temperature)

    maps = fit(known, trust)
    if temperature > 0:
        maps = fit(known, weights_of_known())
    if max_rounds == 0:
        return maps, []
    rows_of_known = [np.unique(known[:, side]) for side in (0, 1)]
    listed = {(int(one), int(other)) for one, other in seed}
    best = maps
    history: list[Round] = []
    chosen = 0
    with progress.task("refining", total=max_rounds) as task:
        for number in range(max_rounds + 1):
            mapped = [
                scaled_to_unit(side[:cutoff] @ matrix.astype(np.float32))
                for side, matrix in zip((source, target), maps, strict=True)
            ]
            induced = induce_pairs(mapped[0], mapped[1], neighborhood=neighborhood, threads=threads)
            of_seed = np.isin(induced.rows[:, 0], seed[:, 0])
            hits = sum((int(one), int(other)) in listed for one, other in induced.rows[of_seed])
            taken = [np.isin(induced.rows[:, side], rows_of_known[side]) for side in (0, 1)]
            fresh = induced.rows[~taken[0] & ~taken[1]]
            history.append(
                Round(
                    number,
                    induced.criterion,
                    len(induced.rows),
                    len(known) + len(fresh),
                    hits / max(1, int(of_seed.sum())),
                )
            )
            task.describe(f"criterion {induced.criterion:.4f}, {len(induced.rows):,} mutual pairs")
            risen = induced.criterion - history[chosen].criterion
            if number > 0 and risen > 0:
                best, chosen = maps, number
            if number == max_rounds or (number > 0 and risen < tolerance * abs(induced.criterion)):
                break
            weights = np.concatenate([weights_of_known(), np.full(len(fresh), induced_weight)])
            maps = fit(np.concatenate([known, fresh]), weights)
            task.advance()
    history = [Round(**(vars(entry) | {"chosen": entry.number == chosen})) for entry in history]
    return best, history
