"""Scenes as pixels.

Every object lies within its cell, so that an image is its cells side by side, and a cell a shape that was drawn once
for all images: shapes are drawn at 17 x 17 offsets, and looked up.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from multimodal.questions.drawn.scenes import SHAPES, SIZES
from nlprep.core.randomness import combine, integers

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from multimodal.questions.configuration import DrawnQuestionsConfig
    from multimodal.questions.drawn.scenes import Scenes
    from nlprep.core.randomness import Seeds

    Shape = Callable[[NDArray[np.floating[Any]], NDArray[np.floating[Any]]], NDArray[np.bool_]]

PALETTE = np.array(
    [
        (220, 45, 45),
        (45, 170, 60),
        (60, 85, 225),
        (235, 220, 60),
        (165, 60, 185),
        (70, 205, 215),
        (240, 240, 240),
        (240, 140, 40),
    ],
    np.float32,
)
"""Red, green and blue of `multimodal.questions.drawn.scenes.COLOURS`."""
RADII = (0.23, 0.42)
"""Half of the extent of `multimodal.questions.drawn.scenes.SIZES`, as a share of the cell's side."""

_DARKEST, _LIGHTEST = 20, 80
_STEPS = 8
"""Offsets to either side of the middle."""
_NOISE = 18
_BYTES_AT_ONCE = 1 << 24
"""Of the numbers that pixels are computed as."""


def draw_pictures(scenes: Scenes, keys: Seeds, config: DrawnQuestionsConfig) -> NDArray[np.uint8]:
    """Draw images.

    Args:
        scenes: What is in them.
        keys: (n,) of their noise.
        config: How they look.

    Returns:
        (n, 3, side, side) uint8, kept with the channels last.
    """
    side = config.cell * config.cells
    covers = cover_cells(config.cell, config.shapes, config.jitter)
    pixels = np.empty((len(scenes), side, side, 3), np.uint8)
    rows = max(1, _BYTES_AT_ONCE // (side * side * 3 * 4))
    for start in range(0, len(scenes), rows):
        numbers = np.arange(start, min(start + rows, len(scenes)))
        pixels[numbers] = _drawn(scenes, numbers, keys, covers, config)
    return pixels.transpose(0, 3, 1, 2)


def _drawn(
    scenes: Scenes,
    numbers: NDArray[np.int64],
    keys: Seeds,
    covers: NDArray[np.float32],
    config: DrawnQuestionsConfig,
) -> NDArray[np.uint8]:
    cell, cells = config.cell, config.cells
    grounds = (_DARKEST + (_LIGHTEST - _DARKEST) * scenes.grounds[numbers]).astype(np.float32)
    canvas = np.empty((len(numbers), cells * cells, cell, cell, 3), np.float32)
    canvas[:] = grounds[:, None, None, None, None]
    image, thing = np.nonzero(scenes.there[numbers])
    of = numbers[image], thing
    steps = np.rint(scenes.offsets[of] * _STEPS).astype(np.int64) + _STEPS
    cover = covers[scenes.shapes[of], scenes.sizes[of], steps[:, 1], steps[:, 0]]
    colours = PALETTE[scenes.colours[of]] + (255 * config.tint * scenes.tints[of]).astype(np.float32)
    ground = grounds[image][:, None]
    added = np.clip(colours, 0, 255) - ground
    canvas[image, scenes.places[of]] = ground[:, :, None, None] + cover[..., None] * added[:, None, None]
    rows = canvas.reshape(-1, cells, cells, cell, cell, 3).transpose(0, 1, 3, 2, 4, 5)
    found = rows.reshape(len(numbers), cells * cell, cells * cell, 3)
    if config.noise:
        # Eight numbers of each hash.
        count = found[0].size
        noise = integers(combine(keys[numbers]), -(-count // 8), purpose=_NOISE).astype("<u8").view(np.uint8)
        found += (noise[:, :count].reshape(found.shape).astype(np.float32) - 127.5) * (2 * config.noise)
    return np.rint(np.clip(found, 0, 255)).astype(np.uint8)


@lru_cache(maxsize=1)
def cover_cells(cell: int, shapes: int, jitter: float) -> NDArray[np.float32]:
    """What share of each pixel of a cell an object covers, by its shape, its size and where it lies.

    Args:
        cell: Pixels of a cell's side.
        shapes: How many of `multimodal.questions.drawn.scenes.SHAPES`.
        jitter: How far from the middle offsets go, as a share of the room that there is.

    Returns:
        (shapes, sizes, steps, steps, cell, cell) in [0, 1]; steps go down, then to the right.
    """
    # Points a pixel along each axis; of a large cell fewer do.
    fine = 4 if cell <= 32 else 2
    points = ((np.arange(cell * fine) + 0.5) / fine - cell / 2).astype(np.float32)
    steps = np.arange(-_STEPS, _STEPS + 1) / np.float32(_STEPS)
    found = np.empty((shapes, len(SIZES), len(steps), len(steps), cell, cell), np.float32)
    for size, radius in enumerate(RADII):
        extent = np.float32(radius * cell)
        offsets = steps * np.float32(jitter) * (cell / 2 - extent)
        from_middle = (points - offsets[:, None]) / extent
        for shape in range(shapes):
            inside = _INSIDE[SHAPES[shape]]
            for down in range(len(steps)):
                filled = inside(from_middle[:, None, :], from_middle[down, None, :, None])
                found[shape, size, down] = filled.reshape(len(steps), cell, fine, cell, fine).mean((2, 4))
    return found


def _in_ring(x: NDArray[np.floating[Any]], y: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
    distance = x**2 + y**2
    return (distance <= 1) & (distance >= 0.33)


def _in_cross(x: NDArray[np.floating[Any]], y: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = (np.minimum(abs(x), abs(y)) <= 0.3) & (np.maximum(abs(x), abs(y)) <= 1)
    return inside


_INSIDE: dict[str, Shape] = {
    "circle": lambda x, y: x**2 + y**2 <= 1,
    "square": lambda x, y: np.maximum(abs(x), abs(y)) <= 0.86,
    "triangle": lambda x, y: (y <= 0.85) & (2 * abs(x) <= y + 1),
    "cross": _in_cross,
    "ring": _in_ring,
    "diamond": lambda x, y: abs(x) + abs(y) <= 1,
}
