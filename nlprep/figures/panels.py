"""Several measures of several things, each measure a panel and each repetition a dot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nlprep.core.errors import NlprepError
from nlprep.figures.files import figure_format, write_figure
from nlprep.figures.style import DPI, GRID, INK, LABEL_SIZE, TITLE_SIZE, house_style, look

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

_WIDTH, _ROW, _ABOUT, _NAMES = 2.3, 0.3, 0.9, 1.6
"""Inches: of a panel, of a row in it, above and below the rows, and for the names beside the first panel of a line."""
_COLUMNS = 3


@dataclass(frozen=True)
class Panel:
    """One measure.

    Attributes:
        name: What is measured, and which way is better.
        values: Of each thing, by its name: one value for each repetition; none where there is no such figure.
        levels: Dotted lines across all things, by name, such as chance.
    """

    name: str
    values: Mapping[str, Sequence[float]]
    levels: Mapping[str, float] | None = None


def draw_panels(
    panels: Sequence[Panel],
    path: str | os.PathLike[str],
    *,
    columns: int = _COLUMNS,
    title: str | None = None,
    overwrite: bool = False,
) -> None:
    """Draw panels side by side, the things below one another in each, in the order in which they first come.

    Every repetition is a dot and their mean a line, so that a spread of three is seen as three, not as a bar.

    Args:
        panels: At least one value in all; a panel without one is left out.
        path: The figure; its ending (``.png``, ``.svg``, ``.pdf``) gives the format. Replaced only when whole.
        columns: Panels beside each other.
        title: A line above the figure.
        overwrite: As for `nlprep.figures.files.write_figure`.

    Raises:
        OptionError: No known ending.
        NlprepError: Nothing to draw, or a value that is no number.
        FileError: The place cannot be written.
    """
    figure_format(path)
    shown = [panel for panel in panels if any(len(values) for values in panel.values.values())]
    if not shown:
        raise NlprepError("there is no value to draw: give panels with at least one")
    for panel in shown:
        if not np.isfinite([value for values in panel.values.values() for value in values]).all():
            raise NlprepError(f"the panel {panel.name!r} has a value that is no number: leave it out")
    names = list(dict.fromkeys(name for panel in shown for name in panel.values))
    across = min(columns, len(shown))
    down = -(-len(shown) // across)
    with house_style():
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        height = down * (_ABOUT + _ROW * len(names)) + (0.3 if title else 0)
        figure = Figure(figsize=(_NAMES + _WIDTH * across, height), dpi=DPI, layout="constrained")
        FigureCanvasAgg(figure)
        grid: Any = figure.subplots(down, across, squeeze=False)
        for place in range(down * across):
            axes = grid[place // across][place % across]
            if place >= len(shown):
                axes.set_axis_off()
            else:
                _draw(axes, shown[place], names, named=place % across == 0)
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontsize=TITLE_SIZE)
    write_figure(figure, path, overwrite=overwrite)


def _draw(axes: Any, panel: Panel, names: list[str], *, named: bool) -> None:
    axes.set_axisbelow(True)
    axes.grid(axis="x", color=GRID, linewidth=0.8)
    for row, name in enumerate(names):
        values = list(panel.values.get(name, ()))
        if not values:
            continue
        drawn = look(row)
        axes.vlines(np.mean(values), row - 0.32, row + 0.32, color=drawn.colour, linewidth=1.8)
        axes.scatter(values, [row] * len(values), s=16, color=drawn.colour, alpha=0.6, linewidths=0)
    # Equal in all panels, so that a row is one across the figure.
    axes.set_ylim(len(names) - 0.4, -1.0)
    axes.margins(x=0.08)
    for name, level in (panel.levels or {}).items():
        axes.axvline(level, color=INK, linestyle=":", linewidth=1.1)
        left, right = axes.get_xlim()
        beyond = level > (left + right) / 2
        axes.annotate(
            name, (level, -0.95), (-3 if beyond else 3, -1), textcoords="offset points", fontsize=LABEL_SIZE - 1.5,
            ha="right" if beyond else "left", va="top", color=INK,
        )  # fmt: skip
    axes.set_yticks(range(len(names)), names if named else [""] * len(names))
    axes.tick_params(axis="y", length=0)
    axes.set_title(panel.name, loc="left", fontsize=LABEL_SIZE)
