"""Models with random weights, by family and size.

=======  ======  ======  =====  ==========================
size     layers  width   heads  parameters (GPT-2's vocabulary)
=======  ======  ======  =====  ==========================
tiny     2       128     2      7M
mini     4       256     4      16M
small    6       384     6      30M
medium   8       512     8      51M
base     12      768     12     124M (GPT-2, BERT base)
large    24      1024    16     355M (GPT-2 medium, BERT large)
=======  ======  ======  =====  ==========================

Any other model type that transformers knows will do as a family, with these sizes put where its configuration has
them; what it has besides (grouped keys, experts) stays as its defaults are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nlprep.core.errors import OptionError
from nlprep.core.randomness import seeded_torch

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

SIZES: dict[str, tuple[int, int, int]] = {
    "tiny": (2, 128, 2),
    "mini": (4, 256, 4),
    "small": (6, 384, 6),
    "medium": (8, 512, 8),
    "base": (12, 768, 12),
    "large": (24, 1024, 16),
}
"""Layers, width and heads."""

FAMILIES = {"masked": ("modernbert", "bert", "roberta"), "causal": ("gpt2", "llama")}
"""By kind of model; the first of each is what is built unless told otherwise."""


def build_language_model(
    tokenizer: PreTrainedTokenizerFast,
    kind: str,
    *,
    context: int,
    family: str | None = None,
    size: str = "small",
    layers: int | None = None,
    width: int | None = None,
    heads: int | None = None,
    dropout: float = 0.0,
    seed: int = 1,
) -> PreTrainedModel:
    """A model with random weights: an encoder with a masked-LM head, or a decoder with a next-token head.

    Args:
        tokenizer: Gives the vocabulary's size and the special tokens' ids.
        kind: ``masked`` or ``causal``.
        context: Longest text, in tokens.
        family: One of `FAMILIES`, or another model type of transformers that has a form of this kind.
        size: One of `SIZES`.
        layers: Instead of the size's.
        width: Instead of the size's; a multiple of the heads.
        heads: Instead of the size's.
        dropout: Of every dropout that the family has.
        seed: Of the weights.

    Raises:
        OptionError: Unknown kind, family or size, or numbers that do not fit.
    """
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

    if kind not in FAMILIES:
        raise OptionError(f"kind = {kind!r}: choose from {', '.join(FAMILIES)}")
    if size not in SIZES:
        raise OptionError(f"size = {size!r}: choose from {', '.join(SIZES)}")
    layers, width, heads = (
        given if given is not None else usual for given, usual in zip((layers, width, heads), SIZES[size], strict=True)
    )
    if width % heads:
        raise OptionError(f"width = {width}, heads = {heads}: the width must be a multiple of the heads")
    if (width // heads) % 2:
        raise OptionError(f"width = {width}, heads = {heads}: a head must have an even number of dimensions")
    family = family or FAMILIES[kind][0]
    config = _configure(family, tokenizer, layers, width, heads, context, dropout)
    form: Any = AutoModelForMaskedLM if kind == "masked" else AutoModelForCausalLM
    with seeded_torch(seed):
        try:
            model: PreTrainedModel = form.from_config(config, attn_implementation="sdpa")
        except ValueError as error:
            reason = " ".join(str(error).split())[:160]
            raise OptionError(f"family = {family!r}: transformers cannot build it in this form ({reason})") from None
    return model


def _configure(
    family: str, tokenizer: PreTrainedTokenizerFast, layers: int, width: int, heads: int, context: int, dropout: float
) -> PretrainedConfig:
    from transformers import AutoConfig

    try:
        config: Any = AutoConfig.for_model(family)
    except (ValueError, KeyError):
        known = ", ".join(name for families in FAMILIES.values() for name in families)
        raise OptionError(
            f"family = {family!r}: choose one of {known}, or another model type that transformers knows"
        ) from None
    config.vocab_size = len(tokenizer)
    config.num_hidden_layers, config.hidden_size, config.num_attention_heads = layers, width, heads
    # RoBERTa numbers positions from behind the padding's id.
    behind = (tokenizer.pad_token_id or 0) + 1 if family in ("roberta", "xlm-roberta", "camembert") else 0
    config.max_position_embeddings = context + behind
    if getattr(config, "intermediate_size", None) is not None:
        # Gated units have a third matrix: theirs are narrower.
        config.intermediate_size = {"modernbert": 3 * width // 2, "llama": -(-8 * width // (3 * 64)) * 64}.get(
            family, 4 * width
        )
    if getattr(config, "num_key_value_heads", None) is not None:
        config.num_key_value_heads = heads
    if getattr(config, "head_dim", None) is not None:
        config.head_dim = width // heads
    # GPT-2's gelu_new is this function, written out in seven passes over memory.
    for name in ("activation_function", "hidden_act"):
        if getattr(config, name, None) == "gelu_new":
            setattr(config, name, "gelu_pytorch_tanh")
    for name, value in vars(config).items():
        if ("dropout" in name or "pdrop" in name) and isinstance(value, int | float) and not isinstance(value, bool):
            setattr(config, name, float(dropout))
    for role in ("pad", "bos", "eos", "cls", "sep", "mask", "unk"):
        identity = getattr(tokenizer, f"{role}_token_id", None)
        if identity is not None and (hasattr(config, f"{role}_token_id") or role in ("pad", "bos", "eos")):
            setattr(config, f"{role}_token_id", identity)
    if hasattr(config, "layer_types"):
        # Derived from the default number of layers when the configuration was made.
        config = _with_layer_types(config, layers)
    if hasattr(config, "tie_word_embeddings") and family == "llama":
        config.tie_word_embeddings = True
    return config  # type: ignore[no-any-return]


def _with_layer_types(config: Any, layers: int) -> Any:
    """Make the configuration again, so that it derives the kinds of its layers from their number."""
    values = config.to_dict()
    values.pop("layer_types", None)
    values.pop("model_type", None)
    values["num_hidden_layers"] = layers
    return type(config)(**values)
