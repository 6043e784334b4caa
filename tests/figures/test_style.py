"""Looks that can be told apart, and endings of files."""

from __future__ import annotations

import pytest

from nlprep.core.errors import OptionError
from nlprep.figures.files import figure_format
from nlprep.figures.style import COLOURS, look


def test_looks_differ():
    looks = [look(number) for number in range(36)]
    assert len({(one.colour, str(one.dashes)) for one in looks}) == 36
    assert len({(one.colour, one.marker) for one in looks}) == 36
    for kind in ("colour", "dashes", "marker"):
        assert len({str(getattr(one, kind)) for one in looks[:6]}) == 6


def test_colours_can_be_told_apart_and_read_on_white():
    def luminance(colour: str) -> float:
        parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    assert len(set(COLOURS)) == len(COLOURS)
    # The contrast with white that WCAG counts; names are written in the colours of their lines.
    assert all(1.05 / (luminance(colour) + 0.05) > 2 for colour in COLOURS)
    assert all(1.05 / (luminance(colour) + 0.05) > 3 for colour in COLOURS[:3])


@pytest.mark.parametrize(("name", "kind"), [("a.png", "png"), ("b.SVG", "svg"), ("c.d.pdf", "pdf")])
def test_the_ending_gives_the_format(name, kind):
    assert figure_format(name) == kind


@pytest.mark.parametrize("name", ["figure", "figure.jpg", "png"])
def test_other_endings(name):
    with pytest.raises(OptionError, match=r"end its name in \.png"):
        figure_format(name)
