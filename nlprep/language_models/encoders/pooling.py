"""From the states of tokens to one vector for a text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from transformers import PreTrainedModel


def pool(states: Tensor, mask: Tensor, pooling: str) -> Tensor:
    """One vector for each row of token states; masked positions never count.

    Args:
        states: (b, L, d).
        mask: (b, L), 1 at tokens and 0 at padding, which may stand on either side.
        pooling: ``mean``; ``weighted-mean``, in which token i of n weighs i (Muennighoff 2022, "SGPT"); ``first``;
            ``last``; or ``max`` of each coordinate.

    Returns:
        (b, d) float32; zeros for a row without tokens.
    """
    kept = mask.to(torch.bool)
    if pooling == "max":
        highest = states.float().masked_fill(~kept[..., None], -torch.inf).amax(1)
        return torch.where(kept.any(1)[:, None], highest, 0.0)
    if pooling in ("first", "last"):
        places = torch.arange(states.shape[1], device=states.device)
        index = (kept * (places + 1 if pooling == "last" else len(places) - places)).argmax(1)
        weights = functional.one_hot(index, states.shape[1]) * kept
    else:
        weights = kept.long()
        if pooling == "weighted-mean":
            weights = weights.cumsum(1) * weights
    # In fp32, whatever the model computes in; what stands in padding may be anything, NaN included.
    weights = weights.to(torch.float32)
    total = (weights[..., None] * states.masked_fill(~kept[..., None], 0.0)).sum(1)
    return total / weights.sum(1, keepdim=True).clamp(min=1.0)


class PooledTransformer(nn.Module):
    """A transformers model that gives one vector for a text.

    Args:
        model: An encoder or a decoder, without a head.
        pooling: As in `pool`.
        layer: Whose states are taken: -1 is the last, 0 the input embeddings, k what comes out of block k.
        normalize: Bring vectors to unit length.
    """

    def __init__(self, model: PreTrainedModel, *, pooling: str, layer: int = -1, normalize: bool = False) -> None:
        super().__init__()
        self.model = model
        self.pooling, self.layer, self.normalize = pooling, layer, normalize
        self.dimension = int(model.config.hidden_size)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        """Vectors (b, d) float32 for token ids and their mask, both (b, L)."""
        vectors = pool(self.token_states(input_ids, attention_mask, token_type_ids), attention_mask, self.pooling)
        return functional.normalize(vectors, dim=-1) if self.normalize else vectors

    def token_states(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        """The states (b, L, d) of the tokens in the chosen layer."""
        settings: dict[str, Any] = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        if self.layer != -1:
            settings["output_hidden_states"] = True
        output = self.model(input_ids=input_ids, attention_mask=attention_mask, **settings)
        states: Tensor = output.last_hidden_state if self.layer == -1 else output.hidden_states[self.layer]
        return states


class PooledSentenceTransformer(nn.Module):
    """The modules of a SentenceTransformer, its own pooling included.

    Args:
        model: The SentenceTransformer.
        normalize: Bring vectors to unit length, whether or not it has a module that does.
    """

    def __init__(self, model: SentenceTransformer, *, normalize: bool = False) -> None:
        super().__init__()
        self.model = model
        self.normalize = normalize
        # Renamed in version 6.
        get_dimension = getattr(model, "get_embedding_dimension", None) or model.get_sentence_embedding_dimension
        self.dimension = int(get_dimension() or 0)

    def forward(self, **tokens: Tensor) -> Tensor:
        """Vectors (b, d) float32 for what the model's own tokenizer made of texts."""
        vectors: Tensor = self.model(tokens)["sentence_embedding"].float()
        return functional.normalize(vectors, dim=-1) if self.normalize else vectors
