"""The contrastive objective as a module that the training loop can train."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from nlprep.language_models.encoders.text_encoder import TextEncoder


class Contrast(nn.Module):
    """An encoder and the in-batch contrastive loss of sentence-transformers (MultipleNegativesRankingLoss).

    Of unit vectors u of b first texts and v of their second, the loss is the mean over i of

        -log( exp(u_i v_i / t) / sum_j exp(u_i v_j / t) ),

    and, if symmetric, the mean of that and of the same with u and v exchanged.

    Args:
        encoder: The encoder; its module is trained in place.
        temperature: t.
        symmetric: Both ways.
    """

    def __init__(self, encoder: TextEncoder, *, temperature: float = 0.05, symmetric: bool = False) -> None:
        from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

        super().__init__()
        self.module = encoder.module
        self.symmetric = symmetric
        # It is given vectors, and needs no model.
        no_model: Any = None
        self._loss = MultipleNegativesRankingLoss(no_model, scale=1 / temperature)

    def forward(self, **batch: Tensor) -> dict[str, Tensor]:
        """The loss of a batch.

        Args:
            batch: The encoder's inputs (b, L), named ``first_...`` and ``second_...``; without the latter, the first
                texts are encoded twice.

        Returns:
            ``loss`` in nats, and ``accuracy``: the share of first texts whose own second text scores best.
        """
        first = {name.removeprefix("first_"): value for name, value in batch.items() if name.startswith("first_")}
        second = {name.removeprefix("second_"): value for name, value in batch.items() if name.startswith("second_")}
        one, other = self.module(**first), self.module(**(second or first))
        with torch.autocast(one.device.type, enabled=False):
            one, other = one.float(), other.float()
            # The loss takes labels, as all of that library do, and needs none.
            labels = torch.arange(len(one), device=one.device)
            loss: Tensor = self._loss.compute_loss_from_embeddings([one, other], labels)
            if self.symmetric:
                loss = (loss + self._loss.compute_loss_from_embeddings([other, one], labels)) / 2
            cosines = nn.functional.normalize(one.detach(), dim=1) @ nn.functional.normalize(other.detach(), dim=1).T
        accuracy = (cosines.argmax(1) == labels).float().mean()
        return {"loss": loss, "accuracy": accuracy}


def set_dropout(module: nn.Module, least: float) -> bool:
    """Raise every dropout of a model to at least ``least``; return whether any is above 0 then."""
    found = False
    for part in module.modules():
        if isinstance(part, nn.Dropout):
            part.p = max(part.p, least)
            found |= part.p > 0
    return found
