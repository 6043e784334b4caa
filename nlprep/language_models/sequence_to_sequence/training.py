"""Training and using translation models.

Two ways to make use of text of one language when pairs are few. The encoder pretrained as a masked language model
of the source and the decoder as a causal one of the target are joined, and trained on the pairs, all of it or the
cross-attention alone. Or each language has an auto-encoder, and the source's encoder and the target's decoder are put
together: the pretraining half of Cheng et al. (2016, "Semi-supervised learning for neural machine translation").
Theirs auto-encode through the other language, with two translation models trained jointly on pairs and on text of
either language; here each auto-encoder restores noised sentences within its language, and the pairs come after.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from nlprep.core.configuration import check, option
from nlprep.core.errors import NlprepError, OptionError
from nlprep.core.progress import SILENT
from nlprep.core.training.configuration import TrainingConfig
from nlprep.core.training.runs import claim_training_run
from nlprep.language_models.models.files import TRANSLATION_MODEL

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from accelerate import Accelerator
    from transformers import EncoderDecoderModel, PreTrainedTokenizerFast

    from nlprep.core.progress import Progress
    from nlprep.core.training.evaluation import Evaluation
    from nlprep.core.training.loop import History
    from nlprep.language_models.sequence_to_sequence.parallel_text import ParallelText


RUN = "translation-training"
"""What the directories of runs are marked as."""

_LONGEST = 256
"""Tokens of a sentence where the model knows no limit."""


@dataclass(frozen=True, kw_only=True)
class TranslationConfig:
    """How a translation model is trained on pairs."""

    train: str = option("all", "what learns from the pairs", choices=("all", "cross-attention"))
    pretrained_rate: float = option(
        0.1, "learning rate of what was pretrained, as a share of the cross-attention's", above=0, maximum=1
    )
    dropout: float = option(0.1, "dropout of both sides, which were pretrained without", minimum=0, maximum=0.9)
    label_smoothing: float = option(0.1, "share of the probability spread over all tokens", minimum=0, maximum=0.9)
    longest: int = option(64, "tokens kept of a sentence", minimum=1)
    keep: str = option(
        "chrf",
        "weights to end with: of the best chrF of greedy validation translations, or loss",
        choices=("chrf", "loss"),
    )

    def __post_init__(self) -> None:
        check(self)


TRANSLATION_TRAINING = TrainingConfig(epochs=10, learning_rate=3e-3, warmup=0.1)
"""The rate is the cross-attention's, which begins at nothing; what was pretrained has `pretrained_rate` of it."""


def train_translation(
    model: EncoderDecoderModel,
    source: PreTrainedTokenizerFast,
    target: PreTrainedTokenizerFast,
    pairs: ParallelText,
    *,
    config: TranslationConfig | None = None,
    training: TrainingConfig | None = None,
    validation: ParallelText | None = None,
    directory: str | os.PathLike[str] | None = None,
    resume: str = "auto",
    overwrite: bool = False,
    accelerator: Accelerator | None = None,
    progress: Progress = SILENT,
) -> History:
    """Train a model on pairs, in place.

    Args:
        model: See `nlprep.language_models.sequence_to_sequence.model.join`.
        source: The source's tokenizer.
        target: The target's tokenizer.
        pairs: Sentences and translations.
        config: What learns and how.
        training: The loop's settings; `TRANSLATION_TRAINING` by default.
        validation: Pairs to measure on; the model ends with the weights that did best. With few pairs the loss is
            lowest long before translations are best.
        directory: Of the run, for checkpoints.
        resume: As for `nlprep.core.training.loop.fit`.
        overwrite: Whether another kind of directory of ours may be replaced.
        accelerator: Likewise.
        progress: Gets training.

    Raises:
        OptionError: Sentences longer than the model's context are asked for.
        NlprepError: As `fit` does.
    """
    from nlprep.core.training.loop import fit
    from nlprep.language_models.models.architectures import set_dropout
    from nlprep.language_models.models.attention import fast_attention
    from nlprep.language_models.sequence_to_sequence.model import (
        Translation,
        TranslationStep,
        freeze_all_but_cross_attention,
    )
    from nlprep.language_models.sequence_to_sequence.parallel_text import (
        SpecialIds,
        TranslationExamples,
        encode_sentences,
    )

    config = config or TranslationConfig()
    _check_length(model, config.longest)
    if directory is not None and (accelerator is None or accelerator.is_main_process):
        claim_training_run(directory, RUN, result=TRANSLATION_MODEL, overwrite=overwrite)
    special = SpecialIds.of(source, target)

    def make_examples(text: ParallelText) -> TranslationExamples:
        return TranslationExamples(
            encode_sentences(text.source, source, config.longest),
            encode_sentences(text.target, target, config.longest),
            special,
        )

    def score(_evaluation: Evaluation) -> dict[str, float]:
        if validation is None:
            return {}
        found = translate_sentences(model, source, target, validation.source, beams=1, longest=config.longest)
        scores = score_translations(found, validation.target)
        deciding = {"criterion": -scores.chrf} if config.keep == "chrf" else {}
        return {"validation_bleu": scores.bleu, "validation_chrf": scores.chrf, **deciding}

    trainable = [parameter.requires_grad for parameter in model.parameters()]
    set_dropout(model, config.dropout)
    if config.train == "cross-attention":
        freeze_all_but_cross_attention(model)
    step = TranslationStep(
        Translation(model, label_smoothing=config.label_smoothing), pretrained_rate=config.pretrained_rate
    )
    try:
        with fast_attention(model.encoder, model.decoder):
            return fit(
                step,
                make_examples(pairs),
                config=training or TRANSLATION_TRAINING,
                directory=directory,
                validation=None if validation is None else make_examples(validation),
                evaluate=None if validation is None else score,
                resume=resume,
                accelerator=accelerator,
                progress=progress,
            )
    finally:
        for parameter, before in zip(model.parameters(), trainable, strict=True):
            parameter.requires_grad_(before)


