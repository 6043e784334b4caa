"""Normalisation of word vectors before they are aligned, as a fitted value that is applied and saved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nlprep.vectors.configuration import parse_steps

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


_BLOCK_ROWS = 8192


@dataclass(frozen=True)
class Normalization:
    """Steps fitted to one language's vectors.

    Attributes:
        steps: ``unit`` scales every row to length one (zero rows stay zero); ``center`` takes away a mean.
        means: (number of ``center`` steps, d) float32, the means in order.
    """

    steps: tuple[str, ...]
    means: NDArray[np.float32]

    def apply(self, matrix: NDArray[np.floating]) -> NDArray[np.float32]:
        """The normalised copy of a matrix (n, d), float32, with the means of the vectors it was fitted to."""
        result = np.array(matrix, dtype=np.float32, order="C")
        for rows in _blocks(len(result)):
            block = result[rows]
            means = iter(self.means)
            for step in self.steps:
                if step == "unit":
                    _scale_to_unit(block)
                else:
                    block -= next(means)
        return result


def fit_normalization(matrix: NDArray[np.floating], steps: str = "unit,center,unit") -> Normalization:
    """Fit the means of a sequence of steps to vectors (n, d).

    Args:
        matrix: The vectors of one language.
        steps: As for `parse_steps`.

    Raises:
        OptionError: A step of another name.
    """
    parsed = parse_steps(steps)
    working = np.array(matrix, dtype=np.float32, order="C") if "center" in parsed else None
    means = []
    # Steps after the last mean have nothing to fit.
    last = len(parsed) - parsed[::-1].index("center") if "center" in parsed else 0
    for step in parsed[:last]:
        assert working is not None  # noqa: S101 - implied by last > 0
        if step == "unit":
            for rows in _blocks(len(working)):
                _scale_to_unit(working[rows])
        else:
            mean = working.mean(axis=0, dtype=np.float64).astype(np.float32)
            working -= mean
            means.append(mean)
    stacked = np.stack(means) if means else np.empty((0, matrix.shape[1]), np.float32)
    return Normalization(parsed, stacked)


def scaled_to_unit(matrix: NDArray[np.floating]) -> NDArray[np.float32]:
    """A float32 copy with rows of length one; zero rows stay zero.

    Every row of length one in this package is made here, but for tensors, which torch scales.

    Args:
        matrix: (n, d), finite.

    >>> import numpy as np
    >>> scaled_to_unit(np.array([[3.0, 4.0], [0.0, 0.0]])).tolist()
    [[0.6000000238418579, 0.800000011920929], [0.0, 0.0]]
    """
    result = np.array(matrix, dtype=np.float32, order="C")
    for rows in _blocks(len(result)):
        _scale_to_unit(result[rows])
    return result


def row_lengths(matrix: NDArray[np.floating]) -> NDArray[np.float64]:
    """Euclidean lengths of rows (n, d), summed in double precision: (n,).

    >>> import numpy as np
    >>> row_lengths(np.array([[3.0, 4.0], [0.0, 0.0]])).tolist()
    [5.0, 0.0]
    """
    lengths: NDArray[np.float64] = np.sqrt(np.einsum("ij,ij->i", matrix, matrix, dtype=np.float64))
    return lengths


def _scale_to_unit(block: NDArray[np.float32]) -> None:
    lengths = row_lengths(block)
    lengths[lengths == 0] = 1
    if lengths.max(initial=1) < 1e38 and lengths.min(initial=1) > 1e-37:
        block /= lengths[:, None].astype(np.float32)
    else:
        # Such lengths do not fit float32.
        block[...] = block.astype(np.float64) / lengths[:, None]


def _blocks(count: int) -> Iterator[slice]:
    return (slice(start, start + _BLOCK_ROWS) for start in range(0, count, _BLOCK_ROWS))
