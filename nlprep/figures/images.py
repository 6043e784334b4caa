"""Images side by side: grids with captions, and originals over what was made of them.

In a PNG every pixel of a small image is a square of whole pixels, so that nothing is blurred or shifted; images larger
than `TILE` are shrunk to it by area, which keeps fine patterns from turning into others.
"""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nlprep.core.errors import NlprepError, OptionError
from nlprep.figures.files import figure_format, write_figure
from nlprep.figures.style import DPI, SMALL_SIZE, TITLE_SIZE, house_style

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

TILE = 160
"""The longer side that an image is drawn at, in pixels, about: small ones are magnified by a whole number."""
MAX_PIXELS = 100_000_000
"""Pixels that a figure may have, about: what draws it takes a dozen times as many bytes, and viewers give up."""
_GAP = 12
_BLOCK_GAP = 36
_BAR_HEIGHT = 18
_MARGIN = 24
_LINE_HEIGHT = round(1.45 * SMALL_SIZE * DPI / 72)
_LETTER_WIDTH = 0.62 * SMALL_SIZE * DPI / 72
_TITLE_LETTER = 0.62 * TITLE_SIZE * DPI / 72
_LONGEST_NAME, _SHORT_TITLE = 24, 60
_CAPTION_LINES = 3
_FRAME = 216


@dataclass(frozen=True)
class Scale:
    """What colours stand for, drawn as a bar below images.

    Attributes:
        colours: (w, 3) uint8, from the least to the greatest.
        low: What the least stands for.
        high: What the greatest does.
        name: Of what is measured.
    """

    colours: NDArray[np.uint8]
    low: str
    high: str
    name: str = ""


def require_drawable(count: int, height: int, width: int) -> None:
    """Refuse more images than a figure may have.

    Args:
        count: How many are to be drawn.
        height: Of each, in its own pixels.
        width: Likewise.

    Raises:
        OptionError: The figure would have more than `MAX_PIXELS`.

    >>> require_drawable(100_000, 28, 28)
    Traceback (most recent call last):
    nlprep.core.errors.OptionError: 100,000 images: a figure of them would have 3,240 million pixels, of 100 million that are drawn: ask for 3,086 at the most
    """  # noqa: E501 - an error is one line
    drawn_height, drawn_width = _drawn_size(height, width)
    each = (drawn_height + _GAP) * (drawn_width + _GAP)
    if count * each > MAX_PIXELS:
        raise OptionError(
            f"{count:,} images: a figure of them would have {count * each / 1e6:,.0f} million pixels, of "
            f"{MAX_PIXELS / 1e6:,.0f} million that are drawn: ask for {MAX_PIXELS // each:,} at the most"
        )


def draw_images(
    images: Any,
    path: str | os.PathLike[str],
    *,
    captions: Sequence[str] | None = None,
    columns: int | None = None,
    title: str | None = None,
    overwrite: bool = False,
) -> None:
    """Draw images in a grid, in their order, row by row.

    Args:
        images: As for `as_pixels`.
        path: The figure; its ending (``.png``, ``.svg``, ``.pdf``) gives the format. Replaced only when whole.
        captions: One below each image, in up to three lines of its width and cut after them.
        columns: Images in a row; by default so that the grid is about half as wide again as it is high.
        title: A line above the grid.
        overwrite: As for `nlprep.figures.files.write_figure`.

    Raises:
        OptionError: No known ending, less than one column, or as `require_drawable`.
        NlprepError: No images, or not images; captions that are not as many.
        FileError: The place cannot be written.
    """
    figure_format(path)
    pixels = as_pixels(images)
    if captions is not None and len(captions) != len(pixels):
        raise NlprepError(f"{len(captions)} captions for {len(pixels)} images: give one for each")
    if columns is None:
        columns = max(1, round(math.sqrt(1.5 * len(pixels) * pixels.shape[1] / pixels.shape[2])))
    if columns < 1:
        raise OptionError(f"columns = {columns}: must be at least 1")
    columns = min(columns, len(pixels))
    require_drawable(*pixels.shape[:3])
    tiles = _resized(pixels)
    rows = [
        (tiles[start : start + columns], None if captions is None else captions[start : start + columns])
        for start in range(0, len(tiles), columns)
    ]
    _draw([[row] for row in rows], [[""] for _ in rows], path, title, gap=_GAP, overwrite=overwrite)


