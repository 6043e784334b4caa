"""The linear map of least squared error (Mikolov, Le & Sutskever 2013, equation 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nlprep.core.errors import OptionError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def fit_least_squares(
    source: NDArray[np.floating],
    target: NDArray[np.floating],
    *,
    weights: NDArray[np.floating] | None = None,
    ridge: float = 0.0,
) -> NDArray[np.float64]:
    """Minimise sum_i w_i ||x_i W - y_i||^2 + ridge ||W||^2 in closed form (the paper uses gradients).

    Args:
        source: (p, d) vectors of the source words of p pairs.
        target: (p, e) vectors of their translations; e may differ from d.
        weights: (p,) weights of the pairs; all one by default.
        ridge: Weight of the penalty on W.

    Returns:
        W, (d, e). Where fewer pairs than d leave it undetermined, the one of least norm.

    Raises:
        OptionError: The two sides have different numbers of rows, or none.

    >>> import numpy as np
    >>> x = np.array([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]])
    >>> fit_least_squares(x, x @ np.array([[3.0], [4.0]])).round(6).tolist()
    [[3.0], [4.0]]
    """
    if len(source) != len(target) or not len(source):
        raise OptionError(f"{len(source)} source and {len(target)} target vectors: give the two sides of pairs")
    x = source.astype(np.float64)
    y = target.astype(np.float64)
    if weights is not None:
        roots = np.sqrt(weights.astype(np.float64))[:, None]
        x = x * roots
        y = y * roots
    if ridge > 0:
        x = np.concatenate([x, np.sqrt(ridge) * np.eye(x.shape[1])])
        y = np.concatenate([y, np.zeros((x.shape[1], y.shape[1]))])
    return np.linalg.lstsq(x, y, rcond=None)[0].astype(np.float64, copy=False)
