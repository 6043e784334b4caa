"""Canonical correlation: its closed form, scikit-learn, invariances, poor views, and the halves of MNIST."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from nlprep.core.errors import OptionError
from nlprep.vectors.canonical_correlation import fit_canonical_correlation
from nlprep.vectors.joint_whitening import PairedVectors, fit_jointly


@pytest.fixture
def generator():
    return np.random.default_rng(5)


def plant(generator, *dimensions, count=400, shared=3, noise=0.7):
    """Views that have ``shared`` coordinates in common, each in other directions, off-centre."""
    common = generator.standard_normal((count, shared))
    return [
        common @ generator.standard_normal((shared, dimension))
        + noise * generator.standard_normal((count, dimension))
        + generator.standard_normal(dimension)
        for dimension in dimensions
    ]


def root(covariance):
    values, directions = np.linalg.eigh(covariance)
    return (directions * values**-0.5) @ directions.T


def test_correlations_are_the_singular_values_of_the_whitened_cross_covariance(generator):
    one, other = plant(generator, 6, 4)
    fitted = fit_canonical_correlation([one, other])
    x, y = (view - view.mean(axis=0) for view in (one, other))
    crossed = root(x.T @ x / 400) @ (x.T @ y / 400) @ root(y.T @ y / 400)
    np.testing.assert_allclose(fitted.correlations, np.linalg.svd(crossed)[1], atol=1e-12)
    assert [matrix.shape for matrix in fitted.directions] == [(6, 4), (4, 4)]
    projected = [fitted.project(0, one), fitted.project(1, other)]
    for coordinates in projected:
        np.testing.assert_allclose(coordinates.T @ coordinates / 400, np.eye(4), atol=1e-10)
    np.testing.assert_allclose(projected[0].T @ projected[1] / 400, np.diag(fitted.correlations), atol=1e-10)


def test_scikit_learn_finds_the_same(generator):
    cross_decomposition = pytest.importorskip("sklearn.cross_decomposition")
    one, other = plant(generator, 6, 4)
    peer = cross_decomposition.CCA(n_components=3, max_iter=5_000, tol=1e-12).fit(one, other)
    x, y = peer.transform(one, other)
    found = [np.corrcoef(x[:, number], y[:, number])[0, 1] for number in range(3)]
    fitted = fit_canonical_correlation([one, other], num_directions=3)
    np.testing.assert_allclose(fitted.correlations, found, atol=1e-6)
    ours = fitted.project(0, one)
    assert min(abs(np.corrcoef(ours[:, number], x[:, number])[0, 1]) for number in range(3)) > 0.999


@pytest.mark.parametrize("count", [2, 3])
def test_invertible_maps_of_a_view_change_nothing(generator, count):
    views = plant(generator, *(5, 4, 6)[:count])
    turned = [
        1e3 * view @ (generator.standard_normal((view.shape[1],) * 2) * np.geomspace(1e-4, 1e3, view.shape[1])) - 7
        for view in views
    ]
    first, second = fit_canonical_correlation(views), fit_canonical_correlation(turned)
    np.testing.assert_allclose(second.correlations, first.correlations, atol=1e-6)
    for number, (view, other) in enumerate(zip(views, turned, strict=True)):
        one, same = first.project(number, view)[:, :2], second.project(number, other)[:, :2]
        np.testing.assert_allclose(np.abs(one.T @ same / 400), np.eye(2), atol=1e-4)


def test_swapped_sides_are_swapped(generator):
    one, other = plant(generator, 6, 4)
    first, second = fit_canonical_correlation([one, other]), fit_canonical_correlation([other, one])
    np.testing.assert_allclose(first.correlations, second.correlations, atol=1e-12)
    np.testing.assert_allclose(np.abs(first.project(0, one)), np.abs(second.project(1, one)), atol=1e-8)


def test_a_ridge_is_relative_to_the_mean_variance(generator):
    one, other = plant(generator, 6, 4)
    fitted = fit_canonical_correlation([one, other], ridge=0.1)
    scaled = fit_canonical_correlation([1_000 * one, other / 50], ridge=0.1)
    np.testing.assert_allclose(scaled.correlations, fitted.correlations, atol=1e-10)
    x, y = (view - view.mean(axis=0) for view in (one, other))
    of_x, of_y = (view.T @ view / 400 for view in (x, y))
    of_x, of_y = (matrix + 0.1 * np.trace(matrix) / len(matrix) * np.eye(len(matrix)) for matrix in (of_x, of_y))
    np.testing.assert_allclose(
        fitted.correlations, np.linalg.svd(root(of_x) @ (x.T @ y / 400) @ root(of_y))[1], atol=1e-12
    )


def test_things_count_by_their_weights(generator):
    one, other = plant(generator, 4, 3, count=60)
    times = generator.integers(1, 4, 60)
    repeated = fit_canonical_correlation([np.repeat(one, times, axis=0), np.repeat(other, times, axis=0)])
    weighted = fit_canonical_correlation([one, other], weights=times)
    np.testing.assert_allclose(weighted.correlations, repeated.correlations, atol=1e-12)


@pytest.mark.parametrize("ridge", [0.0, 1e-3])
@pytest.mark.parametrize("kind", ["white", "identical", "constant", "half constant", "duplicate", "deficient", "short"])
def test_poor_views_give_finite_directions(generator, kind, ridge):
    one, other = plant(generator, 5, 4)
    if kind == "white":
        one, other = generator.standard_normal((2, 400, 4))
    elif kind == "identical":
        other = one.copy()
    elif kind == "constant":
        other = np.full((400, 4), 0.1)
    elif kind == "half constant":
        other[:, 2:] = 1 / 3
    elif kind == "duplicate":
        one = np.concatenate([one, one], axis=1)
    elif kind == "deficient":
        one = one @ generator.standard_normal((5, 2)) @ generator.standard_normal((2, 9))
    else:
        one, other = one[:3], other[:3]
    fitted = fit_canonical_correlation([one, other], ridge=ridge)
    assert all(np.isfinite(matrix).all() for matrix in fitted.directions)
    assert ((fitted.correlations >= 0) & (fitted.correlations <= 1)).all()
    if ridge == 0:
        ranks = {"constant": 0, "half constant": 2, "deficient": 2, "short": 2, "identical": 5}
        assert len(fitted.correlations) == ranks.get(kind, 4)
        projected = fitted.project(0, one)
        np.testing.assert_allclose(projected.T @ projected / len(one), np.eye(ranks.get(kind, 4)), atol=1e-6)
    if kind == "identical":
        assert fitted.correlations.min() > (1 - 1e-9 if ridge == 0 else 0.9)
    if kind == "duplicate" and ridge == 0:
        alone = fit_canonical_correlation([one[:, :5], other])
        np.testing.assert_allclose(fitted.correlations, alone.correlations, atol=1e-9)


def test_three_views_and_the_joint_maps_of_three_languages_are_one(generator):
    views = plant(generator, 6, 5, 4)
    fitted = fit_canonical_correlation(views)
    centred = [view - view.mean(axis=0) for view in views]
    pairs = [
        PairedVectors(i, j, (centred[i], centred[j]), np.ones(400)) for i, j in itertools.combinations(range(3), 2)
    ]
    maps = fit_jointly(pairs, reweighting=0, dewhitening=0)
    correlations = [
        np.mean([np.abs(np.corrcoef(x[:, at], z[:, at])[0, 1]) for at in range(4)])
        for x, z in itertools.combinations([view @ matrix for view, matrix in zip(centred, maps, strict=True)], 2)
    ]
    assert fitted.correlations.mean() == pytest.approx(np.mean(correlations), abs=1e-3)
    for number, view in enumerate(views):
        coordinates = fitted.project(number, view)
        np.testing.assert_allclose(coordinates.T @ coordinates / 400, np.eye(4), atol=1e-9)
    # Three coordinates are shared, and no more.
    assert fitted.correlations[2] > 0.5
    assert fitted.correlations[3] < 0.3


def test_two_views_by_the_way_of_several_are_the_closed_form(generator):
    one, other = plant(generator, 6, 4)
    centred = [view - view.mean(axis=0) for view in (one, other)]
    maps = fit_jointly([PairedVectors(0, 1, (centred[0], centred[1]), np.ones(400))], reweighting=0, dewhitening=0)
    fitted = fit_canonical_correlation([one, other])
    x, z = (view @ matrix for view, matrix in zip(centred, maps, strict=True))
    np.testing.assert_allclose(np.diag(x.T @ z / 400), fitted.correlations, atol=1e-5)


@pytest.mark.parametrize(
    ("views", "settings", "message"),
    [
        ([np.eye(3)], {}, r"views of shapes \[\(3, 3\)\]: give two or more"),
        ([np.eye(3), np.eye(4)], {}, "with a row for each of the same things"),
        ([np.eye(1), np.eye(1)], {}, "views of 1 things"),
        ([np.eye(3), np.full((3, 2), np.nan)], {}, "view 1 holds NaN or infinity"),
        ([np.eye(3)] * 2, {"num_directions": 0}, "num_directions = 0: must be at least 1"),
        ([np.eye(3)] * 2, {"ridge": -1.0}, "ridge = -1.0: must be at least 0"),
        ([np.eye(3)] * 2, {"weights": np.zeros(3)}, "give 3 numbers of 0 or more"),
    ],
)
def test_bad_input_is_told(views, settings, message):
    with pytest.raises(OptionError, match=message):
        fit_canonical_correlation(views, **settings)


def test_another_view_or_dimension_is_refused(generator):
    fitted = fit_canonical_correlation(plant(generator, 3, 4))
    with pytest.raises(OptionError, match="view 2: there are 2"):
        fitted.project(2, np.zeros((1, 3)))
    with pytest.raises(OptionError, match=r"vectors of shape \(1, 3\): view 1 has rows of 4 values"):
        fitted.project(1, np.zeros((1, 3)))


def halves(path):
    images = np.load(path)["x"].astype(np.float64) / 255
    return [part.reshape(len(images), -1) for part in (images[:, :, :14], images[:, :, 14:])]


@pytest.mark.slow
def test_halves_of_handwritten_digits_correlate_as_published(shared_data):
    """Andrew et al. (ICML 2013) report 28.1 for linear CCA, tuned, of 50 dimensions."""
    train = halves(shared_data / "images" / "mnist_train.npz")
    held_out = halves(shared_data / "images" / "mnist_test.npz")
    fitted = fit_canonical_correlation(train, num_directions=50, ridge=1e-2)
    x, y = (fitted.project(number, view) for number, view in enumerate(held_out))
    total = sum(np.corrcoef(x[:, number], y[:, number])[0, 1] for number in range(50))
    assert 27.9 <= total <= 28.5
