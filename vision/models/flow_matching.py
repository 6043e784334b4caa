"""Flow matching: a continuous flow of images that is trained by regression (Lipman et al. 2023; Liu et al. 2023).

An image's bytes become real numbers by uniform noise (`vision.flows.dequantization`), x in [-1, 1). With z ~ N(0, I)
and a time t drawn evenly from [0, 1], minimised is

    1/n sum_i |v((1 - t) z_i + t x_i, t) - (x_i - z_i)|^2,

a sum over the numbers of an image: the conditional paths of Lipman et al., equations 22 and 23, whose smallest
deviation is 0 here. The network v is the U-Net of the diffusion model, told 1,000 (1 - t) for the level of noise. What
it learns is `vision.flows.continuous.Continuous`, of which all else follows:

- **samples** are carried from z to t = 1 by Euler's or the midpoint's scheme in a stated number of steps;
- **inversion** carries an image back to its latent; what the way forth then misses it by is said;
- **likelihood**: minus the log-probability of bytes is bounded by

      -log N(z; 0, I) + integral from 0 to 1 of tr(dv/dx)(x_t, t) dt + d log 128

  (change of variables; Theis et al. 2016), the trace estimated with a stated number of random vectors, which is right
  in the mean, and the integral by the scheme, which is not, but for its error: more steps make it less.

Its **code** of an image is made of the U-Net's middle maps where 1 - t is ``code_level``, the mean over places, as the
diffusion model's.

Promised, and tested: with the velocities that are right for Gaussian data, likelihood and samples are right, and the
more so the more steps; estimated traces are the exact ones in the mean; an inversion comes back.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from nlprep.core.randomness import seeded_torch
from nlprep.core.training.steps.step import PlainStep
from vision.backbones.unet import UNet
from vision.flows.continuous import Continuous
from vision.flows.density import standard_normal
from vision.flows.dequantization import LEVELS, UniformDequantization, byte_levels, byte_nats
from vision.flows.finite import refuse_infinite
from vision.models.diffusion import Inversion
from vision.models.labels import refuse_classes
from vision.models.model import ImageModel

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vision.images.collection import Shape
    from vision.models.flow_configuration import FlowMatchingConfig

_UNIT = 1000
"""The network tells levels of noise of 1,000 apart."""


class ImageVelocity(nn.Module):
    """Velocities of images, by a U-Net that is told how much of them is noise.

    Args:
        network: Of images and levels.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor, times: Tensor) -> Tensor:
        """(b, channels, height, width) of such images at times (b,)."""
        said: Tensor = self.network(images, _UNIT * (1 - times))
        return said


class MatchedFlow(ImageModel):
    """A continuous flow of images.

    Args:
        shape: Of the images.
        config: Its settings.
        num_classes: Must be 0: it sees no labels.
        seed: Of its weights.

    Attributes:
        flow: From images in [-1, 1) to noise.
    """

    config: FlowMatchingConfig

    def __init__(self, shape: Shape, config: FlowMatchingConfig, *, num_classes: int = 0, seed: int = 1) -> None:
        super().__init__()
        refuse_classes(num_classes, "flow matching")
        self.shape, self.config, self.num_classes = shape, config, num_classes
        with seeded_torch(seed):
            self.network = UNet(shape, config.network)
        self.flow = Continuous(
            ImageVelocity(self.network), steps=config.sampling_steps, scheme=config.scheme, exact=False, event_axes=3,
            probes=config.probes,
        )  # fmt: skip
        self.dequantization = UniformDequantization()
        self.dimension = self.network.dimension

    def forward(self, images: Tensor, **given: Tensor) -> Mapping[str, Tensor]:  # noqa: ARG002 - sees no labels
        """The ``loss``: squared errors of velocities, summed over an image, in the mean over images."""
        return {"loss": self.flow.matching_loss(2 * self.dequantization(images)[0] - 1).mean()}

    def step(self) -> PlainStep:
        """One player; an image's loss is its own."""
        return PlainStep(self, unit="images", coupled=False)

    def encode(self, images: Tensor) -> Tensor:
        """Codes (b, dimension): the middle maps' means over places, of an image that fades, without the noise."""
        level = self.config.code_level
        faded = (1 - level) * _middle(images)
        levels = torch.full((len(faded),), _UNIT * level, device=faded.device)
        return self.network.middle_maps(faded, levels).float().mean((2, 3))

    def draw_latents(self, number: int) -> Tensor:
        """(number, channels, height, width) standard normal numbers, with torch's generator."""
        return torch.randn(number, *self.shape, device=next(self.parameters()).device)

    @torch.no_grad()
    def generate(
        self,
        latents: Tensor,
        labels: Tensor | None = None,  # noqa: ARG002 - sees no labels
        *,
        steps: int | None = None,
    ) -> Tensor:
        """Images (b, channels, height, width) in [0, 1] of latents of that shape.

        Args:
            latents: z.
            labels: Not used.
            steps: How many; default: the settings' ``sampling_steps``.

        Raises:
            OptionError: Fewer than one step.
            NlprepError: Images that are not finite.
        """
        numbers = (refuse_infinite(self.flow.carry(latents, to_data=True, steps=steps), "images") + 1) / 2
        return ((numbers * LEVELS - 0.5) / (LEVELS - 1)).clamp(0, 1)

    def sample(self, number: int, labels: Tensor | None = None) -> Tensor:
        """Images of latents drawn, in the settings' number of steps."""
        return self.generate(self.draw_latents(number), labels)

    @torch.no_grad()
    def invert(self, images: Tensor, *, steps: int | None = None) -> Inversion:
        """The latents of which `generate` makes images again, with as many steps; residuals are of the whole way.

        Args:
            images: (b, channels, height, width) uint8, or float32 in [0, 1].
            steps: How many; default: the settings' ``sampling_steps``.

        Raises:
            OptionError: Fewer than one step.
        """
        given = _middle(images)
        latents = self.flow.carry(given, to_data=False, steps=steps)
        missed = self.flow.carry(latents, to_data=True, steps=steps) - given
        return Inversion(latents, missed.square().flatten(1).mean(1).sqrt())

    @torch.no_grad()
    def nats(self, images: Tensor) -> Tensor:
        """Bounds of minus the log-probability of images' bytes, (b,), at one draw of noise and of vectors for traces.

        Both are of torch's generator, the vectors the same for all images. In the mean over draws they are bounds, but
        for the error of the scheme in the settings' ``sampling_steps``.

        Args:
            images: (b, channels, height, width) uint8, or float32 in [0, 1] that are levels of a byte.

        Raises:
            NlprepError: Pixels between the levels.
        """
        noisy, density = self.dequantization(images)
        numbers = math.prod(self.shape)
        noise, change = self.flow(2 * noisy - 1)
        return byte_nats(standard_normal(noise.flatten(1)) + change + numbers * math.log(2), density, numbers)


def _middle(images: Tensor) -> Tensor:
    """Of the interval of a byte, in [-1, 1]; pixels that are none stay where they are."""
    levels = byte_levels(images) if images.dtype == torch.uint8 else images * (LEVELS - 1)
    return (levels + 0.5) * (2 / LEVELS) - 1
