"""Normalisation and the closed forms, against independent libraries, identities and each other."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg

from nlprep.core.errors import OptionError
from nlprep.vectors.configuration import WhiteningConfig, parse_steps
from nlprep.vectors.least_squares import fit_least_squares
from nlprep.vectors.normalization import fit_normalization, row_lengths, scaled_to_unit
from nlprep.vectors.procrustes import fit_procrustes
from nlprep.vectors.whitening import PRESETS, fit_whitened

DIMENSION = 12


def correlated(generator, rows=200, columns=DIMENSION):
    """Vectors with unequal, correlated variances."""
    return generator.standard_normal((rows, columns)) @ generator.standard_normal((columns, columns))


def rotation(generator, dimension=DIMENSION):
    return scipy.linalg.qr(generator.standard_normal((dimension, dimension)))[0]


@pytest.fixture
def generator():
    return np.random.default_rng(11)


def test_procrustes_recovers_a_rotation_and_is_undone_by_its_transpose(generator):
    x, truth = correlated(generator), rotation(generator)
    found = fit_procrustes(x, x @ truth)
    np.testing.assert_allclose(found, truth, atol=1e-12)
    np.testing.assert_allclose(x @ found @ found.T, x, atol=1e-12)


def test_procrustes_equals_scipy(generator):
    x, y = correlated(generator), correlated(generator)
    np.testing.assert_allclose(fit_procrustes(x, y), scipy.linalg.orthogonal_procrustes(x, y)[0], atol=1e-10)


def test_whole_weights_equal_repetition(generator):
    x, y = correlated(generator, 40), correlated(generator, 40)
    counts = generator.integers(1, 4, 40)
    repeated = np.repeat(x, counts, axis=0), np.repeat(y, counts, axis=0)
    for fit in (fit_procrustes, fit_least_squares):
        np.testing.assert_allclose(fit(x, y, weights=counts), fit(*repeated), atol=1e-9)
    for one, other in zip(fit_whitened(x, y, weights=counts), fit_whitened(*repeated), strict=True):
        np.testing.assert_allclose(np.abs(one), np.abs(other), atol=1e-9)


def test_least_squares_equals_numpy_and_may_change_the_dimension(generator):
    x, y = correlated(generator), correlated(generator, columns=5)
    found = fit_least_squares(x, y)
    np.testing.assert_allclose(found, np.linalg.lstsq(x, y, rcond=None)[0], atol=1e-10)
    ridge = fit_least_squares(x, y, ridge=3.0)
    np.testing.assert_allclose(ridge, np.linalg.solve(x.T @ x + 3 * np.eye(DIMENSION), x.T @ y), atol=1e-10)


def test_whitened_pairs_are_uncorrelated_and_of_unit_variance(generator):
    x, y = correlated(generator), correlated(generator)
    a, b = fit_whitened(x, y, config=PRESETS["canonical-correlation"])
    for mapped in (x @ a, y @ b):
        np.testing.assert_allclose(mapped.T @ mapped / len(x), np.eye(DIMENSION), atol=1e-9)
    # What is left between the sides is diagonal: the canonical correlations, falling.
    between = (x @ a).T @ (y @ b) / len(x)
    np.testing.assert_allclose(between, np.diag(np.diag(between)), atol=1e-9)
    assert (np.diff(np.diag(between)) <= 1e-12).all()


def test_without_whitening_and_weights_the_family_is_procrustes(generator):
    x, y = correlated(generator), correlated(generator)
    a, b = fit_whitened(x, y, config=PRESETS["orthogonal"])
    np.testing.assert_allclose(a @ b.T, fit_procrustes(x, y), atol=1e-9)
    np.testing.assert_allclose(a.T @ a, np.eye(DIMENSION), atol=1e-9)


def test_its_least_squares_member_is_least_squares(generator):
    x, y = correlated(generator), correlated(generator)
    a, b = fit_whitened(x, y, config=PRESETS["least-squares"])
    # The target side is de-whitened wholly, so its map is orthogonal and can be undone.
    np.testing.assert_allclose(b.T @ b, np.eye(DIMENSION), atol=1e-8)
    np.testing.assert_allclose(a @ b.T, fit_least_squares(x, y), atol=1e-8)


def test_dewhitening_on_its_own_side_undoes_whitening(generator):
    x, y = correlated(generator), correlated(generator)
    a, b = fit_whitened(x, y, config=WhiteningConfig(source_power=0, target_power=0))
    np.testing.assert_allclose(a.T @ a, np.eye(DIMENSION), atol=1e-9)
    np.testing.assert_allclose(b.T @ b, np.eye(DIMENSION), atol=1e-9)


def test_partial_dewhitening_gives_back_a_power_of_the_variances(generator):
    x, y = correlated(generator), correlated(generator)
    a, _ = fit_whitened(x, y, config=WhiteningConfig(source_power=0, target_power=0, dewhitening=0.6))
    covariance = x.T @ x / len(x)
    found = np.linalg.eigvalsh(a.T @ covariance @ a)
    np.testing.assert_allclose(found, np.linalg.eigvalsh(covariance) ** 0.6, rtol=1e-9)


def test_whitening_takes_sides_of_different_dimensions(generator):
    x, y = correlated(generator), correlated(generator, columns=7)
    a, b = fit_whitened(x, y)
    assert a.shape == (DIMENSION, 7)
    assert b.shape == (7, 7)


def test_too_few_pairs_to_whiten_are_refused_unless_a_ridge_is_given(generator):
    x, y = correlated(generator, 5), correlated(generator, 5)
    with pytest.raises(OptionError, match="5 pairs leave some of the 12 dimensions"):
        fit_whitened(x, y)
    a, b = fit_whitened(x, y, config=WhiteningConfig(ridge=0.1))
    assert np.isfinite(a).all()
    assert np.isfinite(b).all()


def test_dewhitening_what_was_not_whitened_is_refused():
    with pytest.raises(OptionError, match="de-whitening without whitening"):
        WhiteningConfig(whiten=False)


@pytest.mark.parametrize("fit", [fit_procrustes, fit_least_squares, fit_whitened])
@pytest.mark.parametrize("sizes", [(3, 4), (0, 0)])
def test_sides_that_are_no_pairs_are_refused(fit, sizes):
    with pytest.raises(OptionError, match="the two sides of pairs"):
        fit(np.ones((sizes[0], 2)), np.ones((sizes[1], 2)))


def test_procrustes_refuses_different_dimensions():
    with pytest.raises(OptionError, match="found 3 and 4: train both sides alike"):
        fit_procrustes(np.ones((5, 3)), np.ones((5, 4)))


def test_steps_are_parsed():
    assert parse_steps("unit, center,unit") == ("unit", "center", "unit")
    assert parse_steps("none") == ()
    assert parse_steps("iterative") == ("unit", "center") * 5 + ("unit",)
    with pytest.raises(OptionError, match="'centre': choose from unit"):
        parse_steps("unit,centre")


def test_unit_center_unit_equals_its_definition(generator):
    matrix = correlated(generator, 300) + 2.0
    unit = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
    centered = unit - unit.mean(axis=0)
    want = centered / np.linalg.norm(centered, axis=1, keepdims=True)
    fitted = fit_normalization(matrix, "unit,center,unit")
    result = fitted.apply(matrix)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, want, atol=1e-5)
    # New vectors meet the means of the old ones.
    np.testing.assert_allclose(fitted.apply(matrix[:3]), want[:3], atol=1e-5)


def test_iterative_normalization_has_zero_mean_and_unit_length_at_once(generator):
    matrix = correlated(generator, 300) + 3.0
    result = fit_normalization(matrix, "iterative").apply(matrix)
    once = fit_normalization(matrix, "unit,center,unit").apply(matrix)
    np.testing.assert_allclose(np.linalg.norm(result, axis=1), 1.0, atol=1e-5)
    assert np.linalg.norm(result.mean(axis=0)) < 1e-3 < np.linalg.norm(once.mean(axis=0))


def test_zero_rows_stay_zero_and_the_input_stays_as_it_was():
    matrix = np.array([[3.0, 4.0], [0.0, 0.0]], np.float32)
    matrix.flags.writeable = False
    np.testing.assert_allclose(scaled_to_unit(matrix), [[0.6, 0.8], [0, 0]], atol=1e-7)
    np.testing.assert_allclose(fit_normalization(matrix, "unit").apply(matrix), [[0.6, 0.8], [0, 0]], atol=1e-7)
    np.testing.assert_array_equal(matrix, [[3.0, 4.0], [0.0, 0.0]])


@pytest.mark.parametrize("length", [1e-42, 1e-30, 1.0, 3e38])
def test_rows_of_any_length_are_scaled_to_one(length):
    matrix = np.array([[length, length, 0], [0, 0, 0], [0, -length, 0]], np.float32)
    unit = scaled_to_unit(matrix)
    assert unit.dtype == np.float32
    np.testing.assert_allclose(unit, [[0.5**0.5, 0.5**0.5, 0], [0, 0, 0], [0, -1, 0]], atol=1e-3)
    np.testing.assert_allclose(row_lengths(matrix), [2**0.5 * length, 0, length], rtol=1e-3)
