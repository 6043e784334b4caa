"""What the neighbours of frozen features say: a classifier that is not trained at all.

An example is given the label that its k nearest training examples vote for, by the cosine s, each with the weight
exp(s / temperature): Wu, Xiong, Yu and Lin 2018, "Unsupervised feature learning via non-parametric instance
discrimination", section 3.4, who use k = 200 and a temperature of 0.07. Where a linear probe asks whether classes can
be told apart by a hyperplane, this asks whether the space as it is holds like beside like.

k is chosen on other labels than those it is judged by: on validation examples, or on the training examples, each
answered by all others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nlprep.core.errors import NlprepError, OptionError
from nlprep.core.progress import SILENT
from nlprep.evaluation.arrays import checked_features, checked_labels
from nlprep.evaluation.configuration import NeighborsConfig
from nlprep.evaluation.intervals import Interval, wilson_interval
from nlprep.vectors.nearest import top_k
from nlprep.vectors.normalization import scaled_to_unit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from nlprep.core.progress import Progress

K_GRID = (1, 3, 5, 10, 20, 50, 100, 200)


@dataclass(frozen=True)
class NearestNeighbors:
    """Training examples that vote.

    Attributes:
        features: (n, d) float32, rows of length one.
        labels: (n,) int64.
        num_classes: C.
        k: How many vote.
        temperature: A vote weighs exp(cosine / temperature).
    """

    features: NDArray[np.float32]
    labels: NDArray[np.int64]
    num_classes: int
    k: int
    temperature: float

    def scores(
        self, features: ArrayLike, *, threads: int | None = None, progress: Progress = SILENT
    ) -> NDArray[np.float64]:
        """(m, C) shares of the votes for examples (m, d); rows sum to 1."""
        rows = scaled_to_unit(checked_features(features))
        cosines, found = top_k(rows, self.features, self.k, threads=threads, progress=progress)
        return _votes(cosines, self.labels[found], self.num_classes, self.temperature)

    def predict(
        self, features: ArrayLike, *, threads: int | None = None, progress: Progress = SILENT
    ) -> NDArray[np.int64]:
        """(m,) the class with most votes; the lower of equals."""
        best: NDArray[np.int64] = np.argmax(self.scores(features, threads=threads, progress=progress), axis=1)
        return best


@dataclass(frozen=True)
class NeighborsResult:
    """What neighbours are worth on test examples.

    Attributes:
        k: How many voted.
        temperature: Of their votes.
        accuracy: The share of test examples that were given their label, with its 95% interval.
        num_train: Examples that could vote.
        num_test: Examples measured on.
    """

    k: int
    temperature: float
    accuracy: Interval
    num_train: int
    num_test: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON."""
        return {
            "k": self.k,
            "temperature": self.temperature,
            "accuracy": self.accuracy.value,
            "accuracy_interval": self.accuracy.to_dict(),
            "num_train": self.num_train,
            "num_test": self.num_test,
        }


def evaluate_neighbors(
    train: tuple[ArrayLike, ArrayLike],
    test: tuple[ArrayLike, ArrayLike],
    config: NeighborsConfig | None = None,
    *,
    validation: tuple[ArrayLike, ArrayLike] | None = None,
    threads: int | None = None,
    progress: Progress = SILENT,
) -> NeighborsResult:
    """Classify test examples by their training neighbours.

    Args:
        train: Features (n, d) and labels (n,).
        test: As ``train``; never looked at but to measure.
        config: How neighbours vote.
        validation: Examples to choose k on; without them, the training examples.
        threads: Processors to use; all by default.
        progress: Where to report.

    Raises:
        NlprepError: Features or labels that cannot be used.
        OptionError: A ``k`` above the number of training examples, or widths that differ.
    """
    fitted = fit_neighbors(*train, config, validation=validation, threads=threads, progress=progress)
    features = checked_features(test[0], "test features")
    labels = checked_labels(test[1], len(features), "test labels")
    right = int((fitted.predict(features, threads=threads, progress=progress) == labels).sum())
    return NeighborsResult(
        fitted.k, fitted.temperature, wilson_interval(right, len(labels)), len(fitted.labels), len(labels)
    )


