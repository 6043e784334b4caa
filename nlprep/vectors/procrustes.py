"""The orthogonal map of least squared error, in closed form (Xing et al. 2015; Smith et al. 2017)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nlprep.core.errors import OptionError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def fit_procrustes(
    source: NDArray[np.floating],
    target: NDArray[np.floating],
    *,
    weights: NDArray[np.floating] | None = None,
) -> NDArray[np.float64]:
    """Minimise sum_i w_i ||x_i W - y_i||^2 over orthogonal W: W = U V^T, where X^T diag(w) Y = U S V^T.

    Args:
        source: (p, d) vectors of the source words of p pairs.
        target: (p, d) vectors of their translations.
        weights: (p,) weights of the pairs; all one by default.

    Returns:
        W, (d, d), with orthonormal rows and columns. Fewer pairs than d leave a part of it arbitrary.

    Raises:
        OptionError: Sides of different shapes, or no pairs.

    >>> import numpy as np
    >>> x = np.array([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]])
    >>> turn = np.array([[0.0, 1.0], [-1.0, 0.0]])
    >>> np.allclose(fit_procrustes(x, x @ turn), turn)
    True
    """
    if source.shape[1:] != target.shape[1:]:
        raise OptionError(
            f"an orthogonal map needs vectors of one dimension, found {source.shape[1]} and "
            f"{target.shape[1]}: train both sides alike, or choose the least-squares method"
        )
    if len(source) != len(target) or not len(source):
        raise OptionError(f"{len(source)} source and {len(target)} target vectors: give the two sides of pairs")
    x = source.astype(np.float64)
    if weights is not None:
        x = x * weights.astype(np.float64)[:, None]
    left, _, right = np.linalg.svd(x.T @ target.astype(np.float64))
    mapping: NDArray[np.float64] = left @ right
    return mapping
