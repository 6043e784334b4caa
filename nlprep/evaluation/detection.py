"""How well a score tells what is odd from what is usual, and where to draw the line without having seen anything odd.

Scores are higher the odder an example is. The area under the ROC curve is the chance that an odd example scores above a
usual one, ties counting half; average precision is scikit-learn's (a step function, not interpolated), and depends on
how many odd examples there are: the share of them, which is what chance gives, stands beside it.

Where to draw the line is learned from usual examples alone (`fit_threshold`). The quantile of a sample is no promise:
by bad luck the next examples exceed it far oftener. The line is therefore an order statistic high enough that the
share of usual examples above it is at most as asked *with a stated confidence*, whatever the distribution (Wilks 1941,
"Determination of sample sizes for setting tolerance limits").
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from nlprep.core.errors import NlprepError, OptionError
from nlprep.core.randomness import combine, uniforms
from nlprep.evaluation.intervals import Interval, wilson_interval

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_USUAL, _ODD = 1, 2


@dataclass(frozen=True)
class Threshold:
    """A line above which a score is called odd.

    Attributes:
        value: The line.
        rate: The share of usual examples that may lie above it.
        confidence: How often samples give a line that keeps this, at least; never below what was asked.
        asked_confidence: What was asked.
        num_examples: Usual examples that it was learned from.
        rank: Which of them it is, from 1 for the least score.
    """

    value: float
    rate: float
    confidence: float
    asked_confidence: float
    num_examples: int
    rank: int

    def flag(self, scores: ArrayLike) -> NDArray[np.bool_]:
        """(n,) which scores lie above the line.

        Raises:
            NlprepError: Scores that are not finite numbers.
        """
        return _checked_scores(scores, "scores") > self.value

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON."""
        return dict(vars(self))


