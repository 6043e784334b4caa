"""From text files to a pretrained language model, in one call that can be made again to go on.

A run (see `nlprep.core.training.recipe`) has two folders more: ``tokenizer``, if one was trained for it, and
``tokens``, the text as ids. Its ``model`` is one that transformers opens.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlprep.core.configuration import check, option
from nlprep.core.errors import OptionError
from nlprep.core.progress import SILENT
from nlprep.core.training.configuration import TrainingConfig
from nlprep.core.training.recipe import FinishedRun, prepare_run
from nlprep.language_models.pretraining.masking import MaskingConfig
from nlprep.language_models.text.documents import DOCUMENT_UNITS
from nlprep.language_models.text.packing import LAYOUTS
from nlprep.language_models.text.tokenizers import TokenizerConfig

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    from accelerate import Accelerator
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

    from nlprep.core.files import EncodingErrors
    from nlprep.core.progress import Progress
    from nlprep.core.training.data.examples import Examples
    from nlprep.core.training.steps.step import Step
    from nlprep.language_models.text.token_files import TokenFile


MASKED_RUN, CAUSAL_RUN = "masked-pretraining", "causal-pretraining"
"""What the directories of runs are marked as."""


@dataclass(frozen=True, kw_only=True)
class PretrainingConfig:
    """The model and its text; how it is trained is `TrainingConfig`'s."""

    family: str = option("", "model type of transformers")
    size: str = option(
        "small", "tiny, mini, small (6 layers of 384), medium, base (12 of 768) or large",
        choices=("tiny", "mini", "small", "medium", "base", "large"),
    )  # fmt: skip
    layers: int | None = option(None, "layers, instead of the size's", minimum=1)
    width: int | None = option(None, "width, instead of the size's", minimum=4)
    heads: int | None = option(None, "attention heads, instead of the size's", minimum=1)
    dropout: float = option(0.0, "dropout; 0.1 helps where the text is seen many times", minimum=0, maximum=0.9)
    block_length: int = option(128, "tokens the model sees at once, in training and ever after", minimum=8)
    layout: str = option(
        "packed", "packed keeps short documents whole, stream cuts them wherever a block ends", choices=LAYOUTS
    )
    document: str = option("line", "what a document is", choices=DOCUMENT_UNITS)
    validation_fraction: float = option(
        0.01, "share of documents to measure on, not to train on", minimum=0, maximum=0.5
    )

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, kw_only=True)
class MaskedPretrainingConfig(PretrainingConfig):
    """A masked language model and its text."""

    family: str = option("modernbert", "modernbert, bert, roberta or another masked model type of transformers")


@dataclass(frozen=True, kw_only=True)
class CausalPretrainingConfig(PretrainingConfig):
    """A causal language model and its text."""

    family: str = option("gpt2", "gpt2, llama or another causal model type of transformers")
    block_length: int = option(256, "tokens the model sees at once, in training and ever after", minimum=8)
    separate_documents: bool = option(False, "let no document see another that shares its block; slower")


