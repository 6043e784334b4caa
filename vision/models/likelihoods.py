"""What a pixel may be, given what a decoder says of it: the likelihoods of models that have one.

A likelihood takes the numbers of a decoder, (b, `channels` times the image's, height, width), and says how likely
images are. Log-likelihoods are sums over all numbers of an image, in nats, one for each image.

- **Bernoulli** (`Bernoulli`): a pixel is 0 or 1 and the number is its logit, log p / (1 - p), from which the
  log-likelihood is computed directly: probabilities would have to be clamped. Grey pixels are no values of a Bernoulli
  variable, and the cross-entropy of them is no likelihood; so they are made binary. *Dynamic* binarisation draws each
  pixel anew with its grey value as the probability, whenever it is met (Salakhutdinov and Murray 2008; Burda et al.
  2016), *threshold* takes those over a half for 1, and *none* refuses images that are not binary already.
- **Gaussian** (`Gaussian`): a pixel is a real number, its mean the decoder's number. The standard deviation is learned:
  one for all pixels (Rybkin et al. 2021, "Simple and Effective VAE Training with Calibrated Decoders") or one for each,
  of the decoder. It has a floor, since a density at a constant pixel grows without bound. Densities are of values in
  [0, 1]: to compare them with those of values in 0 to 255, subtract log 255 for each number.
- **Discretised logistic** (`DiscretizedLogistic`): a pixel is one of the 256 levels v / 255, whose probability is the
  mass of a logistic variable between half a level below and half a level above it, the outermost levels taking the
  tails (Salimans et al. 2017, equation 2; there is one component). The scale is one for all pixels, as a Gaussian's
  is, unless the decoder is to say each pixel's: then images are likelier, and what is hard to tell, such as the colour
  of small things, is left to a wide scale and not learned. With a and b the standardised upper and lower edge,

      log(s(a) - s(b)) = log s(a) + log s(-b) + log(1 - e^(b - a)),

  which is exact and finite for any mean and scale, so that nothing is approximated where the mass is small.

Promised, and tested: each is the sum of torch.distributions' own (for the logistic the sum over all levels is 1).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from nlprep.core.errors import NlprepError

if TYPE_CHECKING:
    from vision.models.configuration import LikelihoodConfig

LEVELS = 256


class Likelihood(nn.Module, ABC):
    """A distribution of images.

    Attributes:
        multiple: Numbers that the decoder gives for each of an image.
        discrete: Whether values are probabilities, so that bits per dimension mean something, or densities.
    """

    multiple: int = 1
    discrete: bool = True

    def targets(self, pixels: Tensor, uniforms: Tensor | None = None) -> Tensor:  # noqa: ARG002 - most need none
        """The values that it is a likelihood of.

        Args:
            pixels: (b, channels, height, width) float in [0, 1].
            uniforms: Of the same shape, in [0, 1): what is drawn, if anything is; None: from torch's generator.

        Raises:
            NlprepError: Pixels that can be no values of it.
        """
        return pixels

    @abstractmethod
    def log_probability(self, numbers: Tensor, targets: Tensor) -> Tensor:
        """Log-likelihoods of what `targets` gave, under the numbers of a decoder.

        Args:
            numbers: (..., `multiple` * channels, height, width).
            targets: (..., channels, height, width), broadcast over leading axes.

        Returns:
            (...) in nats.
        """

    def expected_log_probability(self, numbers: Tensor, pixels: Tensor) -> Tensor:
        """`log_probability` in the mean over what `targets` draws: nothing is random."""
        return self.log_probability(numbers, self.targets(pixels))

    @abstractmethod
    def images(self, numbers: Tensor) -> Tensor:
        """The expected image, in [0, 1]."""

    @abstractmethod
    def draw(self, numbers: Tensor) -> Tensor:
        """An image drawn, pixel by pixel, with torch's generator, in [0, 1]."""


class Bernoulli(Likelihood):
    """Binary pixels, by their logits.

    Args:
        binarization: How grey pixels become binary: ``dynamic``, ``threshold`` or ``none``.
    """

    def __init__(self, binarization: str = "dynamic") -> None:
        super().__init__()
        self.binarization = binarization

    def targets(self, pixels: Tensor, uniforms: Tensor | None = None) -> Tensor:
        """Zeros and ones."""
        if self.binarization == "dynamic":
            return ((torch.rand_like(pixels) if uniforms is None else uniforms) < pixels).to(pixels.dtype)
        if self.binarization == "threshold":
            return (pixels > 0.5).to(pixels.dtype)
        _check_binary(pixels)
        return pixels

    def log_probability(self, numbers: Tensor, targets: Tensor) -> Tensor:
        """Log-likelihoods; refuses grey targets."""
        _check_binary(targets)
        return _cross_entropy(numbers, targets)

    def expected_log_probability(self, numbers: Tensor, pixels: Tensor) -> Tensor:
        """The cross-entropy of grey values, which is what dynamic binarisation has in the mean."""
        return _cross_entropy(numbers, pixels if self.binarization == "dynamic" else self.targets(pixels))

    def images(self, numbers: Tensor) -> Tensor:
        """Probabilities."""
        return numbers.float().sigmoid()

    def draw(self, numbers: Tensor) -> Tensor:
        """Zeros and ones."""
        return torch.bernoulli(self.images(numbers))


