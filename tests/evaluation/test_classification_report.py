"""The report against counting by hand, and what it says of classes that do not occur."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlprep.core.errors import NlprepError, OptionError
from nlprep.evaluation.classification import calibration_error, report_classification
from nlprep.evaluation.intervals import wilson_interval

LABELS = ("a", "b", "c", "d")


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=20))
@settings(max_examples=40, deadline=None)
@pytest.mark.slow
def test_every_figure_is_counted(pairs):
    truth, answers = (np.array(side) for side in zip(*pairs, strict=True))
    report = report_classification(truth, answers, LABELS)
    f1s, recalls = [], []
    for number, score in enumerate(report.classes):
        right = pairs.count((number, number))
        occurs, answered = int((truth == number).sum()), int((answers == number).sum())
        assert (score.label, score.examples, score.given) == (LABELS[number], occurs, answered)
        assert score.precision == (pytest.approx(right / answered) if answered else None)
        assert score.recall == (pytest.approx(right / occurs) if occurs else None)
        assert score.f1 == (pytest.approx(2 * right / (occurs + answered)) if occurs + answered else None)
        f1s += [score.f1] if score.f1 is not None else []
        recalls += [score.recall] if score.recall is not None else []
        assert [report.confusion[number, other] for other in range(4)] == [pairs.count((number, o)) for o in range(4)]
    right = sum(one == other for one, other in pairs)
    assert report.accuracy == report.micro_f1 == pytest.approx(right / len(pairs))
    assert report.accuracy_interval == wilson_interval(right, len(pairs))
    assert report.balanced_accuracy == pytest.approx(np.mean(recalls))
    assert report.macro_f1 == pytest.approx(np.mean(f1s))
    assert report.missing == tuple(LABELS[number] for number in range(4) if number not in truth)


def test_a_class_without_examples_is_named_and_never_perfect():
    report = report_classification([0, 0, 1], [0, 0, 1], ("cat", "dog", "cow"))
    assert report.accuracy == report.macro_f1 == 1
    assert report.missing == ("cow",)
    assert (report.classes[2].precision, report.classes[2].recall, report.classes[2].f1) == (None, None, None)
    # Given but never there: an answer that was wrong each time.
    wrong = report_classification([0, 0, 1], [0, 2, 1], ("cat", "dog", "cow"))
    assert (wrong.classes[2].precision, wrong.classes[2].recall, wrong.classes[2].f1) == (0, None, 0)
    assert wrong.macro_f1 == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert wrong.balanced_accuracy == pytest.approx(0.75)
    written = json.loads(json.dumps(wrong.to_dict(), allow_nan=False))
    assert written["labels_without_examples"] == ["cow"]
    assert written["classes"][2]["recall"] is None
    assert written["calibration_error"] is None


def test_the_calibration_error_is_its_definition():
    generator = np.random.default_rng(0)
    logits = 3 * generator.normal(size=(500, 4))
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    truth = generator.integers(0, 4, 500)
    expected = 0.0
    for number in range(15):
        inside = (chances.max(axis=1) > number / 15) & (chances.max(axis=1) <= (number + 1) / 15)
        if inside.any():
            accuracy = (chances.argmax(axis=1) == truth)[inside].mean()
            expected += inside.sum() / 500 * abs(accuracy - chances.max(axis=1)[inside].mean())
    assert calibration_error(chances, truth) == pytest.approx(expected)
    report = report_classification(truth, chances.argmax(axis=1), LABELS, probabilities=chances)
    assert report.calibration_error == pytest.approx(expected)


def test_calibration_of_known_cases():
    sure = np.eye(2)[[0, 1, 0, 1]]
    assert calibration_error(sure, [0, 1, 0, 1]) == 0
    assert calibration_error(sure, [1, 0, 1, 0]) == 1
    # Four in five are right at a confidence of 0.8.
    assert calibration_error(np.tile([0.8, 0.2], (5, 1)), [0, 0, 0, 0, 1]) == pytest.approx(0)
    assert calibration_error(np.tile([0.8, 0.2], (5, 1)), [0] * 5, num_bins=1) == pytest.approx(0.2)
    # A bin is closed above: 0.5 lies in the lower of two, 0.75 in the upper, and their gaps do not cancel.
    assert calibration_error([[0.5, 0.5], [0.75, 0.25]], [1, 0], num_bins=2) == pytest.approx((0.5 + 0.25) / 2)


@pytest.mark.parametrize(
    ("truth", "given_", "more", "problem"),
    [
        ([], [], {}, "no examples"),
        ([0, 1], [0], {}, r"answers of shape \(1,\)"),
        ([0, 4], [0, 0], {}, "class 4 has no name"),
        ([0, 1], [0, -1], {}, "include -1"),
        ([0, 1], [0, 1], {"probabilities": [[0.2, 0.2], [0.5, 0.5]]}, "sum to 1"),
        ([0, 1], [0, 1], {"probabilities": [[1.5, -0.5], [0.5, 0.5]]}, "at least 0"),
        ([0, 2], [0, 1], {"probabilities": [[0.5, 0.5], [0.5, 0.5]]}, "reach class 2"),
        ([0, 2], [0, 1], {"probabilities": [[0.5, 0.5]]}, "right answers of shape"),
    ],
)
def test_what_cannot_be_reported(truth, given_, more, problem):
    with pytest.raises(NlprepError, match=problem):
        report_classification(truth, given_, LABELS, **more)


def test_no_bins():
    with pytest.raises(OptionError):
        calibration_error([[1.0, 0.0]], [0], num_bins=0)
