"""The settings of what is made of a whole run."""

from __future__ import annotations

from dataclasses import dataclass

from nlprep.core.configuration import check, option


@dataclass(frozen=True, kw_only=True)
class RunReportConfig:
    """What a page about a run shows."""

    most: int = option(2000, "images on the map", minimum=3)
    plane: str = option("tsne", "how the map is laid out", choices=("tsne", "umap", "pca"))
    threshold: float = option(0.98, "cosine of codes from which two images are nearly the same", above=0, maximum=1)
    seed: int = option(1, "of what is chosen and drawn", minimum=0)

    def __post_init__(self) -> None:
        check(self)