@dataclass(frozen=True, kw_only=True)
class Pretraining(FinishedRun):
    """A finished run.

    Attributes:
        model: The model, in evaluation mode.
        tokenizer: Its tokenizer.
        train: The text trained on.
        validation: The text set aside, if any.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast
    train: TokenFile
    validation: TokenFile | None


def pretrain_masked(
    paths: Sequence[str | os.PathLike[str]],
    directory: str | os.PathLike[str],
    *,
    config: MaskedPretrainingConfig | None = None,
    training: TrainingConfig | None = None,
    masking: MaskingConfig | None = None,
    tokenizer: PreTrainedTokenizerFast | TokenizerConfig | None = None,
    resume: str = "auto",
    overwrite: bool = False,
    encoding_errors: EncodingErrors = "strict",
    accelerator: Accelerator | None = None,
    progress: Progress = SILENT,
) -> Pretraining:
    """Pretrain an encoder as a masked language model; the same call again goes on where it was stopped.

    Args:
        paths: Text files or folders (see `nlprep.language_models.text.documents.read_documents`).
        directory: The run's directory; made if it is missing.
        config: Model and text.
        training: The loop's settings.
        masking: What is masked.
        tokenizer: One that is there, or how to train one on this text; default: byte-level BPE.
        resume: As for `nlprep.core.training.loop.fit`.
        overwrite: Whether another kind of directory of ours may be replaced.
        encoding_errors: What to do with bytes that are not UTF-8.
        accelerator: As for `fit`.
        progress: Gets reading, tokenizing and training.

    Returns:
        The run; its model is also in ``directory/model``.

    Raises:
        NlprepError: As `nlprep.core.training.recipe.prepare_run`, `fit`, `tokenize_documents` and `train_tokenizer` do.
    """
    from nlprep.language_models.models.architectures import build_masked_model
    from nlprep.language_models.pretraining.masked import masked_step
    from nlprep.language_models.pretraining.masking import MaskedBlocks, Masking
    from nlprep.language_models.text.packing import TokenBlocks

    config = config or MaskedPretrainingConfig()
    masking = masking or MaskingConfig()
    training = training or TrainingConfig()

    def build(prepared: PreTrainedTokenizerFast) -> _Task:
        model = build_masked_model(prepared, **_shape(config), seed=training.seed)
        masker = Masking(prepared, masking)

        def make_examples(tokens: TokenFile) -> MaskedBlocks:
            opening, separator = _wrapping(prepared)
            blocks = TokenBlocks(
                tokens, config.block_length, causal=False, layout=config.layout,
                opening=opening, separator=separator, padding=_padding(prepared),
            )  # fmt: skip
            return MaskedBlocks(blocks, masker)

        return _Task(
            model,
            masked_step(model, block_length=config.block_length, masking_rate=masking.masking_rate),
            make_examples,
        )

    return _pretrain(
        paths, directory, MASKED_RUN, config, training, {"masking": masking}, tokenizer, build,
        resume, overwrite, encoding_errors, accelerator, progress,
    )  # fmt: skip


def pretrain_causal(
    paths: Sequence[str | os.PathLike[str]],
    directory: str | os.PathLike[str],
    *,
    config: CausalPretrainingConfig | None = None,
    training: TrainingConfig | None = None,
    tokenizer: PreTrainedTokenizerFast | TokenizerConfig | None = None,
    resume: str = "auto",
    overwrite: bool = False,
    encoding_errors: EncodingErrors = "strict",
    accelerator: Accelerator | None = None,
    progress: Progress = SILENT,
) -> Pretraining:
    """Pretrain a decoder as a causal language model; the same call again goes on where it was stopped.

    Arguments and errors are those of `pretrain_masked`.

    Returns:
        The run; ``validation`` in its summary has ``bits_per_byte``, which compares across tokenizers.
    """
    from nlprep.language_models.models.architectures import build_causal_model
    from nlprep.language_models.pretraining.causal import CausalBlocks, causal_step
    from nlprep.language_models.text.packing import TokenBlocks

    config = config or CausalPretrainingConfig()
    training = training or TrainingConfig()

    def build(prepared: PreTrainedTokenizerFast) -> _Task:
        model = build_causal_model(prepared, **_shape(config), seed=training.seed)

        def make_examples(tokens: TokenFile) -> CausalBlocks:
            blocks = TokenBlocks(
                tokens, config.block_length, causal=True, layout=config.layout,
                # What is padded is never seen; the padding's own id would have transformers warn of a missing mask.
                separator=_wrapping(prepared)[1], padding=_wrapping(prepared)[1],
            )  # fmt: skip
            return CausalBlocks(blocks, separate_documents=config.separate_documents)

        return _Task(model, causal_step(model, block_length=config.block_length), make_examples)

    return _pretrain(
        paths, directory, CAUSAL_RUN, config, training, {}, tokenizer, build,
        resume, overwrite, encoding_errors, accelerator, progress,
    )  # fmt: skip


@dataclass(frozen=True)
class _Task:
    """What is particular to masked or to causal pretraining, once there is a tokenizer."""

    model: PreTrainedModel
    step: Step
    make_examples: Callable[[TokenFile], Examples]


def _pretrain(
    paths: Sequence[str | os.PathLike[str]],
    directory: str | os.PathLike[str],
    kind: str,
    config: PretrainingConfig,
    training: TrainingConfig,
    more: dict[str, object],
    tokenizer: PreTrainedTokenizerFast | TokenizerConfig | None,
    build: Callable[[PreTrainedTokenizerFast], _Task],
    resume: str,
    overwrite: bool,
    encoding_errors: EncodingErrors,
    accelerator: Accelerator | None,
    progress: Progress,
) -> Pretraining:
    """Pretrain what ``build`` makes of the tokenizer."""
    from nlprep.language_models.models.attention import fast_attention
    from nlprep.language_models.models.files import LANGUAGE_MODEL, save_language_model
    from nlprep.language_models.pretraining.text import RunText, prepare_text
    from nlprep.language_models.text.token_files import TokenFile
    from nlprep.language_models.text.tokenizers import load_tokenizer

    text = RunText([paths] if isinstance(paths, str | Path) else list(paths), config.document, encoding_errors)
    tokenizer = TokenizerConfig() if tokenizer is None else tokenizer
    settings: dict[str, object] = {"model": config, **more}
    if isinstance(tokenizer, TokenizerConfig):
        settings["tokenizer"] = tokenizer
    with prepare_run(
        directory, kind=kind, result=LANGUAGE_MODEL, settings=settings, training=training,
        files={"text": text.described}, keeps=("tokenizer", "tokens"), inputs=text.paths,
        resume=resume, overwrite=overwrite, accelerator=accelerator, progress=progress,
    ) as run:  # fmt: skip
        prepared = prepare_text(run, text, tokenizer, validation_fraction=config.validation_fraction)
        task = build(prepared)
        train, held = (TokenFile.load(run.directory / "tokens", split) for split in ("train", "validation"))
        validation = held if held.num_tokens >= config.block_length else None
        examples = task.make_examples(train)
        validation_examples = None if validation is None else task.make_examples(validation)
        with fast_attention(task.model):
            history = run.fit(task.step, examples, validation=validation_examples)
    place = run.publish(lambda place: save_language_model(task.model, prepared, place))
    summary = run.summarise(history)
    summary |= {"train_tokens": train.num_tokens, "validation_tokens": validation.num_tokens if validation else 0}
    if validation is not None and "loss" in summary["validation"]:
        causal = isinstance(config, CausalPretrainingConfig)
        summary["validation"] |= _readable_losses(summary["validation"]["loss"], validation, causal=causal)
    return Pretraining(
        directory=run.directory,
        history=history,
        summary=summary,
        model=task.model,
        tokenizer=load_tokenizer(place),
        train=train,
        validation=validation,
    )


def _shape(config: PretrainingConfig) -> dict[str, Any]:
    """What `nlprep.language_models.models.architectures` needs to build the model."""
    return {
        "family": config.family, "size": config.size, "context": config.block_length, "dropout": config.dropout,
        "layers": config.layers, "width": config.width, "heads": config.heads,
    }  # fmt: skip


def _wrapping(tokenizer: PreTrainedTokenizerFast) -> tuple[int, int]:
    """The ids that open a block and that end a document."""
    opening = tokenizer.cls_token_id if tokenizer.cls_token_id is not None else tokenizer.bos_token_id
    separator = tokenizer.sep_token_id if tokenizer.sep_token_id is not None else tokenizer.eos_token_id
    if separator is None:
        raise OptionError("the tokenizer has no token that ends a text (sep or eos): train one here, or add it")
    return int(separator if opening is None else opening), int(separator)


def _padding(tokenizer: PreTrainedTokenizerFast) -> int:
    """The id of empty positions; any will do where they are never looked at."""
    return int(tokenizer.pad_token_id if tokenizer.pad_token_id is not None else _wrapping(tokenizer)[1])


def _readable_losses(loss: float, validation: TokenFile, *, causal: bool) -> dict[str, float]:
    """What a loss in nats per token comes to in other units."""
    perplexity = {"perplexity": math.exp(min(loss, 700.0))}
    if not causal:
        return perplexity
    # A document's end is predicted too, and stands for the line end that it was in the text.
    ends = validation.num_documents
    nats = loss * (validation.num_tokens + ends)
    return {**perplexity, "bits_per_byte": nats / math.log(2) / (validation.num_bytes + ends)}
