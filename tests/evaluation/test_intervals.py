"""Intervals against closed forms, scipy and how often they hold what they say."""

from __future__ import annotations

from math import comb, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from nlprep.core.errors import NlprepError, OptionError
from nlprep.evaluation.intervals import (
    bootstrap_interval,
    clustered_interval,
    compare_answers,
    compare_systems,
    repeated_interval,
    wilson_interval,
)


@given(st.integers(1, 500), st.floats(0, 1), st.sampled_from([0.8, 0.95, 0.99]))
def test_wilsons_interval_is_scipys(trials, share, level):
    successes = round(share * trials)
    ours = wilson_interval(successes, trials, level=level)
    reference = binomtest(successes, trials).proportion_ci(level, method="wilson")
    assert (ours.low, ours.high) == pytest.approx((reference.low, reference.high), abs=1e-12)
    assert 0 <= ours.low <= ours.value <= ours.high <= 1


def test_wilsons_interval_stays_open_at_the_ends():
    assert wilson_interval(0, 20).low == 0
    assert wilson_interval(0, 20).high == pytest.approx(1.959964**2 / (20 + 1.959964**2), abs=1e-6)
    assert wilson_interval(20, 20).high == 1
    assert wilson_interval(20, 20).low < 0.9


@pytest.mark.parametrize(("successes", "trials", "level"), [(3, 2, 0.9), (-1, 2, 0.9), (0, 0, 0.9), (1, 2, 1.0)])
def test_no_share(successes, trials, level):
    with pytest.raises(OptionError):
        wilson_interval(successes, trials, level=level)


def test_the_bootstrap_of_a_mean_is_near_its_closed_form():
    values = np.random.default_rng(0).normal(3, 2, 400)
    interval = bootstrap_interval(np.mean, values, seed=5)
    reach = 1.96 * values.std() / sqrt(400)
    assert interval.value == pytest.approx(values.mean())
    assert (interval.low, interval.high) == pytest.approx((values.mean() - reach, values.mean() + reach), abs=0.03)
    assert interval == bootstrap_interval(np.mean, values, seed=5)
    assert interval != bootstrap_interval(np.mean, values, seed=6)
    # Each resample is a function of its number: more of them do not change those there were.
    found: list[list[float]] = []
    for resamples in (5, 9):
        seen: list[float] = []
        bootstrap_interval(lambda drawn, seen=seen: seen.append(drawn.sum()) or 0.0, values, resamples=resamples)
        found.append(seen)
    assert found[1][:6] == found[0]


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    generator = np.random.default_rng(1)
    held = {"wilson": 0, "bootstrap": 0}
    for trial in range(100):
        answers = generator.random(80) < 0.7
        wilson = wilson_interval(int(answers.sum()), 80, level=0.9)
        held["wilson"] += wilson.low <= 0.7 <= wilson.high
        drawn = bootstrap_interval(np.mean, answers, level=0.9, resamples=100, seed=trial)
        held["bootstrap"] += drawn.low <= 0.7 <= drawn.high
    assert all(0.83 <= times / 100 <= 0.96 for times in held.values()), held


def test_samples_are_drawn_together():
    values = np.arange(50.0)
    interval = bootstrap_interval(lambda one, other: np.abs(one - other).max(), values, values)
    assert (interval.value, interval.low, interval.high) == (0, 0, 0)


def exact_mcnemar(first_only: int, second_only: int) -> float:
    n, k = first_only + second_only, min(first_only, second_only)
    return min(1.0, 2 * sum(comb(n, i) for i in range(k + 1)) / 2**n)


@pytest.mark.parametrize(("first_only", "second_only"), [(0, 0), (0, 1), (3, 3), (1, 9), (12, 30), (0, 8)])
def test_mcnemars_test_is_a_fair_coin(first_only, second_only):
    first = np.array([True] * 4 + [False] * 2 + [True] * first_only + [False] * second_only)
    second = np.array([True] * 4 + [False] * 2 + [False] * first_only + [True] * second_only)
    found = compare_answers(first, second)
    assert (found.both, found.neither, found.first_only, found.second_only) == (4, 2, first_only, second_only)
    assert found.p_value == pytest.approx(exact_mcnemar(first_only, second_only))
    assert found.to_dict()["p_value"] == compare_answers(second, first).p_value


def test_paired_systems_are_told_apart_where_single_intervals_overlap():
    generator = np.random.default_rng(2)
    hard = generator.random(300)
    truth = np.ones(300, bool)
    # The second is right wherever the first is, and a little more often.
    first, second = hard < 0.60, hard < 0.66
    alone = [bootstrap_interval(np.mean, side) for side in (first, second)]
    assert alone[0].high > alone[1].low
    found = compare_systems(lambda given, right: float((given == right).mean()), first, second, truth)
    assert found.difference.high < 0
    assert found.p_value < 0.01
    assert found.difference.value == pytest.approx(found.first - found.second)
    assert compare_answers(first, second).p_value < 0.01
    same = compare_systems(np.mean, first, first)
    assert same.p_value == 1
    assert (same.difference.low, same.difference.high) == (0, 0)
    assert same.to_dict()["difference"]["level"] == 0.95


