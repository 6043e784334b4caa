"""How vectors lie in their space, without asking what they are for: spread, rank, sparsity, straightness.

- Uniformity and alignment: Wang and Isola 2020, "Understanding contrastive representation learning through alignment
  and uniformity on the hypersphere". Of rows at length one, log mean exp(-t |x - y|^2) over pairs of different
  examples, which is lower the more evenly they cover the sphere; and the mean of |x - x+|^a over pairs that belong
  together, 0 where they coincide. Both are of vectors of length one whatever is given, as there.
- Effective rank: Roy and Vetterli 2007, "The effective rank: a measure of effective dimensionality": exp of the entropy
  of the singular values' shares of their sum. Of centred rows, that the mean does not pass for a direction of spread;
  and of rows as they are, which is RankMe (Garrido et al. 2023, equation 4, without its 1e-7 that
  keeps the logarithm of 0 away: 0 log 0 is 0 here).
- Sparsity: Hoyer 2004, "Non-negative matrix factorization with sparseness constraints": of a row of d numbers,
  (sqrt(d) - |x|_1 / |x|_2) / (sqrt(d) - 1), 0 where all are of one size and 1 where a single one is not 0.
- Interpolation: of paths of vectors, such as codes of images that lie evenly between two images, how straight they are
  and how evenly they are walked (`measure_interpolation`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nlprep.core.errors import NlprepError, OptionError
from nlprep.evaluation.arrays import checked_features
from nlprep.vectors.normalization import row_lengths

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_BLOCK = 1024


@dataclass(frozen=True)
class Geometry:
    """How features lie; see the module.

    Attributes:
        num_examples: n.
        dimension: d.
        dead: Dimensions that have one value for all examples.
        uniformity: With t = 2; lower is more even, 0 where all point one way. None where there are no two examples that
            are not zero.
        effective_rank: Of centred rows; 0 where all rows are equal.
        rank_me: Of rows as they are.
        sparsity: The mean over examples that are not zero; None where there is one dimension or no such example.
        zero_examples: Examples that are zero: they have no direction, and stand in neither uniformity nor sparsity.
    """

    num_examples: int
    dimension: int
    dead: int
    uniformity: float | None
    effective_rank: float
    rank_me: float
    sparsity: float | None
    zero_examples: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON."""
        return dict(vars(self))


