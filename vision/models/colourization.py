"""Colourization: which colours had this grey image?

The network sees the lightness of an image alone and says of every place how likely each of Q colours is there, squares
of Lab's a and b (`vision.models.lab`) that a screen can show (Zhang, Isola and Efros 2016, "Colorful Image
Colorization", equation 2). The truth is soft, the colour's five nearest squares weighted by a Gaussian of half a
square's side; with q predicted and t true at each of P places,

    loss = 1/n sum_i 1/P sum_p  - v(t_ip) sum_c t_ipc log q_ipc,

where rare colours count more: v is the weight of the nearest square, proportional to 1 / ((1 - r) s + r / Q), s being
its share of the places, smoothed by the same Gaussian, such that the mean of v over all places is 1 (equation 4).
Shares are those of the run's first batch. In a picture each place has the mean of the colours under q^(1/T), normalised
(equation 5), at the image's own lightness.

Deviations: places are those of the last maps, doubled, of which each has the mean colour of its pixels; shares are of
one batch and not of all images. A code is of the lightness alone, which is what the network knows.

Promised, and tested: the loss is that of a loop over places; Lab is that of the standard, there and back; a code does
not depend on colours; weights have the mean that is said, and are the same in a run that goes on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from nlprep.core.errors import OptionError
from nlprep.core.training.steps.step import PlainStep
from vision.images.collection import unit_pixels
from vision.models.lab import colours_on_screen, from_lab, to_lab
from vision.models.pretext import PretextModel, seeded_head

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from nlprep.core.training.steps.step import Batch
    from vision.images.collection import Shape
    from vision.models.pretext_configuration import ColourizationConfig

_NEAREST = 5
_LIGHTEST = 100.0


class Colourization(PretextModel):
    """A model that says which colours a grey image had.

    Args:
        shape: Of the images.
        config: Its settings.
        num_classes: Must be 0: it sees no labels.
        seed: Of its weights.

    Attributes:
        colours: (Q, 2) a and b of the middles of the squares.
        weights: (Q,) how much each counts.
        grid: Places from top to bottom and from left to right, of which a colour is predicted.

    Raises:
        OptionError: Grey images.
    """

    config: ColourizationConfig
    told = "how light each place is"
    colours: Tensor
    weights: Tensor

    def __init__(self, shape: Shape, config: ColourizationConfig, *, num_classes: int = 0, seed: int = 1) -> None:
        if shape[0] != 3:
            raise OptionError("images are grey, and colours are what this model learns from: give images in colour")
        super().__init__(shape, config, num_classes=num_classes, seed=seed)
        self.register_buffer("colours", colours_on_screen(config.grid))
        self.register_buffer("weights", torch.ones(len(self.colours)))
        self.backbone.eval()
        with torch.no_grad():
            maps = self.backbone.forward_maps(torch.zeros(1, *shape))
        self.backbone.train()
        if maps is None:
            # Four places of the features of a whole image.
            channels, self.grid, into = self.backbone.dimension, (2, 2), 4 * config.hidden
        else:
            channels, self.grid, into = maps.shape[1], (2 * maps.shape[2], 2 * maps.shape[3]), 4 * config.hidden
        with seeded_head(seed):
            self.spread = nn.Conv2d(channels, into, 1)
            self.head = nn.Conv2d(config.hidden, len(self.colours), 1)

    def forward(self, images: Tensor, **given: Tensor) -> Mapping[str, Tensor]:  # noqa: ARG002 - sees no labels
        """The ``loss``, and the ``nats`` of a place without weights."""
        lab = to_lab(unit_pixels(images))
        log_shares = functional.log_softmax(self.predict(lab[:, :1]), 1).movedim(1, 3)
        places, likelihoods = self.true_colours(lab[:, 1:])
        nats = -(log_shares.gather(3, places) * likelihoods).sum(3)
        return {"loss": (self.weights[places[..., 0]] * nats).mean(), "nats": nats.detach().mean()}

    def step(self) -> ColourizationStep:
        """One player, that sees how common colours are in its first batch."""
        return ColourizationStep(self)

    def encode(self, images: Tensor) -> Tensor:
        """Codes (b, dimension) of the lightness of images."""
        codes: Tensor = self.encoder(_seen(to_lab(unit_pixels(images))[:, :1]))
        return codes

    def predict(self, lightness: Tensor) -> Tensor:
        """Logits (b, Q, *grid) of the lightness (b, 1, height, width) of images."""
        pixels = _seen(lightness)
        maps = self.backbone.forward_maps(pixels)
        if maps is None:
            maps = self.backbone(pixels)[:, :, None, None]
        found: Tensor = self.head(functional.silu(functional.pixel_shuffle(self.spread(maps), 2)))
        return found.float()

    def true_colours(self, colours: Tensor) -> tuple[Tensor, Tensor]:
        """What is true of a and b (b, 2, height, width): squares and likelihoods, (b, *grid, 5), nearest first."""
        means = functional.adaptive_avg_pool2d(colours, self.grid).movedim(1, 3)
        distances = torch.cdist(means.flatten(0, 2), self.colours, compute_mode="donot_use_mm_for_euclid_dist")
        nearest, places = distances.topk(min(_NEAREST, len(self.colours)), largest=False)
        likelihoods = torch.softmax(-0.5 * (nearest / (self.config.grid / 2)).square(), 1)
        return places.view(*means.shape[:3], -1), likelihoods.view(*means.shape[:3], -1)

    @torch.no_grad()
    def weigh(self, images: Tensor) -> None:
        """Let colours count by how rare they are in some images."""
        nearest = self.true_colours(to_lab(unit_pixels(images))[:, 1:])[0][..., 0].flatten()
        counts = torch.bincount(nearest, minlength=len(self.colours)).double()
        shares = counts / counts.sum()
        distances = torch.cdist(self.colours.double(), self.colours.double())
        near = torch.exp(-0.5 * (distances / (self.config.grid / 2)).square())
        smooth = near @ shares / (near @ torch.ones_like(shares))
        smooth = smooth / smooth.sum()
        weights = 1 / ((1 - self.config.rebalance) * smooth + self.config.rebalance / len(shares))
        self.weights.copy_(weights / (weights * shares).sum())

    def reconstruct(self, images: Tensor, labels: Tensor | None = None) -> Tensor:  # noqa: ARG002 - sees no labels
        """Images of their own lightness in the colours that are predicted."""
        lightness = to_lab(unit_pixels(images))[:, :1]
        shares = functional.softmax(self.predict(lightness) / self.config.temperature, 1)
        means = (shares[:, :, None] * self.colours[:, :, None, None]).sum(1)
        colours = functional.interpolate(means, self.shape[1:], mode="bilinear")
        return from_lab(torch.cat([lightness, colours], 1))


def _seen(lightness: Tensor) -> Tensor:
    """Grey pixels (b, 3, height, width) in [0, 1], by lightness."""
    return (lightness / _LIGHTEST).clamp(0, 1).expand(-1, 3, -1, -1)


class ColourizationStep(PlainStep):
    """How it is trained.

    Args:
        model: The model.
    """

    def __init__(self, model: Colourization) -> None:
        super().__init__(model, unit="images")
        self.model = model

    def initialize(self, modules: Mapping[str, nn.Module], batch: Batch) -> None:  # noqa: ARG002 - there is one
        """Colours count by how rare they are in the whole first batch."""
        self.model.weigh(batch["images"])
