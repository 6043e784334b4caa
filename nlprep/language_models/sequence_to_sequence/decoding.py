"""Translations by a trained model: beam search over batches of sentences of like length."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nlprep.core.errors import NlprepError, OptionError
from nlprep.core.progress import SILENT
from nlprep.evaluation.encoder import check_texts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import EncoderDecoderModel, PreTrainedTokenizerFast

    from nlprep.core.progress import Progress

_LONGEST = 256
"""Tokens of a sentence where the model knows no limit."""


def _room(model: EncoderDecoderModel) -> dict[str, int]:
    """Tokens of a sentence that each side's context holds beside the special ones; sides without limit left out."""
    from nlprep.language_models.models.files import context_length

    contexts = {
        side: (context_length(part), around)
        for side, part, around in (("encoder", model.encoder, 2), ("decoder", model.decoder, 1))
    }
    return {side: context - around for side, (context, around) in contexts.items() if context is not None}


def check_length(model: EncoderDecoderModel, longest: int) -> None:
    """Fail if sentences of so many tokens do not fit into a model's contexts.

    Raises:
        OptionError: Names the side and what it holds.
    """
    for side, room in _room(model).items():
        if longest > room:
            raise OptionError(f"longest = {longest}: the {side}'s context holds {room} tokens of a sentence")


def translate_sentences(
    model: EncoderDecoderModel,
    source: PreTrainedTokenizerFast,
    target: PreTrainedTokenizerFast,
    sentences: Sequence[str],
    *,
    beams: int = 4,
    length_penalty: float = 1.0,
    longest: int | None = None,
    batch_size: int = 32,
    progress: Progress = SILENT,
) -> list[str]:
    """Translate sentences.

    Args:
        model: A trained translation model.
        source: The source's tokenizer.
        target: The target's tokenizer.
        sentences: What to translate.
        beams: Width of the beam search; 1 is greedy.
        length_penalty: Exponent of the length that a hypothesis's score is divided by.
        longest: Tokens kept of a sentence, and most tokens of a translation; None: what the model's contexts hold.
        batch_size: Sentences at once.
        progress: Gets sentences.

    Returns:
        Translations, in the order of the sentences.

    Raises:
        NlprepError: No sentences, one by itself, or something that is no text.
        OptionError: A batch size below 1, or sentences longer than the model's context are asked for.
    """
    import numpy as np
    import torch

    from nlprep.language_models.sequence_to_sequence.parallel_text import SpecialIds, encode_sentences, make_batch

    check_texts(sentences, batch_size, taker="translate_sentences")
    if not len(sentences):
        raise NlprepError("there are no sentences to translate: give some")
    if longest is None:
        longest = min(_room(model).values(), default=_LONGEST)
    check_length(model, longest)
    encoded = encode_sentences(sentences, source, longest)
    special = SpecialIds.of(source, target)
    # Alike in length together, so that little is padding.
    order = np.argsort(-np.diff(encoded.offsets), kind="stable")
    translations = [""] * len(sentences)
    generator: Any = model
    generator.eval()
    with progress.task("translating", len(sentences)) as task, torch.inference_mode():
        for start in range(0, len(order), batch_size):
            some = order[start : start + batch_size]
            batch = make_batch([encoded[index] for index in some], [encoded.ids[:0]] * len(some), special)
            generated = generator.generate(
                batch["input_ids"].to(model.device),
                attention_mask=batch["attention_mask"].to(model.device),
                num_beams=beams,
                do_sample=False,
                max_new_tokens=longest,
                length_penalty=length_penalty,
            )
            for index, text in zip(some, target.batch_decode(generated, skip_special_tokens=True), strict=True):
                translations[index] = text.strip()
            task.advance(len(some))
    return translations
