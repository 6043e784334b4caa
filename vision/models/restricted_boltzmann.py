"""The restricted Boltzmann machine (Smolensky 1986; Hinton 2002), of binary pixels and hidden units.

With pixels v (p) and hidden units h (d), p(v, h) = exp(a v + v W h + b h) / Z, so that, with F the free energy,

    F(v) = -a v - sum_j log(1 + e^(b + v W)_j),        log p(v) = -F(v) - log Z

The gradient of -log p(v) is that of F(v) less its mean under the model, which is taken from samples v':

    loss = 1/n sum_i F(v_i) - mean F(v')               (v' are not differentiated)

v' are k steps of Gibbs sampling away from the images (contrastive divergence, CD-k: Hinton 2002, "Training Products of
Experts by Minimizing Contrastive Divergence") or from where the chains were before (persistent: Tieleman 2008). Grey
values are taken as probabilities, in place of draws (Hinton 2010, "A Practical Guide", section 3.2).

The loss is a difference that says nothing of how good the model is. So ``pseudo_loss``, -log of the pseudo-likelihood,
estimated by one pixel of each image, decides which weights are best. log Z is *enumerated* where there are few hidden
units or few pixels, else estimated by *annealed importance sampling* (Salakhutdinov and Murray 2008, "On the
Quantitative Analysis of Deep Belief Networks", section 3), from uniform pixels through exp(-F) at inverse temperatures.

Promised: the gradient is <v h>_data - <v h>_samples; both ways of log Z agree on 4 x 4 bars and stripes.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from nlprep.core.errors import OptionError
from nlprep.core.randomness import seeded_torch
from nlprep.core.training.steps.step import PlainStep
from vision.images.collection import unit_pixels
from vision.models.labels import refuse_classes
from vision.models.model import ImageModel

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vision.images.collection import Shape
    from vision.models.configuration import RestrictedBoltzmannConfig

_DEVIATION = 0.01
_MOST_BITS = 20
_BLOCK = 1 << 14
_SAMPLE_STEPS = 1000


class RestrictedBoltzmann(ImageModel):
    """A restricted Boltzmann machine.

    Args:
        shape: Of the images.
        config: Its settings.
        num_classes: Must be 0: it sees no labels.
        seed: Of its weights and of where its chains begin.
    """

    chains: Tensor

    def __init__(self, shape: Shape, config: RestrictedBoltzmannConfig, *, num_classes: int = 0, seed: int = 1) -> None:
        super().__init__()
        refuse_classes(num_classes, "a restricted Boltzmann machine")
        self.shape, self.config, self.dimension, self.num_classes = shape, config, config.dimension, num_classes
        pixels = math.prod(shape)
        with seeded_torch(seed):
            self.weights = nn.Parameter(_DEVIATION * torch.randn(pixels, config.dimension))
            self.register_buffer("chains", torch.rand(config.chains, pixels).round())
        self.visible_bias = nn.Parameter(torch.zeros(pixels))
        self.hidden_bias = nn.Parameter(torch.zeros(config.dimension))

    def forward(self, images: Tensor, **given: Tensor) -> Mapping[str, Tensor]:  # noqa: ARG002 - sees no labels
        """The ``loss`` and the ``pseudo_loss``, in nats an image."""
        v = unit_pixels(images).flatten(1)
        with torch.no_grad():
            samples = self.gibbs(self.chains if self.config.chains else v, self.config.gibbs_steps)
            if self.training and self.config.chains:
                self.chains.copy_(samples)
            pseudo = self._pseudo_loss(v)
        return {"loss": self.free_energy(v).mean() - self.free_energy(samples).mean(), "pseudo_loss": pseudo}

    def encode(self, images: Tensor) -> Tensor:
        """The probabilities (b, dimension) of hidden units."""
        return (unit_pixels(images).flatten(1) @ self.weights + self.hidden_bias).sigmoid()

    def decode(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:  # noqa: ARG002 - sees no labels
        """The probabilities of pixels, given hidden units."""
        return (codes @ self.weights.T + self.visible_bias).sigmoid().view(-1, *self.shape)

    def reconstruct(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images of the codes of images."""
        return self.decode(self.encode(images), labels)

    def sample(self, number: int, labels: Tensor | None = None) -> Tensor:  # noqa: ARG002 - sees no labels
        """Probabilities of pixels after many steps of Gibbs sampling from noise."""
        start = torch.rand(number, len(self.weights), device=self.weights.device).round()
        with torch.no_grad():
            return self.reconstruct(self.gibbs(start, _SAMPLE_STEPS).view(-1, *self.shape))

    def scores(self, images: Tensor) -> Mapping[str, Tensor]:
        """``free_energy``: the negative log-likelihood in nats, but for log Z, which all images share."""
        return {"free_energy": self.free_energy(unit_pixels(images).flatten(1))}

    def step(self) -> PlainStep:
        """One player; the loss tells nothing of the model, the pseudo-likelihood does."""
        step = PlainStep(self, unit="images", coupled=False)
        step.criterion = "pseudo_loss"
        return step

    def free_energy(self, v: Tensor, temperature: float = 1.0) -> Tensor:
        """F (b,) of pixels (b, p), with the energy times an inverse temperature."""
        visible = temperature * (v @ self.visible_bias)
        return -visible - softplus(temperature * (v @ self.weights + self.hidden_bias)).sum(1)

    def gibbs(self, v: Tensor, steps: int, temperature: float = 1.0) -> Tensor:
        """Pixels (b, p), drawn with torch's generator, after some steps of Gibbs sampling from others."""
        for _ in range(steps):
            h = torch.bernoulli((temperature * (v @ self.weights + self.hidden_bias)).sigmoid())
            v = torch.bernoulli((temperature * (h @ self.weights.T + self.visible_bias)).sigmoid())
        return v

    @torch.no_grad()
    def log_likelihoods(self, images: Tensor, log_partition: float) -> Tensor:
        """Log p(v) of images in nats, (b,); of binary images, since grey ones have none."""
        return -self.free_energy(unit_pixels(images).flatten(1)) - log_partition

    @torch.no_grad()
    def enumerated_log_partition(self) -> float:
        """Log Z, summed over all states of the pixels or of the hidden units, whichever are fewer.

        Raises:
            OptionError: Both are more than 20.
        """
        pixels = len(self.weights)
        bits = min(pixels, self.dimension)
        if bits > _MOST_BITS:
            raise OptionError(
                f"log Z of {pixels} pixels and {self.dimension} hidden units cannot be enumerated (at most 20 of one "
                "of them): estimate it by annealed_log_partition"
            )
        w, a, b = (value.double() for value in (self.weights, self.visible_bias, self.hidden_bias))
        if self.dimension < pixels:
            w, a, b = w.T, b, a
        sums = []
        places = torch.arange(bits)
        for start in range(0, 1 << bits, _BLOCK):
            states = torch.arange(start, min(1 << bits, start + _BLOCK))
            v = (states[:, None] >> places & 1).to(w)
            sums.append((v @ a + softplus(v @ w + b).sum(1)).logsumexp(0))
        return float(torch.stack(sums).logsumexp(0))

    @torch.no_grad()
    def annealed_log_partition(
        self, *, chains: int = 100, temperatures: int = 1000, seed: int = 1
    ) -> tuple[float, float]:
        """Log Z by annealed importance sampling, and its standard error.

        The mean of the weights is unbiased for Z, so that log Z is low on average and likelihoods are high.

        Args:
            chains: Independent runs, at least 2.
            temperatures: Steps of each, from uniform to the model.
            seed: Of the draws.

        Raises:
            OptionError: Too few.
        """
        if chains < 2 or temperatures < 1:
            raise OptionError(f"chains = {chains}, temperatures = {temperatures}: give at least 2 and 1")
        pixels = len(self.weights)
        logs = torch.zeros(chains, dtype=torch.float64, device=self.weights.device)
        with seeded_torch(seed):
            v = torch.rand(chains, pixels, device=self.weights.device).round()
            for number in range(temperatures):
                before, after = number / temperatures, (number + 1) / temperatures
                logs += (self.free_energy(v, before) - self.free_energy(v, after)).double()
                v = self.gibbs(v, 1, after)
        top = logs.max()
        shares = (logs - top).exp()
        error = float(shares.std() / math.sqrt(chains) / shares.mean())
        return float((pixels + self.dimension) * math.log(2) + top + shares.mean().log()), error

    def _pseudo_loss(self, v: Tensor) -> Tensor:
        """-p log p(v_j | the others), of one pixel j an image."""
        place = torch.randint(v.shape[1], (len(v), 1), device=v.device)
        flipped = v.scatter(1, place, 1 - v.gather(1, place))
        return v.shape[1] * softplus(self.free_energy(v) - self.free_energy(flipped)).mean()
