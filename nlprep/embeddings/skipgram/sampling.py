"""The distributions that skip-gram draws from: which words survive, and which serve as negatives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

TWO_TO_32 = 2**32
HELD_OUT_EPOCH = TWO_TO_32 - 1
"""The epoch whose draws are the held-out examples; no training gets that far."""


def epoch_key(seed: int, epoch: int) -> np.uint64:
    """What mixes seed and epoch into every draw; draws of different keys have nothing to do with each other."""
    key: np.uint64 = np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0]
    return key


def keep_probabilities(counts: NDArray[np.int64], subsample: float) -> NDArray[np.float64]:
    """The probability that an occurrence of each word survives sub-sampling.

    word2vec's formula, ``min(1, (sqrt(f / t) + 1) t / f)`` with f the word's share of the corpus and t the threshold
    ``subsample``; it keeps a little more than the ``sqrt(t / f)`` of Mikolov et al. 2013, equation 5.

    Args:
        counts: (n,) occurrences of each word.
        subsample: Threshold t; 0 keeps everything.

    Returns:
        (n,) float64.
    """
    if subsample == 0:
        return np.ones(len(counts))
    ratio = counts / (subsample * counts.sum())
    kept: NDArray[np.float64] = np.minimum(1.0, (np.sqrt(ratio) + 1) / ratio)
    return kept


def as_thresholds(probabilities: NDArray[np.float64]) -> NDArray[np.uint32]:
    """Probabilities as uint32 thresholds: a uniform 32-bit draw at or below it says yes; 1 always does."""
    scaled = np.ceil(probabilities * TWO_TO_32) - 1
    thresholds: NDArray[np.uint32] = scaled.clip(0, TWO_TO_32 - 1).astype(np.uint32)
    return thresholds


@dataclass(frozen=True)
class AliasTable:
    """A discrete distribution that is sampled in constant time (Walker 1977, built by Vose 1991).

    Attributes:
        thresholds: (n,) uint32; a second draw above ``thresholds[i]`` takes the alias of column i.
        aliases: (n,) int32.
    """

    thresholds: NDArray[np.uint32]
    aliases: NDArray[np.int32]

    @classmethod
    def build(cls, weights: NDArray[np.float64]) -> AliasTable:
        """The table of a distribution proportional to ``weights`` (n,), all positive."""
        size = len(weights)
        share = (weights * (size / weights.sum())).tolist()
        aliases = list(range(size))
        small = [i for i in range(size) if share[i] < 1]
        large = [i for i in range(size) if share[i] >= 1]
        while small and large:
            low, high = small.pop(), large[-1]
            aliases[low] = high
            share[high] -= 1 - share[low]
            if share[high] < 1:
                small.append(large.pop())
        # What is left is 1 but for rounding.
        for i in small + large:
            share[i] = 1.0
        return cls(as_thresholds(np.array(share)), np.array(aliases, np.int32))


def noise_weights(counts: NDArray[np.int64], exponent: float) -> NDArray[np.float64]:
    """Unnormalised probabilities of negatives: counts to the power ``exponent`` (3/4 in Mikolov et al. 2013)."""
    return counts.astype(np.float64) ** exponent
