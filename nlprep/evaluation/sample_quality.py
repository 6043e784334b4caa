"""How generated examples compare with real ones, in a space of features that is named with every figure.

- **FID**, Heusel et al. 2017, "GANs trained by a two time-scale update rule": the Fréchet (2-Wasserstein) distance of
  the normal distributions with the means and covariances of the two sets of features,
  |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)). It is biased: two samples of one distribution are apart, the more the
  fewer they are (83 at 100 examples and 8 at 1,000 in one space), so that figures of different numbers do not compare
  (Chong and Forsyth 2020, "Effectively unbiased FID and inception score"). Hence it is given with both numbers, and
  beside it the floor: real examples against real ones, and generated ones against the same ones, as many.
- **KID**, Binkowski et al. 2018, "Demystifying MMD GANs": the squared maximum mean discrepancy under the kernel
  (x.y / d + 1)^3, estimated without bias, which is 0 in expectation, and below 0 half of the time, for two samples of
  one distribution; the mean over subsets, so that it costs no square of the number of examples.
- **Precision and recall**, Kynkäänniemi et al. 2019, "Improved precision and recall metric for assessing generative
  models": the share of generated examples that lie within some real example's distance to its k-th neighbour among the
  real ones, and the share of real examples that lie so near generated ones.

Inception's features are not the only ones: what is near is what the features say is near, and they must be the same
for all that is compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nlprep.core.errors import NlprepError, OptionError
from nlprep.core.randomness import combine, integers
from nlprep.evaluation.arrays import checked_features
from nlprep.evaluation.configuration import SampleQualityConfig
from nlprep.evaluation.intervals import Interval, wilson_interval
from nlprep.vectors.nearest import top_k

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

_HALVES, _SUBSETS, _SIZES, _JACKKNIFE = 1, 2, 3, 4
_GROUPS = 10
_SURE = 1e-5
"""Distances are decided again in double precision where single precision leaves this part of them open."""


@dataclass(frozen=True)
class FeatureMoments:
    """The mean and the covariance of features, the latter as a factor.

    Attributes:
        mean: (d,) float64.
        factor: (r, d) float64, r at most d: the covariance, over n - 1, is factor' factor.
        num_examples: n.
    """

    mean: NDArray[np.float64]
    factor: NDArray[np.float64]
    num_examples: int


@dataclass(frozen=True)
class SizedDistance:
    """An FID with the numbers of examples that it depends on.

    Attributes:
        distance: The FID.
        num_first: Examples on one side.
        num_second: On the other.
    """

    distance: float
    num_first: int
    num_second: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON."""
        return dict(vars(self))


@dataclass(frozen=True)
class KernelDistance:
    """A KID.

    Attributes:
        distance: The mean over subsets; may be below 0.
        spread: The standard deviation over subsets, which share examples: no standard error. 0 of one.
        subsets: How many.
        subset_size: Examples of either side in each.
        standard_error: How much the estimate would differ for other examples (`kernel_standard_error`); None of fewer
            than four on a side.
    """

    distance: float
    spread: float
    subsets: int
    subset_size: int
    standard_error: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON."""
        return dict(vars(self))


@dataclass(frozen=True)
class SampleQuality:
    """Generated against real examples; see the module.

    Attributes:
        space: What the features are.
        dimension: How many.
        fid: All generated against all real ones.
        floor: Some real ones against other real ones.
        fid_at_floor: As many generated ones against these: what `floor` is the floor of.
        kid: Generated against real.
        precision: How many generated ones look real, with its 95% interval.
        recall: How many real ones could have been generated.
        neighbors: The neighbour whose distance is the radius for both.
    """

    space: str
    dimension: int
    fid: SizedDistance
    floor: SizedDistance
    fid_at_floor: SizedDistance
    kid: KernelDistance
    precision: Interval
    recall: Interval
    neighbors: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON."""
        return {name: value.to_dict() if hasattr(value, "to_dict") else value for name, value in vars(self).items()}


