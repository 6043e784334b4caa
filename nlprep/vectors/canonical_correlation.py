"""Linear canonical correlation: what two views of the same things, or several, have in common (Hotelling 1936).

Each view X_i gets directions A_i such that the coordinates ``(x - mean) @ A_i`` are uncorrelated and of variance one,
and those of one number in different views are as correlated as may be::

    maximise  sum over views i < j of  tr(A_i^T C_ij A_j),   A_i^T C_ii A_i = I

For two views the solution is closed (Björck and Golub 1973): a QR decomposition of each centred view and the singular
values of its triangle give coordinates of variance one, Q_i, and the singular values of Q_1^T Q_2 are the correlations.
Without a ridge, no covariance is made on the way to it, which would lose half of the digits. For more views there are
several criteria (Kettenring, "Canonical analysis of several sets of variables", Biometrika 1971):

- ``pairs``, the sum of correlations above, found as in `nlprep.vectors.joint_whitening`, whose maps without
  re-weighting and de-whitening these are, for pairs of which every view has all;
- ``shared``, generalized CCA (Carroll 1968; MAXVAR): G with uncorrelated columns of variance one that is nearest to
  linear functions of all views, and these, ``A_i = (C_ii + r_i I)^-1 X_i^T G / n``. Closed, by the singular vectors
  of all Q_i side by side;
- ``multiset``, multiset CCA: sum over i < j of a_i^T C_ij a_j where the sum of all a_i^T (C_ii + r_i I) a_i is the
  number of views. Without a ridge these are the directions of ``shared``, but for their lengths.

In the latter two, coordinates of one view are not of variance one: a view that has little to do with the others counts
for little.

Directions of a view without variance, as of a constant column or of one that repeats others, take no part, so nothing
needs to be invertible; there are as many canonical directions as the poorest view has dimensions of variance.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nlprep.core.errors import OptionError
from nlprep.vectors.joint_whitening import turn_together

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


CRITERIA = ("pairs", "shared", "multiset")
_ROUNDING = 1e-13
_LEAST_DEVIATION, _ROUNDINGS = 1e-10, 32
"""Directions whose deviation is a smaller share than this of the greatest, or than so many roundings of the numbers
that were given, have none."""


@dataclass(frozen=True)
class CanonicalCorrelation:
    """Directions that views share; made by `fit_canonical_correlation`.

    Attributes:
        means: Of every view, (d_i,) float64.
        directions: Of every view, (d_i, r) float64, by falling correlation; of the two signs that each may have, the
            one by which the largest number of the first view's is positive.
        correlations: (r,) float64 in [0, 1], of the vectors that it was fitted to; for more than two views averaged
            over every two. With a ridge they are less than Pearson's, as variances count for more
            (`measure_correlations` gives Pearson's).
    """

    means: tuple[NDArray[np.float64], ...]
    directions: tuple[NDArray[np.float64], ...]
    correlations: NDArray[np.float64]

    def project(self, view: int, matrix: NDArray[np.floating]) -> NDArray[np.float64]:
        """Canonical coordinates, (n, r), of vectors (n, d_i) of a view, the first of which is 0.

        Raises:
            OptionError: No such view, or vectors of another dimension.
        """
        if not 0 <= view < len(self.means):
            raise OptionError(f"view {view}: there are {len(self.means)}, numbered from 0")
        mean, directions = self.means[view], self.directions[view]
        if matrix.ndim != 2 or matrix.shape[1] != len(mean):
            raise OptionError(f"vectors of shape {matrix.shape}: view {view} has rows of {len(mean)} values")
        projected: NDArray[np.float64] = (matrix - mean) @ directions
        return projected


def fit_canonical_correlation(
    views: Sequence[NDArray[np.floating]],
    *,
    num_directions: int | None = None,
    ridge: float | Sequence[float] = 0.0,
    weights: NDArray[np.floating] | None = None,
    criterion: str = "pairs",
) -> CanonicalCorrelation:
    """Fit directions to two views of the same n things, or more.

    Args:
        views: (n, d_i) each, row by row of the same things; converted to float64.
        num_directions: How many to keep; by default, and at most, as many as the poorest view has.
        ridge: Added to the variances of each view, in units of their mean, so that it means the same at any scale.
            With fewer things than dimensions, correlations without one are 1 and mean nothing. One for all views, or
            one for each.
        weights: (n,) of the things; all alike by default.
        criterion: ``pairs``, ``shared`` or ``multiset``, as above; of two views all say the same, and the coordinates
            have variance one.

    Raises:
        OptionError: Fewer than two views or two things, views of different lengths, values that are not finite, or
            settings out of range.

    >>> import numpy as np
    >>> shared = np.array([[1.0], [-1.0], [2.0], [-2.0]])
    >>> noise = np.array([[1.0], [1.0], [-1.0], [-1.0]])
    >>> one = np.hstack([shared, noise])
    >>> other = np.hstack([noise[::-1] + 3, -5 * shared])
    >>> fitted = fit_canonical_correlation([one, other], num_directions=1)
    >>> fitted.correlations.round(6).tolist()
    [1.0]
    >>> np.allclose(fitted.project(0, one), fitted.project(1, other))
    True
    """
    if criterion not in CRITERIA:
        raise OptionError(f"criterion = {criterion!r}: choose from {', '.join(CRITERIA)}")
    centred, means = _check(views, num_directions, ridge, weights)
    ridges = [ridge] * len(views) if isinstance(ridge, int | float) else list(ridge)
    bases = [_whitening_basis(one, own, view.dtype) for one, own, view in zip(centred, ridges, views, strict=True)]
    whitened = [one @ basis for one, basis in zip(centred, bases, strict=True)]
    ranks = [basis.shape[1] for basis in bases]
    count = min(ranks) if num_directions is None else min(num_directions, *ranks)
    if count == 0:
        empty = tuple(np.empty((view.shape[1], 0)) for view in centred)
        return CanonicalCorrelation(means, empty, np.empty(0))
    crossed = {(i, j): whitened[i].T @ whitened[j] for i, j in itertools.combinations(range(len(views)), 2)}
    if len(views) == 2 or criterion == "pairs":
        turns, correlations = _turn(crossed, ranks)
    else:
        turns, correlations = _turn_to_all(whitened, crossed, ranks, count, itself=criterion == "shared")
    directions = _with_signs([basis @ turn[:, :count] for basis, turn in zip(bases, turns, strict=True)])
    # Rounding may leave a hair above one.
    return CanonicalCorrelation(means, directions, np.clip(correlations[:count], 0, 1))


def measure_correlations(codes: Sequence[NDArray[np.floating]]) -> NDArray[np.float64]:
    """Pearson's correlation of the numbers of one place in different views, a mean over every two.

    It is that of all things together: correlations of parts of them, averaged, are greater, and mean nothing.

    Args:
        codes: (n, r) each, of the same n things: canonical coordinates.

    Returns:
        (r,) in [-1, 1]; 0 for a number that does not vary in some view.

    Raises:
        OptionError: Shapes that do not fit, or values that are not finite.

    >>> import numpy as np
    >>> one = np.array([[1.0, 0.0], [2.0, 0.0], [3.0, 0.0]])
    >>> measure_correlations([one, -one]).round(6).tolist()
    [-1.0, 0.0]
    """
    if len({view.shape for view in codes}) > 1:
        raise OptionError(f"codes of shapes {[view.shape for view in codes]}: give coordinates of equal number")
    centred, _ = _check(codes, None, 0.0, None)
    norms = [np.sqrt(np.square(view).sum(axis=0)) for view in centred]
    unit = [
        np.divide(view, norm, out=np.zeros_like(view), where=norm > 0)
        for view, norm in zip(centred, norms, strict=True)
    ]
    found: NDArray[np.float64] = np.mean(
        [(one * other).sum(axis=0) for one, other in itertools.combinations(unit, 2)], axis=0
    )
    return np.clip(found, -1, 1)


def _whitening_basis(view: NDArray[np.float64], ridge: float, given: np.dtype[Any]) -> NDArray[np.float64]:
    """(d, rank): what makes the coordinates of a centred view uncorrelated and of variance one."""
    if ridge > 0:
        # Of what rounding leaves of a covariance, the ridge leaves nothing; and it takes a tenth of the time.
        values, directions = np.linalg.eigh(view.T @ view)
        values = np.maximum(values, 0)
        lengths = np.sqrt(values + ridge * values.sum() / view.shape[1])
        of_ridge: NDArray[np.float64] = directions[:, lengths > 0] / lengths[lengths > 0]
        return of_ridge
    # Whatever units a column is in: whether it has any variance must not depend on that of others.
    norms = np.sqrt(np.square(view).sum(axis=0))
    scales = np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0)
    _, deviations, rows = np.linalg.svd(np.linalg.qr(view * scales, mode="r"), full_matrices=False)
    rounding = _ROUNDINGS * np.finfo(given).eps if given.kind == "f" else 0.0
    kept = deviations > max(_LEAST_DEVIATION, rounding) * deviations.max(initial=0.0)
    basis: NDArray[np.float64] = scales[:, None] * rows[kept].T / deviations[kept]
    return basis


def _with_signs(directions: list[NDArray[np.float64]]) -> tuple[NDArray[np.float64], ...]:
    """The same with one of two equal answers chosen: in the first view, what counts most counts positively."""
    first = directions[0]
    signs = np.sign(first[np.abs(first).argmax(axis=0), np.arange(first.shape[1])])
    return tuple(one * np.where(signs == 0, 1, signs) for one in directions)


def _turn_to_all(
    whitened: list[NDArray[np.float64]],
    crossed: dict[tuple[int, int], NDArray[np.float64]],
    ranks: list[int],
    count: int,
    *,
    itself: bool,
) -> tuple[list[NDArray[np.float64]], NDArray[np.float64]]:
    """As `_turn`, for ``shared`` (where a view counts itself) and ``multiset``; the lengths of columns say how much."""
    together = np.concatenate(whitened, axis=1)
    gram = together.T @ together
    if not itself:
        edges = np.cumsum([0, *ranks])
        for begin, end in itertools.pairwise(edges):
            gram[begin:end, begin:end] = 0
    values, vectors = np.linalg.eigh(gram)
    values, vectors = values[::-1][:count], vectors[:, ::-1][:, :count]
    # What all share is `together @ vectors / sqrt(values)`, and each view's part its regression on that.
    vectors = vectors * np.sqrt(np.maximum(values, 0)) if itself else vectors * np.sqrt(len(ranks))
    turns = np.split(vectors, np.cumsum(ranks)[:-1])
    lengths = [np.sqrt(np.square(turn).sum(axis=0)) for turn in turns]
    met = [
        np.divide(
            (turns[i] * (matrix @ turns[j])).sum(axis=0),
            lengths[i] * lengths[j],
            out=np.zeros(count),
            where=lengths[i] * lengths[j] > 0,
        )
        for (i, j), matrix in crossed.items()
    ]
    return turns, np.mean(met, axis=0)


def _turn(
    crossed: dict[tuple[int, int], NDArray[np.float64]], ranks: list[int]
) -> tuple[list[NDArray[np.float64]], NDArray[np.float64]]:
    """The orthonormal (rank_i, r) that turn whitened views to each other, and what they correlate by then."""
    if len(ranks) == 2:
        left, correlations, right = np.linalg.svd(crossed[0, 1], full_matrices=False)
        return [left, right.T], correlations
    turns = turn_together(crossed, ranks)
    met = np.mean([turns[i].T @ matrix @ turns[j] for (i, j), matrix in crossed.items()], axis=0)
    correlations, directions = np.linalg.eigh((met + met.T) / 2)
    return [turn @ directions[:, ::-1] for turn in turns], correlations[::-1]


def _check(
    views: Sequence[NDArray[np.floating]],
    num_directions: int | None,
    ridge: float | Sequence[float],
    weights: NDArray[np.floating] | None,
) -> tuple[list[NDArray[np.float64]], tuple[NDArray[np.float64], ...]]:
    """Centred views, every row times the root of its share, so that their products are covariances; and the means."""
    shapes = [view.shape for view in views]
    if len(views) < 2 or any(len(shape) != 2 for shape in shapes) or len({shape[0] for shape in shapes}) > 1:
        raise OptionError(f"views of shapes {shapes}: give two or more matrices with a row for each of the same things")
    count = shapes[0][0]
    if count < 2:
        raise OptionError(f"views of {count} things: what varies together takes two or more")
    if num_directions is not None and num_directions < 1:
        raise OptionError(f"num_directions = {num_directions}: must be at least 1")
    ridges = [ridge] * len(views) if isinstance(ridge, int | float) else list(ridge)
    if len(ridges) != len(views):
        raise OptionError(f"{len(ridges)} ridges for {len(views)} views: give one for each, or one for all")
    for one in ridges:
        if not 0 <= one < np.inf:
            raise OptionError(f"ridge = {one!r}: must be at least 0")
    shares = np.full((count, 1), 1.0 / count)
    if weights is not None:
        if weights.shape != (count,) or not (np.isfinite(weights).all() and (weights >= 0).all() and weights.any()):
            raise OptionError(f"weights of shape {weights.shape}: give {count} numbers of 0 or more, not all of them 0")
        shares = (weights / weights.sum(dtype=np.float64)).astype(np.float64)[:, None]
    centred, means = [], []
    for number, view in enumerate(views):
        wide = view.astype(np.float64)
        if not np.isfinite(wide).all():
            raise OptionError(f"view {number} holds NaN or infinity: leave such rows out")
        mean = shares[:, 0] @ wide
        means.append(mean)
        wide -= mean
        # A constant differs from its mean by rounding, which is no variance.
        wide[:, np.abs(wide).max(axis=0) <= _ROUNDING * np.abs(mean)] = 0
        wide *= np.sqrt(shares)
        centred.append(wide)
    return centred, tuple(means)
