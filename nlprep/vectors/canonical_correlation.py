"""Linear canonical correlation: what two views of the same things, or several, have in common (Hotelling 1936).

Each view X_i gets directions A_i such that the coordinates ``(x - mean) @ A_i`` are uncorrelated and of variance one,
and those of one number in different views are as correlated as may be::

    maximise  sum over views i < j of  tr(A_i^T C_ij A_j),   A_i^T C_ii A_i = I

For two views the solution is closed: whiten both, and the singular values of C_11^(-1/2) C_12 C_22^(-1/2) are the
correlations. For more it is Kettenring's sum of correlations ("Canonical analysis of several sets of variables",
Biometrika 1971), found as in `nlprep.vectors.joint_whitening`, whose maps without re-weighting and de-whitening these
are, for pairs of which every view has all.

Directions of a view without variance, as of a constant column or of one that repeats others, take no part, so nothing
needs to be invertible; there are as many canonical directions as the poorest view has dimensions of variance.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nlprep.core.errors import OptionError
from nlprep.vectors.joint_whitening import turn_together
from nlprep.vectors.whitening import Variances

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


_ROUNDING = 1e-13


@dataclass(frozen=True)
class CanonicalCorrelation:
    """Directions that views share; made by `fit_canonical_correlation`.

    Attributes:
        means: Of every view, (d_i,) float64.
        directions: Of every view, (d_i, r) float64, by falling correlation.
        correlations: (r,) float64 in [0, 1], of the vectors that it was fitted to; for more than two views averaged
            over every two. With a ridge they are less than Pearson's, as variances count for more.
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
    ridge: float = 0.0,
    weights: NDArray[np.floating] | None = None,
) -> CanonicalCorrelation:
    """Fit directions to two views of the same n things, or more.

    Args:
        views: (n, d_i) each, row by row of the same things; converted to float64.
        num_directions: How many to keep; by default, and at most, as many as the poorest view has.
        ridge: Added to the variances of each view, in units of their mean, so that it means the same at any scale.
            With fewer things than dimensions, correlations without one are 1 and mean nothing.
        weights: (n,) of the things; all alike by default.

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
    centred, means = _check(views, num_directions, ridge, weights)
    bases = [_whitening_basis(view.T @ view, ridge) for view in centred]
    ranks = [basis.shape[1] for basis in bases]
    count = min(ranks) if num_directions is None else min(num_directions, *ranks)
    if count == 0:
        empty = tuple(np.empty((view.shape[1], 0)) for view in centred)
        return CanonicalCorrelation(means, empty, np.empty(0))
    crossed = {
        (i, j): bases[i].T @ (centred[i].T @ centred[j]) @ bases[j]
        for i, j in itertools.combinations(range(len(views)), 2)
    }
    turns, correlations = _turn(crossed, ranks)
    directions = tuple(basis @ turn[:, :count] for basis, turn in zip(bases, turns, strict=True))
    # Rounding may leave a hair above one.
    return CanonicalCorrelation(means, directions, np.clip(correlations[:count], 0, 1))


def _whitening_basis(covariance: NDArray[np.float64], ridge: float) -> NDArray[np.float64]:
    """(d, rank): what makes the coordinates of a view uncorrelated and of variance one."""
    if ridge > 0:
        return Variances.of(covariance, ridge=ridge).whitening_basis()
    # Whatever units a column is in: whether it has any variance must not depend on that of others.
    deviations = np.sqrt(np.diag(covariance))
    scales = np.divide(1.0, deviations, out=np.zeros_like(deviations), where=deviations > 0)
    basis: NDArray[np.float64] = scales[:, None] * Variances.of(scales[:, None] * covariance * scales).whitening_basis()
    return basis


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
    ridge: float,
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
    if not 0 <= ridge < np.inf:
        raise OptionError(f"ridge = {ridge!r}: must be at least 0")
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
