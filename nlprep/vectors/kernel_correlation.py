"""Kernel canonical correlation: linear canonical correlation in the spaces of kernels (Hardoon et al. 2004).

With centred kernel matrices K_i of the n things that it is fitted to, directions are sums of these things with weights
alpha_i, and

    maximise  alpha_1^T K_1 K_2 alpha_2,   alpha_i^T (K_i^2 / n + r_i K_i) alpha_i = 1.

The coordinates of things along the kernel's principal directions, U sqrt(L) of K = U L U^T, hold all that a kernel
matrix knows of them, and in these it is linear canonical correlation with a ridge: which is how it is computed here, by
`nlprep.vectors.canonical_correlation`, for two views or more. The ridge is what makes it mean anything: a Gaussian
kernel has a dimension for each thing, and without one any two views correlate perfectly.

Time grows by the cube of n and memory by its square.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nlprep.core.errors import OptionError
from nlprep.vectors.canonical_correlation import CanonicalCorrelation, fit_canonical_correlation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Kernel = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]

_LEAST = 1e-12


def linear(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Inner products, (n, m): kernel CCA with it is linear CCA."""
    return one @ other.T


@dataclass(frozen=True)
class Gaussian:
    """exp(-|x - y|^2 / (2 width^2)).

    Attributes:
        width: Above 0.
    """

    width: float = 1.0

    def __post_init__(self) -> None:
        if not self.width > 0:
            raise OptionError(f"width = {self.width}: must be above 0")

    def __call__(self, one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
        """The kernel of every two, (n, m)."""
        squares = np.square(one).sum(axis=1)[:, None] + np.square(other).sum(axis=1) - 2 * one @ other.T
        found: NDArray[np.float64] = np.exp(-np.maximum(squares, 0) / (2 * self.width**2))
        return found


@dataclass(frozen=True)
class Polynomial:
    """(x . y + constant)^degree.

    Attributes:
        degree: At least 1.
        constant: At least 0.
    """

    degree: int = 2
    constant: float = 1.0

    def __post_init__(self) -> None:
        if self.degree < 1 or self.constant < 0:
            raise OptionError(f"degree = {self.degree}, constant = {self.constant}: give at least 1 and 0")

    def __call__(self, one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
        """The kernel of every two, (n, m)."""
        found: NDArray[np.float64] = (one @ other.T + self.constant) ** self.degree
        return found


@dataclass(frozen=True)
class KernelCorrelation:
    """Directions that views share in the spaces of kernels; made by `fit_kernel_correlation`.

    Attributes:
        kernels: Of every view.
        things: (n, d_i) of every view, that it was fitted to.
        bases: Of every view, (n, k_i): what makes coordinates along principal directions of centred kernel values.
        means: Of every view, (n,): of the kernel matrix's columns.
        fitted: To those coordinates; its ``correlations`` are those of this.
    """

    kernels: tuple[Kernel, ...]
    things: tuple[NDArray[np.float64], ...]
    bases: tuple[NDArray[np.float64], ...]
    means: tuple[NDArray[np.float64], ...]
    fitted: CanonicalCorrelation

    @property
    def correlations(self) -> NDArray[np.float64]:
        """(r,) float64 in [0, 1], falling; with a ridge less than Pearson's."""
        return self.fitted.correlations

    def project(self, view: int, matrix: NDArray[np.floating]) -> NDArray[np.float64]:
        """Canonical coordinates, (m, r), of vectors (m, d_i) of a view, the first of which is 0.

        Raises:
            OptionError: No such view, or vectors of another dimension.
        """
        if not 0 <= view < len(self.things):
            raise OptionError(f"view {view}: there are {len(self.things)}, numbered from 0")
        things = self.things[view]
        if matrix.ndim != 2 or matrix.shape[1] != things.shape[1]:
            raise OptionError(f"vectors of shape {matrix.shape}: view {view} has rows of {things.shape[1]} values")
        kernel = self.kernels[view](matrix.astype(np.float64), things)
        centred = kernel - kernel.mean(axis=1, keepdims=True) - self.means[view] + self.means[view].mean()
        return self.fitted.project(view, centred @ self.bases[view])


def fit_kernel_correlation(
    views: Sequence[NDArray[np.floating]],
    *,
    kernels: Kernel | Sequence[Kernel] = linear,
    num_directions: int | None = None,
    ridge: float | Sequence[float] = 0.1,
    criterion: str = "pairs",
) -> KernelCorrelation:
    """Fit directions to two views of the same n things, or more, in the spaces of kernels.

    Args:
        views: (n, d_i) each, row by row of the same things; converted to float64.
        kernels: `linear`, `Gaussian`, `Polynomial`, or any function of (n, d) and (m, d) that gives (n, m); one for all
            views, or one for each.
        num_directions: How many to keep; all by default.
        ridge: Added to the variances along principal directions, in units of their mean over all of these; one for
            all views, or one for each.
        criterion: For more than two views, as `nlprep.vectors.canonical_correlation.fit_canonical_correlation` has it.

    Raises:
        OptionError: As there, a number of kernels that is not that of the views, or a kernel whose values are not
            finite, not of the right shape or not symmetric.

    >>> import numpy as np
    >>> x = np.linspace(-1, 1, 40)[:, None]
    >>> curved = fit_kernel_correlation([x, x**2], kernels=Polynomial(2), ridge=1e-6)
    >>> bool(curved.correlations[0] > 0.999)  # which no line shows
    True
    """
    each = [kernels] * len(views) if callable(kernels) else list(kernels)
    if len(each) != len(views):
        raise OptionError(f"{len(each)} kernels for {len(views)} views: give one for each, or one for all")
    for number, view in enumerate(views):
        if view.ndim != 2 or not np.isfinite(view).all():
            raise OptionError(
                f"view {number} of shape {view.shape}: give a matrix of finite numbers, a row for each thing"
            )
    things = [view.astype(np.float64) for view in views]
    coordinates, bases, means = [], [], []
    for number, (kernel, one) in enumerate(zip(each, things, strict=True)):
        matrix = kernel(one, one)
        if matrix.shape != (len(one), len(one)) or not np.isfinite(matrix).all() or not np.allclose(matrix, matrix.T):
            raise OptionError(
                f"the kernel of view {number} gives {matrix.shape}: expected a symmetric ({len(one)}, {len(one)}) of "
                "finite numbers"
            )
        mean = matrix.mean(axis=0)
        values, vectors = np.linalg.eigh(matrix - mean - mean[:, None] + mean.mean())
        kept = values > _LEAST * max(values.max(initial=0.0), np.abs(matrix).max() * _LEAST)
        roots = np.sqrt(values[kept])
        coordinates.append(vectors[:, kept] * roots)
        bases.append(vectors[:, kept] / roots)
        means.append(mean)
    fitted = fit_canonical_correlation(coordinates, num_directions=num_directions, ridge=ridge, criterion=criterion)
    return KernelCorrelation(tuple(each), tuple(things), tuple(bases), tuple(means), fitted)
