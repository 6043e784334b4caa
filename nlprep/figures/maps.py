"""Maps of many items by their features, with some of them as small pictures where they lie."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nlprep.core.errors import NlprepError, OptionError
from nlprep.core.randomness import combine, integers
from nlprep.figures.files import figure_format, write_figure
from nlprep.figures.images import as_pixels
from nlprep.figures.planes import principal_plane
from nlprep.figures.style import DPI, LABEL_SIZE, LINE, TITLE_SIZE, house_style, look

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

MAP_METHODS = ("pca", "tsne", "umap")
_SIDE = 1800
_MARGIN, _TITLE, _LEGEND = 36, 70, 56
_FRAME = 4
_SEED, _ORDER = 1, 2


def map_features(
    features: ArrayLike, method: str = "tsne", *, neighbors: int = 30, seed: int = 1
) -> NDArray[np.float64]:
    """Places of items in a plane, near where their features are near.

    - ``pca``: the first two principal components: distances mean something, and much of the spread is not seen.
    - ``tsne``: van der Maaten and Hinton 2008, "Visualizing data using t-SNE", scikit-learn's, started from principal
      components: neighbourhoods mean something, distances between groups and their sizes do not.
    - ``umap``: McInnes, Healy and Melville 2018, "UMAP", by the package umap-learn, which is installed with
      ``pip install nlprep-toolkit[umap]``; likewise. More features than 50 are brought to their first 50 principal
      components for it and for t-SNE.

    Args:
        features: (n, d), n at least 4, d at least 2.
        method: One of `MAP_METHODS`.
        neighbors: t-SNE's perplexity, UMAP's neighbours; fewer where there are few items.
        seed: Of what is random in them.

    Returns:
        (n, 2), the same for the same features and seed on one machine.

    Raises:
        OptionError: Another method, fewer than two neighbours, or UMAP where it is not installed.
        NlprepError: Too few items or features, or values that are not finite.
    """
    if method not in MAP_METHODS:
        raise OptionError(f"method = {method!r}: must be one of {', '.join(MAP_METHODS)}")
    if neighbors < 2:
        raise OptionError(f"neighbors = {neighbors}: must be at least 2")
    rows = np.asarray(features)
    if rows.ndim != 2 or len(rows) < 4:
        raise NlprepError(f"features of shape {rows.shape} make no map: give at least four items, a row of each")
    plane: NDArray[np.float64] = principal_plane(rows)[0]
    if method == "pca":
        return plane
    few = min(neighbors, (len(rows) - 1) // 3 or 1)
    state = int(combine(seed, _SEED)) % 2**31
    reduced = _principal_components(rows, 50)
    if method == "tsne":
        from sklearn.manifold import TSNE

        spread = float(plane[:, 0].std())
        start = plane / spread * 1e-4 if spread > 0 else plane
        found = TSNE(2, perplexity=few, init=start, random_state=state).fit_transform(reduced)
    else:
        found = _fit_umap(reduced, max(2, few), state)
    return np.asarray(found, np.float64)


def _principal_components(rows: NDArray[np.floating[Any]], number: int) -> NDArray[np.float32]:
    centred = rows.astype(np.float64) - rows.mean(axis=0, dtype=np.float64)
    if centred.shape[1] > number:
        _, directions = np.linalg.eigh(centred.T @ centred)
        centred = centred @ directions[:, : -number - 1 : -1]
    return centred.astype(np.float32)


def _fit_umap(rows: NDArray[np.float32], neighbors: int, state: int) -> NDArray[np.float32]:
    import warnings

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from umap import UMAP
    except ImportError:
        raise OptionError(
            "method = 'umap': the package umap-learn is not installed: pip install 'nlprep-toolkit[umap]', or take tsne"
        ) from None
    with warnings.catch_warnings():
        # It says that a seed costs parallel work, which is meant.
        warnings.filterwarnings("ignore", message=".*n_jobs value.*")
        placed: NDArray[np.float32] = UMAP(n_neighbors=neighbors, random_state=state).fit_transform(rows)
    return placed


def draw_map(
    points: ArrayLike,
    path: str | os.PathLike[str],
    *,
    images: Any = None,
    classes: ArrayLike | None = None,
    class_names: Sequence[str] = (),
    thumbnail: int = 48,
    seed: int = 1,
    title: str | None = None,
    overwrite: bool = False,
) -> None:
    """Draw items where they lie: a dot each, and pictures of as many as have room, framed in the colour of their class.

    Args:
        points: (n, 2), such as `map_features` gives; one unit is as long in both directions.
        path: The figure; its ending (``.png``, ``.svg``, ``.pdf``) gives the format. Replaced only when whole.
        images: As for `nlprep.figures.images.as_pixels`, n of them; without them there are dots alone.
        classes: (n,) from 0, the places of classes in ``class_names``.
        class_names: For the legend.
        thumbnail: The longer side of a picture, in pixels of 1,800 that the map is wide and high.
        seed: Which of several items that would cover one another are shown.
        title: A line above the figure.
        overwrite: As for `nlprep.figures.files.write_figure`.

    Raises:
        OptionError: No known ending, or a thumbnail below 8 pixels or above 400.
        NlprepError: No points, values that are not finite, or numbers that differ.
        FileError: The place cannot be written.
    """
    figure_format(path)
    if not 8 <= thumbnail <= 400:
        raise OptionError(f"thumbnail = {thumbnail}: must lie between 8 and 400 pixels")
    places, groups = checked_map(points, classes, class_names)
    pixels = None if images is None else as_pixels(images)
    if pixels is not None and len(pixels) != len(places):
        raise NlprepError(f"{len(pixels)} images for {len(places)} points: give one for each")
    room = _SIDE - 2 * (thumbnail + _MARGIN)
    spots = (_MARGIN + thumbnail + unit_square(places) * room).astype(np.float64)
    top = (_TITLE if title else 0) + (_LEGEND if class_names else 0)
    canvas = np.zeros((_SIDE, _SIDE, 4), np.uint8)
    if pixels is not None:
        _paste(canvas, spots, _thumbnails(pixels, thumbnail), groups, seed)
    with house_style():
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        height = _SIDE + top
        figure = Figure(figsize=(_SIDE / DPI, height / DPI), dpi=DPI)
        FigureCanvasAgg(figure)
        axes = figure.add_axes((0, 0, 1, _SIDE / height))
        axes.set_axis_off()
        axes.set_xlim(0, _SIDE)
        axes.set_ylim(_SIDE, 0)
        size = float(np.clip(4e4 / len(places), 3, 20))
        for group in np.unique(groups):
            chosen = spots[groups == group]
            drawn = look(int(group))
            axes.scatter(
                chosen[:, 0],
                chosen[:, 1],
                s=size,
                c=drawn.colour if len(class_names) else LINE,
                marker=drawn.marker,
                alpha=0.7,
                linewidths=0,
                label=class_names[int(group)] if len(class_names) else None,
                rasterized=len(places) > 2_000,
            )
        axes.imshow(canvas, interpolation="none", extent=(0, _SIDE, _SIDE, 0), aspect="auto", zorder=3)
        if len(class_names):
            handles, names = axes.get_legend_handles_labels()
            legend: Any = figure.legend(
                handles,
                names,
                loc="upper left",
                bbox_to_anchor=(0.01, 1 - (_TITLE if title else 0) / height),
                ncols=min(len(names), 10),
                handletextpad=0.1,
                columnspacing=1.0,
                fontsize=LABEL_SIZE,
            )
            for handle in legend.legend_handles:
                handle.set_sizes([24.0])
                handle.set_alpha(1.0)
        if title:
            figure.text(_MARGIN / _SIDE, 1 - 24 / height, title, fontsize=TITLE_SIZE, va="top")
    write_figure(figure, path, overwrite=overwrite)


def checked_map(
    points: ArrayLike, classes: ArrayLike | None, class_names: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Points (n, 2) and the class of each, 0 where there are none.

    Raises:
        NlprepError: No points, values that are not finite, or numbers that differ.
    """
    places = np.asarray(points, np.float64)
    if places.ndim != 2 or places.shape[1] != 2 or not len(places) or not np.isfinite(places).all():
        raise NlprepError(f"points of shape {places.shape}: give two finite numbers for each item, of at least one")
    if classes is None:
        if len(class_names):
            raise NlprepError(f"{len(class_names)} classes are named and no item has one: give them too")
        return places, np.zeros(len(places), np.int64)
    groups = np.asarray(classes)
    if groups.shape != (len(places),) or not np.issubdtype(groups.dtype, np.integer):
        raise NlprepError(f"classes of shape {groups.shape} for {len(places)} points: give a whole number for each")
    if groups.min() < 0 or groups.max() >= len(class_names):
        raise NlprepError(
            f"classes run from {groups.min()} to {groups.max()} and {len(class_names)} are named: name each of them"
        )
    return places, groups.astype(np.int64)


