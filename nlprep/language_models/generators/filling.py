"""Filling in the blanks of a text with a masked language model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from nlprep.core.errors import NlprepError, OptionError
from nlprep.language_models.models.files import context_length
from nlprep.language_models.pretraining.masked import MaskedLanguageModelling

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

BLANK = "[MASK]"
"""What may stand for a blank, whatever the tokenizer's own mask is."""


@dataclass(frozen=True)
class Filling:
    """What may stand in a blank.

    Attributes:
        text: The token as text.
        token: As the vocabulary has it.
        probability: Of it there, the other blanks unfilled.
    """

    text: str
    token: str
    probability: float


def fill(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, text: str, *, top: int = 5) -> list[list[Filling]]:
    """The likeliest tokens for each blank of a text.

    Args:
        model: A masked language model in evaluation mode.
        tokenizer: Its tokenizer.
        text: With one or more blanks, each written ``[MASK]`` or as the tokenizer's own mask token.
        top: How many to give.

    Returns:
        For each blank, its fillings, likeliest first; special tokens are left out.

    Raises:
        NlprepError: No blank, or a text longer than the model's context.
        OptionError: ``top`` below 1.
    """
    if top < 1:
        raise OptionError(f"top = {top}: must be at least 1")
    mask = str(tokenizer.mask_token)
    if tokenizer.mask_token_id is None:
        raise OptionError("the tokenizer has no mask token: choose a masked language model")
    text = text.replace(BLANK, mask)
    ids = torch.tensor([tokenizer(text, verbose=False)["input_ids"]], device=model.device)
    places = (ids[0] == tokenizer.mask_token_id).nonzero()[:, 0]
    if not len(places):
        raise NlprepError(f"{text!r:.60} has no blank: write {BLANK} where a word is missing")
    context = context_length(model)
    if context is not None and ids.shape[1] > context:
        raise NlprepError(f"the text has {ids.shape[1]} tokens, the model takes {context}: give a shorter one")
    with torch.inference_mode():
        logits = MaskedLanguageModelling(model).eval().logits(ids, places[None])[0].float()
    special = torch.tensor(tokenizer.all_special_ids, device=logits.device)
    probabilities = logits.softmax(-1)
    best = probabilities.index_fill(1, special, -1.0).topk(min(top, logits.shape[1] - len(special)))
    return [
        [_filling(tokenizer, identity, probability) for probability, identity in zip(*row, strict=True)]
        for row in zip(best.values.tolist(), best.indices.tolist(), strict=True)
    ]


def _filling(tokenizer: PreTrainedTokenizerFast, identity: int, probability: float) -> Filling:
    return Filling(str(tokenizer.decode([identity])), str(tokenizer.convert_ids_to_tokens(identity)), probability)
