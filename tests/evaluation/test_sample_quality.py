"""Distances of samples against closed forms, double loops and torchmetrics."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from nlprep.core.errors import NlprepError, OptionError
from nlprep.evaluation import sample_quality
from nlprep.evaluation.configuration import SampleQualityConfig
from nlprep.evaluation.sample_quality import (
    FeatureMoments,
    evaluate_samples,
    fit_moments,
    frechet_distance,
    kernel_distance,
    kernel_standard_error,
    measure_coverage,
    measure_sample_bias,
    unbiased_discrepancy,
)


def normal(n, d=6, seed=0, shift=0.0, scale=1.0):
    return shift + scale * np.random.default_rng(seed).normal(size=(n, d))


def distance(first, second):
    return frechet_distance(fit_moments(first), fit_moments(second))


def test_the_distance_is_that_of_square_roots_of_covariances():
    mix = np.random.default_rng(9).normal(size=(6, 6))
    first, second = normal(200), normal(150, seed=1, shift=0.3) @ mix
    one, other = np.cov(first.T), np.cov(second.T)
    expected = ((first.mean(0) - second.mean(0)) ** 2).sum() + np.trace(one + other - 2 * sqrtm(one @ other).real)
    assert distance(first, second) == pytest.approx(expected, rel=1e-9)
    assert distance(second, first) == pytest.approx(expected, rel=1e-9)


def test_covariances_that_commute_have_a_closed_form():
    basis = np.linalg.qr(np.random.default_rng(2).normal(size=(5, 5)))[0]
    first, second = np.array([4.0, 1, 0.25, 9, 0]), np.array([1.0, 1, 4, 0, 0])
    one, other = (FeatureMoments(np.zeros(5), np.sqrt(values)[:, None] * basis.T, 10) for values in (first, second))
    # Singular, where the square root of a matrix fails.
    assert frechet_distance(one, other) == pytest.approx(((np.sqrt(first) - np.sqrt(second)) ** 2).sum(), rel=1e-12)
    moved = FeatureMoments(np.arange(5.0), other.factor, 10)
    assert frechet_distance(one, moved) == pytest.approx(frechet_distance(one, other) + 30, rel=1e-12)


@pytest.mark.parametrize("examples", [30, 5, 2])
def test_fewer_examples_than_dimensions(examples):
    features = normal(examples, 20, shift=100.0)
    assert distance(features, features) == pytest.approx(0, abs=1e-9)
    assert distance(features, features[::-1]) == pytest.approx(0, abs=1e-9)
    # A copy that is moved and stretched about its mean.
    middle = features.mean(axis=0)
    changed = 3 * (features - middle) + middle + 0.5
    assert distance(features, changed) == pytest.approx(20 * 0.25 + 4 * np.trace(np.cov(features.T)), rel=1e-9)


@pytest.mark.slow
def test_torchmetrics_has_the_same_fid_and_kid():
    from torchmetrics.image.fid import FrechetInceptionDistance
    from torchmetrics.image.kid import KernelInceptionDistance

    real, generated = normal(60, 8), normal(60, 8, seed=1, shift=0.4, scale=1.3)

    class Flat(torch.nn.Module):
        num_features = 8

        def forward(self, images):
            return images.reshape(len(images), -1).double()

    tensors = [torch.from_numpy(side).reshape(-1, 1, 2, 4) for side in (real, generated)]
    fid = FrechetInceptionDistance(feature=Flat(), normalize=True, input_img_size=(1, 2, 4)).set_dtype(torch.float64)
    kid = KernelInceptionDistance(feature=Flat(), subsets=1, subset_size=60, normalize=True)
    # They take normalised images for bytes otherwise; the features here are what they are given.
    fid.normalize = kid.normalize = False
    for metric in (fid, kid):
        for number, tensor in enumerate(tensors):
            metric.update(tensor, real=number == 0)
    assert distance(real, generated) == pytest.approx(float(fid.compute()), rel=1e-6)
    found = kernel_distance(real, generated)
    assert (found.subsets, found.subset_size, found.spread) == (1, 60, 0)
    assert found.distance == pytest.approx(float(kid.compute()[0]), rel=1e-5)


def test_kid_is_a_double_loop():
    first, second = normal(9, 3), normal(7, 3, seed=1, shift=0.5)

    def kernel(x, y):
        return (x @ y / 3 + 1) ** 3

    total = 0.0
    for side in (first, second):
        pairs = [kernel(side[i], side[j]) for i in range(len(side)) for j in range(len(side)) if i != j]
        total += np.mean(pairs)
    total -= 2 * np.mean([kernel(x, y) for x in first for y in second])
    assert unbiased_discrepancy(first, second) == pytest.approx(total)
    assert kernel_distance(first, first[:, ::-1] * 0 + 100).distance > 1


@pytest.mark.slow
def test_kid_of_one_distribution_is_nothing_on_average_and_fid_is_not():
    found = [kernel_distance(normal(40, seed=seed), normal(40, seed=1000 + seed)).distance for seed in range(200)]
    error = np.std(found) / np.sqrt(200)
    assert abs(np.mean(found)) < 3 * error
    # Unbiased: below nothing as often as not, about; a V-statistic would be far above.
    assert 0.3 < np.mean(np.array(found) < 0) < 0.8
    assert np.mean([distance(normal(40, seed=seed), normal(40, seed=1000 + seed)) for seed in range(20)]) > 0.3


@pytest.mark.slow
def test_the_standard_error_of_kid_is_a_jackknife_and_what_repeating_shows():
    one, other = normal(23, 3), normal(17, 3, seed=1, shift=0.4)
    groups = [
        [side[sample_quality._shuffled(len(side), 1, sample_quality._JACKKNIFE, place)[g::10]] for g in range(10)]
        for place, side in enumerate((one, other))
    ]
    left = [
        unbiased_discrepancy(*(np.concatenate([part for h, part in enumerate(side) if h != g]) for side in groups))
        for g in range(10)
    ]
    expected = np.sqrt(9 / 10 * ((np.array(left) - np.mean(left)) ** 2).sum())
    assert kernel_standard_error(one, other) == pytest.approx(expected, rel=1e-9)
    assert kernel_distance(one[:3], other).standard_error is None
    pairs = [(normal(150, 3, seed=2 * n), normal(150, 3, seed=2 * n + 1, shift=0.4)) for n in range(60)]
    errors = np.mean([kernel_standard_error(*pair) for pair in pairs])
    assert errors == pytest.approx(np.std([unbiased_discrepancy(*pair) for pair in pairs]), rel=0.3)


def test_subsets_are_averaged_and_drawn_by_the_seed():
    real, generated = normal(80), normal(70, seed=1, shift=0.3)
    config = SampleQualityConfig(subsets=20, subset_size=30)
    found = kernel_distance(real, generated, config)
    assert (found.subsets, found.subset_size) == (20, 30)
    assert found.spread > 0
    assert found == kernel_distance(real, generated, config)
    other = kernel_distance(real, generated, SampleQualityConfig(subsets=20, subset_size=30, seed=2))
    assert other.distance != found.distance
    whole = unbiased_discrepancy(real, generated)
    many = kernel_distance(real, generated, SampleQualityConfig(subsets=200, subset_size=30))
    assert abs(many.distance - whole) < 3 * many.spread / np.sqrt(200) + 0.1 * abs(whole)


def test_the_bias_of_fid_falls_with_the_number_of_examples():
    d = 10
    found = measure_sample_bias(normal(4000, d), [50, 200, 800, 2000], repeats=4)
    distances = [point.distance for point in found]
    assert distances == sorted(distances, reverse=True)
    assert [(point.num_first, point.num_second) for point in found] == [(n, n) for n in (50, 200, 800, 2000)]
    # To second order in the differences of moments: 2 d / n of the means and (d + d^2) / (2 n) of the covariances.
    for point in found[1:]:
        expected = (2 * d + (d + d * d) / 2) / point.num_first
        assert point.distance == pytest.approx(expected, rel=0.25)


def test_the_floor_is_what_as_many_real_examples_score():
    real, config = normal(1000, 8), SampleQualityConfig(subsets=10)
    good, bad = (
        evaluate_samples(real, side, config, space="normals")
        for side in (normal(500, 8, seed=1), normal(500, 8, 2, 1.0))
    )
    for result in (good, bad):
        assert (result.floor.num_first, result.floor.num_second) == (500, 500)
        assert (result.fid_at_floor.num_first, result.fid_at_floor.num_second) == (500, 500)
        assert (result.fid.num_first, result.fid.num_second) == (1000, 500)
    assert good.fid_at_floor.distance == pytest.approx(good.floor.distance, rel=0.5)
    assert good.fid.distance < good.fid_at_floor.distance
    assert good.floor == bad.floor
    assert bad.fid_at_floor.distance > 7.5
    assert abs(good.kid.distance) < 0.05 < bad.kid.distance
    assert good.precision.value > 0.8 > bad.precision.value
    plain = json.loads(json.dumps(good.to_dict()))
    assert plain["space"] == "normals"
    assert plain["floor"]["num_second"] == 500
    # More generated than half the real ones: a half is left for the other side.
    few = evaluate_samples(normal(20, 3), normal(50, 3, seed=1), space="normals")
    assert (few.floor.num_first, few.floor.num_second, few.fid_at_floor.num_second) == (10, 10, 10)


def slow_coverage(points, centres, k):
    inside = 0
    radii = [sorted(((centre - other) ** 2).sum() for other in centres)[k] for centre in centres]
    for point in points:
        inside += any(((point - c) ** 2).sum() <= radius for c, radius in zip(centres, radii, strict=True))
    return inside / len(points)


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("shift", [0.0, 1000.0])
def test_precision_and_recall_are_loops_over_balls(k, shift):
    real, generated = normal(60, 3) + shift, normal(40, 3, seed=1, shift=0.8, scale=0.7) + shift
    precision, recall = measure_coverage(real, generated, k=k)
    assert precision.value == slow_coverage(generated, real, k)
    assert recall.value == slow_coverage(real, generated, k)
    assert precision.low < precision.value < precision.high


def test_precision_and_recall_tell_quality_from_variety():
    real = normal(300, 2)
    narrow = normal(300, 2, seed=1, scale=0.2)
    precision, recall = measure_coverage(real, narrow)
    assert precision.value > 0.95
    assert recall.value < 0.3
    wide_precision, wide_recall = measure_coverage(real, normal(300, 2, seed=1, scale=5))
    assert wide_precision.value < 0.3
    assert wide_recall.value > 0.9
    far = measure_coverage(real, real + 100)
    assert (far[0].value, far[1].value) == (0, 0)


def test_edges_of_balls_belong_to_them():
    # Copies: radii of 0, and points exactly on them, whatever rounding says.
    some = np.repeat(normal(20, 7) * 1e3 + 1e4, 4, axis=0)
    precision, recall = measure_coverage(some, some[::-1])
    assert (precision.value, recall.value) == (1, 1)
    assert measure_coverage(some, some + 1e-6)[0].value == 0
    # On a line: each ball reaches to its neighbour.
    line = np.arange(10.0)[:, None]
    assert measure_coverage(line, np.array([[9.0], [10.0], [10.5], [-1.0]]), k=1)[0].value == 0.75


def test_many_examples_are_searched_as_few(monkeypatch):
    real, generated = normal(400, 5), normal(300, 5, seed=1, shift=0.5)
    plain = measure_coverage(real, generated)
    from nlprep.vectors import nearest

    monkeypatch.setattr(nearest, "FEW_PRODUCTS", 0)
    assert measure_coverage(real, generated) == plain
    monkeypatch.setattr(sample_quality, "_SURE", 1.0)
    assert measure_coverage(real, generated) == plain


NOT_FINITE = np.where(np.arange(60).reshape(10, 6) == 7, np.nan, 1.0)


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (lambda: evaluate_samples(NOT_FINITE, normal(9), space="s"), "row 1 of the real features has values"),
        (lambda: evaluate_samples(normal(9), NOT_FINITE, space="s"), "row 1 of the generated features has values"),
        (lambda: evaluate_samples(normal(9, 5), normal(9, 6), space="s"), "of 5 dimensions and generated ones of 6"),
        (lambda: evaluate_samples(normal(3), normal(9), space="s"), r"3 real example\(s\): give at least 4"),
        (lambda: evaluate_samples(normal(9), normal(9), space=" "), "the space of the features has no name"),
        (lambda: kernel_distance(normal(9), normal(1)), r"1 generated example\(s\): give at least 2"),
        (lambda: measure_coverage(normal(9), normal(5), k=5), r"5 generated example\(s\): give at least 6"),
        (lambda: fit_moments(normal(1)), "one example has no covariance"),
        (lambda: frechet_distance(fit_moments(normal(5, 2)), fit_moments(normal(5, 3))), "of 2 and 3 dimensions"),
        (lambda: measure_sample_bias(normal(9), [5]), "size = 5: two samples of 9 examples have 2 to 4 each"),
        (lambda: measure_sample_bias(normal(9), [2], repeats=0), "repeats = 0"),
    ],
)
def test_what_cannot_be_compared(call, problem):
    with pytest.raises(NlprepError, match=problem):
        call()
    with pytest.raises(OptionError, match="k = 0"):
        measure_coverage(normal(9), normal(9), k=0)
