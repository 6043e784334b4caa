"""Tensor fusion: all products of both sides and of each with 1, so that what each says alone is kept as well.

With text features t and image features v and a 1 appended to each,

- `TensorFusion`: z = W vec([t~, 1] [v~, 1]') + b, where t~ and v~ are what a linear map keeps of each side (Zadeh et
  al. 2017, "Tensor Fusion Network for Multimodal Sentiment Analysis"; where we have
  linear maps, it has networks);
- `LowRankTensorFusion`: z_k = sum_r (w_kr' [t, 1]) (u_kr' [v, 1]) + b_k, which is the same of a W of rank r for each
  number, without the outer product (Liu et al. 2018, "Efficient Low-rank Multimodal Fusion with Modality-Specific
  Factors").
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional

from multimodal.fusions.bilinear import outer_products
from multimodal.fusions.fusion import Fusion
from nlprep.core.randomness import seeded_torch

if TYPE_CHECKING:
    from multimodal.fusions.configuration import FusionConfig


class TensorFusion(Fusion):
    """The outer product of ``width`` numbers of each side and a 1, and a linear map of it."""

    def __init__(self, text_dimension: int, image_dimension: int, config: FusionConfig, *, seed: int = 1) -> None:
        super().__init__(text_dimension, image_dimension, config, dimension=config.size("dimension"))
        width = config.size("width")
        with seeded_torch(seed):
            self.from_text = nn.Linear(text_dimension, width)
            self.from_image = nn.Linear(image_dimension, width)
            self.layer = nn.Linear((width + 1) ** 2, self.dimension)

    def fuse(self, text: Tensor, image: Tensor) -> Tensor:
        """W vec([t~, 1] [v~, 1]') + b."""
        fused: Tensor = self.layer(outer_products(with_one(self.from_text(text)), with_one(self.from_image(image))))
        return fused


class LowRankTensorFusion(Fusion):
    """Sums of ``rank`` products of linear maps of each side and a 1."""

    def __init__(self, text_dimension: int, image_dimension: int, config: FusionConfig, *, seed: int = 1) -> None:
        super().__init__(text_dimension, image_dimension, config, dimension=config.size("dimension"))
        self.rank = config.size("rank")
        with seeded_torch(seed):
            # The weight of the 1 is the intercept of a linear map.
            self.from_text = nn.Linear(text_dimension, self.rank * self.dimension)
            self.from_image = nn.Linear(image_dimension, self.rank * self.dimension)
            self.bias = nn.Parameter(self.from_text.weight.new_zeros(self.dimension))

    def fuse(self, text: Tensor, image: Tensor) -> Tensor:
        """Products of (b, rank, d) factors, added over the rank."""
        products: Tensor = self.from_text(text) * self.from_image(image)
        fused: Tensor = products.view(-1, self.rank, self.dimension).sum(1) + self.bias
        return fused


def with_one(values: Tensor) -> Tensor:
    """Rows (b, n) with a 1 behind, (b, n + 1)."""
    return functional.pad(values, (0, 1), value=1.0)