def train_auto_encoder(
    model: EncoderDecoderModel,
    tokenizer: PreTrainedTokenizerFast,
    sentences: Sequence[str],
    *,
    training: TrainingConfig | None = None,
    longest: int = 64,
    drop: float = 0.15,
    distance: float = 3.0,
    directory: str | os.PathLike[str] | None = None,
    resume: str = "auto",
    accelerator: Accelerator | None = None,
    progress: Progress = SILENT,
) -> History:
    """Train a model to restore noised sentences of one language, in place.

    Args:
        model: An encoder and a decoder of that language.
        tokenizer: Of both.
        sentences: Text of one language.
        training: The loop's settings.
        longest: Tokens kept of a sentence.
        drop: Probability that noise drops a token.
        distance: Places by which noise moves tokens.
        directory: Of the run, for checkpoints.
        resume: As for `nlprep.core.training.loop.fit`.
        accelerator: Likewise.
        progress: Gets training.
    """
    from nlprep.core.training.loop import fit
    from nlprep.language_models.models.attention import fast_attention
    from nlprep.language_models.sequence_to_sequence.model import Translation, TranslationStep
    from nlprep.language_models.sequence_to_sequence.parallel_text import (
        DenoisingExamples,
        SpecialIds,
        encode_sentences,
    )

    _check_length(model, longest)
    examples = DenoisingExamples(
        encode_sentences(sentences, tokenizer, longest),
        SpecialIds.of(tokenizer, tokenizer),
        drop=drop,
        distance=distance,
    )
    with fast_attention(model.encoder, model.decoder):
        return fit(
            TranslationStep(Translation(model)),
            examples,
            config=training or TrainingConfig(),
            directory=directory,
            resume=resume,
            accelerator=accelerator,
            progress=progress,
        )


def _room(model: EncoderDecoderModel) -> dict[str, int]:
    """Tokens of a sentence that each side's context holds beside the special ones; sides without limit left out."""
    from nlprep.language_models.models.files import context_length

    contexts = {
        side: (context_length(part), around)
        for side, part, around in (("encoder", model.encoder, 2), ("decoder", model.decoder, 1))
    }
    return {side: context - around for side, (context, around) in contexts.items() if context is not None}


def _check_length(model: EncoderDecoderModel, longest: int) -> None:
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
        NlprepError: No sentences.
        OptionError: Sentences longer than the model's context are asked for.
    """
    import numpy as np
    import torch

    from nlprep.language_models.sequence_to_sequence.parallel_text import SpecialIds, encode_sentences, make_batch

    if not sentences:
        raise NlprepError("there are no sentences to translate: give some")
    if longest is None:
        longest = min(_room(model).values(), default=_LONGEST)
    _check_length(model, longest)
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


@dataclass(frozen=True)
class TranslationScores:
    """How translations compare with references.

    Attributes:
        bleu: BLEU, 0 to 100.
        chrf: chrF, 0 to 100.
        bleu_signature: What sacrebleu says of how it was measured.
        chrf_signature: Likewise.
        sentences: Their number.
    """

    bleu: float
    chrf: float
    bleu_signature: str
    chrf_signature: str
    sentences: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON."""
        return asdict(self)


def score_translations(translations: Sequence[str], references: Sequence[str]) -> TranslationScores:
    """BLEU and chrF by sacrebleu (Post 2018), with its defaults.

    Raises:
        NlprepError: Not as many references as translations, or none.
    """
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    if len(translations) != len(references) or not translations:
        raise NlprepError(f"{len(translations)} translations and {len(references)} references: give one for each")
    bleu, chrf = BLEU(), CHRF()
    first = bleu.corpus_score(list(translations), [list(references)])
    second = chrf.corpus_score(list(translations), [list(references)])
    return TranslationScores(
        first.score, second.score, str(bleu.get_signature()), str(chrf.get_signature()), len(translations)
    )