def fit_neighbors(
    features: ArrayLike,
    labels: ArrayLike,
    config: NeighborsConfig | None = None,
    *,
    validation: tuple[ArrayLike, ArrayLike] | None = None,
    threads: int | None = None,
    progress: Progress = SILENT,
) -> NearestNeighbors:
    """Keep training examples, and choose how many of them vote.

    >>> fit_neighbors([[1.0, 0.0], [0.0, 1.0]], [0, 1], NeighborsConfig(k=1)).predict([[3.0, 1.0]])
    array([0])

    Where ``config.k`` is None, it is that of `K_GRID` with most right answers, the smallest of equals.

    Args:
        features: (n, d).
        labels: (n,) from 0.
        config: How neighbours vote.
        validation: Features and labels to choose k on; without them, each training example is answered by the others.
        threads: Processors to use; all by default.
        progress: Where to report.

    Raises:
        NlprepError: Features or labels that cannot be used.
        OptionError: A ``k`` above the number of examples, or widths that differ.
    """
    config = config or NeighborsConfig()
    rows = checked_features(features, "training features")
    answers = checked_labels(labels, len(rows), "training labels")
    unit = scaled_to_unit(rows)
    num_classes = int(answers.max()) + 1
    k = config.k
    if k is not None and k > len(unit):
        raise OptionError(f"k = {k}: there are only {len(unit):,} training examples")
    if k is None and validation is not None:
        queries = checked_features(validation[0], "validation features")
        truth = checked_labels(validation[1], len(queries), "validation labels")
        grid = [value for value in K_GRID if value <= len(unit)]
        cosines, found = top_k(scaled_to_unit(queries), unit, grid[-1], threads=threads, progress=progress)
        k = _best_k(grid, cosines, answers[found], truth, num_classes, config.temperature)
    elif k is None:
        if len(unit) < 2:
            raise NlprepError("one training example cannot be answered by others to choose k: give more, or a k")
        grid = [value for value in K_GRID if value < len(unit)]
        cosines, found = _neighbors_among(unit, grid[-1], threads, progress)
        k = _best_k(grid, cosines, answers[found], answers, num_classes, config.temperature)
    return NearestNeighbors(unit, answers, num_classes, k, config.temperature)


def _neighbors_among(
    unit: NDArray[np.float32], k: int, threads: int | None, progress: Progress
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The k nearest of each row other than itself."""
    cosines, found = top_k(unit, unit, k + 1, threads=threads, progress=progress)
    itself = found == np.arange(len(unit))[:, None]
    # Among more than k equal rows a row may be missing from its own list: then the last one goes.
    itself[~itself.any(axis=1), -1] = True
    return cosines[~itself].reshape(-1, k), found[~itself].reshape(-1, k)


def _best_k(
    grid: Sequence[int],
    cosines: NDArray[np.float32],
    labels: NDArray[np.int64],
    truth: NDArray[np.int64],
    num_classes: int,
    temperature: float,
) -> int:
    right = [
        int((_votes(cosines[:, :k], labels[:, :k], num_classes, temperature).argmax(axis=1) == truth).sum())
        for k in grid
    ]
    return grid[int(np.argmax(right))]


def _votes(
    cosines: NDArray[np.float32], labels: NDArray[np.int64], num_classes: int, temperature: float
) -> NDArray[np.float64]:
    """Shares (m, C) of the votes of neighbours with cosines (m, k), falling, and labels (m, k)."""
    # Against the nearest, as exp(1 / temperature) itself would overflow for small temperatures.
    weights = np.exp((cosines.astype(np.float64) - cosines[:, :1]) / temperature)
    places = (np.arange(len(labels))[:, None] * num_classes + labels).ravel()
    votes = np.bincount(places, weights=weights.ravel(), minlength=len(labels) * num_classes)
    shared: NDArray[np.float64] = votes.reshape(len(labels), num_classes) / weights.sum(axis=1, keepdims=True)
    return shared
