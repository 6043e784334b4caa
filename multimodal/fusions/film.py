"""FiLM: the text says how strongly, and from where, each feature of the image counts.

It is from Perez et al. 2018, "FiLM: Visual Reasoning with a General Conditioning Layer".
A grid goes through residual blocks, of which each layer but the first is shifted and scaled by what the text says,

    x <- a + relu(c_b(t) o norm(K_b a) + d_b(t)),        a = relu(M_b [x, place])

with M_b a map of each place, K_b a convolution of 3 x 3, and c_b and d_b linear in the text's features (equation 2);
then the places are pooled and mapped to d numbers. Scales are 1 where the text says nothing. Deviations: the norm is of
the units of a place, where the paper's is of a batch, which would make rows depend on each other; blocks are two by
default and narrow, the paper's four of 128, with 1,024 units in a last network.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional

from multimodal.fusions.fusion import Fusion
from multimodal.fusions.places import COORDINATES, pool_places, with_places
from nlprep.core.randomness import seeded_torch

if TYPE_CHECKING:
    from multimodal.fusions.configuration import FusionConfig


class Film(Fusion):
    """Residual blocks that the text modulates, ``depth`` of them, then pooling; arguments as for every fusion."""

    gridded = True

    def __init__(self, text_dimension: int, image_dimension: int, config: FusionConfig, *, seed: int = 1) -> None:
        super().__init__(text_dimension, image_dimension, config, dimension=config.size("dimension"))
        width = config.size("width")
        with seeded_torch(seed):
            self.stem = nn.Linear(image_dimension, width)
            self.blocks = nn.ModuleList(FilmBlock(text_dimension, width) for _ in range(config.size("depth")))
            # What the pool chooses by may depend on where a place lies.
            self.layer = nn.Sequential(nn.Linear(width + COORDINATES, width), nn.ReLU())
            self.out = nn.Linear(width, self.dimension)

    def fuse(self, text: Tensor, image: Tensor) -> Tensor:
        """The map of the pooled grid that the last block gives."""
        grid = self.stem(image).relu()
        for block in self.blocks:
            grid = block(text, grid)
        fused: Tensor = self.out(pool_places(self.layer(with_places(grid)), self.config.pooling))
        return fused


class FilmBlock(nn.Module):
    """One block; the text's features have ``text_dimension`` numbers, a place of the grid ``width``."""

    def __init__(self, text_dimension: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.modulation = nn.Linear(text_dimension, 2 * width)
        self.layer = nn.Linear(width + COORDINATES, width)
        self.convolution = nn.Conv2d(width, width, 3, padding=1, bias=False)

    def forward(self, text: Tensor, grid: Tensor) -> Tensor:
        """A grid (b, h, w, width) of one of that shape."""
        scales, shifts = self.modulation(text)[:, None, None].chunk(2, 3)
        kept = self.layer(with_places(grid)).relu()
        seen = self.convolution(kept.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        changed: Tensor = kept + ((1 + scales) * functional.layer_norm(seen, [self.width]) + shifts).relu()
        return changed
