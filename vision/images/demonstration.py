"""A small folder of pictures that is drawn, for demonstrations and tests: no download, known classes."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from nlprep.core.errors import OptionError
from nlprep.core.files import atomic_directory
from nlprep.core.randomness import combine, uniforms

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

KIND = "demonstration-pictures"
CLASSES = ("circle", "cross", "ring", "square", "star", "triangle")

_FINE = 4
_SPLITS = ("train", "test")
Point = tuple[float, float]


def write_demonstration(
    folder: str | os.PathLike[str], *, train: int = 60, test: int = 20, seed: int = 1, overwrite: bool = False
) -> Path:
    """Write a folder of classes, divided into train and test: coloured shapes on coloured grounds.

    Pictures are of mixed sizes and proportions (48 to 128 pixels a side), half of them JPEG and half PNG. What is in
    one is a function of the seed, its class, split and number.

    Args:
        folder: The directory, replaced only if it is an earlier one of these.
        train: Pictures of each class to learn from.
        test: Pictures of each class to measure on.
        seed: What they look like.
        overwrite: Whether another directory of ours may be replaced.

    Returns:
        The directory.

    Raises:
        OptionError: Fewer than one picture to learn from.
        FileError: It cannot be written.
    """
    if train < 1 or test < 0:
        raise OptionError(f"train = {train}, test = {test}: give at least 1 and 0")
    with atomic_directory(folder, kind=KIND, overwrite=overwrite) as place:
        for split_number, (split, count) in enumerate(zip(_SPLITS, (train, test), strict=True)):
            for class_number, name in enumerate(CLASSES):
                inside = place / split / name
                if count:
                    inside.mkdir(parents=True)
                keys = combine(seed, split_number, class_number, np.arange(count))
                for number, draws in enumerate(uniforms(keys, 12, purpose=1)):
                    picture = _draw(name, draws)
                    kind, suffix = (("JPEG", "jpg"), ("PNG", "png"))[number % 2]
                    (inside / f"{number:04d}.{suffix}").write_bytes(_encode(picture, kind))
    return Path(folder)


def _encode(picture: Image.Image, kind: str) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, quality=92)
    return stream.getvalue()


def _draw(name: str, draws: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Image.Image:
    width, height = (round(48 + 80 * float(draw)) for draw in draws[:2])
    ground = tuple(round(float(150 + 100 * draw)) for draw in draws[2:5])
    colour = tuple(round(float(140 * draw)) for draw in draws[5:8])
    canvas = Image.new("RGB", (width * _FINE, height * _FINE), ground)
    radius = _FINE * min(width, height) * (0.22 + 0.2 * float(draws[8]))
    # Within the square in the middle, which is what a crop keeps.
    side = _FINE * min(width, height)
    x, y = (
        (_FINE * length - side) / 2 + radius + float(draw) * (side - 2 * radius)
        for draw, length in zip(draws[9:11], (width, height), strict=True)
    )
    _SHAPES[name](ImageDraw.Draw(canvas), (x, y), radius, 2 * math.pi * float(draws[11]), colour, ground)
    return canvas.resize((width, height), Image.Resampling.BOX)


def _around(middle: Point, radii: list[float], turn: float) -> list[Point]:
    angles = [turn + 2 * math.pi * number / len(radii) for number in range(len(radii))]
    return [(middle[0] + r * math.cos(a), middle[1] + r * math.sin(a)) for r, a in zip(radii, angles, strict=True)]


Colour = tuple[int, ...]


def _circle(
    draw: ImageDraw.ImageDraw, middle: Point, radius: float, turn: float, colour: Colour, ground: Colour
) -> None:
    del turn, ground
    draw.ellipse(_box(middle, 0.85 * radius), fill=colour)


def _ring(draw: ImageDraw.ImageDraw, middle: Point, radius: float, turn: float, colour: Colour, ground: Colour) -> None:
    del turn
    draw.ellipse(_box(middle, 0.95 * radius), fill=colour)
    draw.ellipse(_box(middle, 0.55 * radius), fill=ground)


def _polygon(radii: Callable[[float], list[float]]) -> Callable[..., None]:
    def shape(
        draw: ImageDraw.ImageDraw, middle: Point, radius: float, turn: float, colour: Colour, ground: Colour
    ) -> None:
        del ground
        draw.polygon(_around(middle, radii(radius), turn), fill=colour)

    return shape


def _cross(
    draw: ImageDraw.ImageDraw, middle: Point, radius: float, turn: float, colour: Colour, ground: Colour
) -> None:
    del ground
    for quarter in (0.0, math.pi / 2):
        ends = _around(middle, [0.9 * radius] * 2, turn + quarter)
        draw.line(ends, fill=colour, width=round(0.5 * radius))


def _box(middle: Point, radius: float) -> tuple[float, float, float, float]:
    return middle[0] - radius, middle[1] - radius, middle[0] + radius, middle[1] + radius


_SHAPES: dict[str, Callable[..., None]] = {
    "circle": _circle,
    "cross": _cross,
    "ring": _ring,
    "square": _polygon(lambda radius: [radius] * 4),
    "star": _polygon(lambda radius: [radius, 0.42 * radius] * 5),
    "triangle": _polygon(lambda radius: [radius] * 3),
}
