"""The masked-LM objective: cross-entropy at the masked positions, and no work at the others' outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from nlprep.core.training.steps.step import PlainStep
from nlprep.objectives.labels import IGNORED
from nlprep.objectives.token_cross_entropy import token_cross_entropy

if TYPE_CHECKING:
    from collections.abc import Callable

    from transformers import PreTrainedModel


class MaskedLanguageModelling(nn.Module):
    """A masked language model and its loss.

    The encoder runs over whole blocks; the head, which is a good part of a small model's work, over the masked
    positions alone. The loss is that of the model's own forward pass with labels at these positions.

    Args:
        model: One of transformers' masked language models. Of BERT's, RoBERTa's and ModernBERT's families the head
            is found; others compute all outputs, of which the masked are taken.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model
        # In a tuple, or it would be registered, and saved, twice.
        self._head = (find_head(model),)

    def forward(
        self, input_ids: Tensor, positions: Tensor, labels: Tensor, attention_mask: Tensor | None = None
    ) -> dict[str, Tensor]:
        """The loss of a batch.

        Args:
            input_ids: (b, L) int64, masked.
            positions: (b, m) int64, the positions to predict.
            labels: (b, m) int64, the ids that belong there; `IGNORED` counts for nothing.
            attention_mask: (b, L), 0 at padding.

        Returns:
            ``loss``, the mean cross-entropy in nats over the labels that count (0 when none does), and ``accuracy``.
        """
        logits = self.logits(input_ids, positions, attention_mask)
        counted = labels != IGNORED
        correct = ((logits.detach().argmax(-1) == labels) & counted).sum()
        return {"loss": token_cross_entropy(logits, labels), "accuracy": correct / counted.sum().clamp(min=1)}

    def logits(self, input_ids: Tensor, positions: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """The predictions (b, m, vocabulary) at positions (b, m)."""
        head = self._head[0]
        if head is None:
            every: Tensor = self.model(input_ids=input_ids, attention_mask=attention_mask).logits
            return _gather(every, positions)
        hidden = self.model.base_model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return head(_gather(hidden, positions))


def _gather(values: Tensor, positions: Tensor) -> Tensor:
    """(b, m, d): rows of (b, L, d) at positions (b, m)."""
    rows = torch.arange(len(values), device=values.device)[:, None]
    return values[rows, positions]


def find_head(model: Any) -> Callable[[Tensor], Tensor] | None:
    """The part of a masked language model that makes logits of hidden states, or None where it is not known."""
    if hasattr(model, "cls") and hasattr(model.cls, "predictions"):
        return cast("Callable[[Tensor], Tensor]", model.cls)
    if hasattr(model, "head") and hasattr(model, "decoder"):
        return lambda hidden: model.decoder(model.head(hidden))
    if hasattr(model, "lm_head") and hasattr(model.lm_head, "decoder"):
        return cast("Callable[[Tensor], Tensor]", model.lm_head)
    return None


def masked_step(model: PreTrainedModel, *, block_length: int, masking_rate: float) -> PlainStep:
    """The training step of a masked language model, which counts tokens read, padding left out.

    Args:
        model: The model.
        block_length: Positions of a block, for the count of operations.
        masking_rate: Share of positions whose outputs are computed, likewise.
    """
    return PlainStep(
        MaskedLanguageModelling(model),
        weight=lambda batch: float((batch["labels"] != IGNORED).sum()),
        num_units=lambda batch: int((batch.get("attention_mask", batch["input_ids"]) != 0).sum()),
        unit="tokens",
        flops_per_unit=flops_per_token(model, block_length, output_share=masking_rate),
    )


def flops_per_token(model: PreTrainedModel, block_length: int, *, output_share: float = 1.0) -> float:
    """Floating-point operations that training takes for each token, forward and backward.

    Six for each parameter of a matrix (Kaplan et al. 2020, section 2.1), embedding tables left out and the output
    matrix counted by the share of positions it is applied to, and 12 layers x width x length for attention
    (Chowdhery et al. 2022, appendix B), which takes no account of the causal half.
    """
    config: Any = model.config.get_text_config()
    output: Any = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    tables = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    matrices = sum(p.numel() for p in model.parameters() if p.dim() >= 2 and id(p) not in tables)
    if output is not None:
        if id(output.weight) not in tables:
            matrices -= output.weight.numel()
        matrices += int(output_share * output.weight.numel())
    return float(6 * matrices + 12 * config.num_hidden_layers * config.hidden_size * block_length)
