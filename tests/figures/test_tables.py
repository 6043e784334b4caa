"""Tables as figures."""

from __future__ import annotations

import re

import pytest

from nlprep.core.errors import NlprepError, OptionError
from nlprep.evaluation.intervals import wilson_interval
from nlprep.figures.tables import draw_table

HEADER = ("model", "FID", "accuracy")
ROWS = [
    ("one", 12.34567, wilson_interval(80, 100)),
    ("two", 8.9, wilson_interval(85, 100)),
    ("three", None, wilson_interval(85, 100)),
]


def bold(text: str) -> set[str]:
    return set(re.findall(r'<text style="font-weight: 700[^>]*>([^<]*)</text>', text))


def test_every_cell_is_there_and_the_best_are_bold(tmp_path):
    for name in ("a.svg", "b.svg"):
        draw_table(HEADER, ROWS, tmp_path / name, best={"FID": "lowest", "accuracy": "highest"}, title="A title")
    text = (tmp_path / "a.svg").read_text()
    assert text == (tmp_path / "b.svg").read_text()
    for words in ("model", "FID", "12.35", "8.900", "–", "one", "0.8000 (0.7112 – 0.8666)", "A title"):
        assert text.count(f">{words}</") == 1, words
    # Equal figures are equally good.
    assert bold(text) == {*HEADER, "8.900", "0.8500 (0.7672 – 0.9069)"}
    draw_table(HEADER, ROWS, tmp_path / "c.svg")
    assert bold((tmp_path / "c.svg").read_text()) == set(HEADER)


def test_what_is_no_table(tmp_path):
    path = tmp_path / "a.png"
    with pytest.raises(NlprepError, match="no row to draw"):
        draw_table(HEADER, [], path)
    with pytest.raises(NlprepError, match="row 2 has 1 cells under 3 names"):
        draw_table(HEADER, [ROWS[0], ("x",)], path)
    with pytest.raises(OptionError, match="best of 'KID': the columns are 'model', 'FID', 'accuracy'"):
        draw_table(HEADER, ROWS, path, best={"KID": "lowest"})
    with pytest.raises(OptionError, match="say highest or lowest"):
        draw_table(HEADER, ROWS, path, best={"FID": "best"})
    assert list(tmp_path.iterdir()) == []
