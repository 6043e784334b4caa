"""How pictures become images of one shape, and how finely images are drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nlprep.core.configuration import check, option
from nlprep.core.errors import OptionError

Fit = Literal["crop", "pad", "stretch"]
"""What is done where a picture's sides are in another proportion than an image's."""


@dataclass(frozen=True, kw_only=True)
class PreprocessingConfig:
    """What images are asked to be; what is left open is decided by the data (see `vision.images.preprocessing`)."""

    height: int | None = option(
        None, "pixels from top to bottom; none: as they are if all are equal and at most 128 a side, else 64", minimum=1
    )
    width: int | None = option(None, "pixels from left to right; none: as the height", minimum=1)
    channels: int | None = option(None, "1: grey, 3: colour; none: colour if any picture has some", minimum=1)
    fit: Fit = option(
        "crop",
        "other proportions: crop keeps the centre, pad puts black around, stretch distorts",
        choices=("crop", "pad", "stretch"),
    )

    def __post_init__(self) -> None:
        check(self)
        if self.channels not in (None, 1, 3):
            raise OptionError(f"channels = {self.channels}: choose 1 (grey) or 3 (colour)")
        if self.width is not None and self.height is None:
            raise OptionError(f"width = {self.width} without a height: give both, or the height alone for squares")


@dataclass(frozen=True, kw_only=True)
class FactorsConfig:
    """How finely each factor is divided: there are as many images as the product of the numbers, times three shapes."""

    side: int = option(32, "height and width in pixels", minimum=12)
    scales: int = option(4, "sizes, from half to whole", minimum=1)
    orientations: int = option(6, "turns within a quarter", minimum=1)
    columns: int = option(8, "places from left to right", minimum=1)
    rows: int = option(8, "places from top to bottom", minimum=1)

    def __post_init__(self) -> None:
        check(self)
