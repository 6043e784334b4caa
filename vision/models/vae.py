"""The variational autoencoder (Kingma and Welling 2014; Rezende et al. 2014), also with a weight and with labels.

Codes z have the prior N(0, I), images x given a code the distribution p(x | z) of a likelihood whose numbers a decoder
gives (`vision.models.likelihoods`), and q(z | x) = N(m(x), s(x)^2) is what an encoder makes of an image. Minimised is

    1/n sum_i  -log p(x_i | z_i) + beta KL(q(z | x_i) || p(z)),      z_i = m(x_i) + s(x_i) e,   e ~ N(0, I)

whose parts are recorded as ``distortion`` and ``rate``: sums over the numbers of an image and of a code, means over
images, in nats. With beta = 1 it is the negative of a lower bound of log p(x), recorded as ``negative_elbo``, which is
tight where q is the posterior. Another beta trades the two (Higgins et al. 2017); ``beta_warmup`` lets it rise from 0
through the first share of a run (Bowman et al. 2016). ``free_bits`` l replaces the rate by sum_j max(l, KL_j)
(Kingma et al. 2016, equation 15), here for each image by itself, not for the mean of a batch, so that a batch can be
computed in parts.

The prior may be learned too (`vision.models.priors`); the rate is then no closed form, but, of the code z_i that was
drawn, -H(q(z | x_i)) - log p(z_i), whose expectation is the divergence, and free bits are refused.

Conditioned on labels y (Kingma et al. 2014; Sohn et al. 2015), the decoder sees them: p(x | z, y). The encoder does
not, unlike Sohn's, so that an image without a label has a code; it is another choice of q, and the bound holds.

Promised, and tested: the loss is torch.distributions' own; twice the image (tiled, with the decoder's numbers) is twice
the distortion; with a linear decoder and a Gaussian likelihood the bound is PPCA's log-likelihood where q is its
posterior, and never more.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from nlprep.core.randomness import seeded_torch
from nlprep.core.training.steps.step import PlainStep
from nlprep.objectives.divergences import gaussian_kl_terms, gaussian_log_density
from vision.backbones.networks import make_backbone, make_decoder
from vision.images.collection import unit_pixels
from vision.models.labels import labels_in_turn, with_classes
from vision.models.likelihoods import make_likelihood
from vision.models.model import ImageModel
from vision.models.priors import NormalPrior, make_prior

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nlprep.core.training.steps.step import Moment
    from vision.images.collection import Shape
    from vision.models.configuration import ImportanceWeightedConfig, VaeConfig

LARGEST_LOG_SCALE = 10.0
"""Where the logarithm of a posterior's standard deviation is cut off on both sides: none over- or underflows."""
_ENTROPY = (1 + math.log(2 * math.pi)) / 2
"""Of a standard normal number, in nats."""


