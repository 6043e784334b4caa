"""Attention that the question guides: which places to look at, then any fusion of vectors.

With text features t and features v_p of the places p of a grid, each with its coordinates,

    s_gp = a_g' (tanh(W t) o tanh(V v_p)),    share_gp = e^(s_gp) / sum_q e^(s_gq),    u_g = sum_p share_gp v_p

for each glimpse g; what is found, [u_1, u_2, ...], is fused with t (Kim et al. 2017, "Hadamard Product for Low-rank
Bilinear Pooling", section 4; Fukui et al. 2016 attend likewise, by compact bilinear pooling; several glimpses are of
both). The maps have intercepts, but for a_g, where one would change no share.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from multimodal.fusions.fusion import Fusion
from multimodal.fusions.places import COORDINATES, with_places
from nlprep.core.randomness import combine, seeded_torch

if TYPE_CHECKING:
    from multimodal.fusions.configuration import FusionConfig

_THEN = 1


class Attention(Fusion):
    """Glimpses of a grid, and the fusion of vectors that the settings name behind them.

    Attributes:
        then: That fusion; it takes the text's features and those of all glimpses.
    """

    gridded = True

    def __init__(self, text_dimension: int, image_dimension: int, config: FusionConfig, *, seed: int = 1) -> None:
        from multimodal.fusions.methods import make_fusion

        glimpses, width = config.size("glimpses"), config.size("width")
        found = glimpses * (image_dimension + COORDINATES)
        then = make_fusion(text_dimension, found, config.after_attention(), seed=int(combine(seed, _THEN)))
        super().__init__(text_dimension, image_dimension, config, dimension=then.dimension)
        self.then = then
        with seeded_torch(seed):
            self.from_text = nn.Linear(text_dimension, width)
            self.from_place = nn.Linear(image_dimension + COORDINATES, width)
            self.scores = nn.Linear(width, glimpses, bias=False)

    def fuse(self, text: Tensor, image: Tensor) -> Tensor:
        """The fusion of t and [u_1, u_2, ...]."""
        places = with_places(image)
        found = self._shares(text, places).flatten(2) @ places.flatten(1, 2)
        return self.then.fuse(text, found.flatten(1))

    def attend(self, text: Tensor, image: Tensor) -> Tensor:
        """The shares, (b, glimpses, h, w)."""
        return self._computed(lambda texts, grid: self._shares(texts, with_places(grid)), text, image)

    def _shares(self, text: Tensor, places: Tensor) -> Tensor:
        joint = self.from_text(text).tanh()[:, None, None] * self.from_place(places).tanh()
        scores: Tensor = self.scores(joint).permute(0, 3, 1, 2)
        return scores.flatten(2).softmax(2).view_as(scores)
