"""From text files to a pretrained language model, in one call that can be made again to go on.

A run (see `nlprep.core.training.recipe`) has two folders more: ``tokenizer``, if one was trained for it, and
``tokens``, the text as ids. Its ``model`` is one that transformers opens.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from nlprep.core.errors import OptionError
from nlprep.core.training.configuration import TrainingConfig
from nlprep.core.training.recipe import FinishedRun, prepare_run
from nlprep.language_models.pretraining.configuration import (
    CausalPretrainingConfig,
    MaskedPretrainingConfig,
    MaskingConfig,
    PretrainingConfig,
)
from nlprep.language_models.text.configuration import TokenizerConfig

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence
    from typing import Unpack

    from transformers import PreTrainedModel, PreTrainedTokenizerFast

    from nlprep.core.files import EncodingErrors
    from nlprep.core.training.data.examples import Examples
    from nlprep.core.training.recipe import RunArguments
    from nlprep.core.training.steps.step import Step
    from nlprep.language_models.text.token_files import TokenFile

_Task: TypeAlias = "tuple[Step, Callable[[TokenFile], Examples]]"
"""What is trained, and what makes examples of tokens."""

RUNS = {"masked": "masked-pretraining", "causal": "causal-pretraining"}
"""What the directories of runs are marked as, by kind of model."""


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
    encoding_errors: EncodingErrors = "strict",
    **run: Unpack[RunArguments],
) -> Pretraining:
    """Pretrain an encoder as a masked language model; the same call again goes on where it was stopped.

    Args:
        paths: Text files or folders (see `nlprep.language_models.text.documents.read_documents`).
        directory: The run's directory; made if it is missing.
        config: Model and text.
        training: The loop's settings.
        masking: What is masked.
        tokenizer: One that is there, or how to train one on this text; default: byte-level BPE.
        encoding_errors: What to do with bytes that are not UTF-8.
        **run: As `nlprep.core.training.recipe.RunArguments`.

    Returns:
        The run; its model is also in ``directory/model``.

    Raises:
        NlprepError: As `nlprep.core.training.recipe.prepare_run`, `fit`, `tokenize_documents` and `train_tokenizer` do.
    """
    from nlprep.language_models.pretraining.masked import masked_step
    from nlprep.language_models.pretraining.masking import MaskedBlocks, Masking
    from nlprep.language_models.text.packing import TokenBlocks

    config = config or MaskedPretrainingConfig()
    masking = masking or MaskingConfig()

    def set_task(model: PreTrainedModel, prepared: PreTrainedTokenizerFast) -> _Task:
        opening, separator = _wrapping(prepared)
        masker = Masking(prepared, masking)

        def make_examples(tokens: TokenFile) -> MaskedBlocks:
            blocks = TokenBlocks(
                tokens, config.block_length, causal=False, layout=config.layout,
                opening=opening, separator=separator, padding=_padding(prepared),
            )  # fmt: skip
            return MaskedBlocks(blocks, masker)

        return masked_step(model, block_length=config.block_length, masking_rate=masking.masking_rate), make_examples

    return _pretrain(
        "masked", paths, directory, set_task, config=config, more={"masking": masking}, training=training,
        tokenizer=tokenizer, encoding_errors=encoding_errors, run=run,
    )  # fmt: skip


def pretrain_causal(
    paths: Sequence[str | os.PathLike[str]],
    directory: str | os.PathLike[str],
    *,
    config: CausalPretrainingConfig | None = None,
    training: TrainingConfig | None = None,
    tokenizer: PreTrainedTokenizerFast | TokenizerConfig | None = None,
    encoding_errors: EncodingErrors = "strict",
    **run: Unpack[RunArguments],
) -> Pretraining:
    """Pretrain a decoder as a causal language model; the same call again goes on where it was stopped.

    Arguments and errors are those of `pretrain_masked`.

    Returns:
        The run; ``validation`` in its summary has ``bits_per_byte``, which compares across tokenizers.
    """
    from nlprep.language_models.pretraining.causal import CausalBlocks, causal_step
    from nlprep.language_models.text.packing import TokenBlocks

    config = config or CausalPretrainingConfig()

    def set_task(model: PreTrainedModel, prepared: PreTrainedTokenizerFast) -> _Task:
        _, separator = _wrapping(prepared)

        def make_examples(tokens: TokenFile) -> CausalBlocks:
            # What is padded is never seen; the padding's own id would have transformers warn of a missing mask.
            blocks = TokenBlocks(
                tokens, config.block_length, causal=True, layout=config.layout, separator=separator, padding=separator
            )
            return CausalBlocks(blocks, separate_documents=config.separate_documents)

        return causal_step(model, block_length=config.block_length), make_examples

    return _pretrain(
        "causal", paths, directory, set_task, config=config, more={}, training=training,
        tokenizer=tokenizer, encoding_errors=encoding_errors, run=run,
    )  # fmt: skip


def _pretrain(
    kind: str,
    paths: Sequence[str | os.PathLike[str]],
    directory: str | os.PathLike[str],
    set_task: Callable[[PreTrainedModel, PreTrainedTokenizerFast], _Task],
    *,
    config: PretrainingConfig,
    more: dict[str, object],
    training: TrainingConfig | None,
    tokenizer: PreTrainedTokenizerFast | TokenizerConfig | None,
    encoding_errors: EncodingErrors,
    run: RunArguments,
) -> Pretraining:
    """Pretrain a model of a kind by the task that ``set_task`` makes of it and the tokenizer."""
    from nlprep.language_models.models.architectures import build_language_model
    from nlprep.language_models.models.attention import fast_attention
    from nlprep.language_models.models.files import LANGUAGE_MODEL, save_language_model
    from nlprep.language_models.pretraining.text import RunText, prepare_text
    from nlprep.language_models.text.token_files import TokenFile
    from nlprep.language_models.text.tokenizers import load_tokenizer

    training = training or TrainingConfig()
    text = RunText([paths] if isinstance(paths, str | Path) else list(paths), config.document, encoding_errors)
    tokenizer = TokenizerConfig() if tokenizer is None else tokenizer
    settings: dict[str, object] = {"model": config, **more}
    if isinstance(tokenizer, TokenizerConfig):
        settings["tokenizer"] = tokenizer
    with prepare_run(
        directory, kind=RUNS[kind], result=LANGUAGE_MODEL, settings=settings, training=training,
        files={"text": text.described}, keeps=("tokenizer", "tokens"), inputs=text.paths, **run,
    ) as prepared:  # fmt: skip
        tokenizer = prepare_text(prepared, text, tokenizer, validation_fraction=config.validation_fraction)
        model = build_language_model(
            tokenizer, kind, family=config.family, size=config.size, context=config.block_length,
            layers=config.layers, width=config.width, heads=config.heads, dropout=config.dropout, seed=training.seed,
        )  # fmt: skip
        step, make_examples = set_task(model, tokenizer)
        train, held = (TokenFile.load(prepared.directory / "tokens", split) for split in ("train", "validation"))
        validation = held if held.num_tokens >= config.block_length else None
        examples = make_examples(train)
        validation_examples = None if validation is None else make_examples(validation)
        with fast_attention(model):
            history = prepared.fit(step, examples, validation=validation_examples)
        place = prepared.publish(lambda place: save_language_model(model, tokenizer, place))
    summary = prepared.summarise(history)
    summary |= {
        "train_tokens": train.num_tokens,
        "validation_tokens": validation.num_tokens if validation else 0,
        "tokens_seen": round((history.last("epoch") or 0.0) * train.num_tokens),
    }
    if validation is not None and "loss" in summary["validation"]:
        loss = summary["validation"]["loss"]
        summary["validation"] |= _readable_losses(loss, validation, causal=kind == "causal")
    return Pretraining(
        directory=prepared.directory,
        history=history,
        summary=summary,
        model=model,
        tokenizer=load_tokenizer(place),
        train=train,
        validation=validation,
    )


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
