"""A table as a figure: models by measures, the best of each column in bold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nlprep.core.errors import NlprepError, OptionError
from nlprep.evaluation.intervals import Interval
from nlprep.figures.cells import format_cell, is_number, is_numeric
from nlprep.figures.files import figure_format, write_figure
from nlprep.figures.style import DPI, GRID, INK, LABEL_SIZE, LINE, TITLE_SIZE, house_style

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

_ROW = 0.3
_GAP = 0.28
_MARGIN = 0.15
"""Inches: of a row, between columns, round the table."""


def draw_table(
    header: Sequence[str],
    rows: Sequence[Sequence[object]],
    path: str | os.PathLike[str],
    *,
    best: Mapping[str, str] | None = None,
    title: str | None = None,
    overwrite: bool = False,
) -> None:
    """Draw rows under a header; numbers stand to the right.

    Args:
        header: Names of the columns.
        rows: Each as long as the header, at least one; cells as in `nlprep.figures.report.Table`.
        path: The figure; its ending (``.png``, ``.svg``, ``.pdf``) gives the format. Replaced only when whole.
        best: By the name of a column, ``highest`` or ``lowest``: which of its numbers stands in bold, all that are
            equal.
        title: A line above.
        overwrite: As for `nlprep.figures.files.write_figure`.

    Raises:
        OptionError: No known ending, a column that there is not, or another word than those two.
        NlprepError: No rows, or one that is not as long as the header.
        FileError: The place cannot be written.
    """
    figure_format(path)
    if not rows or not header:
        raise NlprepError("there is no row to draw: give a header and at least one")
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise NlprepError(f"row {number} has {len(row)} cells under {len(header)} names: give one for each")
    bold = _best_cells(header, rows, best or {})
    with house_style():
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.lines import Line2D

        lines = [list(header), *([format_cell(cell) for cell in row] for row in rows)]
        # Widths are those of the words as they are drawn, on a figure of any size.
        trial = Figure(dpi=DPI)
        canvas: Any = FigureCanvasAgg(trial)
        renderer = canvas.get_renderer()

        def width(text: str, *, heavy: bool) -> float:
            drawn = trial.text(0, 0, text, fontsize=LABEL_SIZE, weight="bold" if heavy else "normal")
            return float(drawn.get_window_extent(renderer).width) / DPI

        heavy = [
            [number == 0 or (number - 1, column) in bold for column in range(len(header))]
            for number in range(len(lines))
        ]
        widths = [
            max(width(line[column], heavy=flags[column]) for line, flags in zip(lines, heavy, strict=True))
            for column in range(len(header))
        ]
        above = 0.4 if title else 0.0
        total = sum(widths) + _GAP * (len(header) - 1) + 2 * _MARGIN
        if title:
            total = max(
                total,
                2 * _MARGIN
                + float(trial.text(0, 0, title, fontsize=TITLE_SIZE).get_window_extent(renderer).width) / DPI,
            )
        height = above + _ROW * len(lines) + 2 * _MARGIN
        figure = Figure(figsize=(total, height), dpi=DPI)
        FigureCanvasAgg(figure)
        if title:
            figure.text(_MARGIN / total, 1 - _MARGIN / height, title, fontsize=TITLE_SIZE, va="top")
        numeric = [is_numeric([row[column] for row in rows]) for column in range(len(header))]
        for number, (line, flags) in enumerate(zip(lines, heavy, strict=True)):
            middle = 1 - (_MARGIN + above + _ROW * (number + 0.5)) / height
            left = _MARGIN
            for column, text in enumerate(line):
                place = left + (widths[column] if numeric[column] else 0)
                figure.text(
                    place / total,
                    middle,
                    text,
                    fontsize=LABEL_SIZE,
                    weight="bold" if flags[column] else "normal",
                    ha="right" if numeric[column] else "left",
                    va="center",
                    color=INK,
                )
                left += widths[column] + _GAP
            below = 1 - (_MARGIN + above + _ROW * (number + 1)) / height
            ends = [_MARGIN / total, 1 - _MARGIN / total]
            colour, thick = (LINE, 1.2) if number == 0 else (GRID, 0.8)
            figure.add_artist(Line2D(ends, [below, below], color=colour, linewidth=thick))
    write_figure(figure, path, overwrite=overwrite)


def _best_cells(
    header: Sequence[str], rows: Sequence[Sequence[object]], best: Mapping[str, str]
) -> set[tuple[int, int]]:
    """Places (row, column) of what is best, as it is written: of figures that read alike none is better."""
    found = set()
    for name, wanted in best.items():
        if name not in header:
            raise OptionError(f"best of {name!r}: the columns are {', '.join(map(repr, header))}")
        if wanted not in ("highest", "lowest"):
            raise OptionError(f"best of {name!r} is {wanted!r}: say highest or lowest")
        column = list(header).index(name)
        values = {
            number: cell.value if isinstance(cell, Interval) else float(cell)  # type: ignore[arg-type]
            for number, row in enumerate(rows)
            if is_number(cell := row[column])
        }
        if values:
            extreme = (max if wanted == "highest" else min)(values.values())
            found |= {
                (number, column) for number, value in values.items() if format_cell(value) == format_cell(extreme)
            }
    return found