class Gaussian(Likelihood):
    """Real pixels with a learned standard deviation.

    Args:
        floor: What it never falls below, in [0, 1] as pixels are.
        each: Whether each pixel has its own, of the decoder; otherwise one parameter is all of them.
        initial: The standard deviation at the beginning, of the one parameter.
    """

    discrete = False

    def __init__(self, floor: float = 0.01, *, each: bool = False, initial: float = 0.3) -> None:
        super().__init__()
        self.floor = floor
        self.multiple = 2 if each else 1
        if not each:
            self.raw_scale = nn.Parameter(torch.tensor(math.log(max(initial - floor, 1e-6))))

    def _parameters_of(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        numbers = numbers.float() if numbers.dtype in (torch.bfloat16, torch.float16) else numbers
        if self.multiple == 1:
            return numbers, self.floor + self.raw_scale.exp()
        mean, raw = numbers.chunk(2, -3)
        return mean, self.floor + raw.exp()

    def log_probability(self, numbers: Tensor, targets: Tensor) -> Tensor:
        """Log-densities."""
        mean, scale = self._parameters_of(numbers)
        each = -((targets - mean) / scale).square() / 2 - scale.log() - math.log(2 * math.pi) / 2
        return _sum_of_images(each)

    def images(self, numbers: Tensor) -> Tensor:
        """Means, clipped."""
        return self._parameters_of(numbers)[0].clamp(0, 1)

    def draw(self, numbers: Tensor) -> Tensor:
        """Means and noise, clipped."""
        mean, scale = self._parameters_of(numbers)
        return (mean + scale * torch.randn_like(mean)).clamp(0, 1)


class DiscretizedLogistic(Likelihood):
    """Pixels of 256 levels, by the mass of a logistic variable around each.

    Args:
        floor: What the scale never falls below, in [0, 1] as pixels are.
        each: Whether each pixel has its own scale, of the decoder; otherwise one parameter is all of them.
    """

    def __init__(self, floor: float = 0.001, *, each: bool = False) -> None:
        super().__init__()
        self.floor = floor
        self.multiple = 2 if each else 1
        if not each:
            self.raw_scale = nn.Parameter(torch.zeros(()))

    def _parameters_of(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        numbers = numbers.float() if numbers.dtype in (torch.bfloat16, torch.float16) else numbers
        mean, raw = (numbers, self.raw_scale) if self.multiple == 1 else numbers.chunk(2, -3)
        # About the middle and a tenth of the range where the decoder, or the parameter, gives 0.
        return mean + 0.5, self.floor + 0.1 * raw.exp()

    def targets(self, pixels: Tensor, uniforms: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Pixels, if they are levels."""
        # A graph that is compiled or exported takes bytes, and asks nothing of the numbers in them.
        if torch.compiler.is_compiling():
            return pixels
        levels = pixels * (LEVELS - 1)
        if bool(((levels - levels.round()).abs() > 1e-2).any()):
            raise NlprepError(
                "pixels between the 256 levels have no probability under a discretised logistic: give bytes, or "
                "choose the gaussian likelihood"
            )
        return pixels

    def log_probability(self, numbers: Tensor, targets: Tensor) -> Tensor:
        """Log-probabilities of levels."""
        mean, scale = self._parameters_of(numbers)
        half = 0.5 / (LEVELS - 1)
        upper, lower = (targets + half - mean) / scale, (targets - half - mean) / scale
        below, above = functional.logsigmoid(upper), functional.logsigmoid(-lower)
        between = torch.log(-torch.expm1(-2 * half / scale))
        # The lowest level takes the tail below it, the highest that above: the edges there are infinite.
        inside = below + above + between
        lowest, highest = targets < half, targets > 1 - half
        return _sum_of_images(torch.where(lowest, below, torch.where(highest, above, inside)))

    def images(self, numbers: Tensor) -> Tensor:
        """The logistic variable's means, clipped."""
        return self._parameters_of(numbers)[0].clamp(0, 1)

    def draw(self, numbers: Tensor) -> Tensor:
        """Levels."""
        mean, scale = self._parameters_of(numbers)
        drawn = torch.rand_like(mean).clamp(1e-7, 1 - 1e-7)
        return ((mean + scale * torch.logit(drawn)).clamp(0, 1) * (LEVELS - 1)).round() / (LEVELS - 1)


def make_likelihood(config: LikelihoodConfig) -> Likelihood:
    """The likelihood that settings describe, which are settled (`LikelihoodConfig.settled`)."""
    if config.kind == "auto":
        raise ValueError("settle for which images first")
    if config.kind == "bernoulli":
        return Bernoulli(config.binarization)
    if config.kind == "gaussian":
        return Gaussian(0.01 if config.floor is None else config.floor, each=config.variance == "pixel")
    return DiscretizedLogistic(0.001 if config.floor is None else config.floor, each=config.variance == "pixel")


def _check_binary(pixels: Tensor) -> None:
    if bool((pixels * (1 - pixels)).any()):
        raise NlprepError(
            "grey pixels have no Bernoulli likelihood (their cross-entropy is none): binarise them (binarization "
            "dynamic or threshold), or choose the gaussian or logistic likelihood"
        )


def _cross_entropy(logits: Tensor, pixels: Tensor) -> Tensor:
    logits = logits.float() if logits.dtype in (torch.bfloat16, torch.float16) else logits
    return _sum_of_images(pixels * logits - functional.softplus(logits))


def _sum_of_images(each: Tensor) -> Tensor:
    return each.sum((-3, -2, -1))
