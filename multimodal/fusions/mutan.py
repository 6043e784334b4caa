"""MUTAN: a bilinear map whose core is small and of low rank.

It is from Ben-younes et al. 2017, "MUTAN: Multimodal Tucker Fusion for Visual Question Answering".
With t~ = tanh(W t) and v~ = tanh(V v) of ``width`` numbers each,

    z = P sum_r (M_r t~) o (N_r v~) + b,        r = 1 ... rank

which is a Tucker decomposition of the full bilinear map, W, V and P being its factors and its core
T_kij = sum_r (M_r)_ki (N_r)_kj having a rank of at most r in each slice k. The maps have intercepts.
Slices are ``width`` in number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from multimodal.fusions.fusion import Fusion
from nlprep.core.randomness import seeded_torch

if TYPE_CHECKING:
    from multimodal.fusions.configuration import FusionConfig


class Mutan(Fusion):
    """A Tucker fusion; arguments as for every fusion by name."""

    def __init__(self, text_dimension: int, image_dimension: int, config: FusionConfig, *, seed: int = 1) -> None:
        super().__init__(text_dimension, image_dimension, config, dimension=config.size("dimension"))
        self.rank, self.width = config.size("rank"), config.size("width")
        with seeded_torch(seed):
            self.from_text = nn.Linear(text_dimension, self.width)
            self.from_image = nn.Linear(image_dimension, self.width)
            self.text_slices = nn.Linear(self.width, self.rank * self.width)
            self.image_slices = nn.Linear(self.width, self.rank * self.width)
            self.out = nn.Linear(self.width, self.dimension)

    def fuse(self, text: Tensor, image: Tensor) -> Tensor:
        """P sum_r (M_r t~) o (N_r v~) + b."""
        texts, images = self.from_text(text).tanh(), self.from_image(image).tanh()
        products: Tensor = self.text_slices(texts) * self.image_slices(images)
        fused: Tensor = self.out(products.view(-1, self.rank, self.width).sum(1))
        return fused
