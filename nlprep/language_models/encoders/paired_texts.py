"""Paired texts as the training loop learns from them: what embeds a pair, and the contrast of all pairs of a batch."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from nlprep.core.training.steps.coupled import PlainCoupledStep
from nlprep.objectives.info_nce import info_nce_of, pair_logits

if TYPE_CHECKING:
    from nlprep.language_models.encoders.text_encoder import TextEncoder


class PairedTexts(nn.Module):
    """An encoder that is called on both sides of pairs.

    Args:
        encoder: The encoder; its module is trained in place.
    """

    def __init__(self, encoder: TextEncoder) -> None:
        super().__init__()
        self.module = encoder.module

    def forward(self, **batch: Tensor) -> dict[str, Tensor]:
        """Embed pairs.

        Args:
            batch: The encoder's inputs (b, L), named ``first_...`` and ``second_...``; without the latter, the first
                texts are encoded twice.

        Returns:
            ``first`` and ``second``, (b, d).
        """
        first = {name.removeprefix("first_"): value for name, value in batch.items() if name.startswith("first_")}
        second = {name.removeprefix("second_"): value for name, value in batch.items() if name.startswith("second_")}
        return {"first": self.module(**first), "second": self.module(**(second or first))}


def contrast(first: Tensor, second: Tensor, *, temperature: float, symmetric: bool) -> dict[str, Tensor]:
    """`nlprep.objectives.info_nce.info_nce` of first texts (n, d) and their second ones, and how often it is right.

    Returns:
        ``loss`` in nats, and ``accuracy``: the share of first texts whose own second text scores best.
    """
    logits = pair_logits(first, second, temperature=temperature)
    right = torch.arange(len(logits), device=logits.device)
    accuracy = (logits.detach().argmax(1) == right).float().mean()
    return {"loss": info_nce_of(logits, symmetric=symmetric), "accuracy": accuracy}


def contrast_step(encoder: TextEncoder, *, temperature: float = 0.05, symmetric: bool = False) -> PlainCoupledStep:
    """What trains an encoder by contrast within the whole batch, whatever its parts and processes.

    Args:
        encoder: The encoder; its module is trained in place.
        temperature: What cosines are divided by.
        symmetric: Both ways.
    """
    loss = partial(contrast, temperature=temperature, symmetric=symmetric)
    return PlainCoupledStep(PairedTexts(encoder), loss, unit="pairs")
