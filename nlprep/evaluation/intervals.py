"""How sure a measured figure is: intervals for one system, and the comparison of two on the same examples.

A share of successes has an interval in closed form (`wilson_interval`). Any other statistic is computed again on
examples drawn with replacement (`bootstrap_interval`). Two systems that answered the same examples are compared
example by example, by the cases on which they differ (`compare_answers`) or by any statistic (`compare_systems`): as
hard examples are hard for both, this sees differences that two separate intervals hide.

All of these take examples to be independent draws. They say nothing of another training seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from nlprep.core.errors import NlprepError, OptionError
from nlprep.core.randomness import combine, uniforms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import ArrayLike, NDArray

_ROWS = 1
_DRAWN_AT_ONCE = 1 << 16


@dataclass(frozen=True)
class Interval:
    """A figure and where it may well lie.

    Attributes:
        value: As it was measured.
        low: Lower end.
        high: Upper end.
        level: How often such an interval holds the true figure.
    """

    value: float
    low: float
    high: float
    level: float

    def to_dict(self) -> dict[str, float]:
        """Plain values, fit for JSON."""
        return {"value": self.value, "low": self.low, "high": self.high, "level": self.level}


@dataclass(frozen=True)
class AnswerComparison:
    """McNemar's exact test of two systems on the same questions.

    Attributes:
        both: Questions that both answered rightly.
        first_only: Those that the first alone did.
        second_only: Those that the second alone did.
        neither: The rest.
        p_value: How often two equally good systems would differ at least so unevenly.
    """

    both: int
    first_only: int
    second_only: int
    neither: int
    p_value: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON."""
        return {
            "both": self.both,
            "first_only": self.first_only,
            "second_only": self.second_only,
            "neither": self.neither,
            "p_value": self.p_value,
        }


