"""Histograms that hold every score."""

from __future__ import annotations

import numpy as np
import pytest

from nlprep.core.errors import NlprepError, OptionError
from nlprep.figures.scores import _edges, draw_scores

USUAL = np.random.default_rng(0).normal(size=400)
ODD = np.random.default_rng(1).normal(size=50) + 3


@pytest.mark.slow
def test_groups_and_thresholds_are_named(tmp_path):
    for name in ("a.svg", "b.svg"):
        draw_scores(
            {"usual": USUAL, "odd": ODD}, tmp_path / name, thresholds={"5%": 1.7, "1%": 2.4}, x_label="error", title="T"
        )
    text = (tmp_path / "a.svg").read_text()
    assert text == (tmp_path / "b.svg").read_text()
    for words in ("usual (400)", "odd (50)", "5%: 1.7", "1%: 2.4", "error", "T"):
        assert text.count(f">{words}</") == 1, words


def test_what_lies_far_out_is_put_into_the_outermost_bars_and_said_so(tmp_path):
    far = np.append(USUAL, [1e6, -1e6])
    edges, clipped = _edges([far], [], 20)
    assert clipped
    assert -10 < edges[0] < USUAL.min() < USUAL.max() < edges[-1] < 10
    assert len(edges) == 21
    draw_scores({"usual": far}, tmp_path / "a.svg")
    assert "outermost bars hold what lies beyond" in (tmp_path / "a.svg").read_text()
    draw_scores({"usual": USUAL}, tmp_path / "b.svg")
    assert "outermost" not in (tmp_path / "b.svg").read_text()
    # A small group is not far out, and a threshold never is.
    edges, clipped = _edges([USUAL, ODD + 40], [], 20)
    assert edges[-1] == (ODD + 40).max()
    assert not clipped
    assert _edges([USUAL], [99.0], 20)[0][-1] == 99
    # All of one value: a bar in the middle.
    edges, clipped = _edges([np.full(5, 2.0)], [], 4)
    assert edges[0] < 2 < edges[-1]
    assert not clipped


def test_what_cannot_be_drawn(tmp_path):
    path = tmp_path / "a.png"
    for groups, problem in (
        ({}, "at least one group"),
        ({"a": []}, r"scores of 'a', of shape \(0,\)"),
        ({"a": [1.0, np.nan]}, "finite"),
        ({"a": [[1.0]]}, r"of shape \(1, 1\)"),
    ):
        with pytest.raises(NlprepError, match=problem):
            draw_scores(groups, path)
    with pytest.raises(NlprepError, match="thresholds"):
        draw_scores({"a": USUAL}, path, thresholds={"x": np.inf})
    with pytest.raises(OptionError, match="bins = 0"):
        draw_scores({"a": USUAL}, path, bins=0)
    with pytest.raises(OptionError, match="end its name"):
        draw_scores({"a": USUAL}, tmp_path / "a.txt")
    assert list(tmp_path.iterdir()) == []
