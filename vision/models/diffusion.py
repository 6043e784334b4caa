"""The diffusion model (Sohl-Dickstein et al. 2015; Ho et al. 2020): images from noise, by a network that takes it away.

The noising process, its schedules, and what the network says (the noise, or v) are `vision.models.noising`. With images
x_0 scaled to [-1, 1], a level t drawn evenly from 1..T, noise e ~ N(0, I), and y the noise or v, minimised is

    1/n sum_i |y_i - network(x_t, t)|^2                                             (Ho et al., equation 14),

a sum over the numbers of an image, which is not weighted as the likelihood bound would have it.

**Samples** are drawn by DDIM (Song et al. 2021, "Denoising Diffusion Implicit Models", equation 12) in any number of
steps: from x_t to x_u, u < t, with x and e as the network has them,

    x_u = a_u x + sqrt(s_u^2 - w^2) e + w z,     w = eta s_u / s_t sqrt(1 - a_t^2 / a_u^2),     z ~ N(0, I).

With eta = 0 nothing is drawn but the beginning x_T, the image's **latent**; with eta = 1 and T steps it is the sampling
of Ho et al. with the posterior's variance. x is clipped into [-1, 1] unless asked otherwise.

**Inversion** makes a latent of an image by the same steps backwards, unclipped. The x_t whose step leads to a given x_u
is found by a fixed-point iteration, since the network has to be asked about x_t itself; with one iteration, which is
what is commonly done, the network is asked about x_u. `Inversion.residual` says how far from exact it was.

**Likelihood**: a lower bound of the log-probability of an image of bytes, all T terms of it, with its last step's
Gaussian integrated over the 256 levels, the outermost ones taking the tails (Ho et al., equations 5 and 13; in the mean
over draws of x_t):

    KL(q(x_T | x_0) || N(0, I)) + sum_(t >= 2) KL(q(x_(t-1) | x_t, x_0) || p(x_(t-1) | x_t)) - log p(x_0 | x_1).

Its **code** of an image is made of the U-Net's middle maps at level ``code_level`` of the noise, the mean over places
(Xiang et al. 2023, "Denoising Diffusion Autoencoders are Unified Self-supervised Learners", who draw noise; here the
network sees the mean a_t x_0, so that nothing is random).

Promised, and tested: for Gaussian data, whose optimal network is known, samples have the moments that these steps give
in closed form, inversion finds the latent, and the bound is short of the likelihood by what it must be.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.special import log_ndtr

from nlprep.core.errors import NlprepError, OptionError
from nlprep.core.randomness import seeded_torch
from nlprep.core.training.steps.step import PlainStep
from vision.backbones.unet import UNet
from vision.images.collection import unit_pixels
from vision.models.labels import refuse_classes
from vision.models.likelihoods import LEVELS
from vision.models.model import ImageModel
from vision.models.noising import NoisingProcess

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vision.images.collection import Shape
    from vision.models.configuration import DiffusionConfig

_HALF = 1 / (LEVELS - 1)
"""Half the distance of two levels of a byte, in [-1, 1]."""


@dataclass(frozen=True)
class Inversion:
    """Latents of images.

    Attributes:
        latents: (b, channels, height, width).
        residual: (b,) how far the steps from the latents, taken one by one where inversion took them, miss the images
            that they came from: the largest root mean square over the steps, in pixels of [-1, 1].
    """

    latents: Tensor
    residual: Tensor


@dataclass(frozen=True)
class DiffusionBound:
    """How likely images are at least.

    Attributes:
        nats: (b,) upper bounds of the negative log-probability, each a draw of one.
        terms: (b, T + 1) what they are sums of: at 0 the divergence at the last level from pure noise; at t that of
            level t, for t = 1 the negative log-probability of the bytes.
        dimensions: Numbers of an image.
    """

    nats: Tensor
    terms: Tensor
    dimensions: int

    @property
    def bits_per_dimension(self) -> Tensor:
        """(b,) the same in bits for each number of an image."""
        return self.nats / (self.dimensions * math.log(2))


class Diffusion(ImageModel):
    """A diffusion model.

    Args:
        shape: Of the images.
        config: Its settings.
        num_classes: Must be 0: it sees no labels.
        seed: Of its weights.

    Attributes:
        process: The noising process.
        network: What says the noise, or v, of noisy images and levels.
    """

    config: DiffusionConfig

    def __init__(self, shape: Shape, config: DiffusionConfig, *, num_classes: int = 0, seed: int = 1) -> None:
        super().__init__()
        refuse_classes(num_classes, "this diffusion model")
        self.shape, self.config, self.num_classes = shape, config, num_classes
        self.process = NoisingProcess(
            config.schedule, config.levels, prediction=config.prediction, variance=config.variance
        )
        with seeded_torch(seed):
            self.network = UNet(shape, config.network)
        self.dimension = self.network.dimension
        # The network tells levels of 1,000 apart, however many there are.
        self._unit = 1000 / config.levels
        self._code_level = max(1, round(config.code_level * config.levels))

    def forward(self, images: Tensor, **given: Tensor) -> Mapping[str, Tensor]:  # noqa: ARG002 - sees no labels
        """The ``loss``: squared errors of the noise or of v, summed over an image, in the mean over images."""
        clean = scaled(images)
        levels = torch.randint(1, self.process.levels + 1, (len(clean),), device=clean.device)
        noise = torch.randn_like(clean)
        said = self.said(self.process.diffuse(clean, noise, levels), levels)
        errors = (said - self.process.target(clean, noise, levels)).square().flatten(1).sum(1)
        return {"loss": errors.mean()}

    def step(self) -> PlainStep:
        """One player; an image's loss is its own."""
        return PlainStep(self, unit="images", coupled=False)

    def said(self, noisy: Tensor, levels: Tensor) -> Tensor:
        """What the network says of x_t at levels (b,), in the precision of x_t."""
        said: Tensor = self.network(noisy, self._unit * levels)
        return said.to(noisy.dtype)

    def encode(self, images: Tensor) -> Tensor:
        """Codes (b, dimension): the middle maps' means over places."""
        clean = scaled(images)
        levels = torch.full((len(clean),), self._code_level, device=clean.device)
        noisy = self.process.diffuse(clean, torch.zeros_like(clean), levels)
        return self.network.middle_maps(noisy, self._unit * levels).float().mean((2, 3))

    def draw_latents(self, number: int) -> Tensor:
        """(number, channels, height, width) standard normal numbers, with torch's generator."""
        return torch.randn(number, *self.shape, device=self.process.signal.device)

    def generate(
        self,
        latents: Tensor,
        labels: Tensor | None = None,  # noqa: ARG002 - sees no labels
        *,
        steps: int | None = None,
        eta: float = 0.0,
        clip: bool = True,
    ) -> Tensor:
        """Images (b, channels, height, width) in [0, 1] of latents of that shape, by DDIM.

        Args:
            latents: x_T.
            labels: Not used.
            steps: How many; default: the settings' ``sampling_steps``.
            eta: Share of randomness, with torch's generator; 0: none.
            clip: Whether estimates of images are clipped on the way.

        Raises:
            OptionError: Steps or a share out of range.
        """
        return ((self.descend(latents, steps=steps, eta=eta, clip=clip) + 1) / 2).clamp(0, 1)

    @torch.no_grad()
    def descend(self, latents: Tensor, *, steps: int | None = None, eta: float = 0.0, clip: bool = True) -> Tensor:
        """As `generate`, but x_0 as the last step leaves it, in about [-1, 1] and not clipped at the end."""
        if not 0 <= eta <= 1:
            raise OptionError(f"eta = {eta}: give a share from 0 to 1")
        levels = self.process.chosen_levels(self._steps(steps))
        images = latents
        for before, now in zip(reversed(levels[:-1]), reversed(levels[1:]), strict=True):
            images = self._descended(images, now, before, eta=eta, clip=clip)
        return images

    @torch.no_grad()
    def invert(self, images: Tensor, *, steps: int | None = None, iterations: int = 3) -> Inversion:
        """The latents of which `descend` makes images again, with as many steps and unclipped.

        Args:
            images: (b, channels, height, width) uint8, or float32 in [0, 1].
            steps: How many; default: the settings' ``sampling_steps``.
            iterations: Of each step's fixed point, at least 1; each asks the network once.

        Raises:
            OptionError: Fewer iterations or steps.
        """
        return self.ascend(scaled(images), steps=steps, iterations=iterations)

    @torch.no_grad()
    def ascend(self, clean: Tensor, *, steps: int | None = None, iterations: int = 3) -> Inversion:
        """As `invert`, of x_0, in [-1, 1] or not."""
        if iterations < 1:
            raise OptionError(f"iterations = {iterations}: give at least 1")
        levels = self.process.chosen_levels(self._steps(steps))
        images, residual = clean, clean.new_zeros(len(clean))
        for now, after in pairwise(levels):
            guess = images
            for _ in range(iterations):
                guess = self._ascended(images, guess, now, after)
            missed = self._descended(guess, after, now, eta=0.0, clip=False) - images
            residual = torch.maximum(residual, missed.square().flatten(1).mean(1).sqrt())
            images = guess
        return Inversion(images, residual)

    def sample(self, number: int, labels: Tensor | None = None) -> Tensor:
        """Images of latents drawn, in the settings' number of steps."""
        return self.generate(self.draw_latents(number), labels)

    @torch.no_grad()
    def likelihood_bound(self, images: Tensor, *, clip: bool = True) -> DiffusionBound:
        """A bound of the likelihood of images, all T terms, each at one draw of x_t with torch's generator.

        Args:
            images: (b, channels, height, width) uint8, or float32 in [0, 1] that are levels of a byte.
            clip: Whether the network's estimate of an image is clipped, which is nearer to it: another reverse process,
                and its bound is none the less one.

        Raises:
            NlprepError: Pixels between the levels.
        """
        clean = scaled(images)
        bytes_ = (clean + 1) / (2 * _HALF)
        if bool(((bytes_ - bytes_.round()).abs() > 1e-2).any()):
            raise NlprepError("pixels between the 256 levels have no probability: give bytes")
        process, count = self.process, len(clean)
        terms = clean.new_zeros(count, process.levels + 1)
        last, spread = process.signal[-1], process.noise[-1]
        divergence = ((last * clean).square() + spread.square() - 1) / 2 - spread.log()
        terms[:, 0] = divergence.flatten(1).sum(1)
        for level in range(1, process.levels + 1):
            levels = torch.full((count,), level, device=clean.device)
            noisy = process.diffuse(clean, torch.randn_like(clean), levels)
            estimate, _ = process.clean_and_noise(noisy, self.said(noisy, levels), levels, clip=clip)
            mean = process.posterior_mean(estimate, noisy, levels)
            variance = process.reverse[level]
            if level == 1:
                terms[:, 1] = -byte_log_probabilities(clean, mean, variance.sqrt()).flatten(1).sum(1)
                continue
            ratio = process.posterior[level] / variance
            away = process.posterior_mean(clean, noisy, levels) - mean
            each = (ratio - 1 - ratio.log() + away.square() / variance) / 2
            terms[:, level] = each.flatten(1).sum(1)
        return DiffusionBound(terms.sum(1), terms, math.prod(self.shape))

    def _steps(self, steps: int | None) -> int:
        steps = self.config.sampling_steps if steps is None else steps
        if not 1 <= steps <= self.process.levels:
            raise OptionError(f"steps = {steps}: give from 1 to {self.process.levels}, the levels of noise")
        return steps

    def _descended(self, images: Tensor, now: int, before: int, *, eta: float, clip: bool) -> Tensor:
        """One step of DDIM, from one level to one below."""
        process = self.process
        levels = torch.full((len(images),), now, device=images.device)
        clean, noise = process.clean_and_noise(images, self.said(images, levels), levels, clip=clip)
        signal, spread = process.signal[before], process.noise[before]
        if eta == 0 or before == 0:
            return signal * clean + spread * noise
        drawn = eta * spread / process.noise[now] * (1 - (process.signal[now] / signal).square()).sqrt()
        direction = (spread.square() - drawn.square()).clamp(min=0).sqrt()
        return signal * clean + direction * noise + drawn * torch.randn_like(images)

    def _ascended(self, images: Tensor, guess: Tensor, now: int, after: int) -> Tensor:
        """The x of the upper level whose step would lead to images, were what the network says of the guess said of it.

        Of epsilon: x = a / a_now (images - s_now e) + s e. Of v, x_0 and e are a turn of x and v by one angle, and
        images, being their like at the other level, are x turned by the difference of angles.
        """
        process = self.process
        said = self.said(guess, torch.full((len(images),), after, device=images.device))
        signal, spread = process.signal[after], process.noise[after]
        below, below_spread = process.signal[now], process.noise[now]
        if process.prediction == "epsilon":
            return signal / below * (images - below_spread * said) + spread * said
        cosine, sine = below * signal + below_spread * spread, below * spread - below_spread * signal
        return (images + sine * said) / cosine


