"""What several commands read: text files, texts one a line, and models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.options import complete
from nlprep.language_models.text.documents import DOCUMENT_UNITS

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from transformers import PreTrainedModel, PreTrainedTokenizerFast

    from cli.console import Console
    from cli.options import Parser

ENCODING_ERRORS = ("strict", "replace", "ignore", "skip-line")


def add_text(parser: Parser, *, required: bool = True) -> None:
    """Add ``TEXT...``; `documents_of` reads it."""
    complete(
        parser.add_argument(
            "text",
            nargs="+" if required else "*",
            metavar="TEXT",
            help="text files or folders of them; plain, .gz, .xz, .zst; - is standard input",
        )
    )


def add_encoding_errors(group: argparse._ActionsContainer) -> None:
    """Add ``--encoding-errors``."""
    group.add_argument(
        "--encoding-errors",
        choices=ENCODING_ERRORS,
        default="strict",
        help="what to do with bytes that are not UTF-8 (default: strict, an error)",
    )


def add_reading(parser: Parser) -> None:
    """Add the options that say how text is read."""
    group = parser.add_argument_group("text")
    group.add_argument("--document", choices=DOCUMENT_UNITS, default="line", help="what a document is (default: line)")
    add_encoding_errors(group)


def documents_of(arguments: argparse.Namespace, console: Console) -> Iterator[str]:
    """The documents that `add_text` and `add_reading` asked for.

    Raises:
        FileError: A file is missing or not UTF-8.
        NlprepError: There is no text at all.
    """
    from nlprep.language_models.text.documents import read_documents

    return read_documents(
        arguments.text,
        unit=arguments.document,
        encoding_errors=arguments.encoding_errors,
        progress=console.progress,
    )


def add_model(parser: Parser, what: str, *, several: bool = False) -> None:
    """Add ``MODEL``, or ``MODEL...``."""
    action = parser.add_argument(
        "models" if several else "model",
        nargs="+" if several else None,
        metavar="MODEL",
        help=f"{what}: a run of rep-pretrain, or a transformers directory",
    )
    complete(action, "directory")


def add_device(parser: Parser) -> None:
    """Add ``--device``."""
    parser.add_argument("--device", metavar="NAME", help="cpu, cuda, ... (default: a GPU where there is one)")


def load_model(arguments: argparse.Namespace, kind: str) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """The model of ``MODEL`` and its tokenizer, on the device asked for.

    Args:
        arguments: Of a command with `add_model` and `add_device`.
        kind: ``masked``, ``causal`` or ``encoder``.

    Raises:
        FileError: There is no such model.
        OptionError: There is no such device.
    """
    from nlprep.core.devices import find_device
    from nlprep.language_models.models.files import load_language_model

    device = find_device(arguments.device)
    model, tokenizer = load_language_model(arguments.model, kind)
    model.to(device)  # type: ignore[arg-type]
    return model, tokenizer


def kind_of(path: str) -> str:
    """Whether a model's directory holds a ``masked``, ``causal`` or ``translation`` model, by what it says of itself.

    Raises:
        FileError: There is no model.
    """
    from nlprep.core.artifacts import read_config
    from nlprep.language_models.models.files import find_model

    names = read_config(find_model(path)).get("architectures") or []
    if any(name == "EncoderDecoderModel" for name in names):
        return "translation"
    return "masked" if any(name.endswith(("ForMaskedLM", "ForPreTraining")) for name in names) else "causal"


def lines_of(path: str) -> Iterator[str]:
    """The lines of a text file that are not blank; ``-`` is standard input.

    Raises:
        FileError: It cannot be read, or a line is not UTF-8.
    """
    from nlprep.core.files import read_lines

    return (line for _, line in read_lines(path) if line.strip())
