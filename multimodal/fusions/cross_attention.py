"""A transformer in which the question reads the image, step after step.

The text's features become a few vectors q, the places p of the grid vectors k_p with their positions; in every step

    q <- q + attention(from q, to all k_p),    then q <- block(q)

where the block lets the vectors see each other (Vaswani et al. 2017, "Attention Is All You Need", sections 3.2 and
3.3, without the masks and with norms before each layer; few vectors that read many places in turn are Jaegle et al.
2021, "Perceiver"). What is read in one step says where to look in the next: a question of how two things lie to each
other needs that. The vectors after the last step, normalised and side by side, are mapped to d numbers.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from torch import Tensor, nn

from multimodal.fusions.fusion import Fusion
from multimodal.fusions.places import COORDINATES, coordinates_of
from nlprep.core.randomness import seeded_torch
from vision.backbones.vit import TransformerBlock

if TYPE_CHECKING:
    from multimodal.fusions.configuration import FusionConfig


class CrossAttention(Fusion):
    """``glimpses`` vectors that read the grid in ``depth`` steps; arguments as for every fusion by name."""

    gridded = True

    def __init__(self, text_dimension: int, image_dimension: int, config: FusionConfig, *, seed: int = 1) -> None:
        super().__init__(text_dimension, image_dimension, config, dimension=config.size("dimension"))
        width, self.glimpses = config.size("width"), config.size("glimpses")
        with seeded_torch(seed):
            self.from_text = nn.Linear(text_dimension, self.glimpses * width)
            self.from_image = nn.Linear(image_dimension, width)
            self.position = nn.Sequential(nn.Linear(COORDINATES, width), nn.GELU(), nn.Linear(width, width))
            self.places_norm = nn.LayerNorm(width)
            self.steps = nn.ModuleList(ReadingStep(width, config.heads) for _ in range(config.size("depth")))
            self.norm = nn.LayerNorm(width)
            self.out = nn.Linear(self.glimpses * width, self.dimension)

    def fuse(self, text: Tensor, image: Tensor) -> Tensor:
        """The map of all vectors after the last step."""
        vectors, _ = self._read(text, image)
        fused: Tensor = self.out(self.norm(vectors).flatten(1))
        return fused

    def attend(self, text: Tensor, image: Tensor) -> Tensor:
        """Where each vector looked in the last step, the mean over heads, (b, glimpses, h, w)."""
        return self._computed(lambda texts, grid: self._read(texts, grid)[1], text, image)

    def _read(self, text: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        """Vectors (b, glimpses, width) and the last shares (b, glimpses, h, w)."""
        vectors = self.from_text(text).unflatten(1, (self.glimpses, -1))
        places = self.places_norm(self.from_image(image) + self.position(coordinates_of(image))).flatten(1, 2)
        shares = places
        for step in self.steps:
            vectors, shares = step(vectors, places)
        return vectors, shares.mean(1).unflatten(2, image.shape[1:3])


class ReadingStep(nn.Module):
    """One step of reading, of vectors of ``width`` numbers with so many heads."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.queries = nn.Linear(width, width)
        # What is added to all keys alike changes no share.
        self.keys = nn.Linear(width, width, bias=False)
        self.values = nn.Linear(width, width)
        self.read = nn.Linear(width, width)
        self.block = TransformerBlock(width, heads)

    def forward(self, vectors: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        """Read.

        Args:
            vectors: (b, n, width).
            places: (b, p, width).

        Returns:
            The vectors, changed, and the shares of places, (b, heads, n, p).
        """
        queries, keys, values = (
            layer(given).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for layer, given in ((self.queries, self.norm(vectors)), (self.keys, places), (self.values, places))
        )
        shares = (queries @ keys.transpose(2, 3) / math.sqrt(queries.shape[3])).softmax(3)
        vectors = vectors + self.read((shares @ values).transpose(1, 2).flatten(2))
        changed: Tensor = self.block(vectors)
        return changed, shares
