"""Figures that are whole, labelled and reproducible."""

from __future__ import annotations

import pytest

from nlprep.core.errors import FileError, NlprepError, OptionError
from nlprep.evaluation.linear_probe import ProbeCurve, ProbePoint
from nlprep.figures.curves import Line, draw_lines, draw_probe_curves, draw_training

CURVES = [
    ProbeCurve(
        name,
        8,
        (
            ProbePoint(10, 0.01, (low, low + 0.02, low + 0.05), (1.0,) * 3, 200),
            ProbePoint(1000, 1.0, (0.9,), (1.0,), 200),
        ),
    )
    for name, low in (("pretrained", 0.7), ("random weights", 0.4), ("bag of words", 0.3))
]
RECORDS = [{"step": step, "loss": 5 / step, "learning_rate": 0.1} for step in range(1, 20)] + [
    {"step": step, "validation_loss": 5 / step + 0.1} for step in (5, 10, 15, 19)
]


@pytest.mark.slow
def test_probe_curves_name_every_line_and_number_once(tmp_path):
    for name in ("one.svg", "two.svg"):
        draw_probe_curves(CURVES, tmp_path / name, majority=0.25, title="A title")
    text = (tmp_path / "one.svg").read_text()
    assert text == (tmp_path / "two.svg").read_text()
    for words in ("pretrained", "random weights", "bag of words", "most frequent label", "A title", "1,000"):
        assert text.count(f">{words}</") == 1, words
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.svg", "two.svg"]


@pytest.mark.parametrize(("name", "magic"), [("a.png", b"\x89PNG"), ("a.pdf", b"%PDF"), ("a.SVG", b"<?xml")])
@pytest.mark.slow
def test_the_ending_gives_the_format(tmp_path, name, magic):
    draw_probe_curves(CURVES[:1], tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(magic)
    draw_training({"": RECORDS}, tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(magic)


@pytest.mark.slow
def test_a_single_number_of_labels(tmp_path):
    curve = ProbeCurve("mine", 8, (ProbePoint(50, 0.5, (0.5, 0.6), (1.0, 1.0), 200),))
    draw_probe_curves([curve], tmp_path / "a.svg")
    assert ">mine</" in (tmp_path / "a.svg").read_text()


@pytest.mark.slow
def test_training_and_validation_of_every_run_are_named(tmp_path):
    draw_training({"bf16": RECORDS, "fp32": RECORDS[:19]}, tmp_path / "a.svg")
    text = (tmp_path / "a.svg").read_text()
    for words in ("bf16: training", "bf16: validation", "fp32: training"):
        assert text.count(f">{words}</") == 1
    assert "fp32: validation" not in text
    draw_training({"": [*RECORDS, {"step": 20, "loss": None}]}, tmp_path / "b.svg")
    assert ">training</" in (tmp_path / "b.svg").read_text()


@pytest.mark.slow
def test_any_lines_with_bands_gaps_and_levels(tmp_path):
    lines = [
        Line("banded", [1, 2, 4], [1.0, 2.0, 3.0], [0.5, 1.5, 2.5], [1.5, 2.5, 3.5]),
        Line("with a gap", [1, 2, 4], [3.0, None, 1.0]),
        Line("nothing yet", [1, 2, 4], [None, None, None]),
        Line("from $5 to $6_b", [2], [2.0], [1.0], [3.0]),
    ]
    for name in ("a.svg", "b.svg"):
        draw_lines(lines, tmp_path / name, x_label="x", y_label="y", levels={"chance": 0.5}, logarithmic=True)
    text = (tmp_path / "a.svg").read_text()
    assert text == (tmp_path / "b.svg").read_text()
    for words in ("banded", "with a gap", "from $5 to $6_b", "chance"):
        assert text.count(f">{words}</") == 1, words
    assert "nothing yet" not in text


@pytest.mark.slow
def test_large_numbers_are_written_out(tmp_path):
    draw_lines([Line("a", [0, 60_000], [0.0, 1.0])], tmp_path / "a.svg", x_label="x", y_label="y")
    assert ">60,000</" in (tmp_path / "a.svg").read_text()


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (Line("a", [1, 2], [1.0]), "different lengths"),
        (Line("a", [1, 2], [1.0, 2.0], low=[1.0], high=[1.0, 2.0]), "different lengths"),
        (Line("a", [0, 2], [1.0, 2.0]), "above 0"),
        (Line("a", [float("nan"), 2], [1.0, 2.0]), "'a' has an x"),
        (Line("a", [1, 2], [None, None]), "no value"),
    ],
)
def test_lines_that_cannot_be_drawn(tmp_path, line, problem):
    with pytest.raises(NlprepError, match=problem):
        draw_lines([line], tmp_path / "a.png", x_label="x", y_label="y", logarithmic=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_what_cannot_be_drawn(tmp_path):
    with pytest.raises(OptionError, match=r"end its name in \.png"):
        draw_probe_curves(CURVES, tmp_path / "a.jpg")
    with pytest.raises(NlprepError, match="no probes"):
        draw_probe_curves([], tmp_path / "a.png")
    with pytest.raises(NlprepError, match="no loss"):
        draw_training({"": [{"step": 1}]}, tmp_path / "a.png")
    with pytest.raises(FileError):
        draw_training({"": RECORDS}, tmp_path / "gone" / "a.png")
    assert list(tmp_path.iterdir()) == []
