"""What is said of a run that was done before it was called again."""

from __future__ import annotations

import pytest

from cli.training_runs import describe_done, shown_summary


def summary(**changes):
    training = {"steps": 1200, "epochs": 1.0, "patience": None}
    return {
        "output": "run", "already_done": True, "steps": 1200, "ended_early": None, "settings": {"training": training},
        "resumed_from": 1200, "seconds": 0.1, "images_per_second": None, "loss": 0.5,
    } | changes  # fmt: skip


@pytest.mark.parametrize(
    ("training", "ended", "said"),
    [
        ({"steps": 1200, "epochs": 1.0}, None, "step 1,200: nothing was trained; to go on, give more --steps; to"),
        ({"steps": None, "epochs": 3.0}, None, "step 1,200: nothing was trained; to go on, give more --epochs; to"),
        (
            {"steps": 2000, "patience": 3},
            "no improvement in 3 evaluations",
            "step 1,200 (no improvement in 3 evaluations): nothing was trained; to go on, give more --patience; to",
        ),
        ({"steps": 2000}, "enough", "step 1,200 (enough): nothing was trained; to"),
    ],
)
def test_a_run_that_is_done_is_said_to_be_with_what_to_do(training, ended, said):
    found = describe_done(summary(settings={"training": training}, ended_early=ended))
    assert found == f"run is already done, at {said} begin anew, --overwrite"


def test_a_table_leaves_out_what_an_earlier_call_took():
    assert {"resumed_from", "seconds", "images_per_second"}.isdisjoint(shown_summary(summary()))
    begun = summary(already_done=False, resumed_from=None)
    assert describe_done(begun) is None
    assert shown_summary(begun) == begun