def draw_image_rows(
    rows: Mapping[str, Any],
    path: str | os.PathLike[str],
    *,
    columns: int = 10,
    captions: Sequence[str] | None = None,
    scale: Scale | None = None,
    title: str | None = None,
    overwrite: bool = False,
) -> None:
    """Draw rows of images that belong together column by column: originals, and below them their reconstructions.

    More images than columns go on below, in another block of rows.

    Args:
        rows: Images as for `as_pixels` by the name of their row; as many and of the same height and width in each.
        path: As for `draw_images`.
        columns: Images in a row.
        captions: One below each column of images, for those that belong together.
        scale: A bar below that says what colours stand for.
        title: A line above the figure.
        overwrite: As for `nlprep.figures.files.write_figure`.

    Raises:
        OptionError: No known ending, or less than one column.
        NlprepError: No images, not images, rows that differ, or captions that are not as many.
        FileError: The place cannot be written.
    """
    figure_format(path)
    if columns < 1:
        raise OptionError(f"columns = {columns}: must be at least 1")
    tiles = _rows_of_tiles(rows)
    count = len(next(iter(tiles.values())))
    if captions is not None and len(captions) != count:
        raise NlprepError(f"{len(captions)} captions for {count} images: give one for each")
    blocks = []
    for start in range(0, count, columns):
        part = slice(start, start + columns)
        below: list[Sequence[str] | None] = [None] * len(tiles)
        below[-1] = None if captions is None else captions[part]
        blocks.append([(images[part], words) for images, words in zip(tiles.values(), below, strict=True)])
    _draw(blocks, [list(tiles)] * len(blocks), path, title, gap=_BLOCK_GAP, overwrite=overwrite, scale=scale)


def draw_reconstructions(
    originals: Any,
    reconstructions: Mapping[str, Any],
    path: str | os.PathLike[str],
    *,
    differences: bool = False,
    columns: int = 10,
    title: str | None = None,
    overwrite: bool = False,
) -> None:
    """Draw originals, and below each what models made of it.

    Args:
        originals: As for `as_pixels`.
        reconstructions: Images of the same shape by the name of what made them, at least one.
        path: As for `draw_images`.
        differences: Below each reconstruction, how far it is from the original in each channel: black where it is
            equal, white where it is as far as can be.
        columns: Images in a row; more go on below.
        title: A line above the figure.
        overwrite: As for `nlprep.figures.files.write_figure`.

    Raises:
        OptionError: No known ending, or less than one column.
        NlprepError: No images, not images, or not as many of the same size.
        FileError: The place cannot be written.
    """
    figure_format(path)
    if not reconstructions:
        raise NlprepError("there are no reconstructions to draw: give those of at least one model")
    first = as_pixels(originals, "originals")
    rows = {"original": first}
    for name, images in reconstructions.items():
        if name in rows:
            raise NlprepError(f"reconstructions named {name!r}: give them another name than the row above has")
        rows[name] = as_pixels(images, name)
        if rows[name].shape != first.shape:
            raise NlprepError(
                f"{name} of shape {rows[name].shape} for originals of shape {first.shape}: give one of each, as large"
            )
        if differences:
            apart = np.abs(rows[name].astype(np.int16) - first.astype(np.int16)).astype(np.uint8)
            rows[f"{name}, difference"] = apart
    draw_image_rows(rows, path, columns=columns, title=title, overwrite=overwrite)


def draw_image_sequences(
    rows: Mapping[str, Any],
    path: str | os.PathLike[str],
    *,
    column_names: Sequence[str] = (),
    title: str | None = None,
    overwrite: bool = False,
) -> None:
    """Draw rows that are each read from left to right: traversals of dimensions, interpolations between two images.

    Args:
        rows: Images as for `as_pixels` by the name of their row; as many and of the same height and width in each.
        path: As for `draw_images`.
        column_names: What changes along a row, such as the values of a dimension; below the last row, one for each.
        title: A line above the figure.
        overwrite: As for `nlprep.figures.files.write_figure`.

    Raises:
        OptionError: No known ending.
        NlprepError: No images, not images, rows that differ, or names that are not as many as columns.
        FileError: The place cannot be written.
    """
    figure_format(path)
    tiles = _rows_of_tiles(rows)
    count = len(next(iter(tiles.values())))
    if column_names and len(column_names) != count:
        raise NlprepError(f"{len(column_names)} names for {count} columns: give one for each")
    named: list[Sequence[str] | None] = [None] * len(tiles)
    named[-1] = column_names or None
    block = list(zip(tiles.values(), named, strict=True))
    _draw([block], [list(tiles)], path, title, gap=_GAP, overwrite=overwrite)


