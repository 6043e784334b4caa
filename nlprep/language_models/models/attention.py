"""Attention as batched matrix products, for training on a processor with bf16.

For blocks of a few hundred positions, PyTorch's fused attention spends most of a processor's time on its backward
pass in plain vector code; written out as products, which the processor has matrix units for, the two passes take half
as long. The price is memory for the weights, b x heads x L x L numbers of two bytes a layer.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from transformers import PreTrainedModel

_NAME = "nlprep_batched_products"
_LONGEST = 512
"""Positions above which the weights would no longer fit into a cache, and the fused form wins."""


@contextmanager
def fast_attention(*models: PreTrainedModel) -> Iterator[None]:
    """Train models with this module's attention inside the block, wherever that is faster, and by SDPA elsewhere.

    Models that use another attention than SDPA are left alone. Of a model of several parts, give the parts.
    """
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(_NAME, attend)
    AttentionMaskInterface.register(_NAME, sdpa_mask)
    # A private attribute of the configuration is the only place where it is kept.
    changed = [model for model in models if getattr(model.config, "_attn_implementation", None) == "sdpa"]
    for model in changed:
        model.set_attn_implementation(_NAME)
    try:
        yield
    finally:
        for model in changed:
            model.set_attn_implementation("sdpa")


def attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    **more: Any,
) -> tuple[Tensor, None]:
    """Scaled dot-product attention (Vaswani et al. 2017, equation 1), in the form that transformers calls.

    Args:
        module: The attention layer, for ``is_causal``.
        query: (b, h, L, d).
        key: (b, h, S, d).
        value: (b, h, S, d).
        attention_mask: (b or 1, 1 or h, L or 1, S) bool, true where a position may be seen; None for all, or, if
            causal, for all that precede.
        dropout: Probability of dropping a weight.
        scaling: Of the products; default 1 / sqrt(d).
        is_causal: Instead of the module's.
        more: What other implementations take.

    Returns:
        (b, L, h, d), and None for the weights.
    """
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    plain = attention_mask is None or attention_mask.dtype == torch.bool
    if not (plain and _suits(query, value)):
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, is_causal=is_causal, **more
        )
    batch, heads, length, width = query.shape
    causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    scaling = width**-0.5 if scaling is None else scaling
    # Rotary positions are float32 even under autocast, which would have these products in bfloat16 all the same.
    query, key, value = (
        part.to(value.dtype).reshape(batch * heads, -1, part.shape[-1]) for part in (query, key, value)
    )
    if attention_mask is None and causal and length > 1:
        attention_mask = torch.ones(length, key.shape[1], dtype=torch.bool).tril()[None, None]
    if attention_mask is None:
        scores = torch.bmm(query * scaling, key.transpose(1, 2))
    else:
        hidden = torch.zeros(attention_mask.shape, dtype=query.dtype).masked_fill_(
            ~attention_mask, torch.finfo(query.dtype).min
        )
        hidden = hidden.expand(batch, heads, length, -1).reshape(batch * heads, length, -1)
        scores = torch.baddbmm(hidden, query, key.transpose(1, 2), alpha=scaling)
    weights = scores.softmax(-1)
    if dropout:
        weights = torch.nn.functional.dropout(weights, dropout)
    attended = torch.bmm(weights, value).view(batch, heads, length, -1)
    return attended.transpose(1, 2), None


def _suits(query: Tensor, value: Tensor) -> bool:
    return (
        value.dtype == torch.bfloat16
        and value.device.type == "cpu"
        and query.shape[1] == value.shape[1]
        and value.shape[2] <= _LONGEST
        and torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
    )
