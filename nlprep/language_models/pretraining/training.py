"""From text files to a pretrained language model, in one call that can be made again to go on.

A run is a directory: ``tokenizer`` (if one was trained for it), ``tokens`` (the text as ids), ``checkpoints`` and
``metrics.jsonl`` (see `nlprep.core.training.loop`), ``run.json`` (the settings) and ``model``, the result, which
transformers opens.
"""

from __future__ import annotations

import hashlib
import json
import math
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlprep.core.configuration import check, option, to_mapping
from nlprep.core.errors import FileError, NlprepError, OptionError, os_errors_named
from nlprep.core.files import STANDARD_INPUT, atomic_file
from nlprep.core.ownership import FILE_OF_A_RUN, remove_directory, remove_run
from nlprep.core.progress import SILENT
from nlprep.core.training.configuration import TrainingConfig
from nlprep.core.training.runs import check_training_run, claim_training_run
from nlprep.language_models.models.files import LANGUAGE_MODEL
from nlprep.language_models.pretraining.masking import MaskingConfig
from nlprep.language_models.text.documents import DOCUMENT_UNITS, find_text_files, read_documents
from nlprep.language_models.text.packing import LAYOUTS
from nlprep.language_models.text.tokenizers import TokenizerConfig

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Sequence

    from accelerate import Accelerator
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

    from nlprep.core.files import EncodingErrors
    from nlprep.core.progress import Progress
    from nlprep.core.training.loop import History
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


@dataclass(frozen=True)
class Pretraining:
    """A finished run.

    Attributes:
        directory: The run's directory; the model is in ``model``.
        model: The model, in evaluation mode.
        tokenizer: Its tokenizer.
        history: What happened.
        train: The text trained on.
        validation: The text set aside, if any.
        summary: Plain values to show: sizes, losses, speed.
    """

    directory: Path
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast
    history: History
    train: TokenFile
    validation: TokenFile | None
    summary: dict[str, Any] = field(default_factory=dict)


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
        NlprepError: As `fit`, `tokenize_documents` and `train_tokenizer` do.
    """
    from nlprep.language_models.models.architectures import build_masked_model
    from nlprep.language_models.pretraining.masked import masked_step
    from nlprep.language_models.pretraining.masking import MaskedBlocks, Masking
    from nlprep.language_models.text.packing import TokenBlocks

    config = config or MaskedPretrainingConfig()
    masking = masking or MaskingConfig()
    training = training or TrainingConfig()
    tokenizer = TokenizerConfig() if tokenizer is None else tokenizer
    run = _Run(
        paths, directory, config, training, {"masking": to_mapping(masking)}, encoding_errors, accelerator, progress,
        kind=MASKED_RUN, overwrite=overwrite,
    )  # fmt: skip
    with run.nothing_left_behind():
        prepared = run.prepare(tokenizer, resume)
        model = build_masked_model(prepared, **run.model_settings())
        masker = Masking(prepared, masking)

        def make_examples(tokens: TokenFile) -> MaskedBlocks:
            opening, separator = _wrapping(prepared)
            blocks = TokenBlocks(
                tokens, config.block_length, causal=False, layout=config.layout,
                opening=opening, separator=separator, padding=_padding(prepared),
            )  # fmt: skip
            return MaskedBlocks(blocks, masker)

        step = masked_step(model, block_length=config.block_length, masking_rate=masking.masking_rate)
        return run.train(model, step, make_examples, resume)


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
        The run; its summary has the validation text's ``bits_per_byte``, which compares across tokenizers.
    """
    from nlprep.language_models.models.architectures import build_causal_model
    from nlprep.language_models.pretraining.causal import CausalBlocks, causal_step
    from nlprep.language_models.text.packing import TokenBlocks

    config = config or CausalPretrainingConfig()
    training = training or TrainingConfig()
    tokenizer = TokenizerConfig() if tokenizer is None else tokenizer
    run = _Run(
        paths, directory, config, training, {}, encoding_errors, accelerator, progress, kind=CAUSAL_RUN,
        overwrite=overwrite,
    )  # fmt: skip
    with run.nothing_left_behind():
        prepared = run.prepare(tokenizer, resume)
        model = build_causal_model(prepared, **run.model_settings())

        def make_examples(tokens: TokenFile) -> CausalBlocks:
            blocks = TokenBlocks(
                tokens, config.block_length, causal=True, layout=config.layout,
                # What is padded is never seen; the padding's own id would have transformers warn of a missing mask.
                separator=_wrapping(prepared)[1], padding=_wrapping(prepared)[1],
            )  # fmt: skip
            return CausalBlocks(blocks, separate_documents=config.separate_documents)

        return run.train(model, causal_step(model, block_length=config.block_length), make_examples, resume)


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


