"""The settings of models that learn from a question whose answer is in the image itself."""

from __future__ import annotations

from dataclasses import dataclass

from nlprep.core.configuration import check, option
from nlprep.core.errors import OptionError
from vision.backbones.configuration import BackboneConfig


@dataclass(frozen=True, kw_only=True)
class RotationConfig:
    """A model that says by how many quarters an image was turned."""

    backbone: BackboneConfig = option(BackboneConfig(), "the network that makes features")

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, kw_only=True)
class ColourizationConfig:
    """A model that says which colours a grey image had."""

    grid: float = option(10.0, "side of the squares of Lab's a and b that count as one colour", above=0, maximum=100)
    rebalance: float = option(
        0.5, "how much rare colours count: 0, by how rare they are; 1, as much as all others", above=0, maximum=1
    )
    temperature: float = option(
        0.38, "of the mean that makes a picture of what is predicted; low: the likeliest colour", above=0, maximum=1
    )
    hidden: int = option(64, "channels between features and colours", minimum=1)
    backbone: BackboneConfig = option(BackboneConfig(), "the network that makes features")

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, kw_only=True)
class InpaintingConfig:
    """A model that fills in a hole in an image."""

    hole: float = option(0.5, "sides of the hole, as a share of the image's", above=0, maximum=1)
    backbone: BackboneConfig = option(BackboneConfig(), "the network that makes features")

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, kw_only=True)
class ContextPredictionConfig:
    """A model that says where in an image a patch lay, beside another one."""

    dimension: int = option(128, "numbers in the code of a patch, whose mean is an image's", minimum=1)
    hidden: int = option(256, "units of the head that sees the codes of two patches", minimum=1)
    backbone: BackboneConfig = option(BackboneConfig(width=64, depth=2), "the network that makes features of patches")

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, kw_only=True)
class CpcConfig:
    """A model that tells the patches further down an image from others, by those above."""

    dimension: int = option(128, "numbers in the code of a patch, whose mean is an image's", minimum=1)
    hidden: int = option(64, "channels of the network that looks at the rows above", minimum=1)
    layers: int = option(4, "of that network; each sees one row more", minimum=1)
    ahead: int = option(3, "rows that are predicted, from the next on that has no pixel in common", minimum=1)
    temperature: float = option(0.1, "what cosines are divided by; lower: near ones count for more", above=0)
    backbone: BackboneConfig = option(BackboneConfig(width=32, depth=2), "the network that makes features of patches")

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, kw_only=True)
class IJepaConfig:
    """A model that predicts what a slower copy of itself says of hidden patches."""

    blocks: int = option(4, "of patches to predict in each image", minimum=1)
    block: float = option(0.15, "share of the patches that are in one", above=0, maximum=0.9)
    momentum: float = option(0.996, "share of the slower copy that stays in a step at first; it rises to 1", minimum=0,
                             maximum=1)  # fmt: skip
    predictor_width: int = option(96, "size of the predictor's tokens", minimum=1)
    predictor_depth: int = option(2, "layers of the predictor", minimum=1)
    predictor_heads: int = option(3, "attention heads of the predictor; they divide its width", minimum=1)
    backbone: BackboneConfig = option(BackboneConfig(kind="vit"), "the transformer; its kind must be vit")

    def __post_init__(self) -> None:
        check(self)
        if self.backbone.kind != "vit":
            raise OptionError(f"backbone: kind = {self.backbone.kind!r}: patches are hidden from a vit: choose it")
        if self.predictor_width % self.predictor_heads:
            raise OptionError(
                f"predictor_heads = {self.predictor_heads}: must divide the width, {self.predictor_width}"
            )


@dataclass(frozen=True, kw_only=True)
class ImageGptConfig:
    """A model that says the next pixel, row by row, by all before it."""

    levels: int = option(256, "that a pixel of a grey image may have; 256: bytes as they are", minimum=2, maximum=256)
    colour_levels: int = option(6, "of red, of green and of blue, in colour images", minimum=2, maximum=16)
    width: int = option(96, "size of the tokens", minimum=1)
    depth: int = option(4, "layers, of which the middle one makes codes", minimum=1)
    heads: int = option(3, "attention heads; they divide the width", minimum=1)
    temperature: float = option(1.0, "of samples; 1: of the model itself", above=0)

    def __post_init__(self) -> None:
        check(self)
        if self.width % self.heads:
            raise OptionError(f"heads = {self.heads}: must divide the width, {self.width}")
