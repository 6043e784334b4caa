"""The generative adversarial network (Goodfellow et al. 2014): a generator of images, and a discriminator of them.

A generator g makes an image of numbers z ~ N(0, I), in [0, 1] by a logistic function; a discriminator D gives logits,
above 0 for images that it takes to be real. They take turns, the discriminator first, to minimise the means over images

    discriminator   softplus(-D(x)) + softplus(D(g(z)))  +  r1 / 2 |dD(x) / dx|^2
    generator       softplus(-D(g(z)))

(non-saturating; or hinge losses: `nlprep.objectives.adversarial`). The penalty R1 (Mescheder et al. 2018) is a sum over
the numbers of an image. It is computed in every ``r1_every``-th step alone, that many times as strong (Karras et al.
2020, "Analyzing and Improving the Image Quality of StyleGAN", section 3.2: lazy regularisation), because it costs a
second backward pass. Pixels are in [0, 1] here: a published weight for pixels in [-1, 1] is a quarter of it here.

``spectral_norm`` divides each matrix of the discriminator by an estimate of its largest singular value (Miyato et al.
2018). For a convolution that is the norm of the *kernel laid flat*, (channels out, channels in x places), as published,
and not of the convolution: that may be larger, by the root of the number of places at the most, so that the
discriminator is not bound to have a Lipschitz constant of 1. What is estimated belongs to the trained weights, not to
their average.

With labels y (Miyato and Koyama 2018, "cGANs with Projection Discriminator"), f being the discriminator's features, the
generator sees z and y, and the logit is w f(x) + b + e_y f(x).

A GAN has no encoder. Its code of an image is the discriminator's **features**, the `dimension` numbers before the logit
(Radford et al. 2016, section 5, who used all layers): they see no label, and nothing makes images of them. Images are
made of ``latent`` numbers, `draw_latents`, by `generate`; between these, `vision.models.latents.interpolate_latents`.

Promised, and tested: losses are the formulas above; the penalty of a linear discriminator is its weights' squared
length; it comes every so many steps, as much stronger; a largest singular value is 1 with spectral norm.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.utils.parametrizations import spectral_norm

from nlprep.core.errors import NlprepError, OptionError
from nlprep.core.randomness import seeded_torch
from nlprep.core.training.steps.step import TwoPlayerStep, make_adamw
from nlprep.objectives.adversarial import discriminator_loss, generator_loss, gradient_penalty
from vision.backbones.networks import make_backbone, make_decoder
from vision.images.collection import unit_pixels
from vision.models.labels import labels_in_turn, with_classes
from vision.models.model import ImageModel

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nlprep.core.training.configuration import TrainingConfig
    from nlprep.core.training.steps.step import Batch, Moment
    from vision.backbones.backbone import Backbone
    from vision.images.collection import Shape
    from vision.models.configuration import GanConfig


class Generator(nn.Module):
    """Images of random numbers, and of labels where there are classes.

    Args:
        shape: Of the images.
        config: The model's settings.
        num_classes: How many classes it is told; 0: none.
    """

    def __init__(self, shape: Shape, config: GanConfig, num_classes: int) -> None:
        super().__init__()
        self.latent, self.num_classes = config.latent, num_classes
        self.decoder = make_decoder(config.backbone, shape, config.latent + num_classes)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (b, channels, height, width) float32 in [0, 1], of numbers (b, latent)."""
        made: Tensor = self.decoder(with_classes(latents, labels, self.num_classes))
        return made.float().sigmoid()


