"""Panels that show every repetition."""

from __future__ import annotations

import pytest
from matplotlib.collections import PathCollection

from nlprep.core.errors import NlprepError, OptionError
from nlprep.figures import panels
from nlprep.figures.panels import Panel, draw_panels


@pytest.mark.slow
def test_every_repetition_is_a_dot_and_every_panel_is_named(tmp_path, monkeypatch):
    dots = []
    plain = panels._draw

    def spied(axes, panel, names, *, named):
        plain(axes, panel, names, named=named)
        dots.append([one.get_offsets()[:, 0].tolist() for one in axes.collections if isinstance(one, PathCollection)])

    monkeypatch.setattr(panels, "_draw", spied)
    given = [
        Panel("FID, less is better", {"gan": [3.0, 5.0, 4.0], "vae": [8.0]}, {"floor": 1.0}),
        Panel("accuracy", {"gan": [], "vae": [0.5, 0.6]}),
        Panel("nothing", {"gan": []}),
    ]
    for name in ("a.svg", "b.svg"):
        draw_panels(given, tmp_path / name, title="All of them")
    text = (tmp_path / "a.svg").read_text()
    assert text == (tmp_path / "b.svg").read_text()
    assert dots[:2] == [[[3.0, 5.0, 4.0], [8.0]], [[0.5, 0.6]]]
    for words in ("FID, less is better", "accuracy", "gan", "vae", "floor", "All of them"):
        assert text.count(f">{words}</") == 1, words
    assert ">nothing</" not in text


def test_what_cannot_be_drawn(tmp_path):
    with pytest.raises(NlprepError, match="no value"):
        draw_panels([Panel("x", {"a": []})], tmp_path / "a.png")
    with pytest.raises(NlprepError, match="no number"):
        draw_panels([Panel("x", {"a": [float("nan")]})], tmp_path / "a.png")
    with pytest.raises(OptionError):
        draw_panels([Panel("x", {"a": [1.0]})], tmp_path / "a.gif")
    assert not list(tmp_path.iterdir())
