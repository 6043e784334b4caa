"""Points in a plane: of one or several groups, with or without names, some of them joined."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nlprep.core.errors import NlprepError
from nlprep.figures.files import figure_format, write_figure
from nlprep.figures.labels import place_labels
from nlprep.figures.style import LINE, house_style, look, new_figure
from nlprep.vectors.normalization import scaled_to_unit

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

_WIDTH, _HEIGHT = 9.0, 6.6
_ABOVE = 4
"""Up to so many groups are named above the plane, more beside it."""
_MANY = 2_000
"""More points than this are stored as pixels in SVG and PDF too, which would be slow to open otherwise."""


@dataclass(frozen=True)
class Group:
    """Points that are drawn alike.

    Attributes:
        name: For the legend; empty for none.
        points: (n, 2).
        labels: Names of the points, n of them, or none.
    """

    name: str
    points: NDArray[np.floating[Any]]
    labels: tuple[str, ...] = ()


def principal_plane(vectors: NDArray[np.floating[Any]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Coordinates of rows in the plane that keeps most of their spread (principal components).

    Args:
        vectors: (n, d), n and d at least 2.

    Returns:
        Coordinates (n, 2), centred, and the shares of the variance (2,) that the two axes keep. The sign
        of an axis is chosen so that its largest coordinate is positive.

    Raises:
        NlprepError: Fewer than two rows or two columns, or values that are not finite.
    """
    if vectors.ndim != 2 or min(vectors.shape) < 2:
        raise NlprepError(f"vectors of shape {vectors.shape} span no plane: give at least two, of two numbers or more")
    if not np.isfinite(vectors).all():
        raise NlprepError("vectors with values that are not finite span no plane: look at what they come from")
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    plane = left[:, :2] * values[:2]
    extreme = plane[np.abs(plane).argmax(axis=0), [0, 1]]
    plane *= np.where(extreme < 0, -1.0, 1.0)
    total = float((values**2).sum())
    return plane, values[:2] ** 2 / total if total > 0 else np.zeros(2)


def draw_plane(
    groups: Sequence[Group],
    path: str | os.PathLike[str],
    *,
    links: Sequence[tuple[int, int]] = (),
    axis_names: tuple[str, str] = ("", ""),
    title: str | None = None,
    overwrite: bool = False,
) -> None:
    """Draw groups of points, each with a colour and a marker of its own.

    Args:
        groups: At least one point in all. Where labels are given, no other point should be covered by one.
        path: The figure; its ending (``.png``, ``.svg``, ``.pdf``) gives the format. Replaced only when whole.
        links: Pairs of points to join, as rows of all groups' points one after the other.
        axis_names: Below and beside; the axes have no numbers, as only distances in the plane mean something.
        title: A line above the figure.
        overwrite: As for `nlprep.figures.files.write_figure`.

    Raises:
        OptionError: No known ending.
        NlprepError: No points, or shapes that do not agree.
        FileError: The place cannot be written.
    """
    figure_format(path)
    for group in groups:
        if group.points.ndim != 2 or group.points.shape[1] != 2 or not np.isfinite(group.points).all():
            raise NlprepError(f"points of shape {group.points.shape} of {group.name!r}: give two finite numbers each")
        if group.labels and len(group.labels) != len(group.points):
            raise NlprepError(
                f"{len(group.labels)} labels for {len(group.points)} points of {group.name!r}: give one each"
            )
    total = sum(len(group.points) for group in groups)
    if not total:
        raise NlprepError("there is no point to draw: give at least one")
    everything = np.concatenate([group.points.astype(np.float64) for group in groups])
    labelled = [row for row, name in enumerate(_names(groups)) if name]
    with house_style():
        from matplotlib.collections import LineCollection

        num_named = sum(bool(group.name) for group in groups)
        figure, axes = new_figure(_WIDTH, _HEIGHT, title, title_gap=22 if 0 < num_named <= _ABOVE else 10)
        axes.add_collection(
            LineCollection([everything[list(link)] for link in links], colors=LINE, linewidths=0.8, zorder=1)
        )
        size = 20.0 if total <= 300 else max(5.0, 20 * (300 / total) ** 0.5)
        for number, group in enumerate(groups):
            axes.scatter(
                *group.points.T,
                s=size,
                c=look(number).colour,
                marker=look(number).marker,
                alpha=1.0 if total <= 300 else 0.75,
                linewidths=0,
                zorder=3,
                label=group.name or None,
                rasterized=total > _MANY,
            )
        axes.margins(0.06)
        axes.set_xlabel(axis_names[0])
        axes.set_ylabel(axis_names[1])
        axes.tick_params(left=False, bottom=False, labelleft=False, labelbottom=False)
        _name_groups(axes, num_named)
        figure.canvas.draw()
        # From here on the layout must not move: labels are placed in pixels.
        figure.set_layout_engine("none")
        if labelled:
            of_row = {row: place for place, row in enumerate(labelled)}
            colours = [look(number).colour for number, group in enumerate(groups) for _ in group.points]
            place_labels(
                figure,
                axes,
                everything[labelled],
                [_names(groups)[row] for row in labelled],
                [colours[row] for row in labelled],
                obstacles=np.delete(everything, labelled, axis=0),
                links=[(of_row[a], of_row[b]) for a, b in links if a in of_row and b in of_row],
            )
    write_figure(figure, path, overwrite=overwrite)