@dataclass(frozen=True)
class SystemComparison:
    """A statistic of two systems on the same examples.

    Attributes:
        first: Of the first system.
        second: Of the second.
        difference: First less second.
        p_value: Two-sided: twice the share of resamples, at most 1, in which the lead vanishes or turns round.
    """

    first: float
    second: float
    difference: Interval
    p_value: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON."""
        return {
            "first": self.first,
            "second": self.second,
            "difference": self.difference.to_dict(),
            "p_value": self.p_value,
        }


def wilson_interval(successes: int, trials: int, *, level: float = 0.95) -> Interval:
    """The score interval of a share, right also near 0 and 1 and for few trials.

    With z the normal quantile of (1 + level) / 2 and p = successes / trials, the ends are
    (p + z²/2n ± z sqrt(p(1 - p)/n + z²/4n²)) / (1 + z²/n): Wilson 1927, "Probable inference, the law of succession,
    and statistical inference"; recommended by Brown, Cai and DasGupta 2001.

    >>> wilson_interval(8, 10)
    Interval(value=0.8, low=0.4901..., high=0.9433..., level=0.95)

    Args:
        successes: How often it happened.
        trials: Of how many times.
        level: How often such intervals hold the true share, between 0 and 1.

    Raises:
        OptionError: Numbers out of their range.
    """
    if not 0 <= successes <= trials or trials < 1:
        raise OptionError(f"{successes} successes in {trials} trials: give at least one trial, and no more successes")
    return _wilson(successes / trials, trials, level)


def _wilson(share: float, trials: float, level: float) -> Interval:
    z = NormalDist().inv_cdf((1 + _checked_level(level)) / 2)
    middle = share + z * z / (2 * trials)
    reach = z * float(np.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials)))
    whole = 1 + z * z / trials
    # At the ends of the range the sums cancel but for a rounding error.
    low = 0.0 if share == 0 else (middle - reach) / whole
    high = 1.0 if share == 1 else (middle + reach) / whole
    return Interval(share, low, high, level)


def repeated_interval(right: ArrayLike, *, level: float = 0.95) -> Interval:
    """The score interval of a share where each question was asked several times, which are not so many questions.

    What the same question is answered again tells less than another question's answer, nothing where the answers
    always agree. So `wilson_interval` is taken with as many trials as independent answers would vary alike: the share's
    variance is that of the questions' own shares over their number (Korn and Graubard 1998, "Confidence intervals for
    proportions with small expected number of positive counts estimated from survey data"). There are at least as many
    as questions, and at most as many as answers.

    >>> repeated_interval([[True, True], [False, False]] * 20) == wilson_interval(20, 40)
    True

    Args:
        right: (questions, times) whether each answer was right.
        level: How often such intervals hold the true share, roughly.

    Raises:
        NlprepError: No answers, or of another shape.
        OptionError: A level out of range.
    """
    answers = np.asarray(right, np.float64)
    if answers.ndim != 2 or not answers.size:
        raise NlprepError(f"answers of shape {answers.shape}: give (questions, times)")
    return clustered_interval(answers.ravel(), np.repeat(np.arange(len(answers)), answers.shape[1]), level=level)


def clustered_interval(right: ArrayLike, clusters: ArrayLike, *, level: float = 0.95) -> Interval:
    """The score interval of a share where examples come in clusters, such as the questions about one image.

    What is alike in a cluster is seen once, not as often as the cluster has examples. So `wilson_interval` is taken
    with as many trials as independent examples would vary alike (Korn and Graubard 1998): the share is a ratio of
    clusters' sums, whose variance is by its linear approximation m / (m - 1) sum_c (right_c - share n_c)^2 / n^2
    (Cochran 1977, "Sampling techniques", 6.4). There are at most as many trials as examples, and at least
    n^2 / sum_c n_c^2, which is what is left where all of a cluster are alike.

    >>> clustered_interval([True, True, False, False] * 10, [0, 0, 1, 1] * 10)
    Interval(value=0.5, low=0.0945..., high=0.9054..., level=0.95)

    Args:
        right: (n,) whether each is right, or how right, in [0, 1].
        clusters: (n,) whole numbers that tell clusters apart.
        level: How often such intervals hold the true share, roughly.

    Raises:
        NlprepError: No examples, arrays of other shapes, or values outside [0, 1].
        OptionError: A level out of range.
    """
    values, members = np.asarray(right, np.float64), np.asarray(clusters)
    if values.ndim != 1 or values.shape != members.shape or not len(values):
        raise NlprepError(
            f"values {values.shape} in clusters {members.shape}: give one cluster for each of some values"
        )
    if not (values.min() >= 0 and values.max() <= 1):
        raise NlprepError(f"values run from {values.min():.4g} to {values.max():.4g}: give shares, in [0, 1]")
    _, which = np.unique(members, return_inverse=True)
    sizes, sums = np.bincount(which), np.bincount(which, weights=values)
    share = float(values.mean())
    least, most = len(values) ** 2 / float((sizes.astype(np.float64) ** 2).sum()), float(len(values))
    number = len(sizes)
    varied = 0.0
    if number > 1:
        varied = number / (number - 1) * float(((sums - share * sizes) ** 2).sum()) / len(values) ** 2
    # Where all are right or none is, how they vary is not known.
    trials = share * (1 - share) / varied if varied > 0 else least
    return _wilson(share, min(max(trials, least), most), level)


def bootstrap_interval(
    statistic: Callable[..., float],
    *samples: ArrayLike,
    level: float = 0.95,
    resamples: int = 2_000,
    seed: int = 1,
) -> Interval:
    """The percentile interval of any statistic: Efron and Tibshirani 1993, "An introduction to the bootstrap", 13.3.

    Args:
        statistic: Called with arrays of n examples; gives a number.
        samples: Arrays (n, ...), which are drawn from together.
        level: How often such intervals hold the true figure, roughly; with few examples less often.
        resamples: How many times examples are drawn.
        seed: Of the draws, which are functions of it and of the resample's number.

    Raises:
        OptionError: A level or number out of range.
        NlprepError: Arrays of different lengths or without examples, or a statistic that is not finite.
    """
    arrays = _checked_samples(samples)
    value = _checked_value(statistic(*arrays), "the examples")
    found = [
        _checked_value(statistic(*(array[rows] for array in arrays)), f"resample {number} of the examples")
        for number, rows in enumerate(_draws(len(arrays[0]), resamples, seed))
    ]
    return Interval(value, *_percentiles(found, level), level)


def compare_answers(first_right: ArrayLike, second_right: ArrayLike) -> AnswerComparison:
    """Whether one of two systems answers more questions rightly: McNemar's test, exactly.

    >>> compare_answers([True] * 6 + [False], [False] * 6 + [False]).p_value
    0.03125

    Only the questions that one alone answered count. If both systems are equally good, these fall to either like a fair
    coin: the p-value is the two-sided binomial one (McNemar 1947; exact as in Dietterich 1998's remark for few
    disagreements).

    Args:
        first_right: (n,) whether the first system's answer is right.
        second_right: (n,) the second's, to the same questions.

    Raises:
        NlprepError: Arrays of different lengths, without questions, or of something else than truth values.
    """
    first, second = _checked_samples((first_right, second_right))
    for side in (first, second):
        if side.ndim != 1 or side.dtype != np.bool_:
            raise NlprepError(f"answers of shape {side.shape} and type {side.dtype}: say of each whether it is right")
    first_only, second_only = int((first & ~second).sum()), int((second & ~first).sum())
    p_value = 1.0
    if first_only + second_only:
        from scipy.stats import binomtest

        p_value = float(binomtest(first_only, first_only + second_only).pvalue)
    return AnswerComparison(
        int((first & second).sum()), first_only, second_only, int((~first & ~second).sum()), min(1.0, p_value)
    )


def compare_systems(
    statistic: Callable[..., float],
    first: ArrayLike,
    second: ArrayLike,
    *shared: ArrayLike,
    level: float = 0.95,
    resamples: int = 2_000,
    seed: int = 1,
) -> SystemComparison:
    """Whether one of two systems does better by any statistic: the paired bootstrap.

    Both systems are measured on the same draws of examples (Efron and Tibshirani 1993, 16; Koehn 2004, "Statistical
    significance tests for machine translation evaluation"). The p-value counts the measured sample as one more draw, so
    that it is never 0 (Davison and Hinkley 1997, 4.2).

    Args:
        statistic: Called with a system's outputs and the shared arrays; gives a number.
        first: (n, ...) outputs of the first system.
        second: (n, ...) outputs of the second, for the same examples.
        shared: (n, ...) what both are measured against, such as the right answers.
        level: As for `bootstrap_interval`, of the interval of the difference.
        resamples: As for `bootstrap_interval`.
        seed: As for `bootstrap_interval`.

    Raises:
        OptionError: A level or number out of range.
        NlprepError: As `bootstrap_interval`.
    """
    one, other, *common = _checked_samples((first, second, *shared))
    values = [_checked_value(statistic(side, *common), "the examples") for side in (one, other)]
    differences = []
    for number, rows in enumerate(_draws(len(one), resamples, seed)):
        drawn = [array[rows] for array in common]
        where = f"resample {number} of the examples"
        differences.append(
            _checked_value(statistic(one[rows], *drawn), where) - _checked_value(statistic(other[rows], *drawn), where)
        )
    found = np.array(differences)
    tail = min(np.count_nonzero(found <= 0), np.count_nonzero(found >= 0))
    return SystemComparison(
        values[0],
        values[1],
        Interval(values[0] - values[1], *_percentiles(differences, level), level),
        min(1.0, 2 * (1 + tail) / (1 + len(found))),
    )


def _draws(num_examples: int, resamples: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Rows of each resample, drawn with replacement."""
    if resamples < 1:
        raise OptionError(f"resamples = {resamples}: must be at least 1")
    # Several at a time, as one of few examples is made faster than it is asked for.
    step = max(1, _DRAWN_AT_ONCE // num_examples)
    for first in range(0, resamples, step):
        numbers = np.arange(first, min(first + step, resamples))
        chances = uniforms(combine(seed, numbers), num_examples, purpose=_ROWS)
        yield from (chances * num_examples).astype(np.int64)


def _percentiles(values: Sequence[float], level: float) -> tuple[float, float]:
    outside = (1 - _checked_level(level)) / 2
    low, high = np.quantile(values, [outside, 1 - outside])
    return float(low), float(high)


def _checked_level(level: float) -> float:
    if not 0 < level < 1:
        raise OptionError(f"level = {level}: must lie between 0 and 1, such as 0.95")
    return level


def _checked_samples(samples: Sequence[ArrayLike]) -> list[NDArray[Any]]:
    arrays = [np.asarray(sample) for sample in samples]
    shapes = ", ".join(str(array.shape) for array in arrays)
    if not arrays or any(array.ndim < 1 or len(array) != len(arrays[0]) for array in arrays):
        raise NlprepError(f"samples of shapes {shapes or 'none'}: give arrays of the same examples")
    if not len(arrays[0]):
        raise NlprepError("there are no examples to measure on: give some")
    return arrays


def _checked_value(value: float, where: str) -> float:
    if value is None or not np.isfinite(value):
        raise NlprepError(f"the statistic is {value} on {where}: give more examples, or one that is always defined")
    return float(value)
