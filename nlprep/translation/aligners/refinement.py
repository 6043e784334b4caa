"""Iterative refinement: map, induce larger dictionaries from the maps, map again (Conneau et al. 2018).

For any number of languages, of which two are a case: words that are each other's nearest are paired between every two,
those included that nobody gave a dictionary for. The pairs of a dictionary always stay in: without them, refinement
helps one direction and hurts the other.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from nlprep.core.progress import SILENT
from nlprep.translation.aligners.aligner import Aligned
from nlprep.translation.aligners.maps import map_side
from nlprep.vectors.csls import find_candidates, mean_csls, mutual_pairs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from nlprep.core.progress import Progress
    from nlprep.translation.aligners.aligner import Supervision, Work
    from nlprep.translation.aligners.maps import Fit
    from nlprep.translation.spelling import Spellings

    Pair = tuple[int, int]
    """Numbers of two languages, the smaller first."""
    FitTogether = Callable[[Mapping[Pair, "WeightedPairs"]], Sequence[NDArray[np.float64]]]
    """From pairs of words, by languages, to a map of every language."""


_NO_PAIRS = np.empty((0, 2), np.int64)


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
class WeightedPairs:
    """Pairs of words to fit to.

    Attributes:
        rows: (p, 2) int64.
        weights: (p,).
    """

    rows: NDArray[np.int64]
    weights: NDArray[np.float64]


@dataclass(frozen=True)
class Seen:
    """What a round saw of two languages.

    Attributes:
        induced: Mutual pairs found.
        fitted: Pairs the next maps are fitted to, those of the dictionary included.
        agreement: Share of the induced pairs of the dictionary's words that it lists.
    """

    induced: int
    fitted: int
    agreement: float


@dataclass(frozen=True)
class Round:
    """What one round of refinement saw, before it fitted again.

    Attributes:
        number: 0 is the maps that it began with.
        criterion: See `InducedPairs`; averaged over every two languages.
        pairs: What it saw of every two.
        chosen: Whether this round's maps were returned.
    """

    number: int
    criterion: float
    pairs: Mapping[Pair, Seen]
    chosen: bool = False


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
    return InducedPairs(rows, found.target_scores[rows[:, 0], 0], mean_csls(found))


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


@dataclass(frozen=True, kw_only=True)
class Refinement:
    """Languages that are refined together, and how.

    Attributes:
        sides: Of every language (n, d) float32 normalised vectors, frequent words first.
        known: (p, 2) rows of the dictionaries' pairs, by languages; of some or all.
        fit: Fits maps to pairs.
        cutoff: Pairs are induced among this many of the most frequent words of each side: rare words mislead.
        neighborhood: Neighbours averaged by CSLS.
        induced_weight: Weight of an induced pair, one of a dictionary having 1.
        temperature: Where a word has several translations, weigh them as `weigh_pairs` does; 0 weighs all alike.
        threads: Processors to use; all by default.
    """

    sides: Sequence[NDArray[np.float32]]
    known: Mapping[Pair, NDArray[np.int64]]
    fit: FitTogether
    cutoff: int = 20_000
    neighborhood: int = 10
    induced_weight: float = 1.0
    temperature: float = 0.0
    threads: int | None = None

    def fit_to_known(self) -> Sequence[NDArray[np.float64]]:
        """Fit to the dictionaries: once with pairs alike, then, above temperature 0, weighed by what that shows."""
        maps = self.fit(self.choose_pairs({}))
        return maps if self.temperature == 0 else self.fit(self.choose_pairs({}, maps))

    def choose_pairs(
        self,
        induced: Mapping[Pair, NDArray[np.int64]],
        maps: Sequence[NDArray[np.float64]] | None = None,
    ) -> dict[Pair, WeightedPairs]:
        """The dictionaries' pairs, with those of induced ones of which they know neither word.

        Args:
            induced: (q, 2) rows, by languages.
            maps: By which to weigh the translations of a word; None to weigh all alike.
        """
        chosen = {}
        for pair in sorted(induced.keys() | self.known.keys()):
            known = self.known.get(pair, _NO_PAIRS)
            fresh = without_words_of(induced.get(pair, _NO_PAIRS), known)
            trusted = np.ones(len(known))
            if maps is not None and self.temperature > 0 and len(known):
                one, other = (
                    map_side(self.sides[language][known[:, place]], maps[language])
                    for place, language in enumerate(pair)
                )
                trusted = weigh_pairs(known, np.einsum("ij,ij->i", one, other), self.temperature)
            weights = np.concatenate([trusted, np.full(len(fresh), self.induced_weight)])
            chosen[pair] = WeightedPairs(np.concatenate([known, fresh]), weights)
        return chosen

    def induce(self, one: NDArray[np.float32], other: NDArray[np.float32], spellings: Spellings | None) -> InducedPairs:
        """Pair the words of two languages in the shared space, (n, r) and (m, r), by vectors and spellings."""
        joined = (one, other) if spellings is None else spellings.join(one, other)
        return induce_pairs(*joined, neighborhood=self.neighborhood, threads=self.threads)

    def refine(
        self,
        maps: Sequence[NDArray[np.float64]],
        spellings: Mapping[Pair, Spellings],
        *,
        max_rounds: int = 5,
        tolerance: float = 0.01,
        progress: Progress = SILENT,
    ) -> tuple[Sequence[NDArray[np.float64]], list[Round]]:
        """Fit to the dictionaries with what the maps so far induce, until the criterion no longer rises.

        Args:
            maps: Where to start.
            spellings: Weighed, by languages, which then have a say in what is induced; of none, some or all.
            max_rounds: The most times that maps are fitted again; with 0 the first ones are looked at alone.
            tolerance: Stop when the criterion rises by less than this share of itself.
            progress: Where to report.

        Returns:
            The maps of the round of the highest criterion, and what each round saw. The criterion needs no
            held-out pairs: see `InducedPairs`.
        """
        every = list(itertools.combinations(range(len(self.sides)), 2))
        best, chosen = maps, 0
        history: list[Round] = []
        with progress.task("refining", total=(max_rounds + 1) * len(every)) as task:
            for number in range(max_rounds + 1):
                mapped = [map_side(side, matrix, self.cutoff) for side, matrix in zip(self.sides, maps, strict=True)]
                induced = {}
                for pair in every:
                    induced[pair] = self.induce(mapped[pair[0]], mapped[pair[1]], spellings.get(pair))
                    task.advance()
                pairs = self.choose_pairs({pair: found.rows for pair, found in induced.items()}, maps)
                criterion = float(np.mean([found.criterion for found in induced.values()]))
                history.append(
                    Round(
                        number,
                        criterion,
                        {
                            pair: Seen(len(found.rows), len(pairs[pair].rows), self._agreement(pair, found.rows))
                            for pair, found in induced.items()
                        },
                    )
                )
                task.describe(f"criterion {criterion:.4f}")
                risen = criterion - history[chosen].criterion
                if number > 0 and risen > 0:
                    best, chosen = maps, number
                if number == max_rounds or (number > 0 and risen < tolerance * abs(criterion)):
                    break
                maps = self.fit(pairs)
        return best, [replace(entry, chosen=entry.number == chosen) for entry in history]

    def _agreement(self, pair: Pair, induced: NDArray[np.int64]) -> float:
        known = self.known.get(pair, _NO_PAIRS)
        of_known = induced[np.isin(induced[:, 0], known[:, 0])]
        count = len(self.sides[pair[1]])
        listed = np.isin(of_known[:, 0] * count + of_known[:, 1], known[:, 0] * count + known[:, 1])
        return int(listed.sum()) / max(1, len(of_known))


def fit_and_refine(work: Work, fit: Fit, supervision: Supervision, spellings: Spellings | None) -> Aligned:
    """Fit the maps of two languages to a dictionary, weigh spelling by them, and refine them."""
    settings = work.settings
    both = (0, 1)
    refinement = Refinement(
        sides=(work.source, work.target),
        known={both: supervision.pairs},
        fit=lambda pairs: fit(pairs[both].rows, pairs[both].weights),
        cutoff=settings.cutoff,
        neighborhood=settings.neighborhood,
        induced_weight=settings.induced_weight,
        temperature=settings.temperature,
        threads=work.threads,
    )
    one, other = refinement.fit_to_known()
    weighed = work.weigh(spellings, (one, other))
    if settings.refine == 0:
        return Aligned((one, other), weighed)
    (one, other), rounds = refinement.refine(
        (one, other),
        {} if weighed is None else {both: weighed},
        max_rounds=settings.refine,
        tolerance=settings.tolerance,
        progress=work.progress,
    )
    told = [
        {
            "round": entry.number,
            "criterion": round(entry.criterion, 6),
            "induced": entry.pairs[both].induced,
            "pairs": entry.pairs[both].fitted,
            "seed_agreement": round(entry.pairs[both].agreement, 4),
            "chosen": entry.chosen,
        }
        for entry in rounds
    ]
    return Aligned((one, other), weighed, told)