def _names(groups: Sequence[Group]) -> list[str]:
    """The label of each point, empty for none."""
    return [name for group in groups for name in (group.labels or ("",) * len(group.points))]


def _name_groups(axes: Any, num_named: int) -> None:
    if not num_named:
        return
    if num_named <= _ABOVE:
        where: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (-0.01, 1.0), "ncols": num_named}
    else:
        where = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0), "ncols": 1 + (num_named - 1) // 30}
    legend = axes.legend(handletextpad=0.2, borderpad=0, **where)
    for handle in legend.legend_handles:
        handle.set_sizes([24.0])
        handle.set_alpha(1.0)


def draw_classes(
    features: ArrayLike,
    classes: ArrayLike,
    names: Sequence[str],
    path: str | os.PathLike[str],
    *,
    title: str | None = None,
    overwrite: bool = False,
) -> None:
    """Draw examples in the plane of their features' first two principal components, by class.

    Args:
        features: (n, d).
        classes: (n,) from 0.
        names: Of the classes.
        path: As for `draw_plane`.
        title: A line above the figure.
        overwrite: As for `nlprep.figures.files.write_figure`.

    Raises:
        OptionError: No known ending.
        NlprepError: No examples, or shapes that do not agree.
        FileError: The place cannot be written.
    """
    rows, labels = np.asarray(features), np.asarray(classes)
    if labels.shape != rows.shape[:1] or (labels.size and not 0 <= labels.min() <= labels.max() < len(names)):
        raise NlprepError(
            f"classes of shape {labels.shape} for features of shape {rows.shape}, {len(names)} named: give one of the "
            "named classes for each"
        )
    plane, shares = principal_plane(rows)
    groups = [Group(names[number], plane[labels == number]) for number in range(len(names)) if (labels == number).any()]
    draw_plane(groups, path, axis_names=_principal_names(shares), title=title, overwrite=overwrite)


def draw_pairs(
    pairs: Sequence[tuple[str, str]],
    first_vectors: NDArray[np.floating[Any]],
    second_vectors: NDArray[np.floating[Any]],
    path: str | os.PathLike[str],
    *,
    names: tuple[str, str],
    title: str | None = None,
    overwrite: bool = False,
) -> None:
    """Draw pairs of named items in the plane of their shared space, each pair joined by a line.

    The plane is that of the first two principal components of the items drawn, both kinds together, each
    vector at unit length. An item in several pairs is drawn once.

    Args:
        pairs: (first, second) names, n of them: a word and its translation, a picture and its caption.
        first_vectors: (n, d), the first items' vectors in the shared space.
        second_vectors: (n, d), the second items'.
        path: As for `draw_plane`.
        names: What the two kinds are, for the legend.
        title: A line above the figure.
        overwrite: As for `nlprep.figures.files.write_figure`.

    Raises:
        OptionError: No known ending.
        NlprepError: No pairs, or shapes that do not agree.
        FileError: The place cannot be written.
    """
    figure_format(path)
    if not pairs:
        raise NlprepError("there is no pair to draw: name items that the model knows")
    if first_vectors.shape != second_vectors.shape or len(first_vectors) != len(pairs):
        raise NlprepError(
            f"{len(pairs)} pairs with vectors of shapes {first_vectors.shape} and {second_vectors.shape}: "
            "give one row of each for every pair"
        )
    rows: list[dict[str, int]] = [{}, {}]
    for number, pair in enumerate(pairs):
        for side in (0, 1):
            rows[side].setdefault(pair[side], number)
    stacked = np.concatenate([first_vectors[list(rows[0].values())], second_vectors[list(rows[1].values())]])
    plane, shares = principal_plane(scaled_to_unit(stacked))
    split = len(rows[0])
    places = [{name: place for place, name in enumerate(side)} for side in rows]
    draw_plane(
        [Group(names[0], plane[:split], tuple(rows[0])), Group(names[1], plane[split:], tuple(rows[1]))],
        path,
        links=[(places[0][one], split + places[1][other]) for one, other in pairs],
        axis_names=_principal_names(shares),
        title=title,
        overwrite=overwrite,
    )


def _principal_names(shares: NDArray[np.float64]) -> tuple[str, str]:
    return (
        f"first principal component ({shares[0]:.0%} of the variance)",
        f"second principal component ({shares[1]:.0%})",
    )
