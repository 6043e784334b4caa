"""Normalizing flows of images: Glow and residual flows.

An image's bytes become real numbers by noise (`vision.flows.dequantization`), these are centred or, where images are
grey, go through a logit (`vision.flows.elementwise.Logit`), and a transform f of several scales maps them to as many
standard normal numbers. Minimised is the bound, in nats, a mean over images,

    -log P(b) <= log q(u | b) - log N(f(y); 0, I) - log |det df/dy| + d log 256,

recorded as ``loss``, and in bits for each number of an image as ``bits_per_dimension``.

**Glow** (Kingma and Dhariwal 2018): in each level steps of activation normalisation, an invertible 1 x 1 convolution
and a coupling. **Residual flow** (Behrmann et al. 2019; Chen et al. 2019): in each level activation normalisation and
invertible residual blocks.

Its **code** of an image is what f makes of it: as many numbers as the image has, in no order of importance. A flow has
no bottleneck. With labels the last level's numbers have a mean and a deviation of each class and channel, instead of 0
and 1: a code sees no label.

Promised, and tested: decoding a code gives the image; the change of volume is autograd's; a flow that changes nothing
has 8 bits for uniform bytes.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from nlprep.core.errors import OptionError
from nlprep.core.randomness import seeded_torch
from vision.flows.coupling import Coupling, kept_channels
from vision.flows.density import FlowStep, standard_normal
from vision.flows.dequantization import (
    LEVELS,
    UniformDequantization,
    VariationalDequantization,
    bits_per_dimension,
    byte_nats,
)
from vision.flows.elementwise import ActNorm, Affine, Logit
from vision.flows.finite import refuse_infinite
from vision.flows.linear import NormedLinear
from vision.flows.multiscale import ClassNoise, MultiScale, Squeezed, level_shapes
from vision.flows.networks import ImageNetwork
from vision.flows.residual import Residual
from vision.flows.shapes import Additive, Scaled
from vision.flows.spectral import LipSwish, NormedLayer
from vision.flows.transform import Composition
from vision.images.collection import unit_pixels
from vision.models.labels import labels_in_turn, with_classes
from vision.models.model import ImageModel

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vision.flows.transform import Transform
    from vision.images.collection import Shape
    from vision.models.flow_configuration import GlowConfig, PixelConfig, ResidualFlowConfig


class FlowModel(ImageModel):
    """What flows of images have in common.

    Args:
        shape: Of the images.
        config: Its settings.
        num_classes: How many classes it is told; 0: none.
        seed: Of its weights.

    Attributes:
        transform: From images in [0, 1) to vectors of noise.
        dequantization: What makes real numbers of bytes.

    Raises:
        NlprepError: Images whose sides cannot be halved as often as there are levels.
    """

    config: GlowConfig | ResidualFlowConfig
    dequantization: UniformDequantization | VariationalDequantization

    def __init__(
        self, shape: Shape, config: GlowConfig | ResidualFlowConfig, *, num_classes: int = 0, seed: int = 1
    ) -> None:
        super().__init__()
        config = replace(config, pixels=config.pixels.settled(shape[0]))
        self.shape, self.config, self.num_classes = shape, config, num_classes
        self.dimension = math.prod(shape)
        with seeded_torch(seed):
            levels = [self._level(of_level) for of_level in level_shapes(shape, config.levels)]
            width = config.width

            def network(inputs: int, outputs: int) -> nn.Module:
                return ImageNetwork(inputs, outputs, width=width)

            self.transform = Composition(_first(config.pixels), MultiScale(shape, levels, network))
            last = level_shapes(shape, config.levels)[-1]
            self.class_noise = ClassNoise(last, num_classes) if num_classes else None
            self.dequantization = self._dequantization(shape)

    @abstractmethod
    def _level(self, shape: Shape) -> Transform:
        """The transform of one level, of maps of a shape."""

    def _dequantization(self, shape: Shape) -> UniformDequantization | VariationalDequantization:  # noqa: ARG002
        return UniformDequantization()

    def forward(self, images: Tensor, **given: Tensor) -> Mapping[str, Tensor]:
        """``loss``, in nats, and ``bits_per_dimension``; arguments as `ImageModel.forward`."""
        nats = self.nats(images, given.get("labels")).mean()
        return {"loss": nats, "bits_per_dimension": bits_per_dimension(nats.detach(), self.dimension)}

    def nats(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Bounds of minus the log-probability of images' bytes, (b,), at one draw of noise by torch's generator."""
        noisy, density = self.dequantization(images)
        return byte_nats(self._log_density(noisy, labels), density, self.dimension)

    def _log_density(self, numbers: Tensor, labels: Tensor | None) -> Tensor:
        noise, change = self.transform(numbers)
        if self.class_noise is not None:
            noise, more = self.class_noise(noise, self._classes(noise, labels))
            change = change + more
        density: Tensor = standard_normal(noise) + change
        return density

    def initialize(self, images: Tensor, labels: Tensor | None = None) -> None:  # noqa: ARG002 - classes set nothing
        """Set what the first batch sets."""
        self.transform.initialize(self.dequantization(images)[0])

    def refresh(self, *, until_settled: bool = False) -> None:
        """Bring up to date what is estimated of the parameters: as `vision.flows.transform.Transform.refresh`."""
        self.transform.refresh(until_settled=until_settled)

    def step(self) -> FlowStep:
        """One player; an image's loss is its own."""
        return FlowStep(self, unit="images", coupled=False)

    def encode(self, images: Tensor) -> Tensor:
        """Codes (b, dimension) of images, a byte taken for the middle of its interval."""
        with seeded_torch(0):
            return self.transform.encode(_middle(images))

    def decode(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:  # noqa: ARG002 - a code holds all there is
        """Images (b, channels, height, width) in [0, 1] of codes (b, dimension).

        Raises:
            NlprepError: An image that is not finite, or an inverse that was not found.
        """
        with seeded_torch(0):
            # Cut to [0, 1], what is infinite would be white, and nobody would know.
            numbers = refuse_infinite(self.transform.decode(codes), "images")
        return ((numbers * LEVELS - 0.5) / (LEVELS - 1)).clamp(0, 1)

    def reconstruct(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """The same again, but for rounding."""
        return self.decode(self.encode(images), labels)

    def sample(self, number: int, labels: Tensor | None = None, *, temperature: float | None = None) -> Tensor:
        """Images of noise, at the settings' temperature unless told; without labels, of each class in turn.

        Raises:
            OptionError: A temperature that is not above 0.
            NlprepError: As `decode`.
        """
        temperature = self.config.temperature if temperature is None else temperature
        if not 0 < temperature < math.inf:
            raise OptionError(f"temperature = {temperature}: give a number above 0")
        wanted = labels_in_turn(number, self.num_classes) if labels is None else labels
        device = next(self.parameters()).device
        codes = temperature * torch.randn(number, self.dimension, device=device)
        if self.class_noise is not None:
            codes = self.class_noise.decode(codes, self._classes(codes, wanted))
        return self.decode(codes)

    def scores(self, images: Tensor, labels: Tensor | None = None) -> Mapping[str, Tensor]:
        """``nats`` of each image, with the middle of its bytes' intervals in place of noise: nothing is random.

        It is near the bound, and none. Likelihood is no oddness: simple images of another kind have more of it
        (`vision.uses.likelihood_scores`).

        Raises:
            NlprepError: One that is not finite.
        """
        with seeded_torch(0):
            density = self._log_density(_middle(images), labels)
        return {"nats": refuse_infinite(byte_nats(density, torch.zeros_like(density), self.dimension), "likelihoods")}

    def _classes(self, codes: Tensor, labels: Tensor | None) -> Tensor:
        return with_classes(codes[:, :0], labels, self.num_classes)


class Glow(FlowModel):
    """Glow; arguments and errors as `FlowModel`."""

    config: GlowConfig

    def _level(self, shape: Shape) -> Transform:
        return Composition(*[part for _ in range(self.config.steps) for part in self._step_of(shape[0])])

    def _step_of(self, channels: int, context: int = 0) -> list[Transform]:
        config = self.config
        function = Additive() if config.coupling == "additive" else Scaled(config.bound)
        kept = kept_channels(channels)
        network = ImageNetwork(kept, function.multiple * (channels - kept), width=config.width, context=context)
        return [
            NormedLinear(channels, 3),
            Coupling(channels, function, network, event_axes=3),
        ]

    def _dequantization(self, shape: Shape) -> UniformDequantization | VariationalDequantization:
        config = self.config
        if config.dequantization == "uniform":
            return UniformDequantization()
        told = config.dequantization_steps
        if shape[1] % 2 or shape[2] % 2:
            raise OptionError(f"images of {shape[1]} x {shape[2]}: variational dequantisation needs even sides")
        channels = 4 * shape[0]
        parts = [part for _ in range(told) for part in self._step_of(channels, channels)]
        return VariationalDequantization(Squeezed(Composition(*parts)))


class ResidualFlow(FlowModel):
    """A flow of invertible residual blocks; arguments and errors as `FlowModel`."""

    config: ResidualFlowConfig

    def _level(self, shape: Shape) -> Transform:
        config = self.config
        channels, size = shape[0], shape[1:]
        # The constant of a block is that of its three layers together, and a layer's may be its third root.
        each = config.lipschitz ** (1 / 3)
        parts: list[Transform] = [ActNorm(channels, 3)]
        for _ in range(config.steps):
            network = nn.Sequential(
                LipSwish(),
                NormedLayer(channels, config.width, size=size, most=each),
                LipSwish(),
                NormedLayer(config.width, config.width, size=size, kernel=1, most=each),
                LipSwish(),
                NormedLayer(config.width, channels, size=size, most=each),
            )
            parts += [
                Residual(network, lipschitz=config.lipschitz, event_axes=3, terms=config.terms),
                ActNorm(channels, 3),
            ]
        return Composition(*parts)

    def series_bias(self) -> float:
        """At most so many nats are left out of an image's log-determinant, in evaluation, by series cut short."""
        scales = next(part for part in self.transform.modules() if isinstance(part, MultiScale))
        return sum(
            block.series_bias(math.prod(shape))
            for level, shape in zip(scales.levels, scales.shapes, strict=True)
            for block in level.modules()
            if isinstance(block, Residual)
        )


def _first(config: PixelConfig) -> Transform:
    return Logit(config.margin) if config.kind == "logit" else Affine(-0.5, 1.0)


def _middle(images: Tensor) -> Tensor:
    """Of the interval of a byte, in [0, 1]."""
    return (unit_pixels(images) * (LEVELS - 1) + 0.5) / LEVELS
