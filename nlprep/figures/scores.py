"""How scores are spread, by group, and where the line is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nlprep.core.errors import NlprepError, OptionError
from nlprep.figures.files import figure_format, write_figure
from nlprep.figures.style import GRID, INK, SMALL_SIZE, house_style, look, new_figure

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray

_WIDTH, _HEIGHT = 7.2, 4.2
_OUTSIDE = 0.01
_ROOM = 0.5
"""How much of a group may lie beyond the bins, and the share of their width that they are first made wider by."""


def draw_scores(
    groups: Mapping[str, ArrayLike],
    path: str | os.PathLike[str],
    *,
    thresholds: Mapping[str, float] | None = None,
    bins: int = 60,
    x_label: str = "score",
    title: str | None = None,
    overwrite: bool = False,
) -> None:
    """Draw a histogram of each group over the same bins, as shares of the group, with lines at thresholds.

    Where few scores lie far out, the outermost bars hold all that lies beyond, and the axis says so; a threshold is
    always inside.

    Args:
        groups: (n,) scores by the name of the group, such as usual and odd; at least one.
        path: The figure; its ending (``.png``, ``.svg``, ``.pdf``) gives the format. Replaced only when whole.
        thresholds: Lines by their name.
        bins: How many.
        x_label: What the scores are.
        title: A line above the figure.
        overwrite: As for `nlprep.figures.files.write_figure`.

    Raises:
        OptionError: No known ending, or no bins.
        NlprepError: No groups, a group without scores, or values that are not finite.
        FileError: The place cannot be written.
    """
    figure_format(path)
    if bins < 1:
        raise OptionError(f"bins = {bins}: must be at least 1")
    if not groups:
        raise NlprepError("there are no scores to draw: give at least one group")
    values = {name: _checked(name, scores) for name, scores in groups.items()}
    lines = {name: float(value) for name, value in (thresholds or {}).items()}
    if not np.isfinite(list(lines.values())).all():
        raise NlprepError(f"thresholds {lines}: give finite numbers")
    edges, clipped = _edges(list(values.values()), list(lines.values()), bins)
    with house_style():
        figure, axes = new_figure(_WIDTH, _HEIGHT, title, title_gap=24)
        axes.grid(axis="y", color=GRID, linewidth=0.8)
        for number, (name, scores) in enumerate(values.items()):
            counts, _ = np.histogram(np.clip(scores, edges[0], edges[-1]), edges)
            drawn = look(number)
            heights = 100 * counts / len(scores)
            axes.stairs(heights, edges, fill=True, color=drawn.colour, alpha=0.25, linewidth=0)
            axes.stairs(
                heights,
                edges,
                color=drawn.colour,
                linestyle=drawn.dashes,
                linewidth=1.5,
                label=f"{name} ({len(scores):,})",
            )
        axes.set_ylim(bottom=0)
        axes.set_xlim(edges[0], edges[-1])
        for number, (name, value) in enumerate(lines.items()):
            axes.axvline(value, color=INK, linestyle=":", linewidth=1.3)
            # Beside the line, on the side where there is room; each lower than the one before.
            right = value < (edges[0] + edges[-1]) / 2
            axes.annotate(
                f"{name}: {value:.4g}",
                (value, 1),
                (5 if right else -5, -4 - 13 * number),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                ha="left" if right else "right",
                va="top",
                fontsize=SMALL_SIZE,
                bbox={"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1},
            )
        axes.set_xlabel(f"{x_label} (the outermost bars hold what lies beyond)" if clipped else x_label)
        axes.set_ylabel("examples of the group, %")
        axes.legend(loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=4, borderpad=0, handlelength=1.6)
    write_figure(figure, path, overwrite=overwrite)


def _checked(name: str, scores: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(scores, np.float64)
    if array.ndim != 1 or not array.size or not np.isfinite(array).all():
        raise NlprepError(f"scores of {name!r}, of shape {array.shape}: give at least one, all of them finite numbers")
    return array


def _edges(values: list[NDArray[np.float64]], lines: list[float], bins: int) -> tuple[NDArray[np.float64], bool]:
    """Edges of the bins, and whether scores lie beyond them."""
    everything = np.concatenate(values)
    # Of each group nearly all, as a small group is no outlier of a large one; no score between two that are there.
    low = min([*(float(np.quantile(scores, _OUTSIDE, method="higher")) for scores in values), *lines])
    high = max([*(float(np.quantile(scores, 1 - _OUTSIDE, method="lower")) for scores in values), *lines])
    least, most = float(everything.min()), float(everything.max())
    room = _ROOM * (high - low)
    low, high = max(least, low - room) if least < low else low, min(most, high + room) if most > high else high
    if low == high:
        reach = max(abs(low), 1.0) / 2
        low, high = low - reach, high + reach
    edges: NDArray[Any] = np.linspace(low, high, bins + 1)
    return edges, bool(least < low or most > high)
