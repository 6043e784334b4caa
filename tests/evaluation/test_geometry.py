"""How vectors lie, against closed forms and loops over pairs."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.special import i0

from nlprep.core.errors import NlprepError, OptionError
from nlprep.evaluation import geometry
from nlprep.evaluation.geometry import (
    alignment,
    describe_geometry,
    effective_rank,
    hoyer_sparsity,
    measure_interpolation,
    uniformity,
)


def points(n=50, d=4, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d)) + 0.5


def test_uniformity_is_the_mean_over_pairs(monkeypatch):
    features = points()
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    slow = [np.exp(-1.5 * ((unit[i] - unit[j]) ** 2).sum()) for i in range(50) for j in range(i)]
    for block in (1024, 7, 50, 49, 1):
        monkeypatch.setattr(geometry, "_BLOCK", block)
        assert uniformity(features, t=1.5) == pytest.approx(np.log(np.mean(slow)), rel=1e-12)


def test_uniformity_of_points_evenly_on_a_circle_is_bessels():
    n, t = 400, 2.0
    turn = 2 * np.pi * np.arange(n) / n
    found = uniformity(np.column_stack([3 * np.cos(turn), 3 * np.sin(turn)]), t=t)
    # The mean over all pairs, each with itself too, is exp(-2t) I0(2t); these have potential 1.
    every = np.exp(-2 * t) * i0(2 * t)
    assert found == pytest.approx(np.log((n * every - 1) / (n - 1)), abs=1e-9)
    assert uniformity(np.ones((9, 3))) == pytest.approx(0, abs=1e-12)
    assert found < uniformity(points(400, 2))


def test_alignment():
    first, second = points(), points(seed=1)
    unit = [side / np.linalg.norm(side, axis=1, keepdims=True) for side in (first, second)]
    assert alignment(first, 3 * first) == pytest.approx(0, abs=1e-15)
    slow = np.mean([np.sqrt(((a - b) ** 2).sum()) ** 3 for a, b in zip(*unit, strict=True)])
    assert alignment(first, second, power=3) == pytest.approx(slow)


def test_effective_rank_is_the_rank_of_equal_singular_values_and_less_of_others():
    generator = np.random.default_rng(0)
    basis = np.linalg.qr(generator.normal(size=(40, 5)))[0]
    turn = np.linalg.qr(generator.normal(size=(9, 9)))[0][:5]
    assert effective_rank(basis @ turn, centre=False) == pytest.approx(5)
    values = np.array([4.0, 2, 1, 1, 0])
    shares = values / 8
    expected = np.exp(-sum(share * np.log(share) for share in shares[:4]))
    assert effective_rank((basis * values) @ turn, centre=False) == pytest.approx(expected)
    # The mean is a direction of its own, until it is taken off.
    line = np.outer(np.linspace(-1, 1, 30), turn[0])
    assert effective_rank(line + 7 * turn[1]) == pytest.approx(1)
    assert effective_rank(line + 7 * turn[1], centre=False) > 1.1
    # Equal rows have no rank, whatever rounding makes of their mean.
    assert effective_rank(np.full((300, 6), 0.1, np.float32)) == 0
    assert effective_rank(np.tile(points(1, 6), (30, 1))) == 0


def test_sparsity_is_hoyers():
    assert hoyer_sparsity([[1, 1, 1, 1], [0, 0, -3, 0], [1, 1, 0, 0]]) == pytest.approx(
        [0, 1, (2 - np.sqrt(2)) / (2 - 1)]
    )
    assert np.isnan(hoyer_sparsity([[0.0, 0.0], [1.0, 1.0]])).tolist() == [True, False]
    # One dimension of large numbers looks sparse until all have one scale.
    wide = points(200, 6) * np.array([1000, 1, 1, 1, 1, 1])
    assert hoyer_sparsity(wide).mean() > 0.9
    assert hoyer_sparsity(wide, scaled=True).mean() == pytest.approx(hoyer_sparsity(wide / wide.std(axis=0)).mean())
    with pytest.raises(NlprepError, match="1 dimension"):
        hoyer_sparsity(np.column_stack([np.arange(3.0), np.ones(3)]), scaled=True)


def test_all_that_is_asked_of_features():
    features = points().astype(np.float32)
    features[:, 2] = 0.25
    features = np.concatenate([features, np.zeros((1, 4), np.float32)])
    found = describe_geometry(features)
    assert (found.num_examples, found.dimension, found.dead, found.zero_examples) == (51, 4, 0, 1)
    assert found.uniformity == pytest.approx(uniformity(features[:-1]))
    assert found.sparsity == pytest.approx(hoyer_sparsity(features[:-1]).mean())
    assert found.rank_me == pytest.approx(effective_rank(features, centre=False))
    assert describe_geometry(features[:-1]).dead == 1
    assert json.loads(json.dumps(found.to_dict()))["zero_examples"] == 1
    nothing = describe_geometry(np.zeros((3, 2)))
    assert (nothing.uniformity, nothing.sparsity, nothing.effective_rank, nothing.dead) == (None, None, 0, 2)
    assert describe_geometry([[1.0], [2.0]]).sparsity is None


def test_interpolation():
    start, end = points(6, 3), points(6, 3, seed=1)
    share = np.linspace(0, 1, 5)[None, :, None]
    straight = measure_interpolation(start[:, None] + share * (end - start)[:, None])
    assert straight.straightness == pytest.approx(1)
    assert straight.curvature == pytest.approx(0, abs=1e-5)
    assert straight.deviation == pytest.approx(0, abs=1e-12)
    # Straight, but walked unevenly.
    uneven = measure_interpolation(start[:, None] + share**2 * (end - start)[:, None])
    assert uneven.straightness == pytest.approx(1)
    assert uneven.deviation == pytest.approx(0.25)
    # Half a circle of many steps: its length is pi/2 of its chord, and its top a radius away.
    turn = np.linspace(0, np.pi, 181)
    circle = np.column_stack([np.cos(turn), np.sin(turn)])[None]
    half = measure_interpolation(circle)
    assert half.straightness == pytest.approx(2 / np.pi, abs=1e-4)
    assert half.curvature == pytest.approx(1)
    assert (half.num_paths, half.num_steps, half.still_paths) == (1, 180, 0)
    both = measure_interpolation(np.concatenate([circle, circle * 0 + 1]))
    assert (both.num_paths, both.still_paths, both.straightness) == (1, 1, half.straightness)


BAD = np.array([[1.0, np.nan], [0.0, 1.0]])


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (lambda: uniformity(BAD), "row 0 of the features has values that are not finite"),
        (lambda: uniformity([[1.0, 0.0]]), "one example makes no pair"),
        (lambda: uniformity([[1.0, 0.0], [0.0, 0.0]]), "row 1 of the features is zero"),
        (lambda: alignment(np.ones((2, 3)), np.ones((3, 3))), r"shapes \(2, 3\) and \(3, 3\)"),
        (lambda: effective_rank(BAD), "not finite"),
        (lambda: hoyer_sparsity([[1.0]]), "1 dimension"),
        (lambda: measure_interpolation(np.ones((2, 2, 3))), r"paths of shape \(2, 2, 3\)"),
        (lambda: measure_interpolation(np.ones((2, 3, 3))), "every path ends where it began"),
        (lambda: measure_interpolation(np.full((2, 3, 3), np.inf)), "not finite"),
        (lambda: describe_geometry(BAD), "not finite"),
    ],
)
def test_what_has_no_geometry(call, problem):
    with pytest.raises(NlprepError, match=problem):
        call()
    with pytest.raises(OptionError, match="t = 0"):
        uniformity(np.eye(2), t=0)
    with pytest.raises(OptionError, match="power = -1"):
        alignment(np.eye(2), np.eye(2), power=-1)
