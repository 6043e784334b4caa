"""Whether each known factor of what is seen (shape, size, place) has a dimension of the code to itself, and one only.

Of codes (n, d) and factors (n, K) that made the examples, all numbers in [0, 1] and higher the better:

- **MIG**, Chen et al. 2018, "Isolating sources of disentanglement in variational autoencoders", equation 6: for each
  factor, the mutual information with its best dimension less that with the second best, over the factor's entropy.
  Codes are counted in bins of equal width from the least to the greatest value, as in Locatello et al. 2019; the
  figure depends on their number, which therefore stands in the result, and few examples in many bins raise every
  mutual information.
- **DCI**, Eastwood and Williams 2018, "A framework for the quantitative evaluation of disentangled representations": a
  random forest predicts each factor from the code; R_ij is the importance of dimension i for factor j. Disentanglement
  is 1 less the entropy (to the base K) of row i's shares, weighted over dimensions by their part of all importance;
  completeness the same of columns (to the base d); informativeness the mean accuracy on examples held out (theirs is an
  error, and less is better).
- **SAP**, Kumar, Sattigeri and Balakrishnan 2018, "Variational inference of disentangled latent concepts from unlabeled
  observations", section 3: S_ij is the balanced accuracy of factor j when thresholds on dimension i alone tell its
  values; the score is the mean over factors of the best less the second best. Thresholds are those of a tree on one
  number; unlike there, they are fitted on some examples and judged on others.

A dimension that is constant says nothing: its mutual information and importance are 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nlprep.core.errors import NlprepError
from nlprep.core.progress import SILENT
from nlprep.core.randomness import combine, integers
from nlprep.evaluation.arrays import checked_features
from nlprep.evaluation.configuration import DisentanglementConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from nlprep.core.progress import Progress

_HELD_OUT, _FOREST = 1, 2


@dataclass(frozen=True)
class DisentanglementResult:
    """How well dimensions and factors go together; see the module.

    Attributes:
        factors: Names of the K factors.
        mig: The mean over factors.
        mig_by_factor: Of each.
        bins: Bins of equal width that each dimension was counted in for it.
        disentanglement: Of DCI.
        completeness: Of DCI.
        informativeness: Of DCI, the mean accuracy on examples held out.
        accuracy_by_factor: Of each factor, by all dimensions.
        sap: The mean over factors.
        sap_by_factor: Of each.
        mutual_information: (d, K) in nats.
        importance: (d, K), columns that sum to 1.
        separability: (d, K) balanced accuracies of one dimension each.
        num_examples: n.
        num_held_out: Those of them that accuracies are of.
    """

    factors: tuple[str, ...]
    mig: float
    mig_by_factor: tuple[float, ...]
    bins: int
    disentanglement: float
    completeness: float
    informativeness: float
    accuracy_by_factor: tuple[float, ...]
    sap: float
    sap_by_factor: tuple[float, ...]
    mutual_information: NDArray[np.float64]
    importance: NDArray[np.float64]
    separability: NDArray[np.float64]
    num_examples: int
    num_held_out: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON."""
        return {
            name: value.tolist()
            if isinstance(value, np.ndarray)
            else list(value)
            if isinstance(value, tuple)
            else value
            for name, value in vars(self).items()
        }


