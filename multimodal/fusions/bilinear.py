"""Products of both sides: every number of one with every number of the other, or as many as the rank allows.

With text features t and image features v, o being the product of numbers at the same place,

- `Product`:  z = (W t + b) o (V v + c);
- `Bilinear`: z_k = t' W_k v + b_k, all dt x di products for each number, with as many weights (Tenenbaum and Freeman
  2000, "Separating Style and Content with Bilinear Models");
- `Mlb`:      z = P (tanh(W t) o tanh(V v)) + b, low-rank bilinear pooling (Kim et al. 2017, "Hadamard Product for
  Low-rank Bilinear Pooling", section 3);
- `Mfb`:      z_k = sum_r (W t)_kr (V v)_kr, then signed square roots and rows of length 1: factorised bilinear pooling
  (Yu et al. 2017, "Multi-modal Factorized Bilinear Pooling with Co-attention Learning for Visual Question Answering",
  section 3; dropout follows the sum here and comes before it there).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from multimodal.fusions.fusion import Fusion
from multimodal.fusions.normalization import normalized
from nlprep.core.randomness import seeded_torch

if TYPE_CHECKING:
    from multimodal.fusions.configuration import FusionConfig


class Product(Fusion):
    """The product of a linear map of each side."""

    def __init__(self, text_dimension: int, image_dimension: int, config: FusionConfig, *, seed: int = 1) -> None:
        super().__init__(text_dimension, image_dimension, config, dimension=config.size("dimension"))
        with seeded_torch(seed):
            self.from_text = nn.Linear(text_dimension, self.dimension)
            self.from_image = nn.Linear(image_dimension, self.dimension)

    def fuse(self, text: Tensor, image: Tensor) -> Tensor:
        """(W t + b) o (V v + c)."""
        fused: Tensor = self.from_text(text) * self.from_image(image)
        return fused


class Bilinear(Fusion):
    """The full bilinear map: dt x di weights for each number of what is fused, so that few of these are affordable."""

    def __init__(self, text_dimension: int, image_dimension: int, config: FusionConfig, *, seed: int = 1) -> None:
        super().__init__(text_dimension, image_dimension, config, dimension=config.size("dimension"))
        with seeded_torch(seed):
            self.layer = nn.Linear(text_dimension * image_dimension, self.dimension)

    def fuse(self, text: Tensor, image: Tensor) -> Tensor:
        """The layer of all products; W_k is a row of its weights, the image's numbers following each other."""
        fused: Tensor = self.layer(outer_products(text, image))
        return fused


class Mlb(Fusion):
    """Low-rank bilinear pooling, of rank ``width``."""

    def __init__(self, text_dimension: int, image_dimension: int, config: FusionConfig, *, seed: int = 1) -> None:
        super().__init__(text_dimension, image_dimension, config, dimension=config.size("dimension"))
        width = config.size("width")
        with seeded_torch(seed):
            self.from_text = nn.Linear(text_dimension, width)
            self.from_image = nn.Linear(image_dimension, width)
            self.out = nn.Linear(width, self.dimension)

    def fuse(self, text: Tensor, image: Tensor) -> Tensor:
        """P (tanh(W t) o tanh(V v)) + b, the maps with intercepts."""
        fused: Tensor = self.out(self.from_text(text).tanh() * self.from_image(image).tanh())
        return fused


class Mfb(Fusion):
    """Factorised bilinear pooling: ``rank`` products are added for each number."""

    def __init__(self, text_dimension: int, image_dimension: int, config: FusionConfig, *, seed: int = 1) -> None:
        super().__init__(text_dimension, image_dimension, config, dimension=config.size("dimension"))
        self.rank = config.size("rank")
        with seeded_torch(seed):
            self.from_text = nn.Linear(text_dimension, self.dimension * self.rank)
            self.from_image = nn.Linear(image_dimension, self.dimension * self.rank)

    def fuse(self, text: Tensor, image: Tensor) -> Tensor:
        """Sums of ``rank`` products that follow each other, normalised if the settings say so."""
        products: Tensor = self.from_text(text) * self.from_image(image)
        sums = products.view(-1, self.dimension, self.rank).sum(2)
        return normalized(sums) if self.config.normalized else sums


def outer_products(first: Tensor, second: Tensor) -> Tensor:
    """All products t_i v_j of rows, (b, n m) of (b, n) and (b, m), in the order of i and then j.

    Example:
        >>> outer_products(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 5.0]]))
        tensor([[ 3.,  5.,  6., 10.]])
    """
    # A product of matrices, as its gradients are then: quicker than those of numbers multiplied and added.
    return torch.bmm(first[:, :, None], second[:, None, :]).flatten(1)