@pytest.mark.slow
def test_equal_systems_are_rarely_told_apart():
    generator = np.random.default_rng(3)
    told = 0
    for trial in range(100):
        first, second = generator.random((2, 60)) < 0.7
        told += compare_systems(np.mean, first, second, resamples=100, seed=trial).p_value < 0.1
    assert told <= 20


def test_what_cannot_be_measured():
    with pytest.raises(NlprepError, match=r"shapes \(3,\), \(2,\)"):
        bootstrap_interval(np.mean, np.ones(3), np.ones(2))
    with pytest.raises(NlprepError, match="no examples"):
        bootstrap_interval(np.mean, np.ones(0))
    with pytest.raises(NlprepError, match="give arrays"):
        bootstrap_interval(np.mean)
    with pytest.raises(NlprepError, match="the statistic is nan on the examples"):
        bootstrap_interval(lambda _: float("nan"), np.ones(3))
    with pytest.raises(NlprepError, match="the statistic is None on resample"):
        bootstrap_interval(lambda drawn: None if len(set(drawn)) == 1 else 1.0, np.array([1, 2]))
    with pytest.raises(NlprepError, match="say of each whether it is right"):
        compare_answers([1, 0], [0, 1])
    for bad in ({"level": 0.0}, {"resamples": 0}):
        with pytest.raises(OptionError):
            bootstrap_interval(np.mean, np.ones(3), **bad)


def test_intervals_of_repeated_questions_hold_the_true_share():
    """Of 60 questions, each with a chance of its own and asked ten times; were each answer a question, too few."""
    draws = np.random.default_rng(1)
    held, narrow = 0, 0
    for _ in range(300):
        chances = draws.beta(0.7, 0.3, 60)
        right = draws.random((60, 10)) < chances[:, None]
        found, wrong = repeated_interval(right), wilson_interval(int(right.sum()), right.size)
        held += found.low <= 0.7 <= found.high
        narrow += wrong.low <= 0.7 <= wrong.high
    assert held / 300 > 0.92
    assert narrow / 300 < 0.7


def test_questions_asked_once_have_wilsons_interval():
    right = np.arange(30) % 3 == 0
    assert repeated_interval(right[:, None]) == wilson_interval(10, 30)
    assert repeated_interval(np.ones((4, 5))) == wilson_interval(4, 4)
    with pytest.raises(NlprepError, match="questions, times"):
        repeated_interval([True, False])


# Clusters


def test_clusters_of_one_are_independent_examples():
    right = np.random.default_rng(0).random(200) < 0.7
    assert clustered_interval(right, np.arange(200)) == wilson_interval(int(right.sum()), 200)


def test_a_cluster_whose_examples_are_alike_counts_once():
    right = np.repeat([True] * 30 + [False] * 10, 5)
    found = clustered_interval(right, np.repeat(np.arange(40), 5))
    assert found == wilson_interval(30, 40)
    # However they are numbered, and in whatever order.
    order = np.random.default_rng(0).permutation(200)
    again = clustered_interval(right[order], 7 - 3 * np.repeat(np.arange(40), 5)[order])
    assert (again.low, again.high) == pytest.approx((found.low, found.high))
    # Where how they vary is not known, those of one cluster are one: 8^2 / (7^2 + 1) of them.
    every, more = clustered_interval([True] * 8, [0] * 7 + [1]), wilson_interval(2, 2)
    assert wilson_interval(1, 1).low < every.low < more.low


def test_intervals_of_clusters_of_many_sizes_hold_the_share():
    random = np.random.default_rng(3)
    held, naive = 0, 0
    for _ in range(300):
        sizes = random.integers(1, 20, 60)
        chances = np.repeat(random.beta(0.7, 0.3, 60), sizes)
        right = random.random(len(chances)) < chances
        found = clustered_interval(right, np.repeat(np.arange(60), sizes))
        alone = wilson_interval(int(right.sum()), len(right))
        assert found.value == alone.value
        held += found.low <= 0.7 <= found.high
        naive += alone.low <= 0.7 <= alone.high
    assert held > 0.91 * 300
    assert naive < 0.7 * 300


def test_what_has_no_clusters_is_refused():
    with pytest.raises(NlprepError, match=r"values \(2,\) in clusters \(1,\)"):
        clustered_interval([True, False], [1])
    with pytest.raises(NlprepError, match="values run from 0 to 2: give shares"):
        clustered_interval([0.0, 2.0], [1, 2])
    with pytest.raises(OptionError):
        clustered_interval([True], [1], level=1.0)