def as_pixels(images: Any, what: str = "images") -> NDArray[np.uint8]:
    """Images as (n, h, w, 3) uint8.

    Args:
        images: An array or tensor (n, c, h, w), (n, h, w, c) or (n, h, w), c being 1 (grey) or 3 (red, green, blue);
            where both could be channels, the second axis is taken. Floating-point values in [0, 1], or uint8.
        what: Their name in errors.

    Raises:
        NlprepError: None, another shape or type, or values out of range.
    """
    array = np.asarray(images.detach().cpu() if hasattr(images, "detach") else images)
    if not array.size:
        raise NlprepError(f"there are no {what}, but an array of shape {array.shape}: give at least one")
    if array.ndim == 3:
        array = array[..., None]
    elif array.ndim == 4 and array.shape[1] in (1, 3):
        array = array.transpose(0, 2, 3, 1)
    if array.ndim != 4 or array.shape[3] not in (1, 3):
        raise NlprepError(
            f"{what} of shape {np.shape(images)}: give (n, c, h, w), (n, h, w, c) or (n, h, w) with 1 or 3 channels"
        )
    if np.issubdtype(array.dtype, np.floating):
        low, high = float(array.min()), float(array.max())
        # Also false where there is a value that is no number.
        if not (low >= 0 and high <= 1):
            raise NlprepError(f"{what} with values from {low:.4g} to {high:.4g}: bring them into [0, 1], or clip them")
        array = np.rint(array * 255).astype(np.uint8)
    elif array.dtype != np.uint8:
        raise NlprepError(f"{what} of type {array.dtype}: give floating-point numbers in [0, 1], or uint8")
    return np.ascontiguousarray(np.broadcast_to(array, (*array.shape[:3], 3)))


def _rows_of_tiles(rows: Mapping[str, Any]) -> dict[str, NDArray[np.uint8]]:
    if not rows:
        raise NlprepError("there are no images to draw: give at least one row")
    pixels = {name: as_pixels(images, name) for name, images in rows.items()}
    shapes = {name: (len(images), *images.shape[1:3]) for name, images in pixels.items()}
    if len(set(shapes.values())) > 1:
        raise NlprepError(f"rows of different images, {shapes}: give as many of the same size in each")
    count, height, width = next(iter(shapes.values()))
    require_drawable(len(rows) * count, height, width)
    return {name: _resized(images) for name, images in pixels.items()}


def _drawn_size(height: int, width: int) -> tuple[int, int]:
    """Height and width at which an image is drawn: its longer side is about `TILE`."""
    longer = max(height, width)
    if longer <= TILE:
        times = max(1, round(TILE / longer))
        return times * height, times * width
    return max(1, round(height * TILE / longer)), max(1, round(width * TILE / longer))


