"""The causal objective: cross-entropy of each next token."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from nlprep.core.training.steps.step import PlainStep
from nlprep.language_models.pretraining.masked import flops_per_token
from nlprep.objectives.labels import IGNORED
from nlprep.objectives.token_cross_entropy import token_cross_entropy

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from transformers import PreTrainedModel

    from nlprep.core.randomness import Seeds
    from nlprep.language_models.text.packing import TokenBlocks


class CausalBlocks:
    """Next-token examples: blocks of a token file.

    Args:
        blocks: Causal blocks.
        separate_documents: Give ``segments`` too, so that no document sees another that shares its block.
    """

    def __init__(self, blocks: TokenBlocks, *, separate_documents: bool = False) -> None:
        self.blocks, self.separate_documents = blocks, separate_documents

    def __len__(self) -> int:
        return len(self.blocks)

    def batch(self, indices: NDArray[np.int64], seeds: Seeds) -> dict[str, Tensor]:  # noqa: ARG002
        """Fetch examples: ``input_ids`` and ``labels`` (b, L) int64, and ``segments`` if asked for."""
        fetched = self.blocks.blocks(indices)
        batch = {"input_ids": torch.from_numpy(fetched.inputs), "labels": torch.from_numpy(fetched.labels)}
        if self.separate_documents:
            batch["segments"] = torch.from_numpy(fetched.segments)
        return batch


class CausalLanguageModelling(nn.Module):
    """A causal language model and its loss.

    Args:
        model: One of transformers' causal language models.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, labels: Tensor, segments: Tensor | None = None) -> dict[str, Tensor]:
        """The loss of a batch.

        Args:
            input_ids: (b, L) int64.
            labels: (b, L) int64, the token that follows each; `IGNORED` counts for nothing. Padding stands at the end
                of a block, where what precedes it cannot see it.
            segments: (b, L) int64, the document of each position: attention and positions are kept within it.

        Returns:
            ``loss``, the mean cross-entropy in nats over the labels that count, 0 when none does.
        """
        within = {} if segments is None else _within_documents(segments)
        logits = self.model(input_ids=input_ids, use_cache=False, **within).logits
        return {"loss": token_cross_entropy(logits, labels)}


def _within_documents(segments: Tensor) -> dict[str, Tensor]:
    """The attention mask (b, 1, L, L) and the positions (b, L) of documents that share a block."""
    length = segments.shape[1]
    places = torch.arange(length, device=segments.device)
    same = segments[:, :, None] == segments[:, None, :]
    begins = torch.ones_like(segments, dtype=torch.bool)
    begins[:, 1:] = segments[:, 1:] != segments[:, :-1]
    starts = torch.where(begins, places, 0).cummax(1).values
    return {"attention_mask": (same & (places[:, None] >= places))[:, None], "position_ids": places - starts}


def causal_step(model: PreTrainedModel, *, block_length: int) -> PlainStep:
    """The training step of a causal language model, which counts tokens predicted.

    Args:
        model: The model.
        block_length: Positions of a block, for the count of operations.
    """
    return PlainStep(
        CausalLanguageModelling(model),
        weight=lambda batch: float((batch["labels"] != IGNORED).sum()),
        num_units=lambda batch: int((batch["labels"] != IGNORED).sum()),
        unit="tokens",
        flops_per_unit=flops_per_token(model, block_length),
    )
