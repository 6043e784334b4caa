"""VecMap's unsupervised learning, written anew from its paper (Artetxe, Labaka & Agirre, ACL 2018), to compare with.

`iterate_plainly` is one iteration in NumPy with the operations and the memory traffic of the published release: every
similarity is computed four times (twice for CSLS's means, twice for the dictionary, in both directions), the ten
nearest are found by taking the maximum ten times, and a random number is drawn for every similarity. `Schedule` says
how many iterations there are: the probability of keeping a similarity doubles when fifty iterations have not raised
the objective, and learning ends when it is 1 and fifty more have not.

`run_to_the_end` counts them with the same mathematics done faster: a similarity that chance leaves out matters only
if it would have been the best, so drawing for the best `CANDIDATES` of a word is enough (that none of so many is
kept, at the least probability of 0.1, happens to one word in eight hundred; that word sits out). The objective is the
mean cosine of the best under CSLS, where the release takes the greatest cosine.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from nlprep.translation.aligners.maps import make_fit, map_words
from nlprep.translation.aligners.self_learning import choose_by_chance
from nlprep.translation.aligners.starts.distributions import match_distributions
from nlprep.vectors.csls import find_candidates
from nlprep.vectors.whitening import PRESETS, fit_whitened

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from nlprep.translation.aligners.maps import Maps

BATCH = 10_000
"""Rows of similarities that are held at a time."""
NEIGHBORHOOD = 10
CANDIDATES = 64


def iterate_plainly(
    source: NDArray[np.float32],
    target: NDArray[np.float32],
    pairs: NDArray[np.int64],
    keep: float,
    generator: np.random.Generator,
) -> tuple[NDArray[np.int64], float]:
    """From a dictionary to the next: one orthogonal map, one induction in both directions.

    Args:
        source: (n, d) normalised vectors of the words within the cut-off.
        target: (m, d) likewise.
        pairs: (p, 2) rows.
        keep: Probability of keeping a similarity.
        generator: Chance.

    Returns:
        Pairs of every word with its best, (n + m, 2), and the objective.
    """
    left, _, right = np.linalg.svd(source[pairs[:, 0]].T @ target[pairs[:, 1]])
    one, other = source @ left, target @ right.T
    targets, of_sources = _induce(one, other, keep, generator)
    sources, of_targets = _induce(other, one, keep, generator)
    dictionary = np.concatenate(
        [np.stack([np.arange(len(one)), targets], 1), np.stack([sources, np.arange(len(other))], 1)]
    )
    return dictionary, (of_sources + of_targets) / 2


def _induce(
    queries: NDArray[np.float32], keys: NDArray[np.float32], keep: float, generator: np.random.Generator
) -> tuple[NDArray[np.int64], float]:
    """The best key of each query under CSLS among the similarities kept, and the mean of the greatest cosines."""
    means = np.concatenate([_mean_of_nearest(block @ queries.T) for block in _blocks(keys)])
    found, best = [], 0.0
    for block in _blocks(queries):
        similarities = block @ keys.T
        best += float(similarities.max(axis=1).sum(dtype=np.float64))
        similarities -= means / 2
        if keep < 1:
            # Left out is what becomes 0 after the least is subtracted.
            similarities -= similarities.min()
            similarities *= generator.random(similarities.shape, np.float32) < keep
        found.append(similarities.argmax(axis=1))
    return np.concatenate(found), best / len(queries)


def _mean_of_nearest(similarities: NDArray[np.float32]) -> NDArray[np.float32]:
    rows = np.arange(len(similarities))
    total = np.zeros(len(similarities), np.float32)
    for _ in range(NEIGHBORHOOD):
        nearest = similarities.argmax(axis=1)
        total += similarities[rows, nearest]
        similarities[rows, nearest] = -1
    return total / np.float32(NEIGHBORHOOD)


def _blocks(matrix: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    return (matrix[start : start + BATCH] for start in range(0, len(matrix), BATCH))


@dataclass
class Schedule:
    """When to keep more, and when to stop; the release's defaults.

    Attributes:
        keep: Probability of keeping a similarity.
        multiplier: What it is multiplied by.
        interval: Iterations without a rise of the objective.
        threshold: The least rise that counts.
    """

    keep: float = 0.1
    multiplier: float = 2.0
    interval: int = 50
    threshold: float = 1e-6
    iterations: int = 0
    best: float = -np.inf
    since: int = 0

    def goes_on(self, objective: float) -> bool:
        """Take note of an iteration's objective; False once learning has converged."""
        self.iterations += 1
        self.since += 1
        if objective >= self.best + self.threshold:
            self.best, self.since = objective, 0
        if self.since > self.interval:
            if self.keep >= 1:
                return False
            self.keep, self.since = min(1.0, self.keep * self.multiplier), 0
        return True

    @property
    def fewest(self) -> int:
        """Iterations that there are at least, whatever the vectors."""
        levels = 1 + int(np.ceil(np.log(1 / self.keep) / np.log(self.multiplier)))
        return levels * (self.interval + 1)


def run_to_the_end(
    source: NDArray[np.float32],
    target: NDArray[np.float32],
    *,
    cutoff: int = 20_000,
    seed: int = 1,
    most: int = 1_000,
    threads: int | None = None,
) -> tuple[Maps, Schedule]:
    """Learn without a dictionary as VecMap does, and map by its final whitening, re-weighting and de-whitening.

    Args:
        source: (n, d) normalised vectors, frequent words first.
        target: (m, d) likewise.
        cutoff: Frequent words of each side to learn from.
        seed: Of chance.
        most: Iterations after which to give up.
        threads: Processors to use; all by default.

    Returns:
        The maps, and the schedule with the number of iterations.
    """
    generator = np.random.default_rng(seed)
    orthogonal = make_fit(source, target, partial(fit_whitened, config=PRESETS["orthogonal"]))
    pairs = match_distributions(source, target, threads=threads)
    schedule = Schedule()
    going = True
    while going and schedule.iterations < most:
        one, other = map_words(source, target, orthogonal(pairs, np.ones(len(pairs))), cutoff)
        count = CANDIDATES if schedule.keep < 1 else 1
        found = find_candidates(one, other, count, neighborhood=NEIGHBORHOOD, threads=threads)
        pairs = choose_by_chance(found, schedule.keep, generator)
        cosines = [
            float(np.einsum("ij,ij->i", side, facing[best[:, 0]]).mean(dtype=np.float64))
            for side, facing, best in ((one, other, found.targets), (other, one, found.sources))
        ]
        going = schedule.goes_on(sum(cosines) / 2)
    final = make_fit(source, target, fit_whitened)
    return final(pairs, np.ones(len(pairs))), schedule
