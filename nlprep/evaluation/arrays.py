"""What instruments are given, features (n, d) and labels (n,), checked in one place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nlprep.core.errors import NlprepError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def checked_features(features: ArrayLike, what: str = "features") -> NDArray[np.floating[Any]]:
    """A matrix (n, d) of finite numbers, float32 or float64, with at least one row and one column.

    Args:
        features: What was given.
        what: Its name in errors.

    Raises:
        NlprepError: Not that.
    """
    matrix = np.asarray(features)
    if matrix.ndim != 2 or not matrix.size:
        raise NlprepError(f"{what} of shape {matrix.shape}: give a row for each example, at least one")
    if matrix.dtype not in (np.float32, np.float64):
        if not (np.issubdtype(matrix.dtype, np.number) or matrix.dtype == np.bool_):
            raise NlprepError(f"{what} of type {matrix.dtype}: give numbers")
        matrix = matrix.astype(np.float32)
    finite = np.isfinite(matrix).all(axis=1)
    if not finite.all():
        raise NlprepError(
            f"row {int(finite.argmin())} of the {what} has values that are not finite: look at what it comes from"
        )
    return matrix


def checked_labels(labels: ArrayLike, num_examples: int, what: str = "labels") -> NDArray[np.int64]:
    """Whole numbers from 0, one for each example.

    Args:
        labels: What was given.
        num_examples: n.
        what: Their name in errors.

    Raises:
        NlprepError: Not that.
    """
    array = np.asarray(labels)
    if array.shape != (num_examples,):
        raise NlprepError(f"{what} of shape {array.shape} for {num_examples:,} examples: give one for each")
    if num_examples and not np.issubdtype(array.dtype, np.integer):
        raise NlprepError(f"{what} of type {array.dtype}: number the classes from 0")
    if num_examples and array.min() < 0:
        raise NlprepError(f"{what} include {array.min()}: number the classes from 0")
    return array.astype(np.int64)
