"""Both sides side by side: what a network above them has to combine by itself, or does not.

With text features t and image features v,

- `Concatenation`: z = [t, v];
- `Sum`:           z = W t + V v + b, a linear layer on the same;
- `Mlp`:           z = W_k relu(... relu(W_1 [t, v] + b_1) ...) + b_k.

The first two are additive: what the text says of the answer cannot depend on the image. A linear classifier above them
cannot learn "the colour, if the colour is asked for". The usual baseline of visual question answering is the last
(Jabri, Joulin and van der Maaten 2016, "Revisiting Visual Question Answering Baselines").
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from multimodal.fusions.fusion import Fusion
from nlprep.core.randomness import seeded_torch

if TYPE_CHECKING:
    from multimodal.fusions.configuration import FusionConfig


class Concatenation(Fusion):
    """Both sides as they are, (b, dt + di); nothing is learned. Arguments as for every fusion by name."""

    def __init__(self, text_dimension: int, image_dimension: int, config: FusionConfig, *, seed: int = 1) -> None:  # noqa: ARG002 - draws nothing
        super().__init__(text_dimension, image_dimension, config, dimension=text_dimension + image_dimension)

    def fuse(self, text: Tensor, image: Tensor) -> Tensor:
        """[t, v]."""
        return torch.cat([text, image], 1)


class Sum(Fusion):
    """The sum of a linear map of each side."""

    def __init__(self, text_dimension: int, image_dimension: int, config: FusionConfig, *, seed: int = 1) -> None:
        super().__init__(text_dimension, image_dimension, config, dimension=config.size("dimension"))
        with seeded_torch(seed):
            self.from_text = nn.Linear(text_dimension, self.dimension)
            self.from_image = nn.Linear(image_dimension, self.dimension, bias=False)

    def fuse(self, text: Tensor, image: Tensor) -> Tensor:
        """W t + V v + b."""
        fused: Tensor = self.from_text(text) + self.from_image(image)
        return fused


class Mlp(Fusion):
    """Hidden layers above the concatenation, ``depth`` of them, ``width`` wide."""

    def __init__(self, text_dimension: int, image_dimension: int, config: FusionConfig, *, seed: int = 1) -> None:
        super().__init__(text_dimension, image_dimension, config, dimension=config.size("dimension"))
        widths = [text_dimension + image_dimension, *[config.size("width")] * config.size("depth")]
        with seeded_torch(seed):
            hidden = [layer for before, after in pairwise(widths) for layer in (nn.Linear(before, after), nn.ReLU())]
            self.layers = nn.Sequential(*hidden, nn.Linear(widths[-1], self.dimension))

    def fuse(self, text: Tensor, image: Tensor) -> Tensor:
        """The layers of [t, v]."""
        fused: Tensor = self.layers(torch.cat([text, image], 1))
        return fused