def evaluate_samples(
    real: ArrayLike,
    generated: ArrayLike,
    config: SampleQualityConfig | None = None,
    *,
    space: str,
    threads: int | None = None,
) -> SampleQuality:
    """Compare features of generated examples with those of real ones.

    Args:
        real: (n, d), at least four, and more than the neighbour that is a radius.
        generated: (m, d), in the same space; likewise.
        config: Subsets, kernel, neighbours.
        space: What the features are, such as "classifier of digits, layer before the last": figures of different spaces
            do not compare.
        threads: Processors for the search of neighbours; all by default.

    Raises:
        NlprepError: Features that cannot be used, widths that differ, too few examples, or no name of the space.
    """
    config = config or SampleQualityConfig()
    if not space.strip():
        raise NlprepError(
            "the space of the features has no name: say what they are, as figures of others do not compare"
        )
    one, other = _checked_sides(real, generated, at_least=max(4, config.neighbors + 1))
    # As many of either side against one and the same rest of the real examples.
    order = _shuffled(len(one), config.seed, _HALVES)
    size = min(len(one) // 2, len(other))
    some, rest = one[order[:size]], fit_moments(one[order[size:]])
    chosen = other[_shuffled(len(other), config.seed, _HALVES)[:size]]
    apart = len(one) - size
    precision, recall = measure_coverage(one, other, k=config.neighbors, threads=threads)
    return SampleQuality(
        space=space,
        dimension=one.shape[1],
        fid=SizedDistance(frechet_distance(fit_moments(one), fit_moments(other)), len(one), len(other)),
        floor=SizedDistance(frechet_distance(rest, fit_moments(some)), apart, size),
        fid_at_floor=SizedDistance(frechet_distance(rest, fit_moments(chosen)), apart, size),
        kid=kernel_distance(one, other, config),
        precision=precision,
        recall=recall,
        neighbors=config.neighbors,
    )


def fit_moments(features: ArrayLike) -> FeatureMoments:
    """Mean and covariance of features, once for several comparisons.

    Args:
        features: (n, d), n at least 2.

    Raises:
        NlprepError: Features that cannot be used, or one example.
    """
    rows = checked_features(features).astype(np.float64)
    if len(rows) < 2:
        raise NlprepError("one example has no covariance: give at least two")
    mean = rows.mean(axis=0)
    rows -= mean
    # The triangle of a QR decomposition is a factor of the covariance, without squaring its condition.
    return FeatureMoments(mean, np.linalg.qr(rows, mode="r") / np.sqrt(len(rows) - 1), len(rows))


def frechet_distance(first: FeatureMoments, second: FeatureMoments) -> float:
    """The Fréchet distance of the normal distributions with these moments (Dowson and Landau 1982).

    The trace of (S1 S2)^(1/2) is the sum of the singular values of F1 F2', F being the factors: exact where
    covariances are singular, as they are of fewer examples than dimensions, and without the square root of a matrix,
    which there comes out complex or wrong.

    >>> at = lambda place: fit_moments([[place - 1.0], [place + 1.0]])
    >>> round(frechet_distance(at(0), at(3)), 6)
    9.0

    Args:
        first: Of one set of features.
        second: Of another, as wide.

    Returns:
        At least 0.

    Raises:
        NlprepError: Widths that differ.
    """
    if len(first.mean) != len(second.mean):
        raise NlprepError(
            f"features of {len(first.mean)} and {len(second.mean)} dimensions: compare those of one space"
        )
    shared = np.linalg.svd(first.factor @ second.factor.T, compute_uv=False).sum()
    between = float(((first.mean - second.mean) ** 2).sum())
    within = float((first.factor**2).sum() + (second.factor**2).sum() - 2 * shared)
    return between + max(0.0, within)


def measure_sample_bias(
    features: ArrayLike, sizes: Sequence[int], *, repeats: int = 3, seed: int = 1
) -> list[SizedDistance]:
    """The FID of two samples of one distribution, by their number: what few examples alone make of it.

    Args:
        features: (n, d), of which two samples that share no example are drawn.
        sizes: Examples in each, from 2 to n / 2.
        repeats: Pairs of samples, whose mean distance is given.
        seed: Of the samples.

    Returns:
        One for each size.

    Raises:
        NlprepError: Features that cannot be used.
        OptionError: A size out of range, or no repeats.
    """
    rows = checked_features(features)
    if repeats < 1:
        raise OptionError(f"repeats = {repeats}: must be at least 1")
    for size in sizes:
        if not 2 <= size <= len(rows) // 2:
            raise OptionError(
                f"size = {size:,}: two samples of {len(rows):,} examples have 2 to {len(rows) // 2:,} each"
            )
    found = []
    for size in sizes:
        distances = []
        for repeat in range(repeats):
            order = _shuffled(len(rows), seed, _SIZES, size, repeat)
            one, other = rows[order[:size]], rows[order[size : 2 * size]]
            distances.append(frechet_distance(fit_moments(one), fit_moments(other)))
        found.append(SizedDistance(float(np.mean(distances)), size, size))
    return found


def kernel_distance(real: ArrayLike, generated: ArrayLike, config: SampleQualityConfig | None = None) -> KernelDistance:
    """KID: the unbiased squared MMD under a polynomial kernel, the mean over subsets drawn without replacement.

    Where a subset would hold all examples of both sides, there is one.

    Args:
        real: (n, d), at least two.
        generated: (m, d), at least two.
        config: Subsets, their size, the kernel's degree, the seed.

    Raises:
        NlprepError: Features that cannot be used, widths that differ, or a single example.
    """
    config = config or SampleQualityConfig()
    one, other = (side.astype(np.float64) for side in _checked_sides(real, generated, at_least=2))
    size = min(config.subset_size, len(one), len(other))
    subsets = 1 if size == len(one) == len(other) else config.subsets
    values = [
        unbiased_discrepancy(
            one[_shuffled(len(one), config.seed, _SUBSETS, number, 0)[:size]],
            other[_shuffled(len(other), config.seed, _SUBSETS, number, 1)[:size]],
            degree=config.degree,
        )
        for number in range(subsets)
    ]
    spread = float(np.std(values, ddof=1)) if subsets > 1 else 0.0
    error = kernel_standard_error(one, other, degree=config.degree, seed=config.seed)
    return KernelDistance(float(np.mean(values)), spread, subsets, size, error)


def kernel_standard_error(
    first: NDArray[np.float64], second: NDArray[np.float64], *, degree: int = 3, seed: int = 1
) -> float | None:
    """The standard error of `unbiased_discrepancy` of all examples, by a jackknife over ten groups.

    Each side is divided into ten groups at random, a pair of which is left out at a time (Efron and Stein 1981, "The
    jackknife estimate of variance"). For two samples of one distribution it comes out too large rather than too small,
    by half or so, since there the first order of the estimate vanishes.

    Args:
        first: (n, d).
        second: (m, d).
        degree: Of the kernel.
        seed: Of the groups.

    Returns:
        It; None of fewer than four examples on a side.
    """
    if min(len(first), len(second)) < 4:
        return None
    count = min(_GROUPS, len(first), len(second))
    sides = [
        [side[_shuffled(len(side), seed, _JACKKNIFE, place)[group::count]] for group in range(count)]
        for place, side in enumerate((first, second))
    ]
    sums = [_group_sums(one, other, degree) for one, other in ((sides[0],) * 2, (sides[1],) * 2, (sides[0], sides[1]))]
    sizes = [np.array([len(group) for group in side]) for side in sides]
    kept = [size.sum() - size for size in sizes]
    without = [each.sum() - each.sum(0) - each.sum(1) + each.diagonal() for each in sums]
    values = (
        without[0] / (kept[0] * (kept[0] - 1))
        + without[1] / (kept[1] * (kept[1] - 1))
        - 2 * without[2] / (kept[0] * kept[1])
    )
    return float(np.sqrt((count - 1) * np.var(values)))


def _group_sums(
    first: list[NDArray[np.float64]], second: list[NDArray[np.float64]], degree: int
) -> NDArray[np.float64]:
    """(g, g) sums of the kernel over the pairs of two groups; of an example with itself there is none."""
    width = first[0].shape[1]
    sums = np.zeros((len(first), len(second)))
    for row, one in enumerate(first):
        for column, other in enumerate(second):
            if first is second and column < row:
                sums[row, column] = sums[column, row]
                continue
            kernel = _power(one @ other.T / width + 1, degree)
            sums[row, column] = kernel.sum() - (np.trace(kernel) if first is second and row == column else 0.0)
    return sums


def unbiased_discrepancy(first: NDArray[np.float64], second: NDArray[np.float64], *, degree: int = 3) -> float:
    """The squared MMD of two samples under (x.y / d + 1)^degree, pairs of an example with itself left out.

    Gretton et al. 2012, "A kernel two-sample test", equation 3.

    Args:
        first: (n, d), at least two.
        second: (m, d), at least two.
        degree: Of the kernel.
    """
    width = first.shape[1]
    total = 0.0
    for side in (first, second):
        kernel = _power(side @ side.T / width + 1, degree)
        total += float(kernel.sum() - np.trace(kernel)) / (len(side) * (len(side) - 1))
    return total - 2 * float(_power(first @ second.T / width + 1, degree).mean())


def _power(base: NDArray[np.float64], degree: int) -> NDArray[np.float64]:
    """A whole power by products: NumPy's own of an array takes many times as long."""
    result = base.copy()
    for _ in range(degree - 1):
        result *= base
    return result


def measure_coverage(
    real: ArrayLike, generated: ArrayLike, *, k: int = 3, threads: int | None = None
) -> tuple[Interval, Interval]:
    """Improved precision and recall, each with Wilson's 95% interval over the examples that it is a share of.

    The intervals take the balls as they are; more examples make them smaller, so that figures of different numbers do
    not compare either.

    Args:
        real: (n, d), more than ``k``.
        generated: (m, d), more than ``k``.
        k: An example's ball reaches to its k-th neighbour on its own side.
        threads: Processors; all by default.

    Returns:
        The share of generated examples in balls of real ones, and of real ones in balls of generated ones.

    Raises:
        NlprepError: Features that cannot be used, widths that differ, or too few examples.
        OptionError: A ``k`` below 1.
    """
    if k < 1:
        raise OptionError(f"k = {k}: must be at least 1")
    one, other = _checked_sides(real, generated, at_least=k + 1)
    # Far from the origin, single precision would lose distances in the lengths that they are differences of.
    middle = one.mean(axis=0, dtype=np.float64)
    one, other = ((side - middle).astype(np.float64) for side in (one, other))
    inside = [
        int(_within_balls(points, centres, _squared_radii(centres, k, threads), threads).sum())
        for points, centres in ((other, one), (one, other))
    ]
    return wilson_interval(inside[0], len(other)), wilson_interval(inside[1], len(one))


def _squared_radii(rows: NDArray[np.float64], k: int, threads: int | None) -> NDArray[np.float64]:
    """(n,) squared distance of each row to its k-th nearest other."""
    lengths = (rows**2).sum(axis=1)
    # The nearest has the greatest x.y - |y|^2 / 2; a few more are found, as single precision may order them otherwise.
    _, found = top_k(rows, rows, k + 4, offsets=-lengths / 2, threads=threads)
    distances = np.empty(found.shape)
    for place in range(found.shape[1]):
        distances[:, place] = ((rows - rows[found[:, place]]) ** 2).sum(axis=1)
    distances[found == np.arange(len(rows))[:, None]] = np.inf
    radii: NDArray[np.float64] = np.sort(distances, axis=1)[:, k - 1]
    return radii


def _within_balls(
    points: NDArray[np.float64], centres: NDArray[np.float64], squared_radii: NDArray[np.float64], threads: int | None
) -> NDArray[np.bool_]:
    """(m,) whether a point lies in one of the balls, their edges included."""
    # |x - y|^2 <= r^2 exactly if x.y + (r^2 - |y|^2) / 2 >= |x|^2 / 2, so that one search for the best ball answers it.
    room = (squared_radii - (centres**2).sum(axis=1)) / 2
    scores, _ = top_k(points, centres, 1, offsets=room, threads=threads)
    lengths = (points**2).sum(axis=1)
    margin = 2 * scores[:, 0].astype(np.float64) - lengths
    inside: NDArray[np.bool_] = margin >= 0
    scale = lengths + float((centres**2).sum(axis=1).max())
    for row in np.flatnonzero(np.abs(margin) <= _SURE * scale):
        inside[row] = (((centres - points[row]) ** 2).sum(axis=1) <= squared_radii).any()
    return inside


def _checked_sides(
    real: ArrayLike, generated: ArrayLike, *, at_least: int
) -> tuple[NDArray[np.floating[Any]], NDArray[np.floating[Any]]]:
    one, other = checked_features(real, "real features"), checked_features(generated, "generated features")
    if one.shape[1] != other.shape[1]:
        raise NlprepError(
            f"real features of {one.shape[1]} dimensions and generated ones of {other.shape[1]}: compare those of "
            "one space"
        )
    for side, rows in (("real", one), ("generated", other)):
        if len(rows) < at_least:
            raise NlprepError(f"{len(rows):,} {side} example(s): give at least {at_least}")
    return one, other


def _shuffled(number: int, seed: int, *purpose: int) -> NDArray[np.int64]:
    """An order of so many examples, a function of the seed and of what it is for."""
    draws = integers(combine(seed, *purpose, np.arange(number)), 1, purpose=_HALVES)[:, 0]
    return np.argsort(draws, kind="stable")
