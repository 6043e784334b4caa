"""Canonical correlation with ridges, of several views and of kernels, against eigenproblems and cca_zoo's figures."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.linalg import block_diag, eigh

from nlprep.core.errors import OptionError
from nlprep.vectors.canonical_correlation import fit_canonical_correlation, measure_correlations
from nlprep.vectors.kernel_correlation import Gaussian, Polynomial, fit_kernel_correlation, linear

COUNT = 60


def drawn(count: int = COUNT, sizes: tuple[int, ...] = (5, 4, 3)) -> list[np.ndarray]:
    """Views that have two numbers in common, with sines for noise, so that other libraries can be given the same."""
    at = np.arange(count)
    common = np.stack([np.sin(at * 1.3), np.cos(at * at * 0.37)], 1)
    found = []
    for view, size in enumerate(sizes):
        mixed = np.sin(np.arange(2 * size).reshape(2, size) * (1.7 + view) + view)
        noise = np.sin(np.outer(at, np.arange(1, size + 1)) * (2.1 + view) + at[:, None] ** 2 * (0.11 + 0.07 * view))
        found.append(common @ mixed + 0.8 * noise + view)
    return found


def unit(views: list[np.ndarray]) -> list[np.ndarray]:
    """Centred and of mean variance one, as n - 1 counts it: there shrinkage c is a ridge of c / (1 - c)."""
    centred = [view - view.mean(0) for view in views]
    return [view / np.sqrt(np.square(view).sum() / (COUNT - 1) / view.shape[1]) for view in centred]


# Pearson's correlations of the coordinates that cca_zoo 4.0.1 finds (transform of what it was fitted to), by its class
# and shrinkage.
PEER = {
    ("CCA", 0.0): (0.87756778, 0.66119781, 0.33485489),
    ("RidgeCCA", 0.3): (0.84349992, 0.64153875, 0.31035663),
    ("GCCA", 0.0): (0.82127847, 0.63620368, 0.22865803),
    ("GCCA", 0.3): (0.7761474, 0.58051246, 0.17236162),
    ("MCCA", 0.0): (0.82127847, 0.63620368, 0.22865803),
    ("MCCA", 0.3): (0.79187924, 0.60629876, 0.21268788),
}
CRITERIA = {"GCCA": "shared", "MCCA": "multiset"}


@pytest.mark.parametrize(("name", "shrinkage"), PEER)
def test_cca_zoo_finds_the_same(name: str, shrinkage: float) -> None:
    views = unit(drawn())[: 3 if name in CRITERIA else 2]
    fitted = fit_canonical_correlation(
        views, num_directions=3, ridge=shrinkage / (1 - shrinkage), criterion=CRITERIA.get(name, "pairs")
    )
    found = measure_correlations([fitted.project(number, view) for number, view in enumerate(views)])
    np.testing.assert_allclose(found, PEER[name, shrinkage], atol=1e-6)


# The same of KCCA(shrinkage=0.1) and of things that it was not fitted to.
PEER_KERNELS = {
    "rbf, gamma = 1 / 4.5": (Gaussian(1.5), (0.90760094, 0.84169699, 0.59682709)),
    "poly, degree = 2": (Polynomial(2), (0.94624194, 0.71832457, 0.7424947)),
}


@pytest.mark.parametrize(("kernel", "expected"), PEER_KERNELS.values(), ids=PEER_KERNELS.keys())
def test_cca_zoo_finds_the_same_with_kernels(kernel, expected) -> None:
    views = unit(drawn()[:2])
    # Its shrinkage is towards the identity, in whatever units the kernel has.
    centring = np.eye(COUNT) - 1 / COUNT
    ridges = []
    for view in views:
        variances = np.linalg.eigvalsh(centring @ kernel(view, view) @ centring) / COUNT
        mean = variances.sum() / (variances > 1e-12 * variances.max()).sum()
        ridges.append(0.1 / 0.9 * (COUNT - 1) / COUNT / mean)
    fitted = fit_kernel_correlation(views, kernels=kernel, num_directions=3, ridge=ridges)
    others = [0.9 * view[:20] + 0.1 for view in views]
    found = measure_correlations([fitted.project(number, view) for number, view in enumerate(others)])
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("ridge", [0.0, 0.2])
def test_multiset_directions_solve_the_eigenproblem(ridge: float) -> None:
    views = [view - view.mean(0) for view in drawn()]
    own = [view.T @ view / COUNT for view in views]
    own = [matrix + ridge * np.trace(matrix) / len(matrix) * np.eye(len(matrix)) for matrix in own]
    whole = np.concatenate(views, axis=1)
    between = whole.T @ whole / COUNT - block_diag(*[view.T @ view / COUNT for view in views])
    values, vectors = eigh(between, block_diag(*own))
    fitted = fit_canonical_correlation(views, num_directions=2, ridge=ridge, criterion="multiset")
    directions = np.concatenate(fitted.directions)
    expected = np.sqrt(3) * vectors[:, ::-1][:, :2]
    np.testing.assert_allclose(np.abs(directions), np.abs(expected), atol=1e-9)
    reached = sum(
        np.diag(fitted.directions[i].T @ views[i].T @ views[j] @ fitted.directions[j]) / COUNT
        for i, j in itertools.combinations(range(3), 2)
    )
    np.testing.assert_allclose(reached, 3 * values[::-1][:2] / 2, atol=1e-9)


def test_shared_directions_are_regressions_on_what_all_share() -> None:
    views = [view - view.mean(0) for view in drawn()]
    projections = sum(view @ np.linalg.pinv(view) for view in views)
    shared = np.linalg.eigh(projections)[1][:, ::-1][:, :3] * np.sqrt(COUNT)
    fitted = fit_canonical_correlation(drawn(), num_directions=3, criterion="shared")
    for number, view in enumerate(views):
        expected = np.linalg.lstsq(view, shared, rcond=None)[0]
        np.testing.assert_allclose(np.abs(fitted.directions[number]), np.abs(expected), atol=1e-9)
    np.testing.assert_allclose(
        fitted.correlations,
        measure_correlations([fitted.project(number, view) for number, view in enumerate(drawn())]),
        atol=1e-9,
    )


def test_two_views_have_one_answer() -> None:
    views = drawn()[:2]
    first, *others = (
        fit_canonical_correlation(views, criterion=criterion) for criterion in ("pairs", "shared", "multiset")
    )
    for other in others:
        np.testing.assert_array_equal(other.directions[0], first.directions[0])
    # A view without any variance shares nothing with anybody.
    empty = fit_canonical_correlation([*views, np.zeros((COUNT, 1))], criterion="shared")
    assert empty.correlations.shape == (0,)


def test_a_linear_kernel_is_linear_correlation() -> None:
    views = drawn()
    fitted = fit_canonical_correlation(views[:2], ridge=0.1)
    kernel = fit_kernel_correlation(views[:2], kernels=linear, ridge=0.1)
    np.testing.assert_allclose(kernel.correlations, fitted.correlations, atol=1e-9)
    others = views[1][:7] + 0.3
    np.testing.assert_allclose(np.abs(kernel.project(1, others)), np.abs(fitted.project(1, others)), atol=1e-7)
    assert fit_kernel_correlation(views, kernels=[linear, Gaussian(2.0), linear]).correlations.shape == (3,)


def test_precision_is_not_halved() -> None:
    """By covariances, whose eigenvalues are squares, a thousand-millionth of the deviation is lost in rounding."""
    rotation = np.linalg.qr(np.cos(np.outer(np.arange(4), np.arange(1, 5)) + 1))[0]
    common = np.sin(np.arange(COUNT) * 1.3)
    latent = np.stack([np.cos(np.arange(COUNT) * k) for k in (0.7, 1.9, 3.1)] + [1e-8 * common], axis=1)
    fitted = fit_canonical_correlation([latent @ rotation, common[:, None]])
    assert fitted.correlations[0] > 1 - 1e-9


def test_numbers_of_single_precision_have_its_rounding() -> None:
    one = drawn()[0].astype(np.float32)
    twice = np.concatenate([one, (one @ np.float32([[1], [1], [0], [0], [0]])) / 3], axis=1, dtype=np.float32)
    # The last column is one of the others' but for rounding, which is no direction of its own.
    assert fit_canonical_correlation([twice, drawn(sizes=(6, 6))[1]]).directions[0].shape == (6, 5)


def test_correlation_is_of_all_things_and_not_averaged_over_batches() -> None:
    one, other = (view[:, :1] for view in drawn()[:2])
    whole = abs(measure_correlations([one, other])[0])
    parts = [abs(measure_correlations([one[at : at + 4], other[at : at + 4]])[0]) for at in range(0, COUNT, 4)]
    assert whole < np.mean(parts) - 0.05
    assert whole == pytest.approx(abs(np.corrcoef(one[:, 0], other[:, 0])[0, 1]))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"criterion": "all"}, "criterion = 'all': choose from pairs, shared, multiset"),
        ({"ridge": [0.1]}, "1 ridges for 2 views: give one for each, or one for all"),
        ({"ridge": [0.1, -1.0]}, "ridge = -1.0: must be at least 0"),
    ],
)
def test_bad_settings_are_told(settings, message) -> None:
    with pytest.raises(OptionError, match=message):
        fit_canonical_correlation(drawn()[:2], **settings)


def test_bad_kernels_are_told() -> None:
    one, other = drawn()[:2]
    with pytest.raises(OptionError, match="1 kernels for 2 views"):
        fit_kernel_correlation([one, other], kernels=[linear])
    with pytest.raises(OptionError, match=r"the kernel of view 0 gives \(60,\): expected a symmetric \(60, 60\)"):
        fit_kernel_correlation([one, other], kernels=lambda x, y: x[:, 0])
    with pytest.raises(OptionError, match="width = 0: must be above 0"):
        Gaussian(0)
    fitted = fit_kernel_correlation([one, other])
    with pytest.raises(OptionError, match="view 2: there are 2"):
        fitted.project(2, one)
    with pytest.raises(OptionError, match=r"vectors of shape \(60, 4\): view 0 has rows of 5 values"):
        fitted.project(0, other)


def test_one_of_two_signs_is_chosen() -> None:
    views = drawn()
    for criterion in ("pairs", "shared"):
        fitted = fit_canonical_correlation(views, criterion=criterion)
        first = fitted.directions[0]
        assert (first[np.abs(first).argmax(axis=0), np.arange(3)] > 0).all()
    turned = fit_canonical_correlation([-views[0], views[1]])
    np.testing.assert_allclose(turned.directions[0], fit_canonical_correlation(views[:2]).directions[0], atol=1e-12)
