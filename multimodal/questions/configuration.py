"""What is drawn, and which answers there are to give."""

from __future__ import annotations

from dataclasses import dataclass

from nlprep.core.configuration import check, option
from nlprep.core.errors import OptionError

NUM_COLOURS, NUM_SHAPES, LARGEST_COUNT = 8, 6, 3
"""Colours and shapes that can be drawn, and how many alike are counted at the most."""


@dataclass(frozen=True, kw_only=True)
class DrawnQuestionsConfig:
    """How many images, what is in them, and how many questions of each family are asked of one.

    Harder are more cells, colours, shapes and objects, and more jitter, tint and noise.
    """

    images: int = option(4_000, "images, in pairs of the same colours and shapes otherwise put together", minimum=2)
    cells: int = option(3, "cells of the grid from left to right, and from top to bottom", minimum=2, maximum=8)
    cell: int = option(16, "pixels of a cell's side", minimum=8, maximum=64)
    fewest: int = option(4, "objects in an image, at the least", minimum=4)
    most: int = option(7, "objects in an image, at the most", minimum=4)
    colours: int = option(6, "different colours", minimum=2, maximum=NUM_COLOURS)
    shapes: int = option(4, "different shapes", minimum=2, maximum=NUM_SHAPES)
    jitter: float = option(
        1.0, "how far from the middle of their cells objects lie: share of the room", minimum=0, maximum=1
    )
    tint: float = option(
        0.15, "how much objects of a colour differ in it: share of the whole range", minimum=0, maximum=0.5
    )
    noise: float = option(0.03, "noise of each pixel, at the most: share of the range", minimum=0, maximum=0.5)
    exist: int = option(4, "questions for a colour and a shape in one object; half of them yes", minimum=0)
    relate: int = option(2, "questions for where one object is from another", minimum=0)
    neighbour: int = option(2, "questions for the colour or the shape beside an object", minimum=0)
    compare: int = option(1, "questions for which of two there are more of", minimum=0)
    count: int = option(1, "questions for how many there are", minimum=0, maximum=3)
    seed: int = option(1, "of everything", minimum=0)

    def __post_init__(self) -> None:
        check(self)
        if self.images % 2:
            raise OptionError(f"images = {self.images}: give an even number, as they come in pairs")
        if self.exist % 2:
            raise OptionError(f"exist = {self.exist}: give an even number, as half of them are yes")
        if not self.fewest <= self.most <= self.cells**2:
            raise OptionError(
                f"fewest = {self.fewest}, most = {self.most}: give numbers in this order, and no more objects than the "
                f"{self.cells**2} cells"
            )
        if not (self.exist or self.relate or self.neighbour or self.compare or self.count):
            raise OptionError("no family of questions is asked for: give at least one a number above 0")


@dataclass(frozen=True, kw_only=True)
class AnswersConfig:
    """Which of the training questions' answers are to be given."""

    size: int = option(3_000, "answers, the most frequent", minimum=1)
    minimum: int = option(1, "how often an answer has to occur", minimum=1)

    def __post_init__(self) -> None:
        check(self)
