"""Maps of several languages into one space at once: whitening, turning, re-weighting, de-whitening of all.

`nlprep.vectors.whitening` for more than two languages. Each is whitened by the variances of its own words in all
the pairs it is part of. Where two are turned by one singular value decomposition, several are turned so that the
cross-covariances of all pairs, added up, are as great as may be::

    maximise  sum over pairs of languages i, j of  w_ij tr(U_i^T C_ij U_j),   U_i orthonormal

which is Kettenring's sum of correlations ("Canonical analysis of several sets of variables", Biometrika 1971), and
generalised Procrustes without the whitening (Gower, Psychometrika 1975). It is found by turning one language to the
others after the other, which never falls, and starts at the language that has most pairs, so that it does not depend
on chance. The directions that are then re-weighted are those of the mean cross-covariance. For two languages all this
is the closed form.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nlprep.core.errors import OptionError
from nlprep.vectors.whitening import whitener

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

_SWEEPS = 100
_CONVERGED = 1e-7


@dataclass(frozen=True)
class PairedVectors:
    """The vectors of pairs of words of two languages.

    Attributes:
        one: Number of the first language.
        other: Number of the second.
        vectors: (p, d) of the first language's words, and (p, e) of the second's.
        weights: (p,) of the pairs.
    """

    one: int
    other: int
    vectors: tuple[NDArray[np.floating], NDArray[np.floating]]
    weights: NDArray[np.float64]


def fit_jointly(
    paired: Sequence[PairedVectors],
    *,
    reweighting: float = 0.5,
    dewhitening: float = 0.75,
    ridge: float = 0.0,
) -> list[NDArray[np.float64]]:
    """Fit a map for each language.

    Args:
        paired: At most one item for two languages; every language that is numbered, from 0, must be reached from
            every other through the pairs. Pairs of languages count alike, however many words they pair.
        reweighting: Power of the correlations by which each side's directions are weighed.
        dewhitening: Share of their variances that directions get back, as a power.
        ridge: Added to the variances, in units of their mean.

    Returns:
        For each language (d, r), r the smallest of all d: rows x and z meet as ``x @ A`` and ``z @ B``.

    Raises:
        OptionError: Nothing is paired, or too little to whiten a language.

    Three turned copies of the same vectors meet:

    >>> import numpy as np
    >>> generator = np.random.default_rng(0)
    >>> x = generator.standard_normal((50, 3))
    >>> turns = [np.linalg.qr(generator.standard_normal((3, 3)))[0] for _ in range(3)]
    >>> sides = [x @ turn for turn in turns]
    >>> pairs = [PairedVectors(i, j, (sides[i], sides[j]), np.ones(50)) for i, j in ((0, 1), (1, 2))]
    >>> maps = fit_jointly(pairs)
    >>> all(np.allclose(sides[0] @ maps[0], side @ matrix) for side, matrix in zip(sides, maps))
    True
    """
    if not paired:
        raise OptionError("no pairs of languages: give at least two languages with pairs of words")
    count = 1 + max(max(item.one, item.other) for item in paired)
    covariances: list[NDArray[np.float64] | None] = [None] * count
    crossed: dict[tuple[int, int], NDArray[np.float64]] = {}
    num_pairs = [0] * count
    for item in paired:
        x, z = (vectors.astype(np.float64) for vectors in item.vectors)
        shares = (item.weights / item.weights.sum(dtype=np.float64))[:, None]
        for language, vectors in ((item.one, x), (item.other, z)):
            added = (vectors * shares).T @ vectors
            so_far = covariances[language]
            covariances[language] = added if so_far is None else so_far + added
            num_pairs[language] += len(vectors)
        crossed[item.one, item.other] = (x * shares).T @ z
    whiteners, dewhiteners = [], []
    for language, covariance in enumerate(covariances):
        if covariance is None:
            raise OptionError(f"language {language} of {count} is in no pair")
        degree = sum(language in pair for pair in crossed)
        given = whitener(covariance / degree, num_pairs[language], ridge=ridge, dewhitening=dewhitening)
        whiteners.append(given[0])
        dewhiteners.append(given[1])
    crossed = {(i, j): whiteners[i] @ matrix @ whiteners[j] for (i, j), matrix in crossed.items()}
    turns = turn_together(crossed, [len(matrix) for matrix in whiteners])
    met = np.mean([turns[i].T @ matrix @ turns[j] for (i, j), matrix in crossed.items()], axis=0)
    correlations, directions = np.linalg.eigh((met + met.T) / 2)
    # Falling, as a singular value decomposition has them.
    correlations, directions = np.maximum(correlations[::-1], 0), directions[:, ::-1]
    maps = []
    for turn, whiten, dewhiten in zip(turns, whiteners, dewhiteners, strict=True):
        turned = turn @ directions
        maps.append(whiten @ turned * correlations**reweighting @ (turned.T @ dewhiten @ turned))
    return maps


def turn_together(
    crossed: Mapping[tuple[int, int], NDArray[np.float64]], sizes: Sequence[int]
) -> list[NDArray[np.float64]]:
    """The orthonormal U_i that make the sum of traces stationary; see above.

    Args:
        crossed: C_ij, (d_i, d_j), by numbers of languages.
        sizes: d_i of every language.

    Returns:
        For each language (d_i, r), r the smallest of all d_i.

    Raises:
        OptionError: A language that is not reached from the others.
    """
    rank = min(sizes)

    def towards(language: int, turns: Sequence[NDArray[np.float64] | None]) -> NDArray[np.float64]:
        """What the others, as far as they are turned, pull a language to: (d, r)."""
        pull = np.zeros((sizes[language], rank))
        for (i, j), matrix in crossed.items():
            for here, there, facing in ((i, j, matrix), (j, i, matrix.T)):
                turned = turns[there]
                if here == language and turned is not None:
                    pull += facing @ turned
        return pull

    neighbors = {
        language: {j if i == language else i for i, j in crossed if language in (i, j)}
        for language in range(len(sizes))
    }
    first = max(neighbors, key=lambda language: len(neighbors[language]))
    turns: list[NDArray[np.float64] | None] = [None] * len(sizes)
    squares = np.zeros((sizes[first], sizes[first]))
    for (i, j), matrix in crossed.items():
        if first in (i, j):
            squares += matrix @ matrix.T if first == i else matrix.T @ matrix
    turns[first] = np.linalg.eigh(squares)[1][:, ::-1][:, :rank]
    reached, waiting = {first}, [first]
    while waiting:
        for language in sorted(neighbors[waiting.pop(0)] - reached):
            turns[language] = _nearest_orthonormal(towards(language, turns))
            reached.add(language)
            waiting.append(language)
    if len(reached) < len(sizes):
        raise OptionError("some languages are not reached from the others through pairs of words")
    placed = [turn for turn in turns if turn is not None]
    total = -np.inf
    for _ in range(_SWEEPS):
        for language in range(len(placed)):
            placed[language] = _nearest_orthonormal(towards(language, placed))
        risen = sum(float(np.sum(placed[i] * (matrix @ placed[j]))) for (i, j), matrix in crossed.items())
        if risen - total <= _CONVERGED * abs(risen):
            break
        total = risen
    return placed


def _nearest_orthonormal(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    left, _, right = np.linalg.svd(matrix, full_matrices=False)
    nearest: NDArray[np.float64] = left @ right
    return nearest
