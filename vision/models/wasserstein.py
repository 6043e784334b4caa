"""The Wasserstein autoencoder (Tolstikhin et al. 2018): an autoencoder whose codes, all together, follow the prior.

With an encoder f, a decoder g, the squared error summed over the numbers of an image, and D a divergence between the
distribution of all codes and the prior N(0, I), minimised is (equation 4)

    1/n sum_i |x_i - g(f(x_i))|^2 + penalty_weight D(f(x_1..n), N(0, I)).

Unlike a variational autoencoder's, a single code is free to say where it likes; there is no likelihood. Here f is
deterministic. D is, as ``penalty`` says,

- ``mmd``: the squared maximum mean discrepancy between a batch's codes and as many draws from the prior, unbiased, with
  inverse multiquadrics C / (C + d^2) at seven scales about the expected squared distance 2d (their appendix C). It is
  *added*: codes are drawn to the prior. It couples the examples of a batch, so that training is a
  `nlprep.core.training.steps.coupled.CoupledStep`: parts of a batch give the whole one's loss.
- ``adversarial``: -log of what an adversary holds to be the probability that a code came from the prior (their
  algorithm 1 with the non-saturating loss; Makhzani et al. 2015). The adversary moves first, and is no part of the
  model.

Promised, and tested: the penalty falls where codes approach the prior; a batch in parts has the gradient of the whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from nlprep.core.randomness import seeded_torch
from nlprep.core.training.steps.coupled import CoupledStep
from nlprep.core.training.steps.step import TwoPlayerStep
from nlprep.objectives.adversarial import discriminator_loss, generator_loss
from nlprep.objectives.discrepancy import inverse_multiquadric_kernel, squared_mmd
from vision.backbones.networks import make_backbone, make_decoder
from vision.images.collection import unit_pixels
from vision.models.labels import refuse_classes
from vision.models.model import ImageModel

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nlprep.core.training.steps.step import Batch, Moment, Step
    from vision.images.collection import Shape
    from vision.models.configuration import WassersteinConfig

_SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


class WassersteinAutoencoder(ImageModel):
    """A Wasserstein autoencoder.

    Args:
        shape: Of the images.
        config: Its settings.
        num_classes: Must be 0: it sees no labels.
        seed: Of its weights, and of the adversary's.
    """

    def __init__(self, shape: Shape, config: WassersteinConfig, *, num_classes: int = 0, seed: int = 1) -> None:
        super().__init__()
        refuse_classes(num_classes, "a Wasserstein autoencoder")
        self.shape, self.config, self.dimension, self.num_classes = shape, config, config.dimension, num_classes
        self.seed = seed
        with seeded_torch(seed):
            self.backbone = make_backbone(config.backbone, shape)
            self.to_code = nn.Linear(self.backbone.dimension, config.dimension)
            self.decoder = make_decoder(config.backbone, shape, config.dimension)

    def forward(self, images: Tensor, **given: Tensor) -> Mapping[str, Tensor]:
        """Losses of a whole batch, ``loss`` with the discrepancy; or, for `step`, what they are functions of.

        Args:
            images: (b, channels, height, width) uint8, or float32 in [0, 1].
            given: ``apart``, whatever its value: give instead ``codes`` and ``prior`` (b, dimension), draws of the
                prior, and ``errors`` (b,), which have the examples along the first axis.
        """
        pixels = unit_pixels(images)
        codes = self._code(pixels)
        errors = (self.decoder(codes).float() - pixels).square().flatten(1).sum(1)
        parts = {"codes": codes, "prior": torch.randn_like(codes), "errors": errors}
        return parts if "apart" in given else self.losses_of(**parts)

    def losses_of(self, codes: Tensor, prior: Tensor, errors: Tensor) -> Mapping[str, Tensor]:
        """``loss``, ``reconstruction`` and ``discrepancy`` of a whole batch, from what `forward` gives apart."""
        kernel = inverse_multiquadric_kernel(*(2 * self.dimension * scale for scale in _SCALES))
        discrepancy = squared_mmd(codes, prior, kernel)
        reconstruction = errors.mean()
        return {
            "loss": reconstruction + self.config.penalty_weight * discrepancy,
            "reconstruction": reconstruction,
            "discrepancy": discrepancy,
        }

    def step(self) -> Step:
        """A coupled step for the discrepancy, one of two players for the adversary."""
        if self.config.penalty == "mmd":
            return DiscrepancyStep(self)
        with seeded_torch(self.seed):
            adversary = LatentAdversary(self.dimension, self.config.width)
        return AdversarialStep(self, adversary)

    def encode(self, images: Tensor) -> Tensor:
        """Codes (b, dimension)."""
        return self._code(unit_pixels(images))

    def decode(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:  # noqa: ARG002 - sees no labels
        """Images of codes."""
        made: Tensor = self.decoder(codes)
        return made.float().clamp(0, 1)

    def reconstruct(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images of the codes of images."""
        return self.decode(self.encode(images), labels)

    def sample(self, number: int, labels: Tensor | None = None) -> Tensor:
        """Images of codes drawn from the prior."""
        return self.decode(torch.randn(number, self.dimension, device=self.to_code.weight.device), labels)

    def scores(self, images: Tensor) -> Mapping[str, Tensor]:
        """Of each image, ``reconstruction_error`` and ``latent_distance``, the squared length of its code."""
        pixels = unit_pixels(images)
        codes = self._code(pixels)
        errors = (self.decode(codes) - pixels).square().flatten(1).sum(1)
        return {"reconstruction_error": errors, "latent_distance": codes.square().sum(1)}

    def _code(self, pixels: Tensor) -> Tensor:
        code: Tensor = self.to_code(self.backbone(pixels))
        return code.float()


