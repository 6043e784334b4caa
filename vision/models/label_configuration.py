"""The settings of models that learn what is alike from labels."""

from __future__ import annotations

from dataclasses import dataclass

from nlprep.core.configuration import check, option
from vision.backbones.configuration import BackboneConfig


@dataclass(frozen=True, kw_only=True)
class DrLimConfig:
    """A map in which images lie near those that labels say are like them."""

    dimension: int = option(3, "numbers in a code", minimum=1)
    margin: float = option(1.0, "distance from which on images that are not alike are left alone", above=0)
    reach: int = option(0, "steps between the poses of images that are alike, at the most; 0: of the same class",
                        minimum=0)  # fmt: skip
    heights: int = option(1, "poses of each turn, which classes are numbered through first: 1: classes are one row",
                          minimum=1)  # fmt: skip
    around: bool = option(False, "the last turn is a step from the first")
    backbone: BackboneConfig = option(BackboneConfig(), "the network that makes features")

    def __post_init__(self) -> None:
        check(self)