@dataclass(frozen=True)
class DetectionResult:
    """How well scores tell odd from usual examples.

    Attributes:
        auroc: The area under the ROC curve with its 95% interval.
        average_precision: With its 95% interval.
        num_usual: Usual examples.
        num_odd: Odd ones.
        prevalence: The share of odd ones, which is the average precision of chance.
        false_alarms: The share of usual examples above the threshold with its interval; None where none was given.
        detected: The share of odd ones above it.
    """

    auroc: Interval
    average_precision: Interval
    num_usual: int
    num_odd: int
    prevalence: float
    false_alarms: Interval | None = None
    detected: Interval | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON."""
        return {name: value.to_dict() if isinstance(value, Interval) else value for name, value in vars(self).items()}


def evaluate_detection(
    usual: ArrayLike,
    odd: ArrayLike,
    *,
    threshold: Threshold | None = None,
    level: float = 0.95,
    resamples: int = 500,
    seed: int = 1,
) -> DetectionResult:
    """Measure scores of examples of which it is known what they are.

    The interval of the area is Newcombe's (`area_interval`); that of average precision is the percentile bootstrap,
    usual and odd examples drawn apart.

    Args:
        usual: (n,) scores of usual examples, none of them learned from.
        odd: (m,) scores of odd ones.
        threshold: Also measure this line.
        level: Of the intervals.
        resamples: Of the bootstrap.
        seed: Of its draws.

    Raises:
        NlprepError: No examples of a side, or scores that are not finite numbers.
        OptionError: A level or number out of range.
    """
    low, high = _checked_scores(usual, "scores of usual examples"), _checked_scores(odd, "scores of odd examples")
    if not 0 < level < 1:
        raise OptionError(f"level = {level}: must lie between 0 and 1, such as 0.95")
    if resamples < 1:
        raise OptionError(f"resamples = {resamples}: must be at least 1")
    drawn = [
        _average_precision(_resample(low, seed, _USUAL, number), _resample(high, seed, _ODD, number))
        for number in range(resamples)
    ]
    ends = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    alarms = detected = None
    if threshold is not None:
        alarms = wilson_interval(int(threshold.flag(low).sum()), len(low), level=level)
        detected = wilson_interval(int(threshold.flag(high).sum()), len(high), level=level)
    return DetectionResult(
        auroc=area_interval(area_under_curve(low, high), len(low), len(high), level=level),
        average_precision=Interval(_average_precision(low, high), float(ends[0]), float(ends[1]), level),
        num_usual=len(low),
        num_odd=len(high),
        prevalence=len(high) / (len(low) + len(high)),
        false_alarms=alarms,
        detected=detected,
    )


def area_under_curve(usual: ArrayLike, odd: ArrayLike) -> float:
    """The share of pairs in which the odd example scores above the usual one, ties counting half.

    >>> area_under_curve([0.1, 0.4], [0.4, 0.9])
    0.875

    Args:
        usual: (n,) scores.
        odd: (m,) scores.

    Raises:
        NlprepError: No examples of a side, or scores that are not finite numbers.
    """
    from sklearn.metrics import roc_auc_score

    low, high = _checked_scores(usual, "scores of usual examples"), _checked_scores(odd, "scores of odd examples")
    return float(roc_auc_score(_truth(low, high), np.concatenate([low, high])))


def area_interval(area: float, num_usual: int, num_odd: int, *, level: float = 0.95) -> Interval:
    """The interval of an area under the ROC curve that is right also near 1, where others shrink to nothing.

    Newcombe 2006, "Confidence intervals for an effect size measure based on the Mann-Whitney statistic, part 2",
    method 5: the areas A with |A - area| <= z sqrt(V(A)), where, n and m being the numbers and N = (n + m) / 2 - 1,
    V(A) = A (1 - A) (1 + N ((1 - A) / (2 - A) + A / (1 + A))) / (n m).

    >>> area_interval(1.0, 50, 50).low
    0.960...

    Args:
        area: As measured.
        num_usual: n.
        num_odd: m.
        level: How often such intervals hold the true area, about.

    Raises:
        OptionError: Numbers out of their range.
    """
    if not 0 <= area <= 1 or min(num_usual, num_odd) < 1 or not 0 < level < 1:
        raise OptionError(
            f"area = {area}, {num_usual} and {num_odd} examples, level = {level}: give an area in [0, 1], at least one "
            "example of each, and a level between 0 and 1"
        )
    z = NormalDist().inv_cdf((1 + level) / 2)
    half = (num_usual + num_odd) / 2 - 1

    def reach(guess: float) -> float:
        extra = half * ((1 - guess) / (2 - guess) + guess / (1 + guess))
        return float(z * np.sqrt(guess * (1 - guess) * (1 + extra) / (num_usual * num_odd)))

    ends = []
    for outer in (0.0, 1.0):
        inside, outside = area, outer
        # From the area, which is in the interval, to its end.
        for _ in range(60):
            middle = (inside + outside) / 2
            if abs(middle - area) <= reach(middle):
                inside = middle
            else:
                outside = middle
        ends.append(inside)
    return Interval(area, ends[0], ends[1], level)


def fit_threshold(usual: ArrayLike, *, rate: float = 0.05, confidence: float = 0.95) -> Threshold:
    """The lowest score of usual examples above which, with a confidence, at most a share of usual examples lie.

    Of n independent scores, the r-th from below leaves at most the share a above it with the chance that a binomial of n
    tries at 1 - a stays below r; r is the least for which this reaches the confidence. Ties only lower the share.

    >>> fit_threshold(range(100)).rank
    99
    >>> fit_threshold(range(10))
    Traceback (most recent call last):
    nlprep.core.errors.NlprepError: 10 examples cannot show that at most 0.05 lie above any of them with confidence 0.95: give at least 59, or ask for less

    Args:
        usual: (n,) scores of usual examples that the score was not fitted to.
        rate: The share of usual examples that may be called odd, between 0 and 1.
        confidence: How often such a line must keep it, between 0 and 1.

    Raises:
        NlprepError: Too few examples for this, or scores that are not finite numbers.
        OptionError: Numbers out of their range.
    """  # noqa: E501 - an error is one line
    for name, value in (("rate", rate), ("confidence", confidence)):
        if not 0 < value < 1:
            raise OptionError(f"{name} = {value}: must lie between 0 and 1, such as 0.05 and 0.95")
    scores = np.sort(_checked_scores(usual, "scores of usual examples"))
    from scipy.stats import binom

    count = len(scores)
    reached = binom.cdf(np.arange(count), count, 1 - rate)
    enough = np.flatnonzero(reached >= confidence)
    if not len(enough):
        needed = int(np.ceil(np.log1p(-confidence) / np.log1p(-rate)))
        raise NlprepError(
            f"{count:,} examples cannot show that at most {rate:g} lie above any of them with confidence "
            f"{confidence:g}: give at least {needed:,}, or ask for less"
        )
    place = int(enough[0])
    return Threshold(float(scores[place]), rate, float(reached[place]), confidence, count, place + 1)


def _average_precision(usual: NDArray[np.float64], odd: NDArray[np.float64]) -> float:
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(_truth(usual, odd), np.concatenate([usual, odd])))


def _truth(usual: NDArray[np.float64], odd: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.repeat([0, 1], [len(usual), len(odd)])


def _resample(scores: NDArray[np.float64], seed: int, side: int, number: int) -> NDArray[np.float64]:
    chances = uniforms(combine(seed, number), len(scores), purpose=side)
    drawn: NDArray[np.float64] = scores[(chances * len(scores)).astype(np.int64)]
    return drawn


def _checked_scores(scores: ArrayLike, what: str) -> NDArray[np.float64]:
    array = np.asarray(scores)
    if array.ndim != 1 or not array.size or not (np.issubdtype(array.dtype, np.number) or array.dtype == np.bool_):
        raise NlprepError(f"{what} of shape {array.shape} and type {array.dtype}: give a number for each, at least one")
    if not np.isfinite(array).all():
        raise NlprepError(
            f"{what}: number {int(np.isfinite(array).argmin())} is {array[~np.isfinite(array)][0]}: "
            "look at what it comes from"
        )
    return array.astype(np.float64)
