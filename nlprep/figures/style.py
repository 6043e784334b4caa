"""One look for every figure: colours, fonts, sizes, and the frame round the data.

The colours are Okabe and Ito's, apart for every kind of colour vision; dashes and markers tell lines and groups apart
in grey as well. A user's own matplotlib settings change nothing, so that the same picture has the same bytes.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
INK = "#333333"
LINE = "#9a9a9a"
GRID = "#ececec"
DPI = 200
TITLE_SIZE, LABEL_SIZE, SMALL_SIZE = 11.0, 9.0, 8.5

_DASHES: tuple[Any, ...] = ("-", "--", "-.", (0, (1, 1)), (0, (5, 1, 1, 1, 1, 1)), (0, (3, 1)))
_MARKERS = ("o", "s", "^", "D", "v", "P")
_SETTINGS = {
    "font.family": "DejaVu Sans",
    # A dollar in a word is a dollar.
    "text.parse_math": False,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.labelsize": LABEL_SIZE,
    "axes.edgecolor": LINE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": SMALL_SIZE,
    "ytick.labelsize": SMALL_SIZE,
    "legend.frameon": False,
    "legend.fontsize": LABEL_SIZE,
    # Text stays text, and nothing in a file is drawn by chance.
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "nlprep",
}


@dataclass(frozen=True)
class Look:
    """How one line or group is drawn."""

    colour: str
    dashes: Any
    marker: str


def look(number: int) -> Look:
    """The look of the so-many-th line or group, from 0: 36 differ in colour, dashes or marker, the first six in all."""
    round_, place = divmod(number, len(COLOURS))
    shifted = (place + round_) % len(COLOURS)
    return Look(COLOURS[place], _DASHES[shifted], _MARKERS[shifted])


@contextmanager
def house_style() -> Iterator[None]:
    """Draw and write inside this block: matplotlib's defaults and this module's settings, whatever the user's are."""
    import matplotlib.style

    with matplotlib.style.context(["default", _SETTINGS]):
        yield


def new_figure(width: float, height: float, title: str | None = None, *, title_gap: float = 12.0) -> tuple[Any, Any]:
    """A figure of so many inches with one pair of axes; call it inside `house_style`.

    Args:
        width: Inches.
        height: Inches.
        title: A line above the axes, on the left.
        title_gap: Points between it and the axes.

    Returns:
        The figure, which has a canvas and a layout that keeps everything inside, and its axes.
    """
    # The Figure class itself draws without a display and leaves pyplot's global state alone.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_axisbelow(True)
    if title:
        axes.set_title(title, loc="left", fontsize=TITLE_SIZE, pad=title_gap)
    return figure, axes
