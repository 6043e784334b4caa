"""The text of a pretraining run: its files, a tokenizer trained on them unless one is given, and their tokens on disk.

Tokenizer and tokens are made once, in the run's directory, and found there by a run that goes on.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from nlprep.core.configuration import to_mapping
from nlprep.core.errors import OptionError
from nlprep.core.files import STANDARD_INPUT, atomic_directory
from nlprep.core.training.recipe import describe_files
from nlprep.language_models.text.configuration import TokenizerConfig
from nlprep.language_models.text.documents import find_text_files, read_documents
from nlprep.language_models.text.tokenizers import KIND

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Sequence

    from transformers import PreTrainedTokenizerFast

    from nlprep.core.files import EncodingErrors
    from nlprep.core.progress import Progress
    from nlprep.core.training.recipe import TrainingRun

_MADE_OF = "made_of.json"
"""In the tokenizer's directory: a fingerprint of the text and the settings that it was trained with."""


@dataclass(frozen=True)
class RunText:
    """Text files, and how documents are read from them.

    Attributes:
        paths: Files or folders.
        document: What a document is (see `nlprep.language_models.text.documents.read_documents`).
        encoding_errors: What to do with bytes that are not UTF-8.
    """

    paths: Sequence[str | os.PathLike[str]]
    document: str
    encoding_errors: EncodingErrors

    @cached_property
    def described(self) -> list[list[Any]]:
        """The files as `nlprep.core.training.recipe.describe_files` tells them.

        Raises:
            FileError: One is missing.
        """
        return describe_files(find_text_files([path for path in self.paths if str(path) != STANDARD_INPUT]))

    def documents(self, progress: Progress) -> Iterable[str]:
        """The documents, read anew.

        Raises:
            OptionError: Standard input is among the files.
        """
        if any(str(path) == STANDARD_INPUT for path in self.paths):
            raise OptionError("standard input can be read once, and pretraining may read its text twice: give a file")
        return read_documents(self.paths, unit=self.document, encoding_errors=self.encoding_errors, progress=progress)

    def fingerprint(self, *more: Any) -> str:
        """Of the text, as it is read, and of what else something made of it depends on."""
        state = [self.described, self.document, self.encoding_errors, *more]
        return hashlib.sha256(json.dumps(state).encode()).hexdigest()[:16]


def prepare_text(
    run: TrainingRun,
    text: RunText,
    tokenizer: PreTrainedTokenizerFast | TokenizerConfig,
    *,
    validation_fraction: float,
) -> PreTrainedTokenizerFast:
    """Make ``tokenizer`` (unless one is given) and ``tokens`` in a run's directory, where they are not there already.

    The main process does, the others find everything made.

    Returns:
        The tokenizer.

    Raises:
        OptionError: Tokens were made of another text, or by another tokenizer, and trained on.
        NlprepError: As `train_tokenizer` and `tokenize_documents` do.
    """
    with run.accelerator.main_process_first():
        if isinstance(tokenizer, TokenizerConfig):
            tokenizer = _prepare_tokenizer(run, text, tokenizer)
        _prepare_tokens(run, text, tokenizer, validation_fraction)
    return tokenizer


def _prepare_tokenizer(run: TrainingRun, text: RunText, config: TokenizerConfig) -> PreTrainedTokenizerFast:
    from nlprep.language_models.text.tokenizers import fill_tokenizer, load_tokenizer, train_tokenizer

    directory = run.directory / "tokenizer"
    mark = directory / _MADE_OF
    made_of = json.dumps({"made_of": text.fingerprint(to_mapping(config))}) + "\n"
    # One of an attempt that never came to training may be of other settings, or of another text.
    if not run.trained and not (mark.is_file() and mark.read_text(encoding="utf-8") == made_of):
        tokenizer = train_tokenizer(text.documents(run.progress), config, progress=run.progress)
        with atomic_directory(directory, kind=KIND) as assembly:
            fill_tokenizer(tokenizer, assembly)
            (assembly / _MADE_OF).write_text(made_of, encoding="utf-8")
    return load_tokenizer(directory)


def _prepare_tokens(
    run: TrainingRun, text: RunText, tokenizer: PreTrainedTokenizerFast, validation_fraction: float
) -> None:
    from nlprep.language_models.text.token_files import TokenFile, tokenize_documents
    from nlprep.language_models.text.tokenizers import tokenizer_digest

    directory = run.directory / "tokens"
    fingerprint = text.fingerprint(tokenizer_digest(tokenizer), validation_fraction)
    if directory.exists():
        if TokenFile.load(directory, "all").provenance.get("fingerprint") == fingerprint:
            return
        if run.trained:
            raise OptionError(
                f"{run.directory}: the text or the tokenizer has changed since this run began: name a new directory"
            )
    tokenize_documents(
        text.documents(run.progress), tokenizer, directory, validation_fraction=validation_fraction,
        provenance={"fingerprint": fingerprint}, progress=run.progress,
    )  # fmt: skip
