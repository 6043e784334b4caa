"""The settings of the baselines."""

from __future__ import annotations

from dataclasses import dataclass

from nlprep.core.configuration import check, option
from nlprep.core.errors import OptionError


@dataclass(frozen=True, kw_only=True)
class PatchDictionaryConfig:
    """A dictionary of patches, and how an image's patches are coded by it and pooled."""

    atoms: int = option(400, "atoms of the dictionary", minimum=2)
    patch: int = option(6, "side of a patch, in pixels", minimum=1)
    learning: str = option(
        "k-means", "how atoms are found: k-means, or sparse dictionary learning", choices=("k-means", "dictionary")
    )
    activation: str = option(
        "triangle", "a patch's code: triangle, its nearness beyond the average; soft, its products beyond the penalty, "
        "by sign; sparse, the lasso's coefficients, by sign", choices=("triangle", "soft", "sparse"),
    )  # fmt: skip
    penalty: float = option(0.5, "what soft thresholds cut off, and the lasso's weight", above=0)
    pooling: int = option(2, "regions from top to bottom, and from left to right", minimum=1)
    patches: int = option(100_000, "patches to learn from", minimum=1)
    contrast: float = option(
        10 / 255**2, "added to a patch's variance before it is divided by it, pixels being in [0, 1]", above=0
    )
    whitening: float = option(0.1, "added to the variances of patches before they are made equal", above=0)
    iterations: int = option(50, "most passes over the patches", minimum=1)
    seed: int = option(1, "seed of the patches and of the first atoms", minimum=0)

    def __post_init__(self) -> None:
        check(self)
        if self.patch == 1 and self.learning == "dictionary":
            raise OptionError("patch = 1: patches of one pixel have no dictionary: give at least 2")
