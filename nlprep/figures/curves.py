"""Lines over numbers: accuracy by number of labels, losses over a run, and any other series, with bands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from nlprep.core.errors import NlprepError
from nlprep.figures.files import figure_format, write_figure
from nlprep.figures.labels import label_ends
from nlprep.figures.style import GRID, INK, LINE, house_style, look, new_figure

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from nlprep.evaluation.linear_probe import ProbeCurve

    _Floats: TypeAlias = NDArray[np.float64]

_WIDTH, _HEIGHT = 7.2, 4.6
_FEW = 60
"""Up to so many points of a line are marked."""


@dataclass(frozen=True)
class Line:
    """One series.

    Attributes:
        name: Written where it ends.
        x: (n,) rising.
        y: (n,); None and values that are not finite leave a gap.
        low: (n,) lower edge of a band round it, or None.
        high: (n,) upper edge.
        look: Lines of one number share their colour and dashes; by default each line has its own.
        faint: Thin and without marks, as for what is noisy.
    """

    name: str
    x: NDArray[np.floating[Any]] | Sequence[float]
    y: NDArray[np.floating[Any]] | Sequence[float | None]
    low: NDArray[np.floating[Any]] | Sequence[float | None] | None = None
    high: NDArray[np.floating[Any]] | Sequence[float | None] | None = None
    look: int | None = None
    faint: bool = False


def draw_lines(
    lines: Sequence[Line],
    path: str | os.PathLike[str],
    *,
    x_label: str,
    y_label: str,
    logarithmic: bool = False,
    x_ticks: Mapping[float, str] | None = None,
    levels: Mapping[str, float] | None = None,
    title: str | None = None,
    overwrite: bool = False,
) -> None:
    """Draw series, each named where it ends.

    Args:
        lines: At least one value in all.
        path: The figure; its ending (``.png``, ``.svg``, ``.pdf``) gives the format. Replaced only when whole.
        x_label: Below.
        y_label: Beside.
        logarithmic: A logarithmic x axis.
        x_ticks: The x values to name, with their names; by default matplotlib's choice.
        levels: Dotted lines across, by name, such as chance.
        title: A line above the figure.
        overwrite: As for `nlprep.figures.files.write_figure`.

    Raises:
        OptionError: No known ending.
        NlprepError: Nothing to draw, arrays that do not agree, or an x that a logarithmic axis does not have.
        FileError: The place cannot be written.
    """
    figure_format(path)
    series = [_checked(line, logarithmic) for line in lines]
    if not any(np.isfinite(y).any() for _, y, _, _ in series):
        raise NlprepError("there is no value to draw: give lines with at least one")
    ends = []
    with house_style():
        figure, axes = new_figure(_WIDTH, _HEIGHT, title)
        axes.grid(axis="y", color=GRID, linewidth=0.8)
        for number, (line, (x, y, low, high)) in enumerate(zip(lines, series, strict=True)):
            finite = np.flatnonzero(np.isfinite(y))
            if not len(finite):
                continue
            drawn = look(number if line.look is None else line.look)
            if low is not None and high is not None and len(x) > 1:
                axes.fill_between(x, low, high, color=drawn.colour, alpha=0.15, linewidth=0)
            elif low is not None and high is not None:
                # A band of one point would be nothing to see.
                axes.vlines(x, low, high, color=drawn.colour, alpha=0.5, linewidth=1.6)
            marked = not line.faint and len(x) <= _FEW
            axes.plot(
                x,
                y,
                color=drawn.colour,
                linestyle=drawn.dashes,
                marker=drawn.marker if marked or len(finite) == 1 else None,
                markersize=5,
                linewidth=0.9 if line.faint else 1.7,
                alpha=0.8 if line.faint else 1.0,
            )
            ends.append((float(x[finite[-1]]), float(y[finite[-1]]), line.name, drawn.colour))
        for level in (levels or {}).values():
            axes.axhline(level, color=LINE, linestyle=":", linewidth=1.2)
        if logarithmic:
            axes.set_xscale("log")
        if x_ticks is not None:
            axes.set_xticks(list(x_ticks), list(x_ticks.values()))
            axes.minorticks_off()
        elif not logarithmic:
            axes.xaxis.set_major_formatter(_plain_number)
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        every_x = np.concatenate([x for x, *_ in series])
        if every_x.min() == every_x.max():
            middle = float(every_x[0])
            axes.set_xlim(*((middle / 2, middle * 2) if logarithmic else (middle - 1, middle + 1)))
        right = float(axes.get_xlim()[1])
        axes.set_xlim(right=right)
        ends += [(right, level, name, INK) for name, level in (levels or {}).items()]
        label_ends(figure, axes, ends)
    write_figure(figure, path, overwrite=overwrite)


def draw_probe_curves(
    curves: Sequence[ProbeCurve],
    path: str | os.PathLike[str],
    *,
    majority: float | None = None,
    title: str | None = None,
    overwrite: bool = False,
) -> None:
    """Draw the accuracy of probes by their number of labels, with its 95% interval (`ProbePoint.interval`).

    Args:
        curves: One line each.
        path: As for `draw_lines`.
        majority: The accuracy of always giving the most frequent label, drawn as a level.
        title: A line above the figure.
        overwrite: As for `nlprep.figures.files.write_figure`.

    Raises:
        OptionError: No known ending.
        NlprepError: No curves.
        FileError: The place cannot be written.
    """
    figure_format(path)
    if not any(curve.points for curve in curves):
        raise NlprepError("there are no probes to draw: fit some first")
    lines = []
    shares: dict[float, float] = {}
    for curve in curves:
        means = 100 * np.array([point.accuracy for point in curve.points])
        intervals = [point.interval for point in curve.points]
        low, high = (100 * np.array([getattr(interval, end) for interval in intervals]) for end in ("low", "high"))
        numbers = np.array([point.num_labels for point in curve.points], np.float64)
        shares |= {float(point.num_labels): point.share for point in curve.points}
        lines.append(Line(curve.name, numbers, means, low, high))
    draw_lines(
        lines,
        path,
        x_label="labels learned from, and their share of the training set",
        y_label="accuracy on the test set, %",
        logarithmic=True,
        x_ticks={number: f"{number:,.0f}\n{_percent(shares[number])}" for number in sorted(shares)},
        levels=None if majority is None else {"most frequent label": 100 * majority},
        title=title,
        overwrite=overwrite,
    )


def draw_training(
    runs: Mapping[str, Sequence[Mapping[str, Any]]],
    path: str | os.PathLike[str],
    *,
    title: str | None = None,
    overwrite: bool = False,
) -> None:
    """Draw the losses of runs over their steps: training as a thin line, validation as a thick one with dots.

    Args:
        runs: By name, the records of a ``metrics.jsonl`` (see `nlprep.core.training.records.journal.read_metrics`).
        path: As for `draw_lines`.
        title: A line above the figure.
        overwrite: As for `nlprep.figures.files.write_figure`.

    Raises:
        OptionError: No known ending.
        NlprepError: There is no loss to draw.
        FileError: The place cannot be written.
    """
    figure_format(path)
    lines = []
    for number, (run, records) in enumerate(runs.items()):
        for key, name, faint in (("loss", "training", True), ("validation_loss", "validation", False)):
            found = [(record["step"], record[key]) for record in records if record.get(key) is not None]
            if found:
                steps, losses = np.array(found, np.float64).T
                lines.append(Line(f"{run}: {name}".removeprefix(": "), steps, losses, look=number, faint=faint))
    if not lines:
        raise NlprepError("there is no loss in these records: name the metrics.jsonl of a run that has begun")
    draw_lines(lines, path, x_label="optimiser steps", y_label="loss", title=title, overwrite=overwrite)


def _checked(line: Line, logarithmic: bool) -> tuple[_Floats, _Floats, _Floats | None, _Floats | None]:
    x, y = np.asarray(line.x, np.float64), np.asarray(line.y, np.float64)
    low, high = (None if edge is None else np.asarray(edge, np.float64) for edge in (line.low, line.high))
    if x.ndim != 1 or any(values is not None and values.shape != x.shape for values in (y, low, high)):
        raise NlprepError(f"the line {line.name!r} has arrays of different lengths: give one value for each x")
    if not np.isfinite(x).all() or (logarithmic and (x <= 0).any()):
        wanted = "a number above 0, as the axis is logarithmic" if logarithmic else "a number"
        raise NlprepError(f"the line {line.name!r} has an x that is not {wanted}: leave the point out")
    return x, y, low, high


def _plain_number(value: float, _: object) -> str:
    """12,000 rather than 1.2e4, and decimals only where there are some."""
    return f"{value:,.10g}"


def _percent(share: float) -> str:
    return f"{100 * share:.3g}%"
