"""Image GPT: which colour has the next pixel?

The pixels of an image, row by row, are a sequence of tokens t_1 ... t_N, and a transformer in which each place sees
those before it alone says how likely every colour is at the next (Chen et al. 2020, "Generative Pretraining from
Pixels", section 2.2, the autoregressive objective):

    loss = 1/n sum_i - log p(x_i),        log p(x) = sum_j log p(t_j | t_1 ... t_(j-1)),

in nats an image; ``bits`` are recorded besides, for each number of it. Nothing is approximated: over all images of its
colours, probabilities add up to 1. Grey images have ``levels`` of grey; with 256, bits are those of the bytes
themselves and compare with any other likelihood of them. Colour images have the colours of a cube, ``colour_levels``
of red, of green and of blue, and bits are of the image in these colours, for each of its numbers, which compares with
nothing but the like.

A code is the mean over places of the middle layer's tokens, where the paper finds the best ones. Samples are drawn
pixel by pixel; every layer keeps what it made of those before. Deviations: that cube in place of a palette of 512
colours by k-means; the order of training images is not mixed with BERT's objective.

Promised, and tested: probabilities add up to 1; no place knows of what comes later; a network that says nothing has
log2 of the levels in bits; samples are drawn of the very probabilities that the likelihood is made of.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from nlprep.core.randomness import seeded_torch
from nlprep.core.training.steps.step import PlainStep
from nlprep.objectives.token_cross_entropy import token_cross_entropy
from vision.backbones.vit import TransformerBlock
from vision.images.collection import unit_pixels
from vision.models.labels import refuse_classes
from vision.models.likelihoods import LEVELS
from vision.models.model import ImageModel

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vision.images.collection import Shape
    from vision.models.pretext_configuration import ImageGptConfig

_DEVIATION = 0.02


class ImageGpt(ImageModel):
    """A model of the next pixel.

    Args:
        shape: Of the images.
        config: Its settings.
        num_classes: Must be 0: it sees no labels.
        seed: Of its weights.

    Attributes:
        levels: Of each channel.
        colours: That a pixel may have.
        pixels: Of an image.

    Raises:
        OptionError: Labels.
    """

    config: ImageGptConfig

    def __init__(self, shape: Shape, config: ImageGptConfig, *, num_classes: int = 0, seed: int = 1) -> None:
        super().__init__()
        refuse_classes(num_classes, "an image GPT")
        self.shape, self.config, self.num_classes, self.dimension = shape, config, num_classes, config.width
        self.levels = config.levels if shape[0] == 1 else config.colour_levels
        self.colours, self.pixels = self.levels ** shape[0], shape[1] * shape[2]
        with seeded_torch(seed):
            self.tokens = nn.Parameter(_DEVIATION * torch.randn(self.colours, config.width))
            self.start = nn.Parameter(_DEVIATION * torch.randn(1, 1, config.width))
            self.places = nn.Parameter(_DEVIATION * torch.randn(1, self.pixels, config.width))
            self.blocks = nn.ModuleList(
                TransformerBlock(config.width, config.heads, causal=True) for _ in range(config.depth)
            )
            self.norm = nn.LayerNorm(config.width)
            self.head = nn.Linear(config.width, self.colours)

    def forward(self, images: Tensor, **given: Tensor) -> Mapping[str, Tensor]:  # noqa: ARG002 - sees no labels
        """The ``loss``, in nats an image, and the ``bits`` of each of its numbers."""
        tokens = self.tokens_of(images)
        nats = token_cross_entropy(self.predict(tokens), tokens) * self.pixels
        return {"loss": nats, "bits": nats.detach() / (math.prod(self.shape) * math.log(2))}

    def step(self) -> PlainStep:
        """One player; an image's loss is its own."""
        return PlainStep(self, unit="images")

    def encode(self, images: Tensor) -> Tensor:
        """Codes (b, width): the mean of the middle layer's tokens."""
        hidden = self._embedded(self.tokens_of(images))
        for block in self.blocks[: (len(self.blocks) + 1) // 2]:
            hidden = block(hidden)
        return hidden.mean(1)

    def scores(self, images: Tensor) -> Mapping[str, Tensor]:
        """``negative_log_likelihood`` of each image, in nats."""
        return {"negative_log_likelihood": -self.log_likelihood(images)}

    def log_likelihood(self, images: Tensor) -> Tensor:
        """Logarithms (b,) of the probabilities of images in the model's colours, in nats."""
        tokens = self.tokens_of(images)
        logs = functional.log_softmax(self.predict(tokens).float(), 2)
        return logs.gather(2, tokens[:, :, None])[:, :, 0].sum(1)

    def predict(self, tokens: Tensor) -> Tensor:
        """Logits (b, N, colours) of each place, by the tokens (b, N) before it."""
        hidden = self._embedded(tokens)
        for block in self.blocks:
            hidden = block(hidden)
        logits: Tensor = self.head(self.norm(hidden))
        return logits

    def sample(self, number: int, labels: Tensor | None = None) -> Tensor:  # noqa: ARG002 - sees no labels
        """Images (number, channels, height, width) in [0, 1], drawn pixel by pixel with torch's generator."""
        return self.images_of(self.draw(number))

    @torch.no_grad()
    def draw(self, number: int) -> Tensor:
        """Tokens (number, N) of images that are drawn."""
        blocks: list[Any] = list(self.blocks)
        memories: list[Tensor | None] = [None] * len(blocks)
        drawn: list[Tensor] = []
        hidden = self.start.expand(number, -1, -1)
        for place in range(self.pixels):
            hidden = hidden + self.places[:, place : place + 1]
            for layer, block in enumerate(blocks):
                hidden, memories[layer] = block.append(hidden, memories[layer])
            logits = self.head(self.norm(hidden))[:, 0].float() / self.config.temperature
            drawn.append(torch.multinomial(logits.softmax(1), 1))
            hidden = self.tokens[drawn[-1]]
        return torch.cat(drawn, 1)

    def tokens_of(self, images: Tensor) -> Tensor:
        """Tokens (b, N) int64 of images; floats are taken for the nearest bytes."""
        bytes_ = (unit_pixels(images) * (LEVELS - 1)).round().long()
        places = (bytes_ * self.levels // LEVELS).flatten(2)
        tokens = places[:, 0]
        for channel in range(1, self.shape[0]):
            tokens = tokens * self.levels + places[:, channel]
        return tokens

    def images_of(self, tokens: Tensor) -> Tensor:
        """Images (b, channels, height, width) in [0, 1] of tokens (b, N): the middle of each level."""
        places = []
        for _ in range(self.shape[0]):
            places.append(tokens % self.levels)
            tokens = tokens // self.levels
        levels = torch.stack(places[::-1], 1).view(-1, *self.shape).float()
        return (((levels + 0.5) * LEVELS / self.levels - 0.5) / (LEVELS - 1)).clamp(0, 1)

    def _embedded(self, tokens: Tensor) -> Tensor:
        """What the first layer is given at each place: the token before it, and its own place."""
        before = self.tokens[tokens[:, :-1]]
        return torch.cat([self.start.expand(len(tokens), -1, -1), before], 1) + self.places