def unit_square(places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points moved and scaled, in both directions alike, to fill the unit square; the second axis points down."""
    low, span = places.min(axis=0), np.ptp(places, axis=0)
    reach = float(span.max()) or 1.0
    inside: NDArray[np.float64] = (places - low + (reach - span) / 2) / reach
    inside[:, 1] = 1 - inside[:, 1]
    return inside


def _thumbnails(pixels: NDArray[np.uint8], longest: int) -> NDArray[np.uint8]:
    """(n, h, w, 3) whose longer side is as asked: small images magnified by a whole number, others shrunk by area."""
    side = max(pixels.shape[1:3])
    if side <= longest:
        times = max(1, longest // side)
        return pixels.repeat(times, axis=1).repeat(times, axis=2)
    from PIL import Image

    height, width = (max(1, round(length * longest / side)) for length in pixels.shape[1:3])
    return np.stack(
        [np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BOX)) for image in pixels]
    )


def _paste(
    canvas: NDArray[np.uint8],
    spots: NDArray[np.float64],
    tiles: NDArray[np.uint8],
    groups: NDArray[np.int64],
    seed: int,
) -> None:
    """Put pictures where no other is yet, in an order of chance, each in a frame of its class's colour."""
    height, width = tiles.shape[1] + 2 * _FRAME, tiles.shape[2] + 2 * _FRAME
    taken = np.zeros(canvas.shape[:2], bool)
    order = np.argsort(integers(combine(seed, np.arange(len(spots))), 1, purpose=_ORDER)[:, 0], kind="stable")
    for row in order:
        x, y = (round(float(place)) for place in spots[row])
        down, across = slice(y - height // 2, y - height // 2 + height), slice(x - width // 2, x - width // 2 + width)
        if taken[down, across].any():
            continue
        taken[down, across] = True
        colour = look(int(groups[row])).colour
        canvas[down, across] = [*(int(colour[place : place + 2], 16) for place in (1, 3, 5)), 255]
        inner = canvas[down.start + _FRAME : down.stop - _FRAME, across.start + _FRAME : across.stop - _FRAME]
        inner[..., :3] = tiles[row]
