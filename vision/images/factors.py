"""Images drawn from known factors, all combinations of them: what disentanglement is measured on.

The kind of dSprites (Matthey, Higgins, Hassabis and Lerchner 2017): one white shape on black, of a shape, scale,
orientation and place. Here orientations lie within a quarter of a turn, so that no two combinations are one image (a
square that is turned by a quarter is the same square, which dSprites counts as another).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vision.images.collection import Images
from vision.images.configuration import FactorsConfig

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

FACTORS = ("shape", "scale", "orientation", "x", "y")
SHAPES = ("square", "ellipse", "heart")

_FINE = 4
"""Points a pixel along each axis, of which a pixel is the mean."""
_LARGEST = 0.28
"""Half of the largest shape's extent, as a share of the image's side."""


@dataclass(frozen=True)
class FactorImages:
    """Images whose factors are known.

    Attributes:
        images: n of them, grey; their labels are the shapes.
        factors: (n, 5) int64, the place of each image's value among the values of each factor, in `FACTORS`' order; the
            last changes fastest.
        values: The values of each factor, by name: the scale as a share of the largest, the orientation in radians, x
            and y in pixels of the shape's middle; a shape is its place in `SHAPES`.
    """

    images: Images
    factors: NDArray[np.int64]
    values: dict[str, NDArray[np.float64]]


_AS_GIVEN = FactorsConfig()


def draw_factors(config: FactorsConfig = _AS_GIVEN) -> FactorImages:
    """Draw every combination of the factors.

    >>> drawn = draw_factors(FactorsConfig(side=16, scales=2, orientations=2, columns=3, rows=3))
    >>> len(drawn.images), drawn.images.shape, drawn.factors[-1].tolist()
    (108, (1, 16, 16), [2, 1, 1, 2, 2])

    Args:
        config: How finely.
    """
    reach = _LARGEST * config.side
    margin = np.ceil(reach + 0.5)
    values: dict[str, NDArray[np.float64]] = {
        "shape": np.arange(len(SHAPES), dtype=np.float64),
        "scale": np.linspace(0.5, 1.0, config.scales) if config.scales > 1 else np.ones(1),
        "orientation": np.linspace(0, np.pi / 2, config.orientations, endpoint=False),
        "x": _places(margin, config.side, config.columns),
        "y": _places(margin, config.side, config.rows),
    }
    sizes = [len(values[name]) for name in FACTORS]
    factors = np.stack([grid.ravel() for grid in np.indices(sizes)], axis=1).astype(np.int64)
    pixels = np.empty((len(factors), config.side, config.side), np.uint8)
    row = 0
    for shape, scale, turn in itertools.product(SHAPES, values["scale"], values["orientation"]):
        fine = _fine_shape(_INSIDE[shape], scale * reach, turn, config.side)
        for x, y in itertools.product(values["x"], values["y"]):
            pixels[row] = _at(fine, x, y, config.side)
            row += 1
    images = Images(pixels[:, None], factors[:, 0].copy(), SHAPES, source="drawn factors")
    return FactorImages(images, factors, values)


def _places(margin: float, side: int, count: int) -> NDArray[np.float64]:
    """Middles on the grid of fine points."""
    between = np.linspace(margin, side - margin, count) if count > 1 else np.full(1, side / 2)
    return np.round(between * _FINE) / _FINE


def _fine_shape(
    inside: Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.bool_]], size: float, turn: float, side: int
) -> NDArray[np.bool_]:
    """(2 side, 2 side) pixels' fine points, whether each is in a shape whose middle is the middle."""
    points = (np.arange(2 * side * _FINE) + 0.5) / _FINE - side
    x, y = np.meshgrid(points, points)
    across, down = np.cos(turn) * x + np.sin(turn) * y, np.cos(turn) * y - np.sin(turn) * x
    return inside(across / size, down / size)


def _at(fine: NDArray[np.bool_], x: float, y: float, side: int) -> NDArray[np.uint8]:
    """The (side, side) image in which the middle lies at x, y."""
    left, top = round((side - x) * _FINE), round((side - y) * _FINE)
    window = fine[top : top + side * _FINE, left : left + side * _FINE]
    shares: NDArray[np.float64] = window.reshape(side, _FINE, side, _FINE).mean((1, 3))
    return np.rint(shares * 255).astype(np.uint8, copy=False)


def _in_square(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.maximum(abs(x), abs(y)) <= 0.7


def _in_ellipse(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
    return x**2 + (2 * y) ** 2 <= 1


def _in_heart(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
    # The usual sextic, whose farthest points are at the square root of two, upright where y runs downwards.
    x, y = 1.45 * x, -1.45 * y
    return (x**2 + y**2 - 1) ** 3 - x**2 * y**3 <= 0


_INSIDE = dict(zip(SHAPES, (_in_square, _in_ellipse, _in_heart), strict=True))
