"""The settings of models of images, each beside the others and known by the model's name with ``Config`` behind it."""

from __future__ import annotations

from dataclasses import dataclass

from nlprep.core.configuration import check, option
from vision.backbones.configuration import BackboneConfig


@dataclass(frozen=True, kw_only=True)
class AutoencoderConfig:
    """A plain autoencoder: undercomplete, deep or convolutional as its dimension and its backbone say."""

    dimension: int = option(32, "numbers in a code", minimum=1)
    error: str = option(
        "bce", "between an image and what is made of it: squared, absolute, or bce, the binary cross-entropy",
        choices=("squared", "absolute", "bce"),
    )  # fmt: skip
    backbone: BackboneConfig = option(BackboneConfig(), "the network that makes features")

    def __post_init__(self) -> None:
        check(self)
