"""The kinds of linear maps, as functions from pairs of words to the maps of both sides."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Protocol

import numpy as np

from nlprep.core.threads import blas_threads
from nlprep.vectors.configuration import WhiteningConfig
from nlprep.vectors.normalization import scaled_to_unit
from nlprep.vectors.whitening import fit_whitened

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Maps = tuple[NDArray[np.float64], NDArray[np.float64]]
    """Of the two sides, into the shared space."""
    Fit = Callable[[NDArray[np.int64], NDArray[np.float64]], Maps]
    """From pairs (p, 2) and their weights (p,) to maps."""


class Solution(Protocol):
    """From the vectors of pairs, (p, d) and (p, e), and weights of the pairs (p,), to the maps of both sides."""

    def __call__(
        self, source: NDArray[np.floating], target: NDArray[np.floating], *, weights: NDArray[np.float64]
    ) -> Maps:
        """Solve."""
        ...


class OneSided(Protocol):
    """Likewise, to a map of the source alone, which puts it where the target is."""

    def __call__(
        self, source: NDArray[np.floating], target: NDArray[np.floating], *, weights: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Solve."""
        ...


ROUGH = WhiteningConfig(
    whiten=False, source_power=0.5, target_power=0.5, source_dewhiten="none", target_dewhiten="none"
)
"""Orthogonal and re-weighted, for few or poor pairs: directions of which they say nothing come to nothing."""
solve_roughly: Solution = partial(fit_whitened, config=ROUGH)


def make_fit(source: NDArray[np.float32], target: NDArray[np.float32], solve: Solution = fit_whitened) -> Fit:
    """A fit to pairs of rows of normalised vectors, (n, d) and (m, e).

    Args:
        source: Of the source language.
        target: Of the target language.
        solve: From the vectors of pairs to maps.
    """

    def fit(pairs: NDArray[np.int64], weights: NDArray[np.float64]) -> Maps:
        # Decompositions of matrices this small spend their time waiting for each other's threads: measured
        # on a busy machine, one thread takes a fifteenth of two.
        with blas_threads(1):
            return solve(source[pairs[:, 0]], target[pairs[:, 1]], weights=weights)

    return fit


def onto_target(solve: OneSided) -> Solution:
    """Maps of both sides from one of the source: the target's own space is the shared one."""

    def solve_both(source: NDArray[np.floating], target: NDArray[np.floating], *, weights: NDArray[np.float64]) -> Maps:
        return solve(source, target, weights=weights), np.eye(target.shape[1])

    return solve_both


def map_words(
    source: NDArray[np.float32], target: NDArray[np.float32], maps: Maps, count: int | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The first ``count`` words of each side, or all, in the shared space: rows of length one."""
    return map_side(source, maps[0], count), map_side(target, maps[1], count)


def map_side(side: NDArray[np.float32], matrix: NDArray[np.floating], count: int | None = None) -> NDArray[np.float32]:
    """Likewise, of one language."""
    return scaled_to_unit(side[:count] @ matrix.astype(np.float32))
