"""The backbone and the decoder that settings describe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nlprep.core.errors import OptionError
from vision.backbones.convolutional import ConvolutionalBackbone, ConvolutionalDecoder
from vision.backbones.mlp import MlpBackbone, MlpDecoder

if TYPE_CHECKING:
    from vision.backbones.backbone import Backbone, Decoder
    from vision.backbones.configuration import BackboneConfig
    from vision.images.collection import Shape


def make_backbone(config: BackboneConfig, shape: Shape) -> Backbone:
    """A network from images to features, its weights drawn from torch's generator.

    Args:
        config: Which network.
        shape: (channels, height, width) of the images.

    Raises:
        OptionError: Settings that do not suit images of this shape.
        FileError: A model of the transformers library that cannot be loaded.
    """
    if config.kind == "mlp":
        return MlpBackbone(
            shape, width=_width(config), depth=2 if config.depth is None else config.depth,
            activation=config.activation,
        )  # fmt: skip
    if config.kind == "convolutional":
        return ConvolutionalBackbone(
            shape, width=_width(config), depth=config.depth, norm=config.norm, activation=config.activation
        )
    raise OptionError(f"kind = {config.kind!r}: is no backbone")


def make_decoder(config: BackboneConfig, shape: Shape, dimension: int, channels: int | None = None) -> Decoder:
    """A network from codes back to images, as large as the backbone of the same settings.

    An mlp and a convolutional network have their mirrors; for the others it is the residual one's.

    Args:
        config: The backbone's.
        shape: (channels, height, width) of the images.
        dimension: Numbers in a code.
        channels: Of what it makes, such as twice the images' for means and variances; default: theirs.
    """
    made = (shape[0] if channels is None else channels, *shape[1:])
    if config.kind == "mlp":
        return MlpDecoder(
            made, dimension, width=_width(config), depth=2 if config.depth is None else config.depth,
            activation=config.activation,
        )  # fmt: skip
    return ConvolutionalDecoder(
        made, dimension, width=_width(config), depth=config.depth, norm=config.norm, activation=config.activation
    )


def _width(config: BackboneConfig) -> int:
    return config.width or {"mlp": 512, "resnet18": 64, "vit": 192}.get(config.kind, 32)