class LatentAdversary(nn.Module):
    """What tells codes from draws of the prior: logits, above 0 for the prior.

    Args:
        dimension: Of a code.
        width: Units in its two layers.
    """

    def __init__(self, dimension: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(dimension, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 1)
        )

    def forward(self, codes: Tensor) -> Tensor:
        """Logits (b,)."""
        logits: Tensor = self.layers(codes)
        return logits[:, 0].float()


class DiscrepancyStep(CoupledStep):
    """Training with the maximum mean discrepancy, over the whole batch whatever its parts.

    Args:
        model: What is trained.
    """

    unit = "images"

    def __init__(self, model: WassersteinAutoencoder) -> None:
        self.model = model

    @property
    def players(self) -> Mapping[str, nn.Module]:
        """The model, as ``model``."""
        return {"model": self.model}

    def embed(
        self,
        player: str,
        modules: Mapping[str, nn.Module],
        batch: Batch,
        *,
        moment: Moment,  # noqa: ARG002
    ) -> Mapping[str, Tensor]:
        """Codes, draws from the prior and errors."""
        return _apart(modules[player], batch)

    def couple(self, player: str, embeddings: Mapping[str, Tensor], *, moment: Moment) -> Mapping[str, Tensor]:  # noqa: ARG002
        """The model's losses."""
        return self.model.losses_of(**embeddings)


class AdversarialStep(TwoPlayerStep):
    """Training against an adversary that tells codes from draws of the prior.

    Args:
        model: The player ``generator``.
        adversary: The player ``discriminator``.
    """

    unit = "images"
    # With a weight on what the adversary says, a low loss may be its weakness; the error of images is a number to keep.
    criterion = None

    def __init__(self, model: WassersteinAutoencoder, adversary: LatentAdversary) -> None:
        super().__init__(model, adversary)
        self.penalty_weight = model.config.penalty_weight

    def losses(
        self,
        player: str,
        modules: Mapping[str, nn.Module],
        batch: Batch,
        *,
        moment: Moment,  # noqa: ARG002
    ) -> Mapping[str, Tensor]:
        """The adversary's cross-entropy, or the error of images and what the adversary adds."""
        adversary = modules["discriminator"]
        apart = _apart(modules["generator"], batch)
        if player == "discriminator":
            return {"loss": discriminator_loss(adversary(apart["prior"]), adversary(apart["codes"].detach()))}
        reconstruction = apart["errors"].mean()
        deception = generator_loss(adversary(apart["codes"]))
        return {
            "loss": reconstruction + self.penalty_weight * deception,
            "reconstruction": reconstruction,
            "deception": deception,
        }


def _apart(module: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
    found: Mapping[str, Tensor] = module(images=batch["images"], apart=torch.ones(()))
    return found