def scaled(images: Tensor) -> Tensor:
    """Images, bytes or in [0, 1], as numbers in [-1, 1]."""
    return 2 * unit_pixels(images) - 1


def byte_log_probabilities(clean: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    """Log-probabilities of levels of a byte: the mass of a Gaussian from half a level below to half a level above.

    With a and b the standardised edges, log(F(b) - F(a)) = log F(b) + log(1 - exp(log F(a) - log F(b))), computed where
    F is small, on the side of the mean where the tail is; so that it is finite however far the mean is.

    Args:
        clean: Levels, in [-1, 1]; the outermost take the tails.
        mean: Of the Gaussian, of the same shape.
        scale: Its standard deviation.

    Returns:
        Of the same shape, in nats, float32.
    """
    # In float32 the two edges' masses would be the same far out.
    clean, mean, scale = clean.double(), mean.double(), scale.double()
    upper, lower = (clean + _HALF - mean) / scale, (clean - _HALF - mean) / scale
    flip = upper + lower > 0
    upper, lower = torch.where(flip, -lower, upper), torch.where(flip, -upper, lower)
    least, most = clean < -1 + _HALF, clean > 1 - _HALF
    large, small = log_ndtr(upper), log_ndtr(lower)
    inside = large + torch.log(-torch.expm1(small - large))
    # Below the lowest level's upper edge, and above the highest's lower one.
    tail = torch.where(flip, log_ndtr(torch.where(least, -lower, upper)), log_ndtr(torch.where(least, upper, -lower)))
    return torch.where(least | most, tail, inside).float()