class Vae(ImageModel):
    """A variational autoencoder.

    Args:
        shape: Of the images.
        config: Its settings.
        num_classes: How many classes the decoder is conditioned on; 0: it sees no labels.
        seed: Of its weights.
    """

    config: VaeConfig | ImportanceWeightedConfig

    def __init__(
        self, shape: Shape, config: VaeConfig | ImportanceWeightedConfig, *, num_classes: int = 0, seed: int = 1
    ) -> None:
        super().__init__()
        config = replace(config, likelihood=config.likelihood.settled(shape[0]))
        self.shape, self.config, self.dimension, self.num_classes = shape, config, config.dimension, num_classes
        self.likelihood = make_likelihood(config.likelihood)
        with seeded_torch(seed):
            self.backbone = make_backbone(config.backbone, shape)
            self.to_posterior = nn.Linear(self.backbone.dimension, 2 * config.dimension)
            self.decoder = make_decoder(
                config.backbone, shape, config.dimension + num_classes, self.likelihood.multiple * shape[0]
            )
            self.prior = make_prior(config.prior, config.dimension)

    def forward(self, images: Tensor, **given: Tensor) -> Mapping[str, Tensor]:
        """``loss``, ``distortion``, ``rate``, ``negative_elbo``, and ``final_loss``: with beta as it will be.

        Args:
            images: (b, channels, height, width) uint8, or float32 in [0, 1].
            given: ``labels`` (b,) where it is conditioned on them; ``beta``, the weight of the rate now, if it is
                not that of the settings.
        """
        beta_at_last, free_bits = self._weights()
        targets = self.likelihood.targets(unit_pixels(images))
        codes, mean, log_scale = self.draw(targets, torch.randn(len(targets), self.dimension, device=targets.device))
        distortion = -self.likelihood.log_probability(self.numbers(codes, given.get("labels")), targets).mean()
        rate = self.rates(codes, mean, log_scale).mean()
        charged = rate
        if free_bits:
            charged = gaussian_kl_terms(mean, log_scale).clamp(min=free_bits).sum(-1).mean()
        return {
            "loss": distortion + given.get("beta", beta_at_last) * charged,
            "distortion": distortion.detach(),
            "rate": rate.detach(),
            "negative_elbo": (distortion + rate).detach(),
            "final_loss": (distortion + beta_at_last * charged).detach(),
        }

    def _weights(self) -> tuple[float, float]:
        """Beta at the end, and free nats."""
        return getattr(self.config, "beta", 1.0), getattr(self.config, "free_bits", 0.0)

    def step(self) -> PlainStep:
        """One player; beta rises as the settings say, and the best weights are those of the loss with the last one."""
        share = getattr(self.config, "beta_warmup", 0.0)
        if not share:
            return PlainStep(self, unit="images")
        beta = self._weights()[0]

        def rising(moment: Moment) -> float:
            return beta * min(1.0, moment.progress / share)

        step = PlainStep(self, unit="images", schedules={"beta": rising})
        # A loss with less of the rate is lower, and no sign of better weights.
        step.criterion = "final_loss"
        return step

    def posterior(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Means and the logarithms of standard deviations of q(z | x), each (b, dimension) float32.

        Args:
            pixels: What the likelihood is of (`vision.models.likelihoods.Likelihood.targets`), or float pixels.
        """
        mean, log_scale = self.to_posterior(self.backbone(pixels)).float().chunk(2, -1)
        return mean, log_scale.clamp(-LARGEST_LOG_SCALE, LARGEST_LOG_SCALE)

    def draw(self, pixels: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Codes drawn from q(z | x), and the means and the logarithms of standard deviations that they were drawn with.

        Args:
            pixels: As for `posterior`.
            noise: (..., b, dimension) standard normal numbers.

        Returns:
            Codes (..., b, dimension), and two of a shape that goes with them.
        """
        mean, log_scale = self.posterior(pixels)
        return mean + log_scale.exp() * noise, mean, log_scale

    def numbers(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        """What the decoder says, (..., likelihood's multiple of channels, height, width), of codes (..., dimension)."""
        flat = with_classes(codes, labels, self.num_classes).flatten(0, -2)
        made: Tensor = self.decoder(flat)
        return made.view(*codes.shape[:-1], *made.shape[1:])

    def log_weights(
        self, targets: Tensor, codes: Tensor, mean: Tensor, log_scale: Tensor, labels: Tensor | None = None
    ) -> Tensor:
        """Log of p(x | z) p(z) / q(z | x), in nats: its mean is the bound, the log of its mean exponential more.

        Args:
            targets: (b, channels, height, width) as `vision.models.likelihoods.Likelihood.targets` gave them.
            codes: (..., b, dimension).
            mean: (b, dimension) or (..., b, dimension), of q, as `draw` gave it.
            log_scale: Likewise.
            labels: (b,) where it is conditioned on them.

        Returns:
            (..., b).
        """
        likely = self.likelihood.log_probability(self.numbers(codes, labels), targets)
        return likely + self.prior.log_density(codes) - gaussian_log_density(codes, mean, log_scale)

    def rates(self, codes: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
        """KL(q(z | x) || p(z)) of each image, (b,) in nats: exact for the normal prior, else by one code of each.

        Args:
            codes: (b, dimension), at which the density of a learned prior is taken.
            mean: (b, dimension) of q.
            log_scale: Likewise.
        """
        if isinstance(self.prior, NormalPrior):
            return gaussian_kl_terms(mean, log_scale).sum(-1)
        entropy = (log_scale + _ENTROPY).sum(-1)
        return -entropy - self.prior.log_density(codes)

    def encode(self, images: Tensor) -> Tensor:
        """The posterior's means (b, dimension)."""
        return self.posterior(unit_pixels(images))[0]

    def decode(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        """The expected images of codes."""
        return self.likelihood.images(self.numbers(codes, labels))

    def reconstruct(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """The expected images of the posterior's means."""
        return self.decode(self.encode(images), labels)

    def sample(self, number: int, labels: Tensor | None = None) -> Tensor:
        """The expected images of codes drawn from the prior; without labels, of each class in turn."""
        return self.decode(*self._drawn(number, labels))

    def sample_pixels(self, number: int, labels: Tensor | None = None) -> Tensor:
        """As `sample`, but each pixel is drawn too: these are what the model's likelihood is of."""
        return self.likelihood.draw(self.numbers(*self._drawn(number, labels)))

    def _drawn(self, number: int, labels: Tensor | None) -> tuple[Tensor, Tensor | None]:
        device = self.to_posterior.weight.device
        codes = self.prior.from_noise(torch.randn(number, self.dimension, device=device))
        return codes, labels_in_turn(number, self.num_classes) if labels is None else labels

    def scores(self, images: Tensor, labels: Tensor | None = None) -> Mapping[str, Tensor]:
        """Of each image, in nats: ``distortion`` of the posterior's mean, ``rate``, and their sum ``bound``.

        Nothing is random: the distortion is the expected one where pixels are binarised by drawing them. With the
        posterior's mean instead of draws from it, in the density of a learned prior too, the sum is no bound of the
        likelihood, but near one; for a bound with a standard error see
        `vision.models.likelihood.estimate_likelihood`.
        """
        pixels = unit_pixels(images)
        mean, log_scale = self.posterior(pixels)
        distortion = -self.likelihood.expected_log_probability(self.numbers(mean, labels), pixels)
        rate = self.rates(mean, mean, log_scale)
        return {"distortion": distortion, "rate": rate, "bound": distortion + rate}
