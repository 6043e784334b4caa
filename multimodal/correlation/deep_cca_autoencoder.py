"""Deep canonically correlated autoencoders (Wang, Arora, Livescu and Bilmes, ICML 2015).

Besides the objective of deep CCA, each view is to be made again of its own code, by a decoder that mirrors its network:

    loss = (objective of deep CCA) + reconstruction * sum over views of  mean |x - p(f(x))|^2 / mean |x|^2

with x as the network sees it, centred and scaled. Deviation: errors are shares of a view's variance, so that their
weight means the same for views of any size, where the paper has sums over a view's numbers.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from multimodal.correlation.deep_cca import DeepCca
from multimodal.correlation.networks import make_perceptron

if TYPE_CHECKING:
    from collections.abc import Mapping

    from multimodal.correlation.configuration import DeepCcaAutoencoderConfig
    from multimodal.correlation.model import View


class DeepCcaAutoencoder(DeepCca):
    """Two networks whose codes correlate, and two that make the views again of them."""

    config: DeepCcaAutoencoderConfig

    def add_parts(self) -> None:
        """The decoders."""
        super().add_parts()
        self.decoders = nn.ModuleList(
            make_perceptron(view.outputs, self.config, math.prod(view.shape)) for view in self._views()
        )

    def forward(self, **views: Tensor) -> Mapping[str, Tensor]:
        """Codes as of other models, and ``error_i``, (b,): each thing's, over the view's numbers."""
        made = dict(super().forward(**views))
        for place, (view, decoder) in enumerate(zip(self._views(), self.decoders, strict=True)):
            wanted = view.scaled(views[f"view_{place}"]).flatten(1)
            made[f"error_{place}"] = (decoder(made[f"code_{place}"]) - wanted).square().mean(1)
            made[f"size_{place}"] = wanted.square().mean(1)
        return made

    def compare(self, **embeddings: Tensor) -> Mapping[str, Tensor]:
        """The ``loss``, the ``correlation_loss`` in it, and what is ``lost`` of the views, a share on average."""
        shares = [
            embeddings[f"error_{place}"].mean() / embeddings[f"size_{place}"].mean().clamp(min=1e-12)
            for place in range(len(self.names))
        ]
        lost = torch.stack(shares)
        objective = self.contrast(self.codes(embeddings))
        return {
            "loss": objective + self.config.reconstruction * lost.sum(),
            "correlation_loss": objective.detach(),
            "lost": lost.detach().mean(),
        }

    @torch.no_grad()
    def reconstruct(self, view: str, given: Tensor) -> Tensor:
        """Things (b, *shape) as they are made again of what their network makes of them."""
        place = self.place_of(view)
        one: View = self.view(view)
        made: Tensor = self.decoders[place](one(given)).unflatten(1, one.shape)
        return made / one.scale + one.mean
