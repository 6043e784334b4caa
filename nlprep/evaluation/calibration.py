"""How far a confidence can be trusted: bins of a reliability diagram, their mean gap, and one number that mends it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nlprep.core.errors import NlprepError, OptionError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

BINS = 15
"""As in Guo et al. 2017."""

_COLDEST, _HOTTEST = 0.01, 100.0


@dataclass(frozen=True)
class Reliability:
    """Confidence and accuracy in bins of equal width, each open below and closed above.

    Attributes:
        examples: (m,) int64, in each bin.
        confidence: (m,) their mean confidence; NaN where there are none.
        accuracy: (m,) the share of right answers; NaN where there are none.
        error: The expected calibration error: the mean over examples of how far the two are apart in their bin.
    """

    examples: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    error: float

    @property
    def edges(self) -> NDArray[np.float64]:
        """(m + 1,) where bins begin and end."""
        return np.linspace(0, 1, len(self.examples) + 1)

    @property
    def overconfidence(self) -> float:
        """Mean confidence less accuracy: above 0 where more is promised than is kept."""
        filled = self.examples > 0
        gaps = (self.confidence - self.accuracy)[filled] * self.examples[filled]
        return float(gaps.sum() / self.examples.sum())

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON; None where a bin has no examples."""
        shown = [
            (int(count), float(sure), float(right)) if count else (0, None, None)
            for count, sure, right in zip(self.examples, self.confidence, self.accuracy, strict=True)
        ]
        return {
            "calibration_error": self.error,
            "overconfidence": self.overconfidence,
            "bins": [
                {"from": float(low), "to": float(high), "examples": count, "confidence": sure, "accuracy": right}
                for low, high, (count, sure, right) in zip(self.edges[:-1], self.edges[1:], shown, strict=True)
            ],
        }


def measure_reliability(confidences: ArrayLike, right: ArrayLike, *, num_bins: int = BINS) -> Reliability:
    """Compare confidence with accuracy.

    Source: Guo, Pleiss, Sun and Weinberger 2017, "On calibration of modern neural networks", equation 3.

    >>> measure_reliability([0.75, 0.75, 0.5, 0.5], [True, True, True, False]).error
    0.125

    Args:
        confidences: (n,) in [0, 1].
        right: (n,) whether each answer is right, or how right, in [0, 1].
        num_bins: m.

    Raises:
        NlprepError: No examples, arrays of different lengths, or numbers outside [0, 1].
        OptionError: Less than one bin.
    """
    if num_bins < 1:
        raise OptionError(f"num_bins = {num_bins}: must be at least 1")
    sure, worth = np.asarray(confidences, np.float64), np.asarray(right, np.float64)
    if sure.ndim != 1 or sure.shape != worth.shape or not len(sure):
        raise NlprepError(f"confidences {sure.shape} of answers {worth.shape}: give one for each of some answers")
    for what, values in (("confidences", sure), ("what answers are worth", worth)):
        if not (values.min() >= 0 and values.max() <= 1):
            raise NlprepError(f"{what} run from {values.min():.4g} to {values.max():.4g}: bring them to [0, 1]")
    bins = np.maximum(np.ceil(sure * num_bins).astype(np.int64) - 1, 0)
    examples, confidence, accuracy = (
        np.bincount(bins, weights=weights, minlength=num_bins) for weights in (None, sure, worth)
    )
    # Within a bin |accuracy - confidence| times its examples is the absolute value of a sum.
    error = float(abs(np.bincount(bins, weights=worth - sure, minlength=num_bins)).sum() / len(sure))
    with np.errstate(invalid="ignore"):
        return Reliability(examples.astype(np.int64), confidence / examples, accuracy / examples, error)


def fit_temperature(scores: ArrayLike, truth: ArrayLike) -> float:
    """The number to divide scores by before the softmax, so that probabilities are as high as answers are right.

    The one that makes the right answers of examples that were not trained on most probable (Guo et al. 2017, section
    4.2); which answer is the most probable does not change. Their likelihood is concave in one over the temperature, so
    that there is one best, looked for between 0.01 and 100.

    >>> scores = np.array([[4.0, 0.0]] * 4)
    >>> round(fit_temperature(scores, [0, 0, 0, 1]), 3)
    3.641

    Args:
        scores: (n, classes) before the softmax; -inf for what cannot be.
        truth: (n,) the right classes.

    Raises:
        NlprepError: No examples, scores that are no numbers, or classes beyond them.
    """
    values, right = np.asarray(scores, np.float64), np.asarray(truth)
    if values.ndim != 2 or right.shape != values.shape[:1] or not len(right):
        raise NlprepError(
            f"scores {values.shape} of classes {right.shape}: give (n, classes) and (n,) of some examples"
        )
    if right.dtype.kind not in "iu" or right.min() < 0 or right.max() >= values.shape[1]:
        raise NlprepError(f"the right answers are no classes from 0 to {values.shape[1] - 1}: leave out those unseen")
    top = values.max(1, keepdims=True)
    if not np.isfinite(top).all():
        raise NlprepError("an example has no score that is a finite number: give finite ones")
    from scipy.optimize import minimize_scalar
    from scipy.special import logsumexp

    shifted = values - top
    of_right = shifted[np.arange(len(right)), right]
    if not np.isfinite(of_right).all():
        raise NlprepError("a right answer has a score that is no finite number: give finite ones")

    def loss(log_inverse: float) -> float:
        inverse = np.exp(log_inverse)
        return float((logsumexp(shifted * inverse, axis=1) - inverse * of_right).mean())

    bounds = (-np.log(_HOTTEST), -np.log(_COLDEST))
    return float(np.exp(-minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-6}).x))