class _Run:
    """What masked and causal pretraining have in common: the directory, the text and the training."""

    def __init__(
        self,
        paths: Sequence[str | os.PathLike[str]],
        directory: str | os.PathLike[str],
        config: PretrainingConfig,
        training: TrainingConfig,
        more: dict[str, Any],
        encoding_errors: EncodingErrors,
        accelerator: Accelerator | None,
        progress: Progress,
        *,
        kind: str,
        overwrite: bool,
    ) -> None:
        from nlprep.core.training.processes import make_accelerator

        self.paths = [paths] if isinstance(paths, str | Path) else list(paths)
        self.directory = Path(directory)
        self.config, self.training, self.more = config, training, more
        self.encoding_errors, self.progress = encoding_errors, progress
        self.accelerator = accelerator or make_accelerator(training, Path(directory))
        if not self.accelerator.is_main_process:
            self.progress = SILENT
        self.kind, self.overwrite = kind, overwrite
        self.created = not self.directory.exists()
        self.begun = False

    @contextmanager
    def nothing_left_behind(self) -> Iterator[None]:
        """Take the directory away again if it is new and the text or the settings will not do.

        Once training has begun, or after an interrupt, what was made is kept for the next call.
        """
        try:
            yield
        except NlprepError:
            if self.created and not self.begun and self.accelerator.is_main_process:
                remove_run(self.directory)
            raise

    def model_settings(self) -> dict[str, Any]:
        """What `nlprep.language_models.models.architectures` needs to build the model."""
        config = self.config
        return {
            "family": config.family, "size": config.size, "context": config.block_length, "dropout": config.dropout,
            "layers": config.layers, "width": config.width, "heads": config.heads, "seed": self.training.seed,
        }  # fmt: skip

    def prepare(self, tokenizer: PreTrainedTokenizerFast | TokenizerConfig, resume: str) -> PreTrainedTokenizerFast:
        """Tokenizer and token files, made by the main process unless they are there already."""
        claimed = {"result": LANGUAGE_MODEL, "inputs": self.paths, "overwrite": self.overwrite}
        check_training_run(self.directory, self.kind, **claimed)
        self._describe_text()
        if self.accelerator.is_main_process:
            claim_training_run(self.directory, self.kind, more=("run.json", "tokenizer", "tokens"), **claimed)
        self._check_settings(resume, tokenizer)
        with self.accelerator.main_process_first():
            # The others find everything made.
            self.tokenizer = self._tokenizer(tokenizer)
            self._tokens(self.tokenizer)
        return self.tokenizer

    def _check_settings(self, resume: str, tokenizer: PreTrainedTokenizerFast | TokenizerConfig) -> None:
        """Fail if the directory is of a run of another model; write the settings down if it is new."""
        path = self.directory / "run.json"
        settings = {"model": to_mapping(self.config), **self.more}
        if isinstance(tokenizer, TokenizerConfig):
            settings["tokenizer"] = to_mapping(tokenizer)
        trained = (self.directory / "checkpoints").exists()
        if resume == "must" and not trained:
            raise OptionError(f"{self.directory} holds no checkpoint to resume from: check the path, or start anew")
        # Before the first checkpoint, other settings cost nothing.
        if path.exists() and trained and resume != "never":
            try:
                before = json.loads(path.read_bytes())["settings"]
            except (ValueError, KeyError, TypeError):
                raise FileError(path, "is damaged: remove the run's directory, or name a new one") from None
            flat, given = _flatten(before), _flatten(settings)
            for name in sorted(flat.keys() & given.keys()):
                if flat[name] != given[name]:
                    raise OptionError(
                        f"{self.directory}: this run has {name.replace('_', '-')} = {flat[name]!r}, now "
                        f"{given[name]!r}: give the same settings to resume, or name a new directory"
                    )
        elif self.accelerator.is_main_process:
            content = (json.dumps({"settings": settings, "text": self._describe_text()}, indent=2) + "\n").encode()
            if path.exists() and path.read_bytes() != content:
                # Of an attempt that never came to training: a tokenizer of other settings, or of another text.
                remove_directory(self.directory / "tokenizer")
            with atomic_file(path, format=FILE_OF_A_RUN) as stream:
                stream.write(content)

    def _tokenizer(self, tokenizer: PreTrainedTokenizerFast | TokenizerConfig) -> PreTrainedTokenizerFast:
        from nlprep.language_models.text.tokenizers import load_tokenizer, save_tokenizer, train_tokenizer

        if not isinstance(tokenizer, TokenizerConfig):
            return tokenizer
        directory = self.directory / "tokenizer"
        if not directory.exists():
            save_tokenizer(train_tokenizer(self._documents(), tokenizer, progress=self.progress), directory)
        return load_tokenizer(directory)

    def _documents(self) -> Any:
        if any(str(path) == STANDARD_INPUT for path in self.paths):
            raise OptionError("standard input can be read once, and pretraining may read its text twice: give a file")
        return read_documents(
            self.paths, unit=self.config.document, encoding_errors=self.encoding_errors, progress=self.progress
        )

    def _tokens(self, tokenizer: PreTrainedTokenizerFast) -> None:
        from nlprep.language_models.text.token_files import TokenFile, tokenize_documents
        from nlprep.language_models.text.tokenizers import tokenizer_digest

        directory = self.directory / "tokens"
        fingerprint = self._fingerprint(tokenizer_digest(tokenizer))
        if directory.exists():
            if TokenFile.load(directory, "all").provenance.get("fingerprint") == fingerprint:
                return
            if (self.directory / "checkpoints").exists():
                raise OptionError(
                    f"{self.directory}: the text or the tokenizer has changed since this run began: name a new "
                    "directory"
                )
        tokenize_documents(
            self._documents(), tokenizer, directory, validation_fraction=self.config.validation_fraction,
            provenance={"fingerprint": fingerprint}, progress=self.progress,
        )  # fmt: skip

    def _fingerprint(self, digest: str) -> str:
        """Of everything that the token files depend on."""
        state = [
            self._describe_text(), digest, self.config.document, self.config.validation_fraction, self.encoding_errors
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(state).encode()).hexdigest()[:16]

    def _describe_text(self) -> list[list[Any]]:
        """The files by name, size and time of change."""
        described = []
        for name in find_text_files([path for path in self.paths if str(path) != STANDARD_INPUT]):
            with os_errors_named(name):
                status = Path(name).stat()
            described.append([Path(name).name, status.st_size, status.st_mtime_ns])
        return described

    def train(
        self, model: PreTrainedModel, step: Any, make_examples: Callable[[TokenFile], Any], resume: str
    ) -> Pretraining:
        """Fit, publish and summarise."""
        from nlprep.core.training.loop import fit
        from nlprep.language_models.models.attention import fast_attention
        from nlprep.language_models.models.files import save_language_model
        from nlprep.language_models.text.token_files import TokenFile
        from nlprep.language_models.text.tokenizers import load_tokenizer

        tokens = TokenFile.load(self.directory / "tokens", "train")
        examples = make_examples(tokens)
        held = TokenFile.load(self.directory / "tokens", "validation")
        validation = held if held.num_tokens >= self.config.block_length else None
        validation_examples = None if validation is None else make_examples(validation)
        self.begun = True
        with fast_attention(model):
            history = fit(
                step,
                examples,
                config=self.training,
                directory=self.directory,
                validation=validation_examples,
                resume=resume,
                accelerator=self.accelerator,
                progress=self.progress,
            )
        directory = self.directory / "model"
        if self.accelerator.is_main_process:
            save_language_model(model, self.tokenizer, directory)
        self.accelerator.wait_for_everyone()
        return Pretraining(
            directory=self.directory,
            model=model,
            tokenizer=load_tokenizer(directory),
            history=history,
            train=tokens,
            validation=validation,
            summary=_summarise(
                model, history, tokens, validation, causal=isinstance(self.config, CausalPretrainingConfig)
            ),
        )


