"""Self-learning: a poor dictionary gives a poor map, which induces a better dictionary (Artetxe et al., ACL 2018).

Two departures from the paper make it a twentieth of the work and more accurate. The vocabulary grows: the map is
found among the most frequent words, where it costs little and vectors are good, and the long tail joins at the end.
And the maps are whitened, re-weighted and de-whitened as soon as they mean something, instead of once at the end.

Whether the result means anything cannot be told from how well the two sides meet: vectors that have nothing in common
are brought together as closely, by a map that fits its own pairs. What tells is agreement: from different starts,
learning arrives at the same translations only if the vectors hold them (measured: up to five sixths of the frequent
words alike, and two in a hundred at most where a side was destroyed). So without known pairs there are two attempts at
least.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nlprep.core.errors import NlprepError
from nlprep.core.progress import SILENT
from nlprep.translation.aligners.aligner import Aligned
from nlprep.translation.aligners.configuration import SelfLearningConfig
from nlprep.translation.aligners.maps import make_fit, map_words, solve_roughly
from nlprep.translation.aligners.starts.distributions import FREQUENT, match_distributions
from nlprep.translation.aligners.whitened import fit_whitened_of
from nlprep.translation.spelling import WEIGHED_ON, Spellings
from nlprep.vectors.csls import find_candidates, mean_csls, mutual_pairs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from nlprep.core.progress import Progress
    from nlprep.translation.aligners.aligner import FewWords, Supervision, Work
    from nlprep.translation.aligners.configuration import AlignmentConfig
    from nlprep.translation.aligners.maps import Fit, Maps
    from nlprep.vectors.nearest import MutualNeighbors


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
BEGINNING = (
    Stage(4_000, 0.2, 8),
    Stage(8_000, 0.4, 8),
)
"""What every attempt goes through before attempts are compared."""
GROWING = (
    Stage(12_000, 0.6, 5),
    Stage(20_000, 0.8, 4),
)
CLOSING = (Stage(20_000, 1.0, 3, mutual=True),)
"""With the spelling, where it says anything."""
SHARES = (1.0, 0.75, 0.6, 0.5)
"""Starts from distributions describe so much of `nlprep.translation.aligners.starts.distributions.FREQUENT` words."""
FEWEST = 500
"""Words of each side, without which attempts may agree by chance."""
LEAST_RIDGE = 1e-3
"""Whoever starts from nothing cannot choose pairs that span every dimension."""
NO_PAIRS: NDArray[np.int64] = np.empty((0, 2), np.int64)


class SelfLearning:
    """From a dictionary too small to fit to, from words spelled alike, or from the vectors alone."""

    name = "self-learning"
    needs_dictionary = False
    takes_dictionary = True

    def with_few_words(self, settings: AlignmentConfig) -> FewWords:  # noqa: ARG002 - whatever they are
        """It is made for them."""
        return "enough"

    def align(self, work: Work, supervision: Supervision, spellings: Spellings | None) -> Aligned:
        """Learn from the pairs there are, or from none."""
        return learn(work, supervision, spellings)


def learn(
    work: Work,
    supervision: Supervision,
    spellings: Spellings | None,
    starts: Iterable[NDArray[np.int64]] | None = None,
) -> Aligned:
    """Learn from a dictionary, from likely pairs or from what comes of ``starts``; see `Learner`."""
    settings = work.settings
    learner = Learner(
        work.source,
        work.target,
        rough=make_fit(work.source, work.target, solve_roughly),
        fit=fit_whitened_of(work, least_ridge=LEAST_RIDGE),
        config=settings.self_learning,
        spellings=spellings,
        cutoff=settings.cutoff,
        neighborhood=settings.neighborhood,
        seed=settings.seed,
        threads=work.threads,
        progress=work.progress,
    )
    if supervision.kind == "dictionary":
        learned = learner.learn_from(supervision.pairs)
    else:
        learned = learner.learn(supervision.pairs, starts)
    rounds = [entry.as_mapping() for entry in learned.iterations]
    return Aligned(learned.maps, learned.spellings, rounds, learned.agreement)


@dataclass(frozen=True)
class Iteration:
    """What one iteration saw before it fitted again.

    Attributes:
        attempt: From 1.
        words: Of each side.
        keep: See `Stage`.
        criterion: Mean CSLS of every word's best counterpart, of both sides. It compares iterations of one stage.
        pairs: That the next maps were fitted to.
        spelling: Weight of spelling in the search.
    """

    attempt: int
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
        agreement: Share of the frequent words that two attempts translated alike; None where pairs were known.
    """

    maps: Maps
    iterations: list[Iteration]
    spellings: Spellings | None
    agreement: float | None


