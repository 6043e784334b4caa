"""The backbone and the decoder that settings describe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vision.backbones.convolutional import ConvolutionalBackbone, ConvolutionalDecoder
from vision.backbones.mlp import MlpBackbone, MlpDecoder
from vision.backbones.patch import PatchBackbone, PatchDecoder
from vision.backbones.residual import ResidualBackbone, ResidualDecoder
from vision.backbones.resnet import ResNet18
from vision.backbones.vit import VisionTransformer

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
    width, depth = config.sizes()
    if config.kind == "mlp":
        return MlpBackbone(shape, width=width, depth=depth or 0, activation=config.activation)
    if config.kind == "convolutional":
        return ConvolutionalBackbone(
            shape, width=width, depth=depth, norm=config.norm, activation=config.activation
        )  # fmt: skip
    if config.kind == "residual":
        return ResidualBackbone(
            shape, width=width, depth=depth, blocks=config.blocks, norm=config.norm, activation=config.activation
        )
    if config.kind == "patch":
        return PatchBackbone(
            shape, patch=config.patch, width=width, blocks=config.blocks, norm=config.norm,
            activation=config.activation,
        )  # fmt: skip
    if config.kind == "resnet18":
        return ResNet18(shape, width=width, stem=config.stem, norm=config.norm)
    if config.kind == "vit":
        return VisionTransformer(shape, patch=config.patch, width=width, depth=depth or 0, heads=config.heads)
    from vision.backbones.transformers_model import TransformersBackbone

    return TransformersBackbone(config.path or "", shape, pretrained=config.pretrained)


def make_decoder(config: BackboneConfig, shape: Shape, dimension: int, channels: int | None = None) -> Decoder:
    """A network from codes back to images, its weights drawn from torch's generator.

    An mlp, a convolutional, a residual and a patch network have their mirrors, as large as they are. The others have
    none, and get a residual decoder of 32 channels.

    Args:
        config: The backbone's.
        shape: (channels, height, width) of the images.
        dimension: Numbers in a code.
        channels: Of what it makes, such as twice the images' for means and variances; default: theirs.
    """
    made = (shape[0] if channels is None else channels, *shape[1:])
    width, depth = config.sizes()
    if config.kind == "mlp":
        return MlpDecoder(made, dimension, width=width, depth=depth or 0, activation=config.activation)
    if config.kind == "convolutional":
        return ConvolutionalDecoder(
            made, dimension, width=width, depth=depth, norm=config.norm, activation=config.activation
        )
    if config.kind == "patch":
        return PatchDecoder(
            made, dimension, patch=config.patch, width=width, blocks=config.blocks, norm=config.norm,
            activation=config.activation, overlap=config.overlap,
        )  # fmt: skip
    if config.kind != "residual":
        width, depth = config.mirror().sizes()
    return ResidualDecoder(
        made, dimension, width=width, depth=depth, blocks=config.blocks, norm=config.norm,
        activation=config.activation,
    )  # fmt: skip