class Discriminator(nn.Module):
    """Logits of images, by a backbone, a layer of features and a product with these.

    Args:
        shape: Of the images.
        config: The model's settings.
        num_classes: How many classes it is told; 0: none.
    """

    def __init__(self, shape: Shape, config: GanConfig, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.backbone = make_backbone(config.backbone, shape)
        self.to_features = nn.Linear(self.backbone.dimension, config.dimension)
        self.to_logit = nn.Linear(config.dimension, 1)
        self.of_classes = nn.Embedding(num_classes, config.dimension) if num_classes else None
        if self.of_classes is not None:
            # No class means anything at first.
            nn.init.zeros_(self.of_classes.weight)
        if config.spectral_norm:
            for part in list(self.modules()):
                if isinstance(part, nn.Conv2d | nn.Linear | nn.Embedding):
                    # What begins at nothing, as residual blocks and classes do, cannot be divided by its norm.
                    if not bool(part.weight.any()):
                        part.reset_parameters()
                    spectral_norm(part)

    def features(self, pixels: Tensor) -> Tensor:
        """Features (b, dimension) of pixels in [0, 1]."""
        found: Tensor = self.to_features(self.backbone(pixels))
        return nn.functional.silu(found)

    def forward(self, pixels: Tensor, labels: Tensor | None = None) -> Tensor:
        """Logits (b,), float32."""
        features = self.features(pixels)
        logits: Tensor = self.to_logit(features)[:, 0].float()
        if self.of_classes is not None:
            if labels is None:
                raise NlprepError(f"this model is conditioned on {self.num_classes} classes: give a label of each")
            logits = logits + (self.of_classes(labels) * features).sum(1).float()
        return logits


class Gan(ImageModel):
    """A generative adversarial network.

    Args:
        shape: Of the images.
        config: Its settings.
        num_classes: How many classes both players are told; 0: none.
        seed: Of its weights.

    Raises:
        OptionError: A backbone with batch norm.
    """

    config: GanConfig

    def __init__(self, shape: Shape, config: GanConfig, *, num_classes: int = 0, seed: int = 1) -> None:
        super().__init__()
        self.shape, self.config, self.dimension, self.num_classes = shape, config, config.dimension, num_classes
        with seeded_torch(seed):
            self.discriminator = Discriminator(shape, config, num_classes)
            self.generator = Generator(shape, config, num_classes)

    @property
    def backbone(self) -> Backbone:
        """The discriminator's, whose features come before the model's code."""
        return self.discriminator.backbone

    def forward(self, images: Tensor, **given: Tensor) -> Mapping[str, Tensor]:
        """The generator's ``loss``, and the ``discriminator_loss`` without its penalty.

        What one of them gains the other loses: they are trained by `step`, not by a sum of these.
        """
        pixels, labels = unit_pixels(images), given.get("labels")
        made = self.generate(self.draw_latents(len(pixels)), labels)
        logits = self.discriminator(made, labels)
        telling = discriminator_loss(self.discriminator(pixels, labels), logits, self.config.loss)
        return {"loss": generator_loss(logits, self.config.loss), "discriminator_loss": telling}

    def step(self) -> GanStep:
        """Two players."""
        return GanStep(self)

    def encode(self, images: Tensor) -> Tensor:
        """The discriminator's features (b, dimension)."""
        return self.discriminator.features(unit_pixels(images))

    def draw_latents(self, number: int) -> Tensor:
        """(number, latent) numbers that images are made of, with torch's generator."""
        return torch.randn(number, self.config.latent, device=self.discriminator.to_logit.bias.device)

    def generate(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (b, channels, height, width) in [0, 1], of numbers (b, latent)."""
        made: Tensor = self.generator(latents, labels)
        return made

    def sample(self, number: int, labels: Tensor | None = None) -> Tensor:
        """Images of numbers drawn; without labels, of each class in turn."""
        wanted = labels_in_turn(number, self.num_classes) if labels is None else labels
        return self.generate(self.draw_latents(number), wanted)


class GanStep(TwoPlayerStep):
    """Turns of a GAN's players.

    Args:
        model: Whose players they are.
    """

    unit = "images"
    # A mean over images, each of its own: batch norm, with which it would not be, is refused.
    coupled = False

    def __init__(self, model: Gan) -> None:
        super().__init__(model.generator, model.discriminator, discriminator_updates=model.config.discriminator_updates)
        self.model = model

    def losses(
        self, player: str, modules: Mapping[str, nn.Module], batch: Batch, *, moment: Moment
    ) -> Mapping[str, Tensor]:
        """A player's loss; the discriminator's with ``penalty``, in the steps that have one.

        In validation there is no penalty: it needs gradients.
        """
        config = self.model.config
        pixels, labels = unit_pixels(batch["images"]), batch.get("labels")
        generator, discriminator = modules["generator"], modules["discriminator"]
        latents = torch.randn(len(pixels), config.latent, device=pixels.device)
        if player == "generator":
            return {"loss": generator_loss(discriminator(generator(latents, labels), labels), config.loss)}
        with torch.no_grad():
            made = generator(latents, labels)
        twice = None if labels is None else torch.cat([labels, labels])
        penalised = config.r1 > 0 and moment.step % config.r1_every == 0 and torch.is_grad_enabled()
        if penalised:
            pixels = pixels.detach().requires_grad_()
        with ExitStack() as stack:
            if penalised:
                # Squares of gradients are very small and large, and attention's fast kernels have no second derivative.
                stack.enter_context(torch.autocast(pixels.device.type, enabled=False))
                stack.enter_context(sdpa_kernel(SDPBackend.MATH))
            # Real and made images in one call, as a module that several processes train wants it.
            real, deceiving = discriminator(torch.cat([pixels, made]), twice).chunk(2)
            loss = discriminator_loss(real, deceiving, config.loss)
            told = {"real": real.detach().mean(), "made": deceiving.detach().mean()}
            if not penalised:
                return {"loss": loss, **told}
            penalty = gradient_penalty(real, pixels)
        return {"loss": loss + config.r1_every * config.r1 / 2 * penalty, **told, "penalty": penalty.detach()}

    def make_optimizer(self, player: str, config: TrainingConfig) -> torch.optim.Optimizer:
        """AdamW, as for other models.

        Raises:
            OptionError: A compiled discriminator is to have a penalty.
        """
        if config.compile and self.model.config.r1 > 0:
            raise OptionError("compile: a compiled discriminator has no second derivative: leave it out, or set r1 = 0")
        return make_adamw(self.players[player], config)
