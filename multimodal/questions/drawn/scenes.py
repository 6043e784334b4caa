"""What is in the images: objects with a colour, a shape and a size in the cells of a grid.

Images come in pairs, 2k and 2k + 1, of the same colours, the same shapes and the same sizes, put together otherwise and
laid out anew. So what a pair holds says nothing of which colour goes with which shape; that has to be seen.

In every pair one colour, one shape and one size are planted, each of which exactly 0, 1, 2 or 3 objects have with equal
chances, so that how many there are is a fair draw too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from multimodal.questions.configuration import LARGEST_COUNT
from nlprep.core.randomness import combine, uniforms

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from multimodal.questions.configuration import DrawnQuestionsConfig
    from nlprep.core.randomness import Seeds

COLOURS = ("red", "green", "blue", "yellow", "purple", "cyan", "white", "orange")
SHAPES = ("circle", "square", "triangle", "cross", "ring", "diamond")
SIZES = ("small", "large")
NOTHING = -1
"""Stands in place of an object that is not there."""

_PAIR, _IMAGE = 1, 2
_PLANTED, _MARKS, _ORDER, _LAYOUT, _OFFSETS, _TINTS, _GROUND = 11, 12, 13, 14, 15, 16, 17


@dataclass(frozen=True)
class Thing:
    """One object, as people would say it.

    Attributes:
        colour: One of `COLOURS`.
        shape: One of `SHAPES`.
        size: One of `SIZES`.
        row: Of its cell, from the top.
        column: Of its cell, from the left.
    """

    colour: str
    shape: str
    size: str
    row: int
    column: int


@dataclass(frozen=True)
class Scenes:
    """What is in n images of at most m objects each.

    Attributes:
        cells: Rows and columns of the grid.
        colours: (n, m) int64, places in `COLOURS`; `NOTHING` where there is no object, here and below.
        shapes: (n, m) int64, places in `SHAPES`.
        sizes: (n, m) int64, places in `SIZES`.
        places: (n, m) int64, cells counted through the rows.
        offsets: (n, m, 2) from the middle of their cells to the right and down, in [-1, 1] of the room there is.
        tints: (n, m, 3) how much their red, green and blue differ from the colour's, in [-1, 1].
        grounds: (n,) how light the ground is, in [0, 1].
        planted: (n, 3) int64, the colour, shape and size whose numbers are a fair draw.
    """

    cells: int
    colours: NDArray[np.int64]
    shapes: NDArray[np.int64]
    sizes: NDArray[np.int64]
    places: NDArray[np.int64]
    offsets: NDArray[np.float64]
    tints: NDArray[np.float64]
    grounds: NDArray[np.float64]
    planted: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.colours)

    @property
    def there(self) -> NDArray[np.bool_]:
        """(n, m) whether there is an object."""
        found: NDArray[np.bool_] = self.places != NOTHING
        return found

    def things(self, number: int) -> list[Thing]:
        """The objects of one image."""
        return [
            Thing(COLOURS[colour], SHAPES[shape], SIZES[size], *divmod(place, self.cells))
            for colour, shape, size, place in zip(
                *(values[number].tolist() for values in (self.colours, self.shapes, self.sizes, self.places)),
                strict=True,
            )
            if place != NOTHING
        ]


def image_keys(seed: int, count: int) -> Seeds:
    """(n,) a key for each image, the same however many follow."""
    return combine(seed, _IMAGE, np.arange(count))


def pair_keys(seed: int, count: int) -> Seeds:
    """(n / 2,) a key for each pair."""
    return combine(seed, _PAIR, np.arange(count // 2))


def draw_scenes(config: DrawnQuestionsConfig) -> Scenes:
    """Draw what is in the images; what is in one is a function of the seed and its number.

    >>> from multimodal.questions.configuration import DrawnQuestionsConfig
    >>> scenes = draw_scenes(DrawnQuestionsConfig(images=2))
    >>> [sorted(thing.shape for thing in scenes.things(number)) for number in (0, 1)]
    [['circle', 'square', 'square', 'triangle'], ['circle', 'square', 'square', 'triangle']]

    Args:
        config: How many, and of what.
    """
    pairs, images = pair_keys(config.seed, config.images), image_keys(config.seed, config.images)
    most = config.most
    draws = uniforms(pairs, 7, purpose=_PLANTED)
    number = config.fewest + _whole(draws[:, 0], most - config.fewest + 1)
    there = np.arange(most) < number[:, None]
    kinds = (config.colours, config.shapes, len(SIZES))
    planted = np.stack([_whole(draws[:, 1 + place], kind) for place, kind in enumerate(kinds)], 1)
    alike = _whole(draws[:, 4:7], LARGEST_COUNT + 1)
    marks = uniforms(pairs, 3 * most, purpose=_MARKS).reshape(len(pairs), 3, most)
    # Of each kind by rank: the planted one first, as often as it is to be there, and then any other.
    by_rank = [
        np.where(
            np.arange(most) < alike[:, place, None],
            planted[:, place, None],
            (planted[:, place, None] + 1 + _whole(marks[:, place], kind - 1)) % kind,
        )
        for place, kind in enumerate(kinds)
    ]
    # Which object has which rank, of each kind in an order of its own; of the shapes another in each image of a pair.
    orders = uniforms(pairs, 4 * most, purpose=_ORDER).reshape(len(pairs), 4, most)
    ranks = np.argsort(np.argsort(np.where(there[:, None], orders, 2.0), axis=2), axis=2)
    colours = np.take_along_axis(by_rank[0], ranks[:, 0], 1)
    sizes = np.take_along_axis(by_rank[2], ranks[:, 1], 1)
    shapes = np.stack([np.take_along_axis(by_rank[1], ranks[:, 2 + image], 1) for image in (0, 1)], 1)
    of_pair = np.repeat(np.arange(len(pairs)), 2)
    present = there[of_pair]
    places = np.argsort(uniforms(images, config.cells**2, purpose=_LAYOUT), axis=1)[:, :most]
    return Scenes(
        config.cells,
        np.where(present, colours[of_pair], NOTHING),
        np.where(present, shapes.reshape(-1, most), NOTHING),
        np.where(present, sizes[of_pair], NOTHING),
        np.where(present, places, NOTHING),
        2 * uniforms(images, 2 * most, purpose=_OFFSETS).reshape(-1, most, 2) - 1,
        2 * uniforms(images, 3 * most, purpose=_TINTS).reshape(-1, most, 3) - 1,
        uniforms(images, 1, purpose=_GROUND)[:, 0],
        planted[of_pair],
    )


def _whole(draws: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Whole numbers below a count of uniform ones."""
    return (draws * count).astype(np.int64)
