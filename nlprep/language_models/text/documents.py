"""Documents out of text files and folders, one at a time."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from nlprep.core.errors import FileError, NlprepError, OptionError, os_errors_named
from nlprep.core.files import STANDARD_INPUT
from nlprep.core.progress import SILENT
from nlprep.corpus import read_text
from nlprep.language_models.text.configuration import DOCUMENT_UNITS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from nlprep.core.files import EncodingErrors
    from nlprep.core.progress import Progress


def check_documents(documents: Iterable[str]) -> None:
    """Fail if one text was given where many are meant, which would pass for as many as it has characters.

    Raises:
        NlprepError: It was.
    """
    if isinstance(documents, str):
        raise NlprepError("one text was given where documents are meant: put it in a list")


def find_text_files(paths: Sequence[str | os.PathLike[str]] | str | os.PathLike[str]) -> list[str]:
    """The files named, and all files in the folders named.

    Folders are searched to the bottom, in order of names; what is hidden (a leading dot) is left out.

    Args:
        paths: Files, folders, or ``-`` for standard input.

    Raises:
        FileError: A path does not exist, or a folder holds no file.
    """
    names = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    found: list[str] = []
    for name in names:
        if str(name) == STANDARD_INPUT or not Path(name).is_dir():
            found.append(str(name))
            continue
        inside = []
        with os_errors_named(name):
            for folder, folders, files in os.walk(name):
                folders[:] = sorted(child for child in folders if not child.startswith("."))
                inside += [str(Path(folder, file)) for file in sorted(files) if not file.startswith(".")]
        if not inside:
            raise FileError(name, "the folder holds no files: name one with text files in it")
        found += inside
    return found


def read_documents(
    paths: Sequence[str | os.PathLike[str]] | str | os.PathLike[str],
    *,
    unit: str = "line",
    encoding_errors: EncodingErrors = "strict",
    progress: Progress = SILENT,
) -> Iterator[str]:
    r"""Stream the documents of text files; blank ones are left out.

    Args:
        paths: Files, plain or compressed, folders of such files, or ``-`` for standard input.
        unit: What a document is: a ``line``, a ``paragraph`` (lines up to a blank one) or a whole ``file``. The
            lines of a document are joined by ``\n``. A document is held in memory whole.
        encoding_errors: What to do with bytes that are not UTF-8.
        progress: Gets bytes read; the total is known when every file is plain.

    Raises:
        OptionError: Another unit.
        FileError: A file is missing, unreadable or, with ``strict``, not UTF-8 (file and line are named).
        NlprepError: Once everything is read: there was no text at all.
    """
    if unit not in DOCUMENT_UNITS:
        raise OptionError(f"unit = {unit!r}: choose from {', '.join(DOCUMENT_UNITS)}")
    files = find_text_files(paths)
    lines = read_text(files, encoding_errors=encoding_errors, progress=progress)
    return _without_blanks(_group(lines, unit), files)


def _group(lines: Iterator[tuple[int, str]], unit: str) -> Iterator[str]:
    if unit == "line":
        yield from (line for _, line in lines)
        return
    held: list[str] = []
    present = 0
    for file, line in lines:
        if file != present or (unit == "paragraph" and not line.strip()):
            yield "\n".join(held)
            held = []
            present = file
        if unit == "file" or line.strip():
            held.append(line)
    yield "\n".join(held)


def _without_blanks(documents: Iterator[str], files: Sequence[str]) -> Iterator[str]:
    empty = True
    for document in documents:
        if document.strip():
            empty = False
            yield document
    if empty:
        first = "<stdin>" if files[0] == STANDARD_INPUT else files[0]
        others = f" and {len(files) - 1} more" if len(files) > 1 else ""
        raise NlprepError(f"{first}{others}: no text in there: check the path, or give more files")
