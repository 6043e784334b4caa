"""RCSLS: loss and gradient against slow references, descent, the convex hull of rotations."""

from __future__ import annotations

import numpy as np
import pytest

from nlprep.translation.aligners.configuration import RcslsConfig
from nlprep.translation.aligners.rcsls import find_neighborhoods, fit_rcsls, mean_gradient, mean_loss, project
from nlprep.vectors.normalization import scaled_to_unit
from nlprep.vectors.procrustes import fit_procrustes


@pytest.fixture
def languages():
    generator = np.random.default_rng(3)
    source = scaled_to_unit(generator.standard_normal((90, 8)))
    turn = np.linalg.qr(generator.standard_normal((8, 8)))[0]
    target = scaled_to_unit(source[:70] @ turn + 0.5 * generator.standard_normal((70, 8)))
    pairs = np.stack([np.arange(40)] * 2, axis=1)
    return source, target, pairs


def slow_loss(mapping, source, target, pairs, k):
    """Equation (5), pair by pair."""
    total = 0.0
    images = source.astype(np.float64) @ mapping
    for one, other in pairs:
        to_targets = np.sort(images[one] @ target.T)[-k:]
        to_images = np.sort(images @ target[other])[-k:]
        total += -2 * images[one] @ target[other] + to_targets.mean() + to_images.mean()
    return total / len(pairs)


def test_the_loss_equals_a_slow_reference(languages):
    source, target, pairs = languages
    mapping = np.random.default_rng(1).standard_normal((8, 8)) / 3
    x, z = source[pairs[:, 0]], target[pairs[:, 1]]
    near = find_neighborhoods(mapping, source, target, x, z, 5)
    assert mean_loss(mapping, x, z, near) == pytest.approx(slow_loss(mapping, source, target, pairs, 5), abs=1e-5)


def test_the_gradient_equals_differences_of_the_loss(languages):
    source, target, pairs = languages
    mapping = np.random.default_rng(1).standard_normal((8, 8)) / 3
    x, z = source[pairs[:, 0]], target[pairs[:, 1]]
    gradient = mean_gradient(x, z, find_neighborhoods(mapping, source, target, x, z, 5))
    # A step so small that the neighbours stay the same ones.
    for place in ((0, 0), (3, 5), (7, 2)):
        change = np.zeros((8, 8))
        change[place] = 1e-6
        up, down = (slow_loss(mapping + sign * change, source, target, pairs, 5) for sign in (1, -1))
        assert gradient[place] == pytest.approx((up - down) / 2e-6, abs=1e-4)


def test_it_descends_within_the_hull_of_rotations(languages):
    source, target, pairs = languages
    start = fit_procrustes(source[pairs[:, 0]], target[pairs[:, 1]])
    mapping, losses = fit_rcsls(source, target, pairs, start, RcslsConfig(steps=6), neighborhood=5)
    assert 2 <= len(losses) <= 7
    assert np.all(np.diff(losses) < 0)
    assert np.linalg.norm(mapping, ord=2) <= 1 + 1e-9
    assert losses[-1] == pytest.approx(slow_loss(mapping, source, target, pairs, 5), abs=1e-5)


def test_projection_cuts_singular_values_at_one():
    generator = np.random.default_rng(0)
    left, right = (np.linalg.qr(generator.standard_normal((4, 4)))[0] for _ in range(2))
    want = left @ np.diag([1, 1, 0.7, 0.2]) @ right
    np.testing.assert_allclose(project(left @ np.diag([3, 1.5, 0.7, 0.2]) @ right), want, atol=1e-12)
