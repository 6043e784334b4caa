"""Self-learning: a poor dictionary gives a poor map, which induces a better dictionary (Artetxe et al., ACL 2018).

Two departures from the paper make it a twentieth of the work and more accurate. The vocabulary grows: the map is
found among the most frequent words, where it costs little and vectors are good, and the long tail joins at the end.
And the maps are whitened, re-weighted and de-whitened as soon as they mean something, instead of once at the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nlprep.core.progress import SILENT
from nlprep.translation.csls import find_candidates, mean_csls, mutual_pairs
from nlprep.translation.distributions import match_distributions
from nlprep.translation.maps import map_words
from nlprep.translation.spelling import WEIGHED_ON, Spellings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nlprep.core.progress import Progress
    from nlprep.embeddings.nearest import MutualNeighbors
    from nlprep.translation.maps import Fit, Maps


@dataclass(frozen=True)
class Stage:
    """A part of the schedule.

    Attributes:
        words: The most frequent words of each side among which pairs are induced.
        keep: Probability that a candidate is considered: the rest are left out by chance, anew in each iteration,
            which lets a map escape from a poor dictionary (section 3.3 of the paper). 1 takes the best of every word.
        iterations: The most of them.
        rough: Whether maps are orthogonal and re-weighted alone, which few and poor pairs suffice for.
        mutual: Whether only words that are each other's best are paired; otherwise every word with its best.
    """

    words: int
    keep: float
    iterations: int
    rough: bool = False
    mutual: bool = False


FROM_NOTHING = (
    Stage(4_000, 0.1, 40, rough=True),
    Stage(4_000, 0.2, 12, rough=True),
)
"""While hardly any pair is right."""
GROWING = (
    Stage(4_000, 0.2, 8),
    Stage(8_000, 0.4, 8),
    Stage(12_000, 0.6, 5),
    Stage(20_000, 0.8, 4),
)
CLOSING = (Stage(20_000, 1.0, 3, mutual=True),)
"""With the spelling, where it says anything."""
CANDIDATES = 8
"""Best counterparts of a word among which chance leaves out. A word that loses all of them sits out."""
PATIENCE = 3
"""Iterations without a rise after which a stage ends."""
TOLERANCE = 0.01
"""Share of itself that the criterion must rise by."""
MANY = 500
"""Pairs to start from that need no escape from a poor dictionary."""


@dataclass(frozen=True)
class Iteration:
    """What one iteration saw before it fitted again.

    Attributes:
        number: From 0.
        words: Of each side.
        keep: See `Stage`.
        criterion: Mean CSLS of every word's best counterpart, of both sides. It compares iterations of one stage.
        pairs: That the next maps were fitted to.
        spelling: Weight of spelling in the search.
    """

    number: int
    words: int
    keep: float
    criterion: float
    pairs: int
    spelling: float

    def as_mapping(self) -> dict[str, Any]:
        """Plain values, for provenance."""
        return vars(self) | {"criterion": round(self.criterion, 6), "spelling": round(self.spelling, 4)}


@dataclass(frozen=True)
class Learned:
    """What self-learning ends with.

    Attributes:
        maps: Of the two sides.
        iterations: In order.
        spellings: Given ones, weighed.
    """

    maps: Maps
    iterations: list[Iteration]
    spellings: Spellings | None


def learn(
    source: NDArray[np.float32],
    target: NDArray[np.float32],
    start: NDArray[np.int64],
    *,
    rough: Fit,
    fit: Fit,
    known: bool = False,
    spellings: Spellings | None = None,
    cutoff: int = 20_000,
    neighborhood: int = 10,
    seed: int = 1,
    threads: int | None = None,
    progress: Progress = SILENT,
) -> Learned:
    """Learn maps and a dictionary in turn.

    Args:
        source: (n, d) normalised vectors, frequent words first.
        target: (m, e) likewise.
        start: (p, 2) pairs to start from; none: those of `nlprep.translation.distributions.match_distributions`.
        rough: Fits maps to few or poor pairs.
        fit: Fits maps to many.
        known: Whether the starting pairs are known to be right, and stay.
        spellings: To be weighed and used once the maps are good enough; None for none.
        cutoff: Induce pairs among this many of the most frequent words at most.
        neighborhood: Neighbours averaged by CSLS.
        seed: Of what chance leaves out.
        threads: Processors to use; all by default.
        progress: Where to report.
    """
    kept = start if known else start[:0]
    # A thousand pairs, of which most are right, leave nothing for chance to find.
    stages = (*(FROM_NOTHING if len(start) < MANY else ()), *GROWING, *CLOSING)
    if not len(start):
        start = match_distributions(source, target, neighborhood=neighborhood, threads=threads)
    generator = np.random.default_rng(seed)
    maps = rough(start, np.ones(len(start)))
    iterations: list[Iteration] = []
    weighed: Spellings | None = None
    with progress.task("self-learning", total=sum(stage.iterations for stage in stages)) as task:
        for stage in stages:
            if stage.mutual and spellings is not None:
                some = map_words(source, target, maps, min(cutoff, WEIGHED_ON))
                weighed = spellings.weighed(*some, neighborhood=neighborhood, threads=threads)
            best, since = -np.inf, 0
            for _ in range(stage.iterations):
                one, other = map_words(source, target, maps, min(stage.words, cutoff))
                if weighed is not None:
                    one, other = weighed.join(one, other)
                count = 1 if stage.mutual else CANDIDATES
                found = find_candidates(one, other, count, neighborhood=neighborhood, threads=threads)
                chosen = mutual_pairs(found) if stage.mutual else choose_by_chance(found, stage.keep, generator)
                pairs = np.concatenate([kept, chosen])
                criterion = mean_csls(found)
                weight = 0.0 if weighed is None else weighed.weight
                iterations.append(Iteration(len(iterations), len(one), stage.keep, criterion, len(pairs), weight))
                task.describe(f"{len(one):,} words, criterion {criterion:.4f}")
                task.advance()
                maps = (rough if stage.rough else fit)(pairs, np.ones(len(pairs)))
                since = 0 if criterion > best + TOLERANCE * abs(best) else since + 1
                best = max(best, criterion)
                if since >= PATIENCE:
                    break
    return Learned(maps, iterations, weighed)


def choose_by_chance(found: MutualNeighbors, keep: float, generator: np.random.Generator) -> NDArray[np.int64]:
    """For each word of either side the best of the candidates that chance leaves, if it leaves any.

    Args:
        found: Candidates of the n source and m target words.
        keep: Probability that a candidate is left.
        generator: Chance.

    Returns:
        (p, 2) rows, p at most n + m.
    """
    sides = []
    for counterparts in (found.forward, found.backward):
        left = generator.random(counterparts.shape) < keep
        words = np.flatnonzero(left.any(axis=1))
        sides.append((words, counterparts[words, left[words].argmax(axis=1)]))
    (source, of_source), (target, of_target) = sides
    return np.concatenate([np.stack([source, of_source], 1), np.stack([of_target, target], 1)])