def _resized(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Images magnified by a whole number, or shrunk by area."""
    height, width = pixels.shape[1:3]
    drawn_height, drawn_width = _drawn_size(height, width)
    if max(height, width) <= TILE:
        return pixels.repeat(drawn_height // height, axis=1).repeat(drawn_width // width, axis=2)
    from PIL import Image

    size = (drawn_width, drawn_height)
    return np.stack([np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX)) for image in pixels])


def _draw(
    blocks: Sequence[Sequence[tuple[NDArray[np.uint8], Sequence[str] | None]]],
    names: Sequence[Sequence[str]],
    path: str | os.PathLike[str],
    title: str | None,
    *,
    gap: int,
    overwrite: bool,
    scale: Scale | None = None,
) -> None:
    """Put rows of tiles, in blocks, on one canvas whose pixels are the figure's, and write words between them."""
    height, width = blocks[0][0][0].shape[1:3]
    columns = max(len(tiles) for block in blocks for tiles, _ in block)
    longest = max((len(name) for block in names for name in block), default=0)
    if scale is not None:
        longest = max(longest, len(scale.low))
    left = _MARGIN + (round(_LETTER_WIDTH * min(longest, _LONGEST_NAME)) + _GAP if longest else 0)
    said = _titled(title or "", left + columns * (width + _GAP))
    top = _MARGIN + (round((0.7 + 1.5 * len(said)) * TITLE_SIZE * DPI / 72) if said else 0)
    words: list[tuple[float, float, str, dict[str, Any]]] = []
    placed: list[tuple[int, int, NDArray[np.uint8]]] = []
    y = top
    for block, block_names in zip(blocks, names, strict=True):
        for (tiles, captions), name in zip(block, block_names, strict=True):
            if name:
                words.append((left - _GAP, y + height / 2, _cut(name, _LONGEST_NAME), {"ha": "right", "va": "center"}))
            for column, tile in enumerate(tiles):
                x = left + column * (width + _GAP)
                placed.append((y, x, tile))
                if captions is not None:
                    below = {"ha": "center", "va": "top", "linespacing": 1.1}
                    words.append((x + width / 2, y + height + 4, _wrap(captions[column], width), below))
            lines = 0 if captions is None else max(_wrap(caption, width).count("\n") + 1 for caption in captions)
            y += height + _GAP + lines * _LINE_HEIGHT
        y += gap - _GAP
    total_height = y - gap + _MARGIN
    total_width = left + columns * (width + _GAP) - _GAP + _MARGIN
    if scale is not None:
        bar = scale.colours[None].repeat(_BAR_HEIGHT, axis=0)
        placed.append((total_height, left, bar))
        middle = total_height + _BAR_HEIGHT / 2
        beside = left + bar.shape[1] + _GAP
        words.append((left - 8, middle, scale.low, {"ha": "right", "va": "center"}))
        words.append((beside - 4, middle, f"{scale.high}   {scale.name}".rstrip(), {"va": "center"}))
        total_width = max(total_width, beside + round(_LETTER_WIDTH * (len(scale.high + scale.name) + 4)) + _MARGIN)
        total_height += _BAR_HEIGHT + _MARGIN
    if said:
        total_width = max(total_width, 2 * _MARGIN + round(_TITLE_LETTER * max(map(len, said))))
    canvas = np.full((total_height, total_width, 3), 255, np.uint8)
    for y, x, tile in placed:
        # White images would not be seen on white.
        canvas[y - 1 : y + tile.shape[0] + 1, x - 1 : x + tile.shape[1] + 1] = _FRAME
        canvas[y : y + tile.shape[0], x : x + tile.shape[1]] = tile
    with house_style():
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(figsize=(total_width / DPI, total_height / DPI), dpi=DPI)
        FigureCanvasAgg(figure)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.imshow(canvas, interpolation="none", extent=(0, total_width, total_height, 0), aspect="auto")
        for across, down, text, how in words:
            axes.text(across, down, text, fontsize=SMALL_SIZE, **how)
        if said:
            axes.text(_MARGIN, _MARGIN, "\n".join(said), fontsize=TITLE_SIZE, va="top", linespacing=1.35)
    write_figure(figure, path, overwrite=overwrite)


def _titled(title: str, width: int) -> list[str]:
    """The lines of a title above so many pixels; one that is short is a line, however narrow the figure is."""
    letters = max(_SHORT_TITLE, int(width / _TITLE_LETTER))
    return [line for one in title.splitlines() for line in textwrap.wrap(one, letters)]


def _wrap(text: str, width: int) -> str:
    """A caption in lines of so many pixels, about; one that has lines of its own keeps them, without their middles."""
    letters = max(2, int(width / _LETTER_WIDTH))
    if "\n" in text:
        return "\n".join(_without_middle(line, letters) for line in text.split("\n")[:_CAPTION_LINES])
    return "\n".join(textwrap.wrap(text, letters, max_lines=_CAPTION_LINES, placeholder="…"))


def _without_middle(text: str, letters: int) -> str:
    """A line that is too long, such as a file's name, of which the end tells more than the middle."""
    if len(text) <= letters:
        return text
    end = max(0, (letters - 1) * 2 // 3)
    return f"{text[: letters - 1 - end]}…{text[len(text) - end :]}"


def _cut(text: str, letters: int) -> str:
    return text if len(text) <= letters else text[: max(1, letters - 1)] + "…"
