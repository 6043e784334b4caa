"""What a linear classifier makes of frozen features, by the number of labels it is given.

The argument for learning representations without labels (Alain and Bengio 2016, "Understanding intermediate layers
using linear classifier probes"; Chen et al. 2020, "SimCLR", for 1% and 10% of the labels): with good features few
labels go a long way. The core knows features and labels only, whatever they are of.

The classifier is multinomial logistic regression. Over n examples x, standardised, with labels y, it minimises

    1/n sum_i -log softmax(W' x_i + b)[y_i] + l2/2 ||W||^2,

which has one minimum, found by L-BFGS on the whole set in double precision: no learning rate to choose, no chance.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

import numpy as np

from nlprep.core.configuration import check, option
from nlprep.core.errors import NlprepError, OptionError
from nlprep.core.progress import SILENT
from nlprep.core.randomness import combine, integers
from nlprep.evaluation.labelled import stratified_order

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from nlprep.core.progress import Progress

    Features = NDArray[np.floating[Any]] | Tensor

L2_GRID = (1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
_UNSURE_L2 = 1e-2
_ORDER, _HELD_OUT = 1, 2


@dataclass(frozen=True, kw_only=True)
class ProbeConfig:
    """How many labels a probe is given, and how often it is tried."""

    labels: str = option(
        "1%,10%,100%", "labels to learn from, shares of the training set or numbers: 1%,10%,100% or 50,500"
    )
    repeats: int = option(5, "random choices of labels, whose spread is reported", minimum=1)
    l2: float | None = option(None, "weight of the L2 penalty; none: chosen on a fifth of the labels", above=0)
    seed: int = option(1, "seed of the choices", minimum=0)

    def __post_init__(self) -> None:
        check(self)
        self.num_labels(10**9)

    def num_labels(self, available: int) -> list[int]:
        """How many labels are asked for, ascending, of so many.

        Raises:
            OptionError: Not a list of shares and numbers, or more than there are.
        """
        numbers = []
        for part in self.labels.split(","):
            word = part.strip()
            try:
                share = float(word[:-1]) if word.endswith("%") else None
                number = int(word) if share is None else round(share / 100 * available)
            except (ValueError, OverflowError):
                raise OptionError(
                    f"labels = {self.labels!r}: {word!r} is neither a share like 10% nor a number"
                ) from None
            if number > available:
                raise OptionError(f"labels = {self.labels!r}: there are only {available:,} labelled examples")
            if (share if share is not None else number) <= 0:
                raise OptionError(f"labels = {self.labels!r}: {word!r} leaves no label to learn from")
            numbers.append(number)
        return sorted(set(numbers))


@dataclass(frozen=True)
class LinearProbe:
    """A fitted linear classifier of d features and C classes.

    Attributes:
        weights: (d, C) float64, for standardised features.
        bias: (C,) float64.
        centre: (d,) what is taken from features, or None.
        scale: (d,) what they are then divided by, or None.
        l2: The penalty it was fitted with.
    """

    weights: NDArray[np.float64]
    bias: NDArray[np.float64]
    centre: NDArray[np.float64] | None
    scale: NDArray[np.float64] | None
    l2: float

    def logits(self, features: Features) -> NDArray[np.float64]:
        """(n, C) scores of features (n, d)."""
        import torch

        matrix = _as_matrix(features)
        weights, bias = self.weights, self.bias
        if self.centre is not None and self.scale is not None:
            # Scaling the weights spares a copy of the features.
            weights = weights / self.scale[:, None]
            bias = bias - self.centre @ weights
        return np.asarray((matrix @ torch.from_numpy(weights) + torch.from_numpy(bias)).numpy(), np.float64)

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
        l2: The penalty of each.
    """

    num_labels: int
    share: float
    accuracies: tuple[float, ...]
    l2: tuple[float, ...]

    @property
    def accuracy(self) -> float:
        """Their mean."""
        return mean(self.accuracies)

    @property
    def spread(self) -> float:
        """Their sample standard deviation; 0 of a single one."""
        return stdev(self.accuracies) if len(self.accuracies) > 1 else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON."""
        return {
            "num_labels": self.num_labels,
            "share": self.share,
            "accuracy": self.accuracy,
            "spread": self.spread,
            "accuracies": list(self.accuracies),
            "l2": list(self.l2),
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
    """Fit probes with few and many labels, and measure them.

    Of each random choice, the smaller sets of labels are parts of the larger, and every set has labels in the
    proportions of the training set, at least one of each class.

    Args:
        name: What the features come from.
        train: Features (n, d), dense or a sparse COO tensor, and labels (n,) from 0 to C - 1.
        test: As ``train``; never looked at but to measure.
        config: Numbers of labels, repeats.
        progress: Gets probes fitted.

    Raises:
        NlprepError: Shapes that do not agree, a single class, or fewer labels than classes.
    """
    config = config or ProbeConfig()
    (features, labels), (test_features, test_labels) = train, test
    matrix, test_matrix = _as_matrix(features), _as_matrix(test_features)
    num_classes = _check_data(matrix, labels, test_matrix, test_labels)
    numbers = config.num_labels(len(labels))
    for number in numbers:
        if number < num_classes:
            raise NlprepError(
                f"labels = {config.labels!r}: {number:,} of {len(labels):,} examples are fewer than the {num_classes} "
                "classes: ask for more labels or give more examples"
            )
    measured: dict[int, list[tuple[float, float]]] = {number: [] for number in numbers}
    with progress.task(f"probing {name}", config.repeats * len(numbers)) as task:
        for repeat in range(config.repeats):
            order = stratified_order(labels, int(combine(config.seed, _ORDER, repeat)))
            for number in numbers:
                # All there are is one choice only.
                if number < len(labels) or repeat == 0:
                    chosen = np.sort(order[:number])
                    probe = _fit_chosen(_rows(matrix, chosen), labels[chosen], num_classes, config, repeat)
                    measured[number].append((probe.accuracy(test_matrix, test_labels), probe.l2))
                task.advance()
    points = [
        ProbePoint(number, number / len(labels), tuple(a for a, _ in found), tuple(p for _, p in found))
        for number, found in measured.items()
    ]
    return ProbeCurve(name, int(matrix.shape[1]), tuple(points))


def _check_data(
    matrix: Tensor, labels: NDArray[np.integer[Any]], test_matrix: Tensor, test_labels: NDArray[np.integer[Any]]
) -> int:
    for side, rows, answers in (("training", matrix, labels), ("test", test_matrix, test_labels)):
        if rows.ndim != 2 or len(rows) != len(answers):
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
    matrix: Tensor, labels: NDArray[np.integer[Any]], num_classes: int, config: ProbeConfig, repeat: int
) -> LinearProbe:
    l2 = config.l2
    if l2 is None:
        l2 = choose_l2(matrix, labels, num_classes, seed=int(combine(config.seed, _HELD_OUT, repeat)))
    return fit_linear_probe(matrix, labels, num_classes, l2=l2)


def choose_l2(matrix: Features, labels: NDArray[np.integer[Any]], num_classes: int, *, seed: int = 1) -> float:
    """The penalty of `L2_GRID` whose probe does best on a fifth of the examples, held out of each class alike.

    Ties go to the stronger. Where no class has an example to spare, 0.01.
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
    kept, aside = np.flatnonzero(~held_out), np.flatnonzero(held_out)
    inner, outer = _rows(features, kept), _rows(features, aside)
    best, best_accuracy = _UNSURE_L2, -1.0
    probe: LinearProbe | None = None
    for l2 in L2_GRID:
        probe = fit_linear_probe(inner, labels[kept], num_classes, l2=l2, start=probe)
        accuracy = probe.accuracy(outer, labels[aside])
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
    tolerance: float = 1e-6,
) -> LinearProbe:
    """Multinomial logistic regression (see the module's equation; the bias is not penalised).

    Args:
        features: (n, d), dense, or a sparse COO tensor, which is not standardised.
        labels: (n,) from 0 to ``num_classes`` - 1.
        num_classes: C.
        l2: Weight of the penalty; scikit-learn's C is 1 / (n l2).
        standardize: Bring each feature to mean 0 and variance 1 over these examples; constant ones stay 0.
        start: Where to begin; on the same examples, another ``l2``'s solution saves steps.
        max_iterations: Most steps of L-BFGS.
        tolerance: Largest component of the gradient at which it is done.
    """
    import torch

    matrix = _as_matrix(features)
    centre: NDArray[np.float64] | None = None
    scale: NDArray[np.float64] | None = None
    if standardize and not matrix.is_sparse:
        spread, middle = torch.std_mean(matrix, dim=0, correction=0)
        spread = torch.where(spread > 1e-12 * middle.abs().clamp(min=1.0), spread, 1.0)
        matrix = (matrix - middle) / spread
        centre, scale = middle.numpy(), spread.numpy()
    transposed = matrix.t().coalesce() if matrix.is_sparse else matrix.t()
    targets = torch.from_numpy(np.asarray(labels, np.int64))
    rows = torch.arange(len(targets))
    weights = torch.zeros(matrix.shape[1], num_classes, dtype=torch.float64)
    bias = torch.zeros(num_classes, dtype=torch.float64)
    if start is not None:
        weights.copy_(torch.from_numpy(start.weights))
        bias.copy_(torch.from_numpy(start.bias))
    optimizer = torch.optim.LBFGS(
        [weights, bias],
        max_iter=max_iterations,
        tolerance_grad=tolerance,
        tolerance_change=1e-14,
        history_size=20,
        line_search_fn="strong_wolfe",
    )

    def objective() -> float:
        # The gradient is written out: it is short, and autograd knows little of sparse matrices.
        chances = (matrix @ weights + bias).log_softmax(1)
        loss = -chances[rows, targets].mean() + l2 / 2 * weights.square().sum()
        errors = chances.exp()
        errors[rows, targets] -= 1
        errors /= len(targets)
        weights.grad = transposed @ errors + l2 * weights
        bias.grad = errors.sum(0)
        return float(loss)

    with torch.no_grad():
        optimizer.step(objective)  # type: ignore[no-untyped-call]
    return LinearProbe(weights.numpy(), bias.numpy(), centre, scale, l2)


def _as_matrix(features: Features) -> Tensor:
    import torch

    if hasattr(features, "tocoo"):
        # What a `SparseEncoder` gives.
        coordinates = features.tocoo()
        places = torch.from_numpy(np.stack(coordinates.coords).astype(np.int64))
        values = torch.from_numpy(coordinates.data)
        tensor = torch.sparse_coo_tensor(places, values, coordinates.shape, check_invariants=True)
    elif isinstance(features, np.ndarray):
        tensor = torch.from_numpy(np.ascontiguousarray(features))
    else:
        tensor = features.detach()
    tensor = tensor.cpu()
    if tensor.is_sparse:
        tensor = tensor.coalesce()
    return tensor.to(torch.float64)


def _rows(matrix: Tensor, indices: Sequence[int] | NDArray[np.int64]) -> Tensor:
    import torch

    rows = matrix.index_select(0, torch.from_numpy(np.asarray(indices, np.int64)))
    return rows.coalesce() if rows.is_sparse else rows