def evaluate_disentanglement(
    codes: ArrayLike,
    factors: ArrayLike,
    config: DisentanglementConfig | None = None,
    *,
    names: Sequence[str] = (),
    progress: Progress = SILENT,
) -> DisentanglementResult:
    """Measure codes against the factors that made what they are codes of.

    Args:
        codes: (n, d), d at least 2.
        factors: (n, K) whole numbers from 0, the value of each factor; K at least 2. Number continuous ones by bins.
        config: Bins, trees, share held out.
        names: Of the factors; by default by number.
        progress: Gets factors.

    Raises:
        NlprepError: Codes or factors that cannot be used: values that are not finite, a single dimension or factor, a
            factor with one value, or too few examples to hold some out.
    """
    config = config or DisentanglementConfig()
    rows = checked_features(codes, "codes").astype(np.float64)
    values = _checked_factors(factors, len(rows), names)
    called = tuple(names) or tuple(f"factor {number}" for number in range(values.shape[1]))
    if rows.shape[1] < 2:
        raise NlprepError("codes of one dimension: of which factor it is cannot be asked; give at least two")
    information = mutual_information(rows, values, bins=config.bins)
    held_out = _held_out(values, config)
    importance = np.empty_like(information)
    separability = np.empty_like(information)
    accuracies = []
    with progress.task("factors", len(called)) as task:
        for number in range(len(called)):
            answers = values[:, number]
            importance[:, number], accuracy = _fit_forest(rows, answers, held_out, config, number)
            accuracies.append(accuracy)
            for dimension in range(rows.shape[1]):
                separability[dimension, number] = _separability(rows[:, dimension], answers, held_out)
            task.advance()
    gaps = information_gaps(information, values)
    separate = np.sort(separability, axis=0)
    sap = separate[-1] - separate[-2]
    disentanglement, completeness = importance_scores(importance)
    return DisentanglementResult(
        factors=called,
        mig=float(gaps.mean()),
        mig_by_factor=tuple(gaps.tolist()),
        bins=config.bins,
        disentanglement=disentanglement,
        completeness=completeness,
        informativeness=float(np.mean(accuracies)),
        accuracy_by_factor=tuple(accuracies),
        sap=float(sap.mean()),
        sap_by_factor=tuple(sap.tolist()),
        mutual_information=information,
        importance=importance,
        separability=separability,
        num_examples=len(rows),
        num_held_out=int(held_out.sum()),
    )


def mutual_information(codes: NDArray[np.float64], factors: NDArray[np.int64], *, bins: int) -> NDArray[np.float64]:
    """(d, K) mutual information in nats of each dimension, counted in bins, and each factor.

    >>> mutual_information(np.array([[0.0], [0.0], [9.0], [9.0]]), np.array([[0], [0], [1], [1]]), bins=4).round(4)
    array([[0.6931]])

    Args:
        codes: (n, d), finite.
        factors: (n, K) from 0.
        bins: Of equal width, from the least to the greatest value of each dimension.
    """
    from sklearn.metrics import mutual_info_score

    low, span = codes.min(axis=0), np.ptp(codes, axis=0)
    places = np.where(span > 0, (codes - low) / np.where(span > 0, span, 1) * bins, 0)
    binned = np.minimum(places.astype(np.int64), bins - 1)
    found = [[max(0.0, mutual_info_score(factor, column)) for factor in factors.T] for column in binned.T]
    return np.array(found, np.float64)


def information_gaps(information: NDArray[np.float64], factors: NDArray[np.int64]) -> NDArray[np.float64]:
    """(K,) the gap between the two best of the d dimensions for each factor, over its entropy (MIG is their mean).

    Args:
        information: (d, K), d at least 2, in nats.
        factors: (n, K) from 0, each with at least two values.
    """
    entropies = np.empty(factors.shape[1])
    for number, factor in enumerate(factors.T):
        shares = np.unique(factor, return_counts=True)[1] / len(factor)
        entropies[number] = -(shares * np.log(shares)).sum()
    ordered = np.sort(information, axis=0)
    gaps: NDArray[np.float64] = (ordered[-1] - ordered[-2]) / entropies
    return gaps


def importance_scores(importance: NDArray[np.float64]) -> tuple[float, float]:
    """Disentanglement and completeness of DCI.

    >>> importance_scores(np.eye(3))
    (1.0, 1.0)
    >>> importance_scores(np.ones((2, 2)))
    (0.0, 0.0)

    Args:
        importance: (d, K), at least 0, d and K at least 2: of each dimension for each factor.

    Returns:
        Both in [0, 1]; 0 where nothing is of importance.
    """
    total = importance.sum()
    if total <= 0:
        return 0.0, 0.0
    return tuple(  # type: ignore[return-value]
        float((matrix.sum(axis=1) / total) @ (1 - _row_entropies(matrix) / np.log(matrix.shape[1])))
        for matrix in (importance, importance.T)
    )


