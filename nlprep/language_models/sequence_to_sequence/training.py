"""Training translation models.

Two ways to make use of text of one language when pairs are few. The encoder pretrained as a masked language model
of the source and the decoder as a causal one of the target are joined, and trained on the pairs, all of it or the
cross-attention alone. Or each language has an auto-encoder, and the source's encoder and the target's decoder are put
together: the pretraining half of Cheng et al. (2016, "Semi-supervised learning for neural machine translation").
Theirs auto-encode through the other language, with two translation models trained jointly on pairs and on text of
either language; here each auto-encoder restores noised sentences within its language, and the pairs come after.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from nlprep.core.errors import OptionError
from nlprep.core.training.configuration import TrainingConfig
from nlprep.core.training.recipe import FinishedRun, prepare_run
from nlprep.language_models.models.files import TRANSLATION_MODEL
from nlprep.language_models.sequence_to_sequence.configuration import (
    TRANSLATION_TRAINING,
    DenoisingConfig,
    TranslationConfig,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import Unpack

    from transformers import EncoderDecoderModel, PreTrainedModel, PreTrainedTokenizerFast

    from nlprep.core.training.data.examples import Examples
    from nlprep.core.training.evaluation import Evaluation
    from nlprep.core.training.recipe import RunArguments
    from nlprep.core.training.steps.step import Step
    from nlprep.language_models.sequence_to_sequence.parallel_text import ParallelText

RUN, AUTO_ENCODER_RUN = "translation-training", "auto-encoder-training"
"""What the directories of runs are marked as."""

Half: TypeAlias = "str | os.PathLike[str] | tuple[PreTrainedModel, PreTrainedTokenizerFast]"
"""Half of a translation model: the directory of a pretrained model, or a model and its tokenizer."""


@dataclass(frozen=True, kw_only=True)
class TranslationTraining(FinishedRun):
    """A finished run.

    Attributes:
        model: The model, in evaluation mode.
        source: The source's tokenizer.
        target: The target's tokenizer.
    """

    model: EncoderDecoderModel
    source: PreTrainedTokenizerFast
    target: PreTrainedTokenizerFast


def train_translation_model(
    encoder: Half,
    decoder: Half,
    pairs: ParallelText,
    directory: str | os.PathLike[str],
    *,
    config: TranslationConfig | None = None,
    training: TrainingConfig | None = None,
    validation: ParallelText | None = None,
    **run: Unpack[RunArguments],
) -> TranslationTraining:
    """Join an encoder and a decoder and train them on pairs; the same call again goes on where it was stopped.

    Args:
        encoder: Of the source: the directory of a model or of its run, or a model with its tokenizer, of which a copy
            is trained.
        decoder: Of the target, likewise; a causal model, with cross-attention or without (see
            `nlprep.language_models.sequence_to_sequence.model.join`).
        pairs: Sentences and translations.
        directory: The run's directory (see `nlprep.core.training.recipe`).
        config: What learns and how.
        training: The loop's settings; `TRANSLATION_TRAINING` by default.
        validation: Pairs to measure on; the model ends with the weights that did best. With few pairs the loss is
            lowest long before translations are best.
        **run: As `nlprep.core.training.recipe.RunArguments`.

    Returns:
        The run; its model is also in ``directory/model``, with both tokenizers.

    Raises:
        FileError: No such models.
        OptionError: A decoder that cannot attend to an encoder, or sentences longer than the model's context.
        NlprepError: As `prepare_run` and `fit` do.
    """
    from nlprep.core.training.steps.dropout import set_dropout
    from nlprep.language_models.sequence_to_sequence.decoding import translate_sentences
    from nlprep.language_models.sequence_to_sequence.model import Translation, TranslationStep
    from nlprep.language_models.sequence_to_sequence.parallel_text import (
        SpecialIds,
        TranslationExamples,
        encode_sentences,
    )
    from nlprep.language_models.sequence_to_sequence.scores import score_translations

    config = config or TranslationConfig()
    training = training or TRANSLATION_TRAINING
    joined = _Joined.of(encoder, decoder, seed=training.seed, longest=config.longest)
    model, source, target = joined.model, joined.source, joined.target
    set_dropout(model, config.dropout)
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

    return joined.train(
        TranslationStep(
            Translation(model, label_smoothing=config.label_smoothing), pretrained_rate=config.pretrained_rate
        ),
        make_examples(pairs),
        directory,
        kind=RUN,
        settings={"translation": config},
        training=training,
        learning=config.train,
        run=run,
        validation=None if validation is None else make_examples(validation),
        evaluate=None if validation is None else score,
    )


def train_auto_encoder(
    encoder: Half,
    decoder: Half,
    sentences: Sequence[str],
    directory: str | os.PathLike[str],
    *,
    config: DenoisingConfig | None = None,
    training: TrainingConfig | None = None,
    **run: Unpack[RunArguments],
) -> TranslationTraining:
    """Train an encoder and a decoder of one language to restore its noised sentences.

    Args:
        encoder: As for `train_translation_model`, and so is what is not said here.
        decoder: Of the same language, with the same tokenizer.
        sentences: Text of that language.
        directory: The run's directory.
        config: Length and noise.
        training: The loop's settings.
        **run: As `nlprep.core.training.recipe.RunArguments`.

    Returns:
        The run, whose model restores sentences as it would translate them.

    Raises:
        OptionError: The halves have different tokenizers, or sentences longer than the model's context.
    """
    from nlprep.language_models.sequence_to_sequence.model import Translation, TranslationStep
    from nlprep.language_models.sequence_to_sequence.parallel_text import (
        DenoisingExamples,
        SpecialIds,
        encode_sentences,
    )

    config = config or DenoisingConfig()
    training = training or TrainingConfig()
    joined = _Joined.of(encoder, decoder, seed=training.seed, longest=config.longest)
    if joined.source.get_vocab() != joined.target.get_vocab():
        raise OptionError("an auto-encoder reads and writes one language: give both halves the same tokenizer")
    examples = DenoisingExamples(
        encode_sentences(sentences, joined.source, config.longest),
        SpecialIds.of(joined.source, joined.target),
        drop=config.drop,
        distance=config.distance,
    )
    return joined.train(
        TranslationStep(Translation(joined.model)), examples, directory,
        kind=AUTO_ENCODER_RUN, settings={"denoising": config}, training=training, run=run,
    )  # fmt: skip


@dataclass(frozen=True)
class _Joined:
    """Both halves as one model, and where those halves are that are on disk."""

    model: EncoderDecoderModel
    source: PreTrainedTokenizerFast
    target: PreTrainedTokenizerFast
    bases: Mapping[str, Path]

    @classmethod
    def of(cls, encoder: Half, decoder: Half, *, seed: int, longest: int) -> _Joined:
        """Join two halves to read and write sentences of so many tokens."""
        from nlprep.language_models.models.files import find_model, load_language_model
        from nlprep.language_models.sequence_to_sequence.decoding import check_length
        from nlprep.language_models.sequence_to_sequence.model import join

        halves, bases = [], {}
        for part, half, kind in (("encoder", encoder, "encoder"), ("decoder", decoder, "causal")):
            if not isinstance(half, tuple):
                bases[part] = find_model(half)
                half = load_language_model(half, kind)  # noqa: PLW2901
            halves.append(half)
        (one, source), (other, target) = halves
        model = join(one, other, seed=seed)
        check_length(model, longest)
        return cls(model, source, target, bases)

    def train(
        self,
        step: Step,
        examples: Examples,
        directory: str | os.PathLike[str],
        *,
        kind: str,
        settings: Mapping[str, object],
        training: TrainingConfig,
        run: RunArguments,
        learning: str = "all",
        **doors: Any,
    ) -> TranslationTraining:
        """Train what is to learn of the model (all of it or its cross-attention), and publish it."""
        from nlprep.language_models.sequence_to_sequence.model import save_translation_model

        with prepare_run(
            directory, kind=kind, result=TRANSLATION_MODEL, settings=settings, training=training,
            bases=self.bases, inputs=list(self.bases.values()), **run,
        ) as prepared:  # fmt: skip
            with _learning(self.model, learning):
                history = prepared.fit(step, examples, **doors)
            prepared.publish(lambda place: save_translation_model(self.model, self.source, self.target, place))
        return TranslationTraining(
            directory=prepared.directory,
            history=history,
            summary=prepared.summarise(history),
            model=self.model,
            source=self.source,
            target=self.target,
        )


@contextmanager
def _learning(model: EncoderDecoderModel, train: str) -> Iterator[None]:
    """Let all of a model learn or its cross-attention alone; afterwards all may learn again, if it could before."""
    from nlprep.language_models.models.attention import fast_attention
    from nlprep.language_models.sequence_to_sequence.model import freeze_all_but_cross_attention

    trainable = [parameter.requires_grad for parameter in model.parameters()]
    if train == "cross-attention":
        freeze_all_but_cross_attention(model)
    try:
        with fast_attention(model.encoder, model.decoder):
            yield
    finally:
        for parameter, before in zip(model.parameters(), trainable, strict=True):
            parameter.requires_grad_(before)
