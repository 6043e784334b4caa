"""Iterative refinement: map, induce a larger dictionary from the map, map again (Conneau et al. 2018).

The seed pairs always stay in: without them, refinement helps one direction and hurts the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nlprep.core.progress import SILENT
from nlprep.translation.aligners.maps import map_words
from nlprep.vectors.csls import find_candidates, mean_csls, mutual_pairs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nlprep.core.progress import Progress
    from nlprep.translation.aligners.maps import Fit, Maps
    from nlprep.translation.spelling import Spellings


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

    Args:
        source: (n, r) rows of length one in the shared space.
        target: (m, r) likewise.
        neighborhood: Neighbours averaged by CSLS; fewer on a side that has fewer.
        threads: Processors to use; all by default.
        progress: Where to report.
    """
    found = find_candidates(source, target, neighborhood=neighborhood, threads=threads, progress=progress)
    rows = mutual_pairs(found)
    return InducedPairs(rows, found.forward_scores[rows[:, 0], 0], mean_csls(found))


def without_words_of(pairs: NDArray[np.int64], seed: NDArray[np.int64]) -> NDArray[np.int64]:
    """Those of the pairs (p, 2) of which neither word is in a pair of the seed."""
    taken = [np.isin(pairs[:, side], seed[:, side]) for side in (0, 1)]
    return pairs[~taken[0] & ~taken[1]]


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


def fit_seed(
    fit: Fit,
    source: NDArray[np.float32],
    target: NDArray[np.float32],
    seed: NDArray[np.int64],
    *,
    temperature: float = 0.0,
) -> Maps:
    """Fit to a dictionary: once with its pairs alike, then, above temperature 0, weighed by what that shows."""
    maps = fit(seed, np.ones(len(seed)))
    return maps if temperature == 0 else fit(seed, _weights(source, target, maps, seed, temperature))


def _weights(
    source: NDArray[np.float32],
    target: NDArray[np.float32],
    maps: Maps,
    seed: NDArray[np.int64],
    temperature: float,
) -> NDArray[np.float64]:
    if temperature == 0:
        return np.ones(len(seed))
    one, other = map_words(source[seed[:, 0]], target[seed[:, 1]], maps)
    return weigh_pairs(seed, np.einsum("ij,ij->i", one, other), temperature)


def refine(
    fit: Fit,
    source: NDArray[np.float32],
    target: NDArray[np.float32],
    seed: NDArray[np.int64],
    maps: Maps,
    *,
    spellings: Spellings | None = None,
    cutoff: int = 20_000,
    max_rounds: int = 5,
    tolerance: float = 0.01,
    neighborhood: int = 10,
    induced_weight: float = 1.0,
    temperature: float = 0.0,
    threads: int | None = None,
    progress: Progress = SILENT,
) -> tuple[Maps, list[Round]]:
    """Fit to the seed with what the maps so far induce, until the criterion no longer rises.

    An induced pair joins only if the seed says nothing of either word.

    Args:
        fit: Fits the maps of both sides to pairs.
        source: (n, d) normalised source vectors, frequent words first.
        target: (m, e) normalised target vectors.
        seed: (p, 2) rows of the dictionary's pairs.
        maps: Where to start, as from `fit_seed`.
        spellings: Of both vocabularies, weighed, which then have a say in what is induced.
        cutoff: Pairs are induced among the first ``cutoff`` words of each side: rare words mislead.
        max_rounds: The most rounds; 0 leaves the maps as they are.
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
    if max_rounds == 0:
        return maps, []
    listed = {(int(word), int(answer)) for word, answer in seed}
    best = maps
    history: list[Round] = []
    chosen = 0
    with progress.task("refining", total=max_rounds) as task:
        for number in range(max_rounds + 1):
            one, other = map_words(source, target, maps, cutoff)
            if spellings is not None:
                one, other = spellings.join(one, other)
            induced = induce_pairs(one, other, neighborhood=neighborhood, threads=threads)
            of_seed = np.isin(induced.rows[:, 0], seed[:, 0])
            hits = sum((int(word), int(answer)) in listed for word, answer in induced.rows[of_seed])
            fresh = without_words_of(induced.rows, seed)
            history.append(
                Round(
                    number,
                    induced.criterion,
                    len(induced.rows),
                    len(seed) + len(fresh),
                    hits / max(1, int(of_seed.sum())),
                )
            )
            task.describe(f"criterion {induced.criterion:.4f}, {len(induced.rows):,} mutual pairs")
            risen = induced.criterion - history[chosen].criterion
            if number > 0 and risen > 0:
                best, chosen = maps, number
            if number == max_rounds or (number > 0 and risen < tolerance * abs(induced.criterion)):
                break
            trusted = _weights(source, target, maps, seed, temperature)
            weights = np.concatenate([trusted, np.full(len(fresh), induced_weight)])
            maps = fit(np.concatenate([seed, fresh]), weights)
            task.advance()
    history = [Round(**(vars(entry) | {"chosen": entry.number == chosen})) for entry in history]
    return best, history