def _row_entropies(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """In nats, of each row as shares of its sum; 0 of a row of zeros, which no weight falls on."""
    sums = matrix.sum(axis=1, keepdims=True)
    shares = np.divide(matrix, sums, out=np.zeros_like(matrix), where=sums > 0)
    logarithms = np.log(np.where(shares > 0, shares, 1))
    entropies: NDArray[np.float64] = -(shares * logarithms).sum(axis=1)
    return entropies


def _checked_factors(factors: ArrayLike, num_examples: int, names: Sequence[str]) -> NDArray[np.int64]:
    values = np.asarray(factors)
    if values.ndim != 2 or values.shape[0] != num_examples or values.shape[1] < 2:
        raise NlprepError(
            f"factors of shape {values.shape} for {num_examples:,} codes: give a row for each, of two factors or more"
        )
    if not np.issubdtype(values.dtype, np.integer) or values.min() < 0:
        raise NlprepError(
            f"factors of type {values.dtype} from {values.min()}: number each factor's values from 0, continuous "
            "ones by bins"
        )
    if names and len(names) != values.shape[1]:
        raise NlprepError(f"{len(names)} names for {values.shape[1]} factors: give one for each")
    for number, factor in enumerate(values.T):
        called = names[number] if names else f"factor {number}"
        if (factor == factor[0]).all():
            raise NlprepError(
                f"{called} is {factor[0]} in every example: leave it out or give examples where it differs"
            )
    return values.astype(np.int64)


def _held_out(factors: NDArray[np.int64], config: DisentanglementConfig) -> NDArray[np.bool_]:
    """(n,) which examples accuracies are of: a share, drawn by the seed.

    One example of every value of a factor stays to learn from.
    """
    draws = integers(combine(config.seed, np.arange(len(factors))), 1, purpose=_HELD_OUT)[:, 0]
    order = np.argsort(draws, kind="stable")
    needed = np.zeros(len(factors), bool)
    for factor in factors[order].T:
        needed[order[np.unique(factor, return_index=True)[1]]] = True
    free = order[~needed[order]]
    if not len(free):
        raise NlprepError(f"{len(factors):,} examples are all needed to show each factor's values: give more")
    held_out = np.zeros(len(factors), bool)
    held_out[free[: max(1, round(config.test_share * len(factors)))]] = True
    return held_out


def _fit_forest(
    codes: NDArray[np.float64],
    answers: NDArray[np.int64],
    held_out: NDArray[np.bool_],
    config: DisentanglementConfig,
    number: int,
) -> tuple[NDArray[np.float64], float]:
    """Importances (d,) that sum to 1, and the accuracy on what is held out."""
    from sklearn.ensemble import RandomForestClassifier

    # Every dimension is looked at in every split: with some of them hidden, trees must use what is second best, and a
    # code that is perfectly disentangled would not score 1.
    forest = RandomForestClassifier(
        config.trees,
        max_depth=config.depth,
        max_features=None,
        random_state=int(combine(config.seed, _FOREST, number)) % 2**32,
    ).fit(codes[~held_out], answers[~held_out])
    accuracy = float((forest.predict(codes[held_out]) == answers[held_out]).mean())
    return forest.feature_importances_, accuracy


def _separability(column: NDArray[np.float64], answers: NDArray[np.int64], held_out: NDArray[np.bool_]) -> float:
    """The balanced accuracy, on what is held out, of thresholds on one dimension."""
    from sklearn.tree import DecisionTreeClassifier

    tree = DecisionTreeClassifier(max_leaf_nodes=len(np.unique(answers)), class_weight="balanced", random_state=0).fit(
        column[~held_out, None], answers[~held_out]
    )
    given, truth = tree.predict(column[held_out, None]), answers[held_out]
    return float(np.mean([(given[truth == value] == value).mean() for value in np.unique(truth)]))
