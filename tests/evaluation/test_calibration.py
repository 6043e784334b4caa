"""Confidence against accuracy, and the temperature that brings them together."""

from __future__ import annotations

import numpy as np
import pytest

from nlprep.core.errors import NlprepError, OptionError
from nlprep.evaluation.calibration import fit_temperature, measure_reliability
from nlprep.evaluation.classification import calibration_error


def test_bins_are_open_below_and_closed_above():
    found = measure_reliability([0.0, 0.5, 0.500001, 1.0], [False, True, True, False], num_bins=2)
    assert found.examples.tolist() == [2, 2]
    np.testing.assert_allclose(found.accuracy, [0.5, 0.5])
    np.testing.assert_allclose(found.confidence, [0.25, 0.7500005])
    assert found.error == pytest.approx(0.25, abs=1e-6)
    assert found.edges.tolist() == [0, 0.5, 1]


def test_against_a_slow_sum():
    random = np.random.default_rng(0)
    sure, right = random.random(500), random.random(500) < 0.6
    found = measure_reliability(sure, right, num_bins=7)
    error = 0.0
    for number in range(7):
        inside = (sure > number / 7) & (sure <= (number + 1) / 7)
        assert found.examples[number] == inside.sum()
        error += abs(right[inside].mean() - sure[inside].mean()) * inside.sum() / 500
    assert found.error == pytest.approx(error)
    assert found.overconfidence == pytest.approx(sure.mean() - right.mean())
    both = np.stack([np.maximum(sure, 1 - sure), np.minimum(sure, 1 - sure)], 1)
    assert calibration_error(both, (~right).astype(int), num_bins=7) == pytest.approx(
        measure_reliability(both[:, 0], right, num_bins=7).error
    )


def test_an_empty_bin_has_no_accuracy():
    found = measure_reliability([1.0], [True], num_bins=2)
    assert np.isnan(found.accuracy[0])
    assert found.to_dict()["bins"][0] == {"from": 0, "to": 0.5, "examples": 0, "confidence": None, "accuracy": None}
    assert found.to_dict()["calibration_error"] == 0


def test_what_is_no_confidence_is_refused():
    with pytest.raises(NlprepError, match=r"confidences run from 0\.5 to 1\.5"):
        measure_reliability([0.5, 1.5], [True, True])
    with pytest.raises(NlprepError, match="confidences run from nan"):
        measure_reliability([np.nan], [True])
    with pytest.raises(NlprepError, match=r"confidences \(0,\) of answers \(0,\)"):
        measure_reliability([], [])
    with pytest.raises(OptionError, match="num_bins = 0"):
        measure_reliability([1.0], [True], num_bins=0)


def test_the_temperature_undoes_what_scores_were_multiplied_by():
    random = np.random.default_rng(1)
    scores = random.normal(size=(6_000, 5)) * 2
    chances = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    truth = (random.random((len(scores), 1)) > chances.cumsum(1)).sum(1).clip(max=4)
    for factor in (0.25, 1.0, 6.0):
        assert fit_temperature(scores * factor + 100, truth) == pytest.approx(factor, rel=0.06)
    # What cannot be is left out of it.
    barred = np.concatenate([scores, np.full((len(scores), 1), -np.inf)], 1)
    assert fit_temperature(barred, truth) == pytest.approx(fit_temperature(scores, truth), rel=1e-4)


def test_scores_that_have_no_temperature_are_refused():
    with pytest.raises(NlprepError, match="no classes from 0 to 1: leave out those unseen"):
        fit_temperature([[0.0, 1.0]], [-1])
    with pytest.raises(NlprepError, match="has no score that is a finite number"):
        fit_temperature([[np.nan, 1.0]], [1])
    with pytest.raises(NlprepError, match="a right answer has a score that is no finite number"):
        fit_temperature([[-np.inf, 1.0]], [0])
    with pytest.raises(NlprepError, match="give "):
        fit_temperature([0.0, 1.0], [0])
