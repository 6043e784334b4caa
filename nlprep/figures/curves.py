"""Pictures of what was learned: accuracy by number of labels, and losses over a run."""

from __future__ import annotations

from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np

from nlprep.core.errors import NlprepError
from nlprep.figures.files import figure_format, write_figure

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from nlprep.evaluation.linear_probe import ProbeCurve

# Okabe and Ito's colours, apart for every kind of colour vision; dashes and markers tell them apart in grey.
_STYLES = (
    ("#0072B2", "-", "o"),
    ("#D55E00", "--", "s"),
    ("#009E73", "-.", "^"),
    ("#CC79A7", (0, (1, 1)), "D"),
    ("#E69F00", (0, (5, 1, 1, 1, 1, 1)), "v"),
    ("#56B4E9", (0, (3, 1)), "P"),
)
_INK = "#333333"
_LINE = "#9a9a9a"
_WIDTH, _HEIGHT, _DPI = 7.2, 4.6, 200
_LABEL_SIZE = 9.0


def draw_probe_curves(
    curves: Sequence[ProbeCurve],
    path: str | os.PathLike[str],
    *,
    majority: float | None = None,
    title: str | None = None,
    overwrite: bool = False,
) -> None:
    """Draw the accuracy of probes by their number of labels, with its spread over choices of labels.

    Args:
        curves: One line each.
        path: The figure; its ending (``.png``, ``.svg``, ``.pdf``) gives the format. Replaced only when whole.
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
    figure, axes = _frame(title)
    shares: dict[int, float] = {}
    ends = []
    for curve, (colour, dashes, marker) in zip(curves, cycle(_STYLES), strict=False):
        numbers = np.array([point.num_labels for point in curve.points])
        means = 100 * np.array([point.accuracy for point in curve.points])
        spreads = 100 * np.array([point.spread for point in curve.points])
        shares |= {point.num_labels: point.share for point in curve.points}
        if len(numbers) > 1:
            axes.fill_between(numbers, means - spreads, means + spreads, color=colour, alpha=0.15, linewidth=0)
        axes.plot(numbers, means, color=colour, linestyle=dashes, marker=marker, markersize=5, linewidth=1.6)
        ends.append((float(numbers[-1]), float(means[-1]), curve.name, colour))
    if majority is not None:
        axes.axhline(100 * majority, color=_LINE, linestyle=":", linewidth=1.2)
        ends.append((max(shares), 100 * majority, "most frequent label", _INK))
    axes.set_xscale("log")
    axes.set_xticks(sorted(shares), [f"{number:,}\n{_percent(shares[number])}" for number in sorted(shares)])
    axes.minorticks_off()
    axes.set_xlabel("labels learned from, and their share of the training set", color=_INK, fontsize=_LABEL_SIZE)
    axes.set_ylabel("accuracy on the test set, %", color=_INK, fontsize=_LABEL_SIZE)
    if len(shares) == 1:
        only = next(iter(shares))
        axes.set_xlim(only / 2, only * 2)
    _label_ends(figure, axes, ends)
    write_figure(figure, path, overwrite=overwrite)


def draw_training(
    runs: Mapping[str, Sequence[Mapping[str, Any]]],
    path: str | os.PathLike[str],
    *,
    title: str | None = None,
    overwrite: bool = False,
) -> None:
    """Draw the losses of runs over their steps: training as a thin line, validation as a thick one with dots.

    Args:
        runs: By name, the records of a ``metrics.jsonl`` (see `nlprep.core.training.journal.read_metrics`).
        path: As for `draw_probe_curves`.
        title: A line above the figure.
        overwrite: As for `nlprep.figures.files.write_figure`.

    Raises:
        OptionError: No known ending.
        NlprepError: There is no loss to draw.
        FileError: The place cannot be written.
    """
    figure_format(path)
    figure, axes = _frame(title)
    ends = []
    for (name, records), (colour, dashes, marker) in zip(runs.items(), cycle(_STYLES), strict=False):
        steps, losses = _series(records, "loss")
        if len(steps):
            axes.plot(steps, losses, color=colour, linestyle=dashes, linewidth=0.9, alpha=0.8)
            ends.append((float(steps[-1]), float(losses[-1]), f"{name}: training".removeprefix(": "), colour))
        steps, losses = _series(records, "validation_loss")
        if len(steps):
            axes.plot(steps, losses, color=colour, linestyle=dashes, marker=marker, markersize=4, linewidth=1.8)
            ends.append((float(steps[-1]), float(losses[-1]), f"{name}: validation".removeprefix(": "), colour))
    if not ends:
        raise NlprepError("there is no loss in these records: name the metrics.jsonl of a run that has begun")
    axes.set_xlabel("optimiser steps", color=_INK, fontsize=_LABEL_SIZE)
    axes.set_ylabel("loss", color=_INK, fontsize=_LABEL_SIZE)
    axes.xaxis.set_major_formatter(lambda step, _: f"{step:,.0f}")
    _label_ends(figure, axes, ends)
    write_figure(figure, path, overwrite=overwrite)


def _series(records: Sequence[Mapping[str, Any]], name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    pairs = [(record["step"], record[name]) for record in records if record.get(name) is not None]
    array = np.array(pairs, np.float64).reshape(-1, 2)
    return array[:, 0], array[:, 1]


def _percent(share: float) -> str:
    return f"{100 * share:.3g}%"


def _frame(title: str | None) -> tuple[Any, Any]:
    # The Figure class itself draws without a display and leaves pyplot's global state alone.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH, _HEIGHT), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(_LINE)
    axes.tick_params(colors=_INK, labelsize=_LABEL_SIZE)
    axes.grid(axis="y", color=_LINE, alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)
    if title:
        axes.set_title(title, loc="left", fontsize=11, color=_INK, pad=12)
    return figure, axes


def _label_ends(figure: Any, axes: Any, ends: Sequence[tuple[float, float, str, str]]) -> None:
    """Write each line's name to the right of the axes, at the height where it ends, apart from the others."""
    figure.canvas.draw()
    scale = figure.dpi / 72
    height = 1.25 * _LABEL_SIZE
    # In points from the bottom of the axes.
    heights = [float(axes.transData.transform((x, y))[1] - axes.bbox.y0) / scale for x, y, *_ in ends]
    for (x, y, name, colour), placed in zip(ends, _spread(heights, height), strict=True):
        axes.annotate(
            name,
            xy=(x, y),
            xytext=(1.02, placed / (axes.bbox.height / scale)),
            xycoords="data",
            textcoords="axes fraction",
            va="center",
            ha="left",
            fontsize=_LABEL_SIZE,
            color=colour,
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.5, "alpha": 0.6, "shrinkA": 1, "shrinkB": 3},
        )


def _spread(heights: Sequence[float], apart: float) -> list[float]:
    """Heights moved as little as keeps them apart, in their order."""
    order = np.argsort(heights, kind="stable")
    offsets = apart * np.arange(len(order))
    # Labels apart by a fixed step are a non-decreasing sequence once the steps are taken off: pool what violates it.
    groups: list[list[float]] = []
    for value in np.array(heights)[order] - offsets:
        groups.append([value])
        while len(groups) > 1 and np.mean(groups[-2]) > np.mean(groups[-1]):
            last = groups.pop()
            groups[-1] += last
    level = np.concatenate([np.full(len(group), np.mean(group)) for group in groups]) + offsets
    placed = np.empty(len(order))
    placed[order] = level
    return [float(value) for value in placed]
