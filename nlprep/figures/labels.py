"""Where names stand in a figure: beside points in a plane, and at the ends of lines.

The placement beside points is ours although libraries offer one: in trials textalloc put names farther from their
points and let lines cross more of them, and adjustText took many times as long and left names on lines.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from nlprep.figures.style import SMALL_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray


def place_labels(
    figure: Any,
    axes: Any,
    points: NDArray[np.float64],
    names: Sequence[str],
    colours: Sequence[str],
    *,
    obstacles: NDArray[np.float64] | None = None,
    links: Sequence[tuple[int, int]] = (),
) -> None:
    """Write each name beside its point, where it covers least of what is there already.

    Greedy, most crowded points first: of some ninety places round the point, near ones preferred, the one with the
    least overlap with labels placed, points, lines and the border of the axes. What else is in the figure must not move
    any more.

    Args:
        figure: Drawn, its layout done.
        axes: Where the points are.
        points: (n, 2) in the axes' data coordinates.
        names: n of them.
        colours: n of them.
        obstacles: (m, 2) other points not to cover.
        links: Pairs of rows of ``points`` that lines join.
    """
    renderer = figure.canvas.get_renderer()
    pixels = axes.transData.transform(points)
    border = axes.get_window_extent(renderer)
    scale = figure.dpi / 72
    half = 3.2 * scale
    covered = pixels if obstacles is None else np.concatenate([pixels, axes.transData.transform(obstacles)])
    dots = np.column_stack([covered - half, covered + half])
    lines = _line_boxes(pixels, links, 2.0 * scale)
    labels = np.empty((0, 4))
    distances = np.linalg.norm(pixels[:, None] - pixels[None], axis=2)
    crowding = np.sort(distances, axis=1)[:, :6].mean(axis=1)
    for number in np.argsort(crowding, kind="stable"):
        width, height = _text_size(axes, renderer, names[number])
        boxes, costs = [], []
        for box, reluctance in _places(pixels[number], width, height, scale):
            # A dot is small and a loss when covered; a line is long, and can do without a piece.
            overlap = 3 * _overlap(box, labels) + 4 * _overlap(box, dots) + 0.8 * _overlap(box, lines)
            boxes.append(box)
            costs.append(overlap / (width * height) + _outside(box, border) + reluctance)
        best = boxes[int(np.argmin(costs))]
        labels = np.vstack([labels, best])
        _write_label(axes, points[number], pixels[number], best, names[number], colours[number], scale)


def _places(
    pixel: NDArray[np.float64], width: float, height: float, scale: float
) -> Iterator[tuple[NDArray[np.float64], float]]:
    """Boxes round a point, each with how little it is liked: near is better, and beside better than above."""
    for ring, distance in enumerate((5.0, 9.0, 14.0, 20.0, 28.0)):
        for turn in range(18):
            angle = 2 * math.pi * turn / 18
            x = pixel[0] + math.cos(angle) * (distance * scale + width / 2)
            y = pixel[1] + math.sin(angle) * (distance * scale + height / 2)
            box = np.array([x - width / 2, y - height / 2, x + width / 2, y + height / 2])
            yield box, 0.12 * ring + 0.06 * abs(math.sin(angle))


def _line_boxes(pixels: NDArray[np.float64], links: Sequence[tuple[int, int]], side: float) -> NDArray[np.float64]:
    """Lines as rows of small boxes, which is all that `_overlap` understands."""
    boxes = [np.empty((0, 4))]
    for start, end in links:
        steps = max(2, int(np.linalg.norm(pixels[end] - pixels[start]) / side))
        middles = np.linspace(pixels[start], pixels[end], steps)
        boxes.append(np.column_stack([middles - side / 2, middles + side / 2]))
    return np.concatenate(boxes)


def _text_size(axes: Any, renderer: Any, text: str) -> tuple[float, float]:
    written = axes.text(0, 0, text, fontsize=SMALL_SIZE)
    extent = written.get_window_extent(renderer)
    written.remove()
    return extent.width + 2, extent.height


def _overlap(box: NDArray[np.float64], others: NDArray[np.float64]) -> float:
    """Area that a box (left, bottom, right, top) shares with others (n, 4)."""
    wide = np.minimum(box[2], others[:, 2]) - np.maximum(box[0], others[:, 0])
    high = np.minimum(box[3], others[:, 3]) - np.maximum(box[1], others[:, 1])
    return float((np.clip(wide, 0, None) * np.clip(high, 0, None)).sum())


def _outside(box: NDArray[np.float64], border: Any) -> float:
    inside = border.x0 <= box[0] and border.y0 <= box[1] and box[2] <= border.x1 and box[3] <= border.y1
    return 0.0 if inside else 2.0


def _write_label(
    axes: Any,
    point: NDArray[np.float64],
    pixel: NDArray[np.float64],
    box: NDArray[np.float64],
    name: str,
    colour: str,
    scale: float,
) -> None:
    offset = ((box[:2] + box[2:]) / 2 - pixel) / scale
    gap = np.maximum(np.maximum(box[:2] - pixel, pixel - box[2:]), 0)
    # A thin line tells whose name it is once the name is not beside its point.
    leader = {"arrowstyle": "-", "color": colour, "linewidth": 0.4, "alpha": 0.7, "shrinkA": 0, "shrinkB": 2}
    axes.annotate(
        name,
        xy=point,
        xytext=offset,
        textcoords="offset points",
        ha="center",
        va="center",
        fontsize=SMALL_SIZE,
        color=colour,
        zorder=4,
        # Keeps lines off the letters; an outline round them would turn text into shapes in SVG and PDF.
        bbox={"boxstyle": "square,pad=0.03", "facecolor": "white", "edgecolor": "none", "alpha": 0.7},
        arrowprops=leader if np.linalg.norm(gap) > 8 * scale else None,
    )


def label_ends(figure: Any, axes: Any, ends: Sequence[tuple[float, float, str, str]]) -> None:
    """Write each line's name to the right of the axes, at the height where it ends, apart from the others.

    Args:
        figure: The figure; it is drawn once, to know where things are.
        axes: Where the lines are.
        ends: Of each line the last x and y in data coordinates, its name and its colour.
    """
    figure.canvas.draw()
    scale = figure.dpi / 72
    height = 1.25 * SMALL_SIZE
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
            fontsize=SMALL_SIZE,
            color=colour,
            annotation_clip=False,
            # To the beginning of the name: towards its middle, it would cross the names above and below.
            arrowprops={
                "arrowstyle": "-", "color": colour, "linewidth": 0.5, "alpha": 0.6, "shrinkA": 1, "shrinkB": 3,
                "relpos": (0, 0.5),
            },
        )  # fmt: skip


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
