"""The settings of flows of images."""

from __future__ import annotations

from dataclasses import dataclass, replace

from nlprep.core.configuration import check, option
from nlprep.core.errors import OptionError
from vision.backbones.configuration import UNetConfig


@dataclass(frozen=True, kw_only=True)
class PixelConfig:
    """How pixels in [0, 1] become numbers of any size, before a flow takes them."""

    kind: str = option(
        "auto", "centred, moved to lie around 0; logit, which spreads out what is nearly black or white; auto, logit "
        "for grey images, centred for others", choices=("auto", "centred", "logit"),
    )  # fmt: skip
    margin: float = option(1e-6, "how near to 0 and 1 pixels come before their logit", above=0, maximum=0.4,
                           counts_for=("kind", ("logit", "auto")))  # fmt: skip

    def __post_init__(self) -> None:
        check(self)

    def settled(self, channels: int) -> PixelConfig:
        """What it is for images of so many channels.

        Most pixels of digits and drawings are black or white, one level of 256: centred, a flow has to stretch it to
        the width of all its noise, which maps that stretch little at a time learn last. Between, a logit bends.

        Raises:
            OptionError: A margin for images that are only centred.
        """
        if self.kind != "auto":
            return self
        if channels == 1:
            return replace(self, kind="logit")
        if self.margin != PixelConfig().margin:
            raise OptionError(
                f"pixels: margin = {self.margin!r} is of the logit, which colour images do not go through by default: "
                "leave it out, or choose kind = 'logit'"
            )
        return replace(self, kind="centred")


@dataclass(frozen=True, kw_only=True)
class GlowConfig:
    """A Glow."""

    levels: int = option(2, "scales, each of half the side of the one before", minimum=1)
    steps: int = option(8, "steps in each scale", minimum=1)
    width: int = option(64, "channels of the networks inside couplings", minimum=1)
    coupling: str = option("affine", "what couplings do: affine, scale and shift; additive, shift alone",
                           choices=("affine", "additive"))  # fmt: skip
    bound: float = option(2.0, "of the logarithm of a coupling's scale", above=0, counts_for=("coupling", ("affine",)))
    dequantization: str = option("uniform", "noise that makes real numbers of bytes: uniform, or variational, learned",
                                 choices=("uniform", "variational"))  # fmt: skip
    dequantization_steps: int = option(4, "steps of the flow that makes this noise", minimum=1,
                                       counts_for=("dequantization", ("variational",)))  # fmt: skip
    pixels: PixelConfig = option(PixelConfig(), "how pixels become numbers of any size")
    temperature: float = option(0.7, "what the noise of samples is multiplied by; 1: of the model itself", above=0)

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, kw_only=True)
class ResidualFlowConfig:
    """A flow of invertible residual blocks."""

    levels: int = option(2, "scales, each of half the side of the one before", minimum=1)
    steps: int = option(4, "blocks in each scale", minimum=1)
    width: int = option(64, "channels inside a block", minimum=1)
    lipschitz: float = option(0.9, "Lipschitz constant that blocks keep to, below 1", above=0, maximum=0.99)
    terms: int = option(20, "of the series of a block's log-determinant, in evaluation", minimum=1)
    pixels: PixelConfig = option(PixelConfig(), "how pixels become numbers of any size")
    temperature: float = option(0.7, "what the noise of samples is multiplied by; 1: of the model itself", above=0)

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, kw_only=True)
class FlowMatchingConfig:
    """A continuous flow, trained by flow matching."""

    scheme: str = option(
        "midpoint", "by which images are carried from noise and back: midpoint, two calls of the network a step, or "
        "euler, one", choices=("midpoint", "euler"),
    )  # fmt: skip
    sampling_steps: int = option(25, "steps in which an image is drawn, inverted, or its likelihood found", minimum=1)
    probes: int = option(1, "random vectors by which a likelihood's traces are estimated", minimum=1)
    code_level: float = option(
        0.1, "share of noise at which the network looks at an image for its code", above=0, maximum=1
    )  # fmt: skip
    network: UNetConfig = option(UNetConfig(), "the network that says where to go")

    def __post_init__(self) -> None:
        check(self)
