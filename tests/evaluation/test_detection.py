"""Areas, precisions and thresholds against loops, binomials and many trials."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.stats import binom, norm

from nlprep.core.errors import NlprepError, OptionError
from nlprep.evaluation.detection import (
    Threshold,
    area_interval,
    area_under_curve,
    evaluate_detection,
    fit_threshold,
)


def scores(n, m, apart=1.0, seed=0):
    generator = np.random.default_rng(seed)
    return generator.normal(size=n), generator.normal(size=m) + apart


def slow_precision(usual, odd):
    """Mean over odd examples, in groups of equal scores, of the precision where they are called odd."""
    every = sorted(set(odd.tolist()), reverse=True)
    found = 0.0
    for line in every:
        above = (odd >= line).sum()
        found += (odd == line).sum() / len(odd) * above / (above + (usual >= line).sum())
    return found


@pytest.mark.slow
def test_the_figures_are_their_definitions():
    usual, odd = (np.round(side, 1) for side in scores(80, 30))
    found = evaluate_detection(usual, odd, resamples=200)
    slow = np.mean([(high > low) + 0.5 * (high == low) for high in odd for low in usual])
    assert found.auroc.value == pytest.approx(slow)
    assert area_under_curve(usual, odd) == pytest.approx(slow)
    assert found.average_precision.value == pytest.approx(slow_precision(usual, odd))
    assert found.prevalence == 30 / 110
    assert found.auroc.low < slow < found.auroc.high
    assert found.average_precision.low < found.average_precision.value < found.average_precision.high
    assert found == evaluate_detection(usual, odd, resamples=200)
    assert found.average_precision != evaluate_detection(usual, odd, resamples=200, seed=2).average_precision
    assert (found.false_alarms, found.detected) == (None, None)
    turned = evaluate_detection(-usual, -odd, resamples=5)
    assert turned.auroc.value == pytest.approx(1 - slow)


def test_a_detector_that_did_not_train_is_chance():
    found = evaluate_detection(np.ones(40), np.ones(10), resamples=20)
    assert found.auroc.value == 0.5
    assert found.average_precision.value == pytest.approx(found.prevalence)


@pytest.mark.parametrize(("area", "n", "m"), [(0.5, 10, 10), (0.9, 200, 30), (1.0, 50, 50), (0.0, 5, 9)])
def test_the_ends_of_an_area_are_where_it_is_z_deviations_away(area, n, m):
    found = area_interval(area, n, m)
    half = (n + m) / 2 - 1
    for end in (found.low, found.high):
        variance = end * (1 - end) / (n * m) * (1 + half * ((1 - end) / (2 - end) + end / (1 + end)))
        if 0 < end < 1:
            assert abs(end - area) == pytest.approx(norm.ppf(0.975) * np.sqrt(variance), rel=1e-6)
        else:
            assert end == area
    assert 0 <= found.low < found.high <= 1
    # The same seen from the other side.
    mirrored = area_interval(1 - area, n, m)
    assert (mirrored.low, mirrored.high) == pytest.approx((1 - found.high, 1 - found.low), abs=1e-9)


@pytest.mark.parametrize("apart", [1.0, 3.0])
@pytest.mark.slow
def test_intervals_hold_the_true_area_as_often_as_they_say(apart):
    truth = norm.cdf(apart / np.sqrt(2))
    held = 0
    for seed in range(300):
        found = area_interval(area_under_curve(*scores(30, 20, apart, seed)), 30, 20)
        held += found.low <= truth <= found.high
    assert 0.92 <= held / 300 <= 1


def test_a_threshold_keeps_its_promise_as_often_as_it_says():
    kept, plain = 0, 0
    trials = 400
    for seed in range(trials):
        usual = np.random.default_rng(seed).normal(size=150)
        line = fit_threshold(usual, rate=0.05, confidence=0.9)
        kept += norm.sf(line.value) <= 0.05
        plain += norm.sf(np.quantile(usual, 0.95)) <= 0.05
    assert line.confidence >= 0.9
    assert abs(kept / trials - line.confidence) < 3 * np.sqrt(line.confidence * (1 - line.confidence) / trials)
    # The quantile of the sample keeps it about half of the time.
    assert plain / trials < 0.65


def test_a_threshold_is_the_least_rank_that_is_sure():
    usual = np.random.default_rng(0).permutation(200.0 * np.arange(200))
    line = fit_threshold(usual, rate=0.1, confidence=0.95)
    assert line.value == 200.0 * (line.rank - 1)
    assert line.confidence == pytest.approx(sum(binom.pmf(k, 200, 0.9) for k in range(line.rank)))
    assert line.confidence >= 0.95 > binom.cdf(line.rank - 2, 200, 0.9)
    assert line.flag(usual).sum() == 200 - line.rank
    assert fit_threshold(usual, rate=0.1, confidence=0.5).rank < line.rank
    # As few as there can be: the greatest of them.
    assert fit_threshold(range(59)).rank == 59
    with pytest.raises(NlprepError, match=r"58 examples cannot show .* give at least 59"):
        fit_threshold(range(58))


def test_the_rates_of_a_threshold_on_examples_that_are_new():
    usual, odd = scores(300, 100, 3.0)
    line = fit_threshold(scores(500, 1, seed=5)[0])
    found = evaluate_detection(usual, odd, threshold=line, resamples=5)
    assert found.false_alarms.value == (usual > line.value).mean()
    assert found.detected.value == (odd > line.value).mean()
    assert found.false_alarms.value < 0.08 < 0.7 < found.detected.value
    plain = json.loads(json.dumps(found.to_dict()))
    assert plain["detected"]["value"] == found.detected.value
    assert Threshold(**json.loads(json.dumps(line.to_dict()))) == line


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (lambda: evaluate_detection([0.0, np.nan], [1.0]), "scores of usual examples: number 1 is nan"),
        (lambda: evaluate_detection([0.0], [np.inf]), "scores of odd examples: number 0 is inf"),
        (lambda: evaluate_detection([], [1.0]), r"scores of usual examples of shape \(0,\)"),
        (lambda: evaluate_detection([[1.0]], [1.0]), r"of shape \(1, 1\)"),
        (lambda: evaluate_detection([1.0], ["a"]), "scores of odd examples of shape"),
        (lambda: fit_threshold([np.nan] * 100), "number 0 is nan"),
        (lambda: fit_threshold(range(100)).flag([np.nan]), "scores: number 0 is nan"),
    ],
)
def test_scores_that_cannot_be_used(call, problem):
    with pytest.raises(NlprepError, match=problem):
        call()


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (lambda: fit_threshold(range(100), rate=0), "rate = 0"),
        (lambda: fit_threshold(range(100), confidence=1.0), r"confidence = 1\.0"),
        (lambda: evaluate_detection([0], [1], level=1), "level = 1"),
        (lambda: evaluate_detection([0], [1], resamples=0), "resamples = 0"),
        (lambda: area_interval(1.1, 5, 5), r"area = 1\.1"),
    ],
)
def test_numbers_out_of_range(call, problem):
    with pytest.raises(OptionError, match=problem):
        call()
