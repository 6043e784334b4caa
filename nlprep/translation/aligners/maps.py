"""The kinds of linear maps, as functions from pairs of words to the maps of both sides."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nlprep.core.threads import blas_threads
from nlprep.vectors.least_squares import fit_least_squares
from nlprep.vectors.normalization import scaled_to_unit
from nlprep.vectors.procrustes import fit_procrustes
from nlprep.vectors.whitening import WhiteningConfig, fit_whitened

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Maps = tuple[NDArray[np.float64], NDArray[np.float64]]
    """Of the two sides, into the shared space."""
    Fit = Callable[[NDArray[np.int64], NDArray[np.float64]], Maps]
    """From pairs (p, 2) and their weights (p,) to maps."""

ROUGH = WhiteningConfig(
    whiten=False, source_power=0.5, target_power=0.5, source_dewhiten="none", target_dewhiten="none"
)
"""Orthogonal and re-weighted, for few or poor pairs: directions of which they say nothing come to nothing."""


def make_fit(
    source: NDArray[np.float32],
    target: NDArray[np.float32],
    *,
    method: str = "whitened",
    whitening: WhiteningConfig | None = None,
) -> Fit:
    """A fit to pairs of rows of normalised vectors, (n, d) and (m, e).

    Args:
        source: Of the source language.
        target: Of the target language.
        method: ``whitened``, or ``procrustes`` or ``least-squares``, which map the source onto the target.
        whitening: The steps of ``whitened``.
    """

    def fit(pairs: NDArray[np.int64], weights: NDArray[np.float64]) -> Maps:
        x, z = source[pairs[:, 0]], target[pairs[:, 1]]
        # Decompositions of matrices this small spend their time waiting for each other's threads: measured
        # on a busy machine, one thread takes a fifteenth of two.
        with blas_threads(1):
            if method == "whitened":
                return fit_whitened(x, z, weights=weights, config=whitening)
            # These two map the source onto the target, whose own space is the shared one.
            one_sided = fit_procrustes if method == "procrustes" else fit_least_squares
            return one_sided(x, z, weights=weights), np.eye(target.shape[1])

    return fit


def map_words(
    source: NDArray[np.float32], target: NDArray[np.float32], maps: Maps, count: int | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The first ``count`` words of each side, or all, in the shared space: rows of length one."""
    one, other = (
        scaled_to_unit(side[:count] @ matrix.astype(np.float32))
        for side, matrix in zip((source, target), maps, strict=True)
    )
    return one, other
