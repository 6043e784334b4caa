"""How good the answers of a classifier are, class by class, and how far its confidence can be trusted.

A class that no example has is named in the report and enters no mean: an average over the classes there are says
nothing of it, and a perfect score for it would say something false.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nlprep.core.errors import NlprepError
from nlprep.evaluation.arrays import checked_features, checked_labels
from nlprep.evaluation.calibration import BINS, measure_reliability
from nlprep.evaluation.intervals import Interval, wilson_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class ClassScore:
    """The answers that have to do with one class.

    Attributes:
        label: Its name.
        examples: How many have it.
        given: How often it was answered.
        precision: The share of answers with it that are right; None where it was never given.
        recall: The share of its examples that were answered with it; None where it has none.
        f1: 2 right / (2 right + wrongly given + missed); None where it neither has examples nor was given.
    """

    label: str
    examples: int
    given: int
    precision: float | None
    recall: float | None
    f1: float | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON."""
        return dict(vars(self))


@dataclass(frozen=True)
class ClassificationReport:
    """How good a classifier's answers are.

    Attributes:
        labels: The names of the C classes.
        confusion: (C, C) int64, how many examples of the row's label were given the column's.
        classes: One for each label, in their order.
        calibration_error: See `calibration_error`; None where no probabilities were given.
    """

    labels: tuple[str, ...]
    confusion: NDArray[np.int64]
    classes: tuple[ClassScore, ...]
    calibration_error: float | None = None

    @property
    def num_examples(self) -> int:
        """Examples measured on."""
        return int(self.confusion.sum())

    @property
    def missing(self) -> tuple[str, ...]:
        """Labels of which there is no example: nothing is known of how well they are recognised."""
        return tuple(score.label for score in self.classes if not score.examples)

    @property
    def accuracy(self) -> float:
        """The share of right answers; also the micro-averaged F1, as every example has one label and one answer."""
        return float(np.trace(self.confusion) / self.num_examples)

    @property
    def accuracy_interval(self) -> Interval:
        """Wilson's 95% interval of the accuracy."""
        return wilson_interval(int(np.trace(self.confusion)), self.num_examples)

    @property
    def balanced_accuracy(self) -> float:
        """The mean recall of the classes that have examples."""
        return float(np.mean([score.recall for score in self.classes if score.recall is not None]))

    @property
    def f1(self) -> dict[str, float]:
        """Of each label that occurs or was given."""
        return {score.label: score.f1 for score in self.classes if score.f1 is not None}

    @property
    def macro_f1(self) -> float:
        """The mean of `f1`: every label counts alike, however rare; one that was given but never occurs counts 0."""
        return float(np.mean(list(self.f1.values())))

    @property
    def micro_f1(self) -> float:
        """F1 of all answers thrown together, which is the accuracy."""
        return self.accuracy

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON."""
        return {
            "examples": self.num_examples,
            "accuracy": self.accuracy,
            "accuracy_interval": self.accuracy_interval.to_dict(),
            "balanced_accuracy": self.balanced_accuracy,
            "macro_f1": self.macro_f1,
            "micro_f1": self.micro_f1,
            "f1": self.f1,
            "calibration_error": self.calibration_error,
            "labels": list(self.labels),
            "labels_without_examples": list(self.missing),
            "classes": [score.to_dict() for score in self.classes],
            "confusion": self.confusion.tolist(),
        }


def report_classification(
    truth: ArrayLike,
    given: ArrayLike,
    labels: Sequence[str],
    *,
    probabilities: ArrayLike | None = None,
) -> ClassificationReport:
    """Count right and wrong answers.

    Args:
        truth: (n,) the right classes, from 0 to C - 1.
        given: (n,) the answers.
        labels: The names of the C classes.
        probabilities: (n, C) that the classifier gave to the classes, for the calibration error.

    Raises:
        NlprepError: No examples, shapes that do not agree, classes beyond the labels, or rows of probabilities that do
            not sum to 1.
    """
    right = checked_labels(truth, len(np.asarray(truth)), "right answers")
    answers = checked_labels(given, len(right), "answers")
    if not len(right):
        raise NlprepError("there are no examples to measure on: give some")
    if max(right.max(), answers.max()) >= len(labels):
        raise NlprepError(
            f"class {max(right.max(), answers.max())} has no name: {len(labels)} labels are given, name all classes"
        )
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    numbers = range(len(labels))
    precision, recall, f1, _ = precision_recall_fscore_support(right, answers, labels=numbers, zero_division=np.nan)
    confusion = confusion_matrix(right, answers, labels=numbers).astype(np.int64)
    classes = tuple(
        ClassScore(
            str(labels[number]),
            int(confusion[number].sum()),
            int(confusion[:, number].sum()),
            *(None if math.isnan(value) else float(value) for value in (precision[number], recall[number], f1[number])),
        )
        for number in numbers
    )
    error = None if probabilities is None else calibration_error(probabilities, right)
    return ClassificationReport(tuple(str(label) for label in labels), confusion, classes, error)


def calibration_error(probabilities: ArrayLike, truth: ArrayLike, *, num_bins: int = BINS) -> float:
    """The expected calibration error: how far confidence is from accuracy, in [0, 1].

    The confidence of an answer is the greatest probability. The examples are put into bins of equal width by it; the
    error is the mean of |accuracy - mean confidence| over bins, weighted by their examples
    (`nlprep.evaluation.calibration.measure_reliability`). Of equally probable classes the first is the answer.

    >>> calibration_error([[0.9, 0.1], [0.9, 0.1]], [0, 1])
    0.4

    Args:
        probabilities: (n, C), rows that sum to 1.
        truth: (n,) the right classes.
        num_bins: M.

    Raises:
        NlprepError: No examples, or not probabilities.
        OptionError: Less than one bin.
    """
    chances = checked_features(probabilities, "probabilities").astype(np.float64)
    right = checked_labels(truth, len(chances), "right answers")
    if chances.min() < 0 or not np.allclose(chances.sum(axis=1), 1, atol=1e-4):
        raise NlprepError(
            "the probabilities of an example must be at least 0 and sum to 1: pass them through a softmax"
        )
    if right.max() >= chances.shape[1]:
        raise NlprepError(f"the right answers reach class {right.max()}, the probabilities {chances.shape[1] - 1} only")
    confidence = np.minimum(chances.max(axis=1), 1.0)
    correct = chances.argmax(axis=1) == right
    return measure_reliability(confidence, correct, num_bins=num_bins).error