def _summarise(
    model: PreTrainedModel, history: History, tokens: TokenFile, validation: TokenFile | None, *, causal: bool
) -> dict[str, Any]:
    summary: dict[str, Any] = {
        "parameters": model.num_parameters(),
        "steps": history.steps,
        "train_tokens": tokens.num_tokens,
        "validation_tokens": 0 if validation is None else validation.num_tokens,
        "train_loss": history.last("loss"),
        "tokens_per_second": history.last("tokens_per_second"),
        "resumed_from": history.resumed_from,
        "seconds": round(history.seconds, 1),
    }
    loss = history.best_loss
    if validation is None or loss is None:
        return summary
    summary |= {"validation_loss": loss, "best_step": history.best_step, "perplexity": math.exp(min(loss, 700.0))}
    if causal:
        # A document's end is predicted too, and stands for the line end that it was in the text.
        ends = validation.num_documents
        nats = loss * (validation.num_tokens + ends)
        summary["bits_per_byte"] = nats / math.log(2) / (validation.num_bytes + ends)
    else:
        best = [record for record in history.records if record["step"] == history.best_step]
        accuracy = next((record["validation_accuracy"] for record in best if "validation_accuracy" in record), None)
        summary["validation_accuracy"] = accuracy
    return summary


def _flatten(values: dict[str, Any]) -> dict[str, Any]:
    """The settings inside tables by their own names."""
    return {name: value for table in values.values() for name, value in table.items()}
