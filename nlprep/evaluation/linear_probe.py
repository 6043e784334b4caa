"""What a linear classifier makes of frozen features, by the number of labels it is given.

The argument for learning representations without labels (Alain and Bengio 2016, "Understanding intermediate layers
using linear classifier probes"; Chen et al. 2020, "SimCLR", for 1% and 10% of the labels): with good features few
labels go a long way. The core knows features and labels only, whatever they are of.

The classifier is multinomial logistic regression. Over n examples x, standardised, with labels y, it minimises

    1/n sum_i -log softmax(W' x_i + b)[y_i] + l2/2 ||W||^2,

which has one minimum, found by scikit-learn's L-BFGS on the whole set in double precision: no learning rate to choose,
no chance.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from nlprep.core.errors import NlprepError
from nlprep.core.progress import SILENT
from nlprep.core.randomness import combine, integers
from nlprep.evaluation.configuration import ProbeConfig
from nlprep.evaluation.intervals import Interval, wilson_interval
from nlprep.evaluation.labelled import stratified_order
from nlprep.evaluation.nearest_neighbors import fit_neighbors

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_array, sparray
    from torch import Tensor

    from nlprep.core.progress import Progress
    from nlprep.evaluation.configuration import LabelAmount
    from nlprep.evaluation.nearest_neighbors import NearestNeighbors

    Features: TypeAlias = NDArray[np.floating[Any]] | Tensor | sparray
    Matrix: TypeAlias = NDArray[np.float64] | csr_array

L2_GRID = (1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
_UNSURE_L2 = 1e-2
_EXACTLY, _ROUGHLY, _MANY = 1e-6, 1e-4, 4000
"""Largest component of a gradient at which a fit ends; at which it does that only chooses; how many are many."""
_ORDER, _HELD_OUT = 1, 2


class ProbeWarning(UserWarning):
    """A probe is not where its loss is least, so that its accuracy may not be what the features are worth."""


@dataclass(frozen=True)
class LinearProbe:
    """A fitted linear classifier of d features and C classes.

    Attributes:
        weights: (d, C) float64, for standardised features.
        bias: (C,) float64.
        centre: (d,) what is taken from features, or None.
        scale: (d,) what they are then divided by, or None.
        l2: The penalty it was fitted with.
        converged: Whether the fit ended at the minimum, to its tolerance.
    """

    weights: NDArray[np.float64]
    bias: NDArray[np.float64]
    centre: NDArray[np.float64] | None
    scale: NDArray[np.float64] | None
    l2: float
    converged: bool = True

    def logits(self, features: Features) -> NDArray[np.float64]:
        """(n, C) scores of features (n, d)."""
        matrix = _as_matrix(features)
        weights, bias = self.weights, self.bias
        if self.centre is not None and self.scale is not None:
            # Scaling the weights spares a copy of the features.
            weights = weights / self.scale[:, None]
            bias = bias - self.centre @ weights
        return np.asarray(matrix @ weights + bias, np.float64)

    def predict(self, features: Features) -> NDArray[np.int64]:
        """(n,) the class of each row of features (n, d)."""
        best: NDArray[np.int64] = np.argmax(self.logits(features), axis=1)
        return best

    def accuracy(self, features: Features, labels: NDArray[np.integer[Any]]) -> float:
        """The share of rows that are given their label."""
        return float((self.predict(features) == labels).mean())


@dataclass(frozen=True)
class ProbePoint:
    """The accuracy with so many labels.

    Attributes:
        num_labels: How many.
        share: Of those there are.
        accuracies: On the test set, one for each choice of labels.
        chosen: What was chosen with each: the penalty of a linear probe, the k of neighbours.
        num_test: Examples that accuracies are of.
        per_class: Labels of each class; None where classes keep their proportions.
    """

    num_labels: int
    share: float
    accuracies: tuple[float, ...]
    chosen: tuple[float, ...]
    num_test: int
    per_class: int | None = None

    @property
    def accuracy(self) -> float:
        """Their mean."""
        return mean(self.accuracies)

    @property
    def spread(self) -> float:
        """Their sample standard deviation; 0 of a single one."""
        return stdev(self.accuracies) if len(self.accuracies) > 1 else 0.0

    @property
    def interval(self) -> Interval:
        """The 95% interval of the mean accuracy, for other choices of labels and other test examples.

        Two sources of chance, each with its own interval, Student's over choices and Wilson's over test examples, whose
        distances from the mean are added in squares (Zou and Donner 2008, "Construction of confidence limits about
        effect measures: a general approach"). Of a single choice, what other choices would give is not known: Wilson's
        alone.
        """
        tested = wilson_interval(round(self.accuracy * self.num_test), self.num_test)
        choices = len(self.accuracies)
        reach = 0.0
        if choices > 1:
            from scipy.stats import t

            reach = float(t.ppf(0.975, choices - 1)) * self.spread / math.sqrt(choices)
        low = self.accuracy - math.hypot(reach, tested.value - tested.low)
        high = self.accuracy + math.hypot(reach, tested.high - tested.value)
        return Interval(self.accuracy, max(0.0, low), min(1.0, high), 0.95)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON."""
        return {
            "num_labels": self.num_labels,
            "per_class": self.per_class,
            "share": self.share,
            "accuracy": self.accuracy,
            "interval": self.interval.to_dict(),
            "spread": self.spread,
            "accuracies": list(self.accuracies),
            "chosen": list(self.chosen),
            "num_test": self.num_test,
        }


@dataclass(frozen=True)
class ProbeCurve:
    """The accuracies of one kind of features, by number of labels.

    Attributes:
        name: What the features come from.
        dimension: How many there are.
        points: By ascending number of labels.
    """

    name: str
    dimension: int
    points: tuple[ProbePoint, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON."""
        return {"name": self.name, "dimension": self.dimension, "points": [point.to_dict() for point in self.points]}


def probe_features(
    name: str,
    train: tuple[Features, NDArray[np.integer[Any]]],
    test: tuple[Features, NDArray[np.integer[Any]]],
    config: ProbeConfig | None = None,
    *,
    progress: Progress = SILENT,
) -> ProbeCurve:
    """Fit probes with few and many labels, and measure them: linear ones, or neighbours that vote.

    Of each random choice, the smaller sets of labels are parts of the larger. Every set has labels in the proportions
    of the training set, at least one of each class, or as many of each class where it is asked for so.

    Args:
        name: What the features come from.
        train: Features (n, d), an array, a tensor or a sparse matrix of SciPy, and labels (n,) from 0 to C - 1.
        test: As ``train``; never looked at but to measure.
        config: Numbers of labels, repeats.
        progress: Gets probes fitted.

    Raises:
        NlprepError: Shapes that do not agree, features that are not finite, a single class, or fewer labels than
            classes or than are asked for of one; sparse features for neighbours.

    Warns:
        ProbeWarning: A fit ended before its minimum.
    """
    config = config or ProbeConfig()
    (features, labels), (test_features, test_labels) = train, test
    matrix, test_matrix = _as_matrix(features), _as_matrix(test_features)
    num_classes = _check_data(matrix, labels, test_matrix, test_labels)
    if config.classifier == "neighbors" and not isinstance(matrix, np.ndarray):
        raise NlprepError(
            f"{name}: neighbours are looked for among dense features: choose the linear classifier, or leave it out"
        )
    amounts = config.amounts(len(labels), num_classes)
    check_amounts(config, labels, num_classes)
    measured: dict[LabelAmount, list[tuple[float, float]]] = {amount: [] for amount in amounts}
    with progress.task(f"probing {name}", config.repeats * len(amounts)) as task:
        for repeat in range(config.repeats):
            order = stratified_order(labels, int(combine(config.seed, _ORDER, repeat)))
            for amount in amounts:
                # All there are is one choice only.
                if amount.number < len(labels) or repeat == 0:
                    chosen = _choose(order, labels, amount, num_classes)
                    probe, value = _fit_chosen(matrix[chosen], labels[chosen], num_classes, config, repeat)
                    right = probe.predict(test_matrix) == test_labels
                    measured[amount].append((float(right.mean()), value))
                task.advance()
    points = [
        ProbePoint(
            amount.number,
            amount.number / len(labels),
            tuple(accuracy for accuracy, _ in found),
            tuple(value for _, value in found),
            len(test_labels),
            amount.per_class,
        )
        for amount, found in measured.items()
    ]
    return ProbeCurve(name, int(matrix.shape[1]), tuple(points))


def _choose(
    order: NDArray[np.int64], labels: NDArray[np.integer[Any]], amount: LabelAmount, num_classes: int
) -> NDArray[np.int64]:
    """Rows to learn from, ascending: the first of an order, or the first of each class in it."""
    if amount.per_class is None:
        return np.sort(order[: amount.number])
    first = [order[labels[order] == number][: amount.per_class] for number in range(num_classes)]
    return np.sort(np.concatenate(first))


def check_amounts(config: ProbeConfig, labels: NDArray[np.integer[Any]], num_classes: int) -> None:
    """Fail if as many labels as are asked for cannot be had.

    Args:
        config: What is asked for.
        labels: (n,) the class of each training example.
        num_classes: How many classes there are.

    Raises:
        NlprepError: Fewer labels than classes, or more of a class than it has.
    """
    rarest = int(np.bincount(labels, minlength=num_classes).min())
    for amount in config.amounts(len(labels), num_classes):
        if amount.number < num_classes:
            raise NlprepError(
                f"labels = {config.labels!r}: {amount.number:,} of {len(labels):,} examples are fewer than the "
                f"{num_classes} classes: ask for more labels or give more examples"
            )
        if amount.per_class is not None and amount.per_class > rarest:
            raise NlprepError(
                f"labels = {config.labels!r}: one class has {rarest:,} training examples only: ask for fewer of each "
                "or give more"
            )


def _check_data(
    matrix: Matrix, labels: NDArray[np.integer[Any]], test_matrix: Matrix, test_labels: NDArray[np.integer[Any]]
) -> int:
    for side, rows, answers in (("training", matrix, labels), ("test", test_matrix, test_labels)):
        if rows.ndim != 2 or rows.shape[0] != len(answers):
            raise NlprepError(
                f"{side} features of shape {tuple(rows.shape)} with {len(answers):,} labels: give a row for each label"
            )
        if not len(answers):
            raise NlprepError(f"there are no {side} examples: give some")
    if matrix.shape[1] != test_matrix.shape[1]:
        raise NlprepError(f"{matrix.shape[1]} training and {test_matrix.shape[1]} test features: they must be the same")
    num_classes = int(labels.max()) + 1
    missing = set(range(num_classes)) - set(labels.tolist())
    if labels.min() < 0 or missing:
        raise NlprepError(f"classes must be numbered from 0 without a gap: {min(missing, default=-1)} is not")
    if num_classes < 2:
        raise NlprepError("there is one class only: a probe needs examples of at least two")
    if test_labels.min() < 0 or test_labels.max() >= num_classes:
        raise NlprepError(f"the test labels reach {test_labels.max()}, the training labels {num_classes - 1} only")
    return num_classes


def _fit_chosen(
    matrix: Matrix, labels: NDArray[np.integer[Any]], num_classes: int, config: ProbeConfig, repeat: int
) -> tuple[LinearProbe | NearestNeighbors, float]:
    """A classifier and what was chosen for it on the labels that it is given."""
    if config.classifier == "neighbors" and isinstance(matrix, np.ndarray):
        neighbors = fit_neighbors(matrix, labels)
        return neighbors, float(neighbors.k)
    l2 = config.l2
    if l2 is None:
        l2 = choose_l2(matrix, labels, num_classes, seed=int(combine(config.seed, _HELD_OUT, repeat)))
    return fit_linear_probe(matrix, labels, num_classes, l2=l2), l2


def choose_l2(matrix: Features, labels: NDArray[np.integer[Any]], num_classes: int, *, seed: int = 1) -> float:
    """The penalty of `L2_GRID` whose probe does best on a fifth of the examples, held out of each class alike.

    Ties go to the stronger. Where no class has an example to spare, 0.01. Of more than 5,000 examples these probes are
    fitted roughly, to a largest gradient of 1e-4.

    Warns:
        ProbeWarning: A fit ended before its minimum.
    """
    features = _as_matrix(matrix)
    draws = integers(combine(seed, np.arange(len(labels))), 1, purpose=2)[:, 0]
    held_out = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        if len(members) > 1:
            held_out[members[np.argsort(draws[members], kind="stable")[: max(1, len(members) // 5)]]] = True
    if not held_out.any():
        return _UNSURE_L2
    inner, outer, kept = features[~held_out], features[held_out], labels[~held_out]
    # With many examples a third of the time, and penalties ten times apart are told apart all the same; with few, whose
    # classes a plane separates, the accuracy on what is held out goes on changing to the end.
    tolerance = _ROUGHLY if len(kept) > _MANY else _EXACTLY
    best, best_accuracy = _UNSURE_L2, -1.0
    probe: LinearProbe | None = None
    for l2 in L2_GRID:
        probe = fit_linear_probe(inner, kept, num_classes, l2=l2, start=probe, tolerance=tolerance)
        accuracy = probe.accuracy(outer, labels[held_out])
        if accuracy > best_accuracy:
            best, best_accuracy = l2, accuracy
    return best


def fit_linear_probe(
    features: Features,
    labels: NDArray[np.integer[Any]],
    num_classes: int,
    *,
    l2: float,
    standardize: bool = True,
    start: LinearProbe | None = None,
    max_iterations: int = 500,
    tolerance: float = _EXACTLY,
) -> LinearProbe:
    """Multinomial logistic regression (see the module's equation; the bias is not penalised).

    >>> probe = fit_linear_probe(np.array([[0.0], [1.0], [3.0], [4.0]]), np.array([0, 0, 1, 1]), 2, l2=0.1)
    >>> probe.predict(np.array([[1.4], [2.6]]))
    array([0, 1])

    Args:
        features: (n, d), an array or a tensor, or a sparse matrix, which is not standardised.
        labels: (n,) from 0 to ``num_classes`` - 1, each of them at least once.
        num_classes: C.
        l2: Weight of the penalty; scikit-learn's C is 1 / (n l2).
        standardize: Bring each feature to mean 0 and variance 1 over these examples; constant ones stay 0.
        start: Where to begin; on the same examples, another ``l2``'s solution saves steps.
        max_iterations: Most steps of L-BFGS.
        tolerance: Largest component of the gradient at which it is done.

    Raises:
        NlprepError: Features that are not finite, or a class without examples.

    Warns:
        ProbeWarning: The fit ended before its minimum; `LinearProbe.converged` says so too.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    matrix = _as_matrix(features)
    if len(np.unique(labels)) != num_classes:
        raise NlprepError(f"examples of {len(np.unique(labels))} of {num_classes} classes: give some of each")
    scaler = None
    if standardize and isinstance(matrix, np.ndarray):
        scaler = StandardScaler()
        matrix = scaler.fit_transform(matrix)
    # Of two classes scikit-learn fits one vector w, the difference of ours, which are w/2 and -w/2: |W|^2 = |w|^2 / 2.
    strength = l2 / 2 if num_classes == 2 else l2
    model = LogisticRegression(
        C=1 / (len(labels) * strength), tol=tolerance, max_iter=max_iterations, warm_start=start is not None
    )
    if start is not None:
        model.coef_, model.intercept_ = _joined(start.weights.T), _joined(start.bias)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(matrix, labels)
    converged = True
    for warning in caught:
        if issubclass(warning.category, ConvergenceWarning):
            converged = False
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    if not converged:
        warnings.warn(
            f"a probe of {len(labels):,} examples with l2 = {l2:g} stopped after {model.n_iter_.max()} steps, before "
            f"its gradient fell to {tolerance:g}: its accuracy may be too low; allow more steps or a stronger penalty",
            ProbeWarning,
            stacklevel=2,
        )
    weights, bias = _apart(model.coef_).T, _apart(model.intercept_)
    centre, scale = (None, None) if scaler is None else (scaler.mean_, scaler.scale_)
    return LinearProbe(np.ascontiguousarray(weights), bias, centre, scale, l2, converged)


def _joined(of_classes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Parameters (C, ...) as scikit-learn has them: of two classes, the second's less the first's, (1, ...)."""
    return of_classes[1:] - of_classes[:1] if len(of_classes) == 2 else of_classes


def _apart(parameters: NDArray[np.float64]) -> NDArray[np.float64]:
    """What `_joined` made one, as (C, ...) again."""
    return np.concatenate([-parameters / 2, parameters / 2]) if len(parameters) == 1 else parameters


def _as_matrix(features: Features) -> Matrix:
    """Features in double precision, in memory: an array, or a sparse matrix of rows.

    Raises:
        NlprepError: Values that are not finite.
    """
    matrix: Matrix
    if isinstance(features, np.ndarray):
        matrix = np.asarray(features, np.float64)
    else:
        from scipy.sparse import coo_array, csr_array, issparse

        if issparse(features):
            matrix = csr_array(features, dtype=np.float64)
        elif features.is_sparse:
            tensor = features.detach().cpu().coalesce()
            places = tuple(tensor.indices().numpy())
            matrix = csr_array(coo_array((tensor.values().double().numpy(), places), shape=tuple(tensor.shape)))
        else:
            matrix = features.detach().cpu().double().numpy()
    if not np.isfinite(matrix if isinstance(matrix, np.ndarray) else matrix.data).all():
        raise NlprepError(
            f"features of shape {matrix.shape} have values that are not finite: look at what they come from"
        )
    return matrix
