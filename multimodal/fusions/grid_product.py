"""The text meets the image at every place of its grid, before the places become one.

With text features t, features v_p of the places p of a grid, each with its coordinates, and o being the product of
numbers at the same place of a vector,

    z = P pool_p relu(M ((W t) o (V v_p)))

where the maps have intercepts and the pool is the largest number of each unit, or the mean. Without the rectified layer
the mean would be the product with the mean of all places. The largest can say "somewhere there is a thing that is red
and a square", where one vector of the image only holds that there are red things and squares.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from multimodal.fusions.fusion import Fusion
from multimodal.fusions.places import COORDINATES, pool_places, with_places
from nlprep.core.randomness import seeded_torch

if TYPE_CHECKING:
    from multimodal.fusions.configuration import FusionConfig


class GridProduct(Fusion):
    """The product at every place, a layer, then pooling; arguments as for every fusion by name."""

    gridded = True

    def __init__(self, text_dimension: int, image_dimension: int, config: FusionConfig, *, seed: int = 1) -> None:
        super().__init__(text_dimension, image_dimension, config, dimension=config.size("dimension"))
        width = config.size("width")
        with seeded_torch(seed):
            self.from_text = nn.Linear(text_dimension, width)
            self.from_place = nn.Linear(image_dimension + COORDINATES, width)
            self.layers = nn.Sequential(nn.Linear(width, width), nn.ReLU())
            self.out = nn.Linear(width, self.dimension)

    def fuse(self, text: Tensor, image: Tensor) -> Tensor:
        """P pool_p relu(M ((W t) o (V v_p)))."""
        products = self.from_text(text)[:, None, None] * self.from_place(with_places(image))
        fused: Tensor = self.out(pool_places(self.layers(products), self.config.pooling))
        return fused