@dataclass(frozen=True)
class InterpolationResult:
    """How straight paths are and how evenly they are walked.

    Attributes:
        num_paths: Paths measured.
        num_steps: Steps of each.
        straightness: The mean of the distance between the ends over the length of the path: 1 for a straight line.
        curvature: The mean angle in degrees between a step and the next: 0 for a straight line (Hénaff, Goris and
            Simoncelli 2019, "Perceptual straightening of natural videos"). None where there is one step only, or no two
            steps that move.
        deviation: The mean over paths of the greatest distance of a point from where it would be were the path a
            straight line walked evenly, over the distance between the ends: 0 where codes mix as their images do.
        still_paths: Paths whose ends coincide: nothing is known of them, and they stand in none of the figures.
    """

    num_paths: int
    num_steps: int
    straightness: float
    curvature: float | None
    deviation: float
    still_paths: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON."""
        return dict(vars(self))


def describe_geometry(features: ArrayLike) -> Geometry:
    """All that is asked of features alone.

    Args:
        features: (n, d).

    Raises:
        NlprepError: Features that cannot be used.
    """
    rows = checked_features(features).astype(np.float64)
    zero = row_lengths(rows) == 0
    pointing = rows[~zero]
    return Geometry(
        num_examples=rows.shape[0],
        dimension=rows.shape[1],
        dead=int((np.ptp(rows, axis=0) == 0).sum()),
        uniformity=uniformity(pointing) if len(pointing) > 1 else None,
        effective_rank=effective_rank(rows),
        rank_me=effective_rank(rows, centre=False),
        sparsity=float(hoyer_sparsity(pointing).mean()) if len(pointing) and rows.shape[1] > 1 else None,
        zero_examples=int(zero.sum()),
    )


def uniformity(features: ArrayLike, *, t: float = 2.0) -> float:
    """How evenly directions cover the sphere: log mean exp(-t |x - y|^2) over pairs of different examples.

    >>> round(uniformity([[1.0, 0.0], [-3.0, 0.0]]), 6)
    -8.0

    All pairs are counted, in blocks, so that memory stays flat.

    Args:
        features: (n, d), n at least 2; brought to length one.
        t: How fast the influence of a pair falls with its distance.

    Raises:
        NlprepError: Features that cannot be used, a zero row, or fewer than two.
        OptionError: A t that is not above 0.
    """
    if not t > 0:
        raise OptionError(f"t = {t}: must be above 0, such as 2")
    unit = _unit_rows(features, "features")
    if len(unit) < 2:
        raise NlprepError("one example makes no pair to measure uniformity on: give at least two")
    total = 0.0
    for start in range(0, len(unit), _BLOCK):
        some = unit[start : start + _BLOCK]
        # The block with itself, above the diagonal, and with all rows below it: each pair once.
        inside = _potential(some @ some.T, t)
        total += float(inside[np.triu_indices(len(some), 1)].sum())
        for other in range(start + _BLOCK, len(unit), _BLOCK):
            total += float(_potential(some @ unit[other : other + _BLOCK].T, t).sum())
    return float(np.log(total / (len(unit) * (len(unit) - 1) / 2)))


def alignment(first: ArrayLike, second: ArrayLike, *, power: float = 2.0) -> float:
    """How near vectors lie that belong together, such as those of two views: the mean of |x - x+|^power.

    >>> alignment([[2.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, -1.0]])
    2.0

    Args:
        first: (n, d); brought to length one.
        second: (n, d), row by row what belongs to ``first``.
        power: Of the distance.

    Raises:
        NlprepError: Features that cannot be used, zero rows, or shapes that differ.
        OptionError: A power that is not above 0.
    """
    if not power > 0:
        raise OptionError(f"power = {power}: must be above 0, such as 2")
    one, other = _unit_rows(first, "first features"), _unit_rows(second, "second features")
    if one.shape != other.shape:
        raise NlprepError(f"features of shapes {one.shape} and {other.shape}: give pairs, a row of each")
    return float((row_lengths(one - other) ** power).mean())


def effective_rank(features: ArrayLike, *, centre: bool = True) -> float:
    """The exponential of the entropy of singular values as shares of their sum: the rank, by how much is in it.

    >>> round(effective_rank([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]), 6)
    2.0

    Args:
        features: (n, d).
        centre: Take the mean off first; without it, this is RankMe.

    Returns:
        Between 1 and min(n, d); 0 where nothing is left, as all rows are equal.

    Raises:
        NlprepError: Features that cannot be used.
    """
    rows = checked_features(features).astype(np.float64)
    largest = float(np.abs(rows).max())
    if centre:
        rows = rows - rows.mean(axis=0)
    values = np.linalg.svd(rows, compute_uv=False)
    # What rounding leaves of equal rows is no rank.
    if values[0] <= largest * max(rows.shape) * np.finfo(np.float64).eps:
        return 0.0
    shares = values / values.sum()
    shares = shares[shares > 0]
    return float(np.exp(-(shares * np.log(shares)).sum()))


def hoyer_sparsity(features: ArrayLike, *, scaled: bool = False) -> NDArray[np.float64]:
    """How sparse each row is, from 0 to 1; a zero row has no sparsity: NaN.

    >>> hoyer_sparsity([[1.0, -1.0, 1.0], [0.0, 5.0, 0.0]]).round(6).tolist()
    [0.0, 1.0]

    Args:
        features: (n, d), d at least 2.
        scaled: Divide every dimension by its standard deviation first, so that one of large numbers does not look like
            sparsity (Mathieu et al. 2019, "Disentangling disentanglement in variational autoencoders", section 5);
            dimensions that are constant are left out.

    Returns:
        (n,).

    Raises:
        NlprepError: Features that cannot be used, or a single dimension.
    """
    rows = checked_features(features).astype(np.float64)
    if scaled:
        moving = np.ptp(rows, axis=0) > 0
        rows = rows[:, moving] / rows[:, moving].std(axis=0)
    dimension = rows.shape[1]
    if dimension < 2:
        raise NlprepError(f"{dimension} dimension(s) that can be sparse: give features of at least two")
    lengths = row_lengths(rows)
    ratio = np.divide(np.abs(rows).sum(axis=1), lengths, out=np.full(len(rows), np.nan), where=lengths > 0)
    root = np.sqrt(dimension)
    sparsity: NDArray[np.float64] = np.clip((root - ratio) / (root - 1), 0, 1)
    return sparsity


def measure_interpolation(paths: ArrayLike) -> InterpolationResult:
    """How straight paths are.

    A path is of codes of what lies evenly between two items, or of features of what is decoded between two codes.

    >>> measure_interpolation([[[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]]).curvature
    90.0

    Args:
        paths: (p, s, d): the s vectors along each of p paths, evenly spaced where they come from, s at least 3.

    Raises:
        NlprepError: Another shape, values that are not finite, or no path whose ends differ.
    """
    array = np.asarray(paths, np.float64)
    if array.ndim != 3 or array.shape[1] < 3 or not array.size:
        raise NlprepError(
            f"paths of shape {array.shape}: give (paths, points, dimensions), three points or more of each"
        )
    if not np.isfinite(array).all():
        raise NlprepError("paths with values that are not finite: look at what they come from")
    chords = array[:, -1] - array[:, 0]
    reach = row_lengths(chords)
    moving = reach > 0
    if not moving.any():
        raise NlprepError("every path ends where it began: interpolate between different items")
    array, chords, reach = array[moving], chords[moving], reach[moving]
    steps = np.diff(array, axis=1)
    lengths = np.sqrt((steps**2).sum(axis=2))
    evenly = array[:, :1] + np.linspace(0, 1, array.shape[1])[None, :, None] * chords[:, None]
    astray = np.sqrt(((array - evenly) ** 2).sum(axis=2)).max(axis=1)
    both = lengths[:, 1:] * lengths[:, :-1]
    turning = both > 0
    cosines = (steps[:, 1:] * steps[:, :-1]).sum(axis=2)[turning] / both[turning]
    angles = np.degrees(np.arccos(np.clip(cosines, -1, 1)))
    return InterpolationResult(
        num_paths=len(array),
        num_steps=steps.shape[1],
        straightness=float((reach / lengths.sum(axis=1)).mean()),
        curvature=float(angles.mean()) if len(angles) else None,
        deviation=float((astray / reach).mean()),
        still_paths=int((~moving).sum()),
    )


def _potential(cosines: NDArray[np.float64], t: float) -> NDArray[np.float64]:
    """exp(-t |x - y|^2) of rows of length one, whose squared distance is 2 - 2 cos."""
    potential: NDArray[np.float64] = np.exp(-2 * t * (1 - np.minimum(cosines, 1)))
    return potential


def _unit_rows(features: ArrayLike, what: str) -> NDArray[np.float64]:
    """Rows at length one in double precision, as sums over pairs lose what single precision has not."""
    rows = checked_features(features, what).astype(np.float64)
    lengths = row_lengths(rows)
    if not lengths.all():
        raise NlprepError(f"row {int(lengths.argmin())} of the {what} is zero and points nowhere: leave it out")
    return rows / lengths[:, None]
