"""What a tokenizer makes of a sample of text, in a few numbers and examples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedTokenizerFast

_NUM_SPLITS = 3
_SPLIT_CHARACTERS = 60


def describe_tokenizer(tokenizer: PreTrainedTokenizerFast, sample: Sequence[str]) -> dict[str, Any]:
    """Vocabulary, bytes per token, share of unknown tokens, and how the beginnings of some documents split.

    Args:
        tokenizer: The tokenizer.
        sample: Documents.

    Returns:
        ``vocabulary_size``, ``bytes_per_token``, ``unknown_share`` and ``splits``, lists of pieces.
    """
    found = tokenizer(list(sample), add_special_tokens=False)["input_ids"]
    tokens = sum(map(len, found))
    unknown = sum(ids.count(tokenizer.unk_token_id) for ids in found)
    beginnings = [document[:_SPLIT_CHARACTERS] for document in sample[:_NUM_SPLITS]]
    return {
        "vocabulary_size": len(tokenizer),
        "bytes_per_token": sum(len(document.encode()) for document in sample) / max(1, tokens),
        "unknown_share": unknown / max(1, tokens),
        "splits": [_pieces(tokenizer, beginning) for beginning in beginnings],
    }


def _pieces(tokenizer: PreTrainedTokenizerFast, text: str) -> list[str]:
    offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    return [text[start:end] for start, end in offsets]