class Learner:
    """Learns maps and a dictionary in turn.

    Args:
        source: (n, d) normalised vectors, frequent words first.
        target: (m, e) likewise.
        rough: Fits maps to few or poor pairs.
        fit: Fits maps to many.
        config: Settings; `SelfLearningConfig` by default.
        spellings: To be weighed and used once the maps are good enough; None for none.
        cutoff: Induce pairs among this many of the most frequent words at most.
        neighborhood: Neighbours averaged by CSLS.
        seed: Of what chance leaves out.
        threads: Processors to use; all by default.
        progress: Where to report.
    """

    def __init__(
        self,
        source: NDArray[np.float32],
        target: NDArray[np.float32],
        *,
        rough: Fit,
        fit: Fit,
        config: SelfLearningConfig | None = None,
        spellings: Spellings | None = None,
        cutoff: int = 20_000,
        neighborhood: int = 10,
        seed: int = 1,
        threads: int | None = None,
        progress: Progress = SILENT,
    ) -> None:
        self._sides = (source, target)
        self._rough = rough
        self._fit = fit
        self._config = config or SelfLearningConfig()
        self._spellings = spellings
        self._cutoff = cutoff
        self._neighborhood = neighborhood
        self._seed = seed
        self._threads = threads
        self._progress = progress

    def learn_from(self, known: NDArray[np.int64]) -> Learned:
        """Learn from (p, 2) pairs that are known to be right, and stay."""
        iterations: list[Iteration] = []
        maps = self.begin(known, iterations, 1, poor=len(known) < self._config.enough_pairs, kept=known)
        maps, spellings = self._finish(maps, iterations, 1, kept=known)
        return Learned(maps, iterations, spellings, None)

    def learn(self, likely: NDArray[np.int64], starts: Iterable[NDArray[np.int64]] | None = None) -> Learned:
        """Learn from (p, 2) pairs of which many are right, or from none.

        Args:
            likely: The pairs.
            starts: Poor dictionaries to start attempts from, of which as many as it takes are fetched; by default
                the pairs, in halves, and distributions.

        Raises:
            NlprepError: A side has fewer than `FEWEST` words, or no two attempts from different starts agree.
        """
        smallest = min(self._cutoff, *map(len, self._sides))
        if smallest < FEWEST:
            raise NlprepError(
                f"{smallest:,} words are too few to learn from without a dictionary: give one, or vectors of at least "
                f"{FEWEST:,} words a side"
            )
        iterations: list[Iteration] = []
        arrived: list[Maps] = []
        best = 0.0
        attempts = self._starts(likely) if starts is None else ((start, True) for start in starts)
        for start, poor in attempts:
            maps = self.begin(start, iterations, len(arrived) + 1, poor=poor)
            for other in arrived:
                agreement, pairs = self.compare(maps, other)
                best = max(best, agreement)
                if agreement >= self._config.agreement:
                    attempt = len(arrived) + 1
                    if agreement < self._config.clear:
                        # One of the two has gone half the way at best; but what they agree on is right, since chance
                        # makes no two agree, and on that a further attempt can build.
                        attempt += 1
                        maps = self.begin(pairs, iterations, attempt, poor=True)
                    maps, spellings = self._finish(maps, iterations, attempt)
                    return Learned(maps, iterations, spellings, agreement)
            arrived.append(maps)
        found = (
            f"{len(arrived)} attempts from different starts agree on at most {100 * best:.1f}% of the frequent words"
        )
        raise NlprepError(
            f"{found if len(arrived) > 1 else 'no two attempts got anywhere'}, "
            "so none can be trusted: give a small dictionary (25 pairs help), or vectors trained on larger texts of "
            "one kind"
        )

    def compare(self, one: Maps, other: Maps) -> tuple[float, NDArray[np.int64]]:
        """What two pairs of maps translate alike among the most frequent words.

        Returns:
            The share of the words of both sides, and (p, 2) rows of those that are each other's best in both.
        """
        first, second = (
            find_candidates(
                *map_words(*self._sides, maps, min(self._config.compared, self._cutoff)),
                neighborhood=self._neighborhood,
                threads=self._threads,
            )
            for maps in (one, other)
        )
        same = [
            np.mean(these[:, 0] == those[:, 0])
            for these, those in ((first.targets, second.targets), (first.sources, second.sources))
        ]
        pairs = mutual_pairs(first)
        return float(np.mean(same)), pairs[second.targets[pairs[:, 0], 0] == pairs[:, 1]]

    def _starts(self, likely: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], bool]]:
        """Starts that have as little as may be in common, and whether they are poor."""
        if len(likely):
            half = np.random.default_rng(self._seed).permutation(len(likely)) % 2 == 0
            for part in (likely[half], likely[~half]):
                yield part, len(part) < self._config.enough_pairs
        fewest = min(FREQUENT, self._cutoff, *map(len, self._sides))
        for share in SHARES:
            pairs = match_distributions(
                *self._sides,
                frequent=max(1, round(share * fewest)),
                neighborhood=self._neighborhood,
                threads=self._threads,
            )
            yield pairs, True

    def begin(
        self,
        start: NDArray[np.int64],
        iterations: list[Iteration],
        attempt: int,
        *,
        poor: bool,
        kept: NDArray[np.int64] = NO_PAIRS,
    ) -> Maps:
        """An attempt as far as attempts are compared.

        Args:
            start: (p, 2) rows to begin with.
            iterations: What they saw is appended.
            attempt: Its number, from 1.
            poor: Whether hardly any pair is right, so that chance has to find others.
            kept: (q, 2) rows that are right, and stay.
        """
        stages = (*FROM_NOTHING, *BEGINNING) if poor else BEGINNING
        maps = self._rough(start, np.ones(len(start)))
        return self._pass_through(stages, maps, iterations, attempt, kept, None)

    def _finish(
        self, maps: Maps, iterations: list[Iteration], attempt: int, kept: NDArray[np.int64] = NO_PAIRS
    ) -> tuple[Maps, Spellings | None]:
        maps = self._pass_through(GROWING, maps, iterations, attempt, kept, None)
        weighed = None
        if self._spellings is not None:
            some = map_words(*self._sides, maps, min(self._cutoff, WEIGHED_ON))
            weighed = self._spellings.weighed(*some, neighborhood=self._neighborhood, threads=self._threads)
        return self._pass_through(CLOSING, maps, iterations, attempt, kept, weighed), weighed

    def _pass_through(
        self,
        stages: Sequence[Stage],
        maps: Maps,
        iterations: list[Iteration],
        attempt: int,
        kept: NDArray[np.int64],
        spellings: Spellings | None,
    ) -> Maps:
        total = sum(stage.iterations for stage in stages)
        with self._progress.task(f"self-learning, attempt {attempt}", total=total) as task:
            for stage in stages:
                # Anew for each stage, so that what chance does depends on nothing before.
                generator = np.random.default_rng([self._seed, attempt, len(iterations)])
                best, since = -np.inf, 0
                for _ in range(stage.iterations):
                    one, other = map_words(*self._sides, maps, min(stage.words, self._cutoff))
                    if spellings is not None:
                        one, other = spellings.join(one, other)
                    found = find_candidates(
                        one,
                        other,
                        1 if stage.mutual else self._config.candidates,
                        neighborhood=self._neighborhood,
                        threads=self._threads,
                    )
                    chosen = mutual_pairs(found) if stage.mutual else choose_by_chance(found, stage.keep, generator)
                    pairs = np.concatenate([kept, chosen])
                    criterion = mean_csls(found)
                    weight = 0.0 if spellings is None else spellings.weight
                    iterations.append(Iteration(attempt, len(one), stage.keep, criterion, len(pairs), weight))
                    task.describe(f"{len(one):,} words, criterion {criterion:.4f}")
                    task.advance()
                    maps = (self._rough if stage.rough else self._fit)(pairs, np.ones(len(pairs)))
                    since = 0 if criterion > best + self._config.tolerance * abs(best) else since + 1
                    best = max(best, criterion)
                    if since >= self._config.patience:
                        break
        return maps


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
    for counterparts in (found.targets, found.sources):
        left = generator.random(counterparts.shape) < keep
        words = np.flatnonzero(left.any(axis=1))
        sides.append((words, counterparts[words, left[words].argmax(axis=1)]))
    (source, of_source), (target, of_target) = sides
    return np.concatenate([np.stack([source, of_source], 1), np.stack([of_target, target], 1)])
