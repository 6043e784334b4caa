"""The settings of backbones."""

from __future__ import annotations

from dataclasses import dataclass, replace

from nlprep.core.configuration import check, option
from nlprep.core.errors import OptionError

KINDS = ("mlp", "convolutional", "residual", "patch", "resnet18", "vit", "transformers")
NORMS = ("group", "batch", "none")
_SIZES = {"mlp": (512, 2), "resnet18": (64, None), "vit": (192, 6)}
ACTIVATIONS = ("silu", "relu", "gelu", "leaky-relu", "tanh", "sigmoid")


@dataclass(frozen=True, kw_only=True)
class BackboneConfig:
    """Which network makes features of images, and how large it is.

    A size that is left out follows from the kind and, for the number of halvings, from the size of the images. Batch
    norm couples the examples of a batch: results then depend on the micro-batch, so that it is never the default.
    """

    kind: str = option("convolutional", "network; transformers: a local model of that library", choices=KINDS)
    width: int | None = option(
        None, "units of an mlp's layers (512), channels of the first stage (32; resnet18 64), size of a vit's tokens "
        "(192)", minimum=1,
    )  # fmt: skip
    depth: int | None = option(
        None, "hidden layers of an mlp (2), halvings of a convolutional or residual network (until a side is under "
        "8), layers of a vit (6)", minimum=0,
    )  # fmt: skip
    blocks: int = option(
        2, "residual blocks in each stage of a residual network, or in all of a patch network", minimum=1
    )
    norm: str = option("group", "normalisation in convolutional networks", choices=NORMS)
    activation: str = option("silu", "of mlp, convolutional, residual and patch networks", choices=ACTIVATIONS)
    stem: str = option(
        "small", "beginning of a resnet18: small, 3 x 3 and no pooling; standard, for images of 224 pixels or so",
        choices=("small", "standard"),
    )  # fmt: skip
    patch: int = option(4, "side of a vit's or a patch network's patches, in pixels", minimum=1)
    overlap: bool = option(
        False, "the patches that a patch network's mirror makes reach into each other and fade out there: no seams"
    )
    heads: int = option(3, "attention heads of a vit; they divide its width", minimum=1)
    path: str | None = option(None, "directory of a vision model that transformers wrote")
    pretrained: bool = option(True, "begin with the weights of that model; no: with random ones")

    def __post_init__(self) -> None:
        check(self)
        if (self.kind == "transformers") != (self.path is not None):
            raise OptionError(
                "path: give the directory of a model with kind = 'transformers'"
                if self.path is None
                else f"path = {self.path!r}: counts for kind = 'transformers' alone: set it, or leave out the path"
            )
        if self.kind == "vit" and self.sizes()[0] % self.heads:
            raise OptionError(f"heads = {self.heads}: must divide the width of the vit, {self.sizes()[0]}")

    def sizes(self) -> tuple[int, int | None]:
        """Width and depth in use; a depth of None follows from the size of the images."""
        width, depth = _SIZES.get(self.kind, (32, None))
        return self.width or width, depth if self.depth is None else self.depth

    def mirror(self) -> BackboneConfig:
        """The residual network whose mirror decodes for a kind that has none."""
        return replace(self, kind="residual", width=None, depth=None, path=None)


@dataclass(frozen=True, kw_only=True)
class UNetConfig:
    """A network from images to images of the same size, with what is large and what is fine seen at several sizes."""

    patch: int = option(2, "side of the squares of pixels that are taken as one place; 1: none are", minimum=1)
    width: int = option(32, "channels at the largest size; a multiple of 4", minimum=4)
    depth: int | None = option(None, "halvings; none: until a side is under 8", minimum=0)
    blocks: int = option(1, "residual blocks at each size, on the way down and on the way up", minimum=1)
    attention: bool = option(True, "let places look at each other at the smallest size")

    def __post_init__(self) -> None:
        check(self)
        if self.width % 4:
            raise OptionError(f"width = {self.width}: give a multiple of 4")
