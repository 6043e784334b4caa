"""Files of word vectors: read in any of the usual formats, plain or compressed, and written in three."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal, get_args

from nlprep.core.artifacts import artifact_kind
from nlprep.core.errors import FileError, OptionError, os_errors_named
from nlprep.core.files import (
    STANDARD_INPUT,
    EncodingErrors,
    display_name,
    is_compressed,
    open_binary,
    parse_encoding_errors,
)
from nlprep.core.ownership import check_replaceable
from nlprep.core.progress import SILENT, Progress
from nlprep.core.threads import resolve_threads
from nlprep.embeddings.vector_files.recognition import WORD2VEC_FILE, looks_binary
from nlprep.embeddings.vector_files.rows import Reading, VectorFileWarning
from nlprep.embeddings.word_vectors import ARTIFACT_KIND, WordVectors

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

__all__ = [
    "ReadFormat",
    "VectorFileWarning",
    "WriteFormat",
    "check_vectors_output",
    "format_of_name",
    "read_vectors",
    "write_vectors",
]

ReadFormat = Literal["auto", "word2vec", "word2vec-binary", "glove", "fasttext", "artifact"]
"""Formats that `read_vectors` knows."""

WriteFormat = Literal["word2vec", "word2vec-binary", "artifact"]
"""Formats that `write_vectors` knows."""

_HEAD = 1 << 16
_OTHERS = {
    b"PK\x03\x04": "is a zip archive: unpack it first",
    b"\x80\x02": "is a Python pickle, which is never opened: export it with save_word2vec_format",
    b"\x80\x03": "is a Python pickle, which is never opened: export it with save_word2vec_format",
    b"\x80\x04": "is a Python pickle, which is never opened: export it with save_word2vec_format",
    b"\x80\x05": "is a Python pickle, which is never opened: export it with save_word2vec_format",
    b"\x93NUMPY": "is a NumPy array without words: name a file of word vectors",
}


def read_vectors(
    path: str | os.PathLike[str],
    *,
    format: ReadFormat = "auto",  # noqa: A002
    limit: int | None = None,
    skip_bad_lines: bool = False,
    encoding_errors: EncodingErrors = "strict",
    threads: int | None = None,
    progress: Progress = SILENT,
) -> WordVectors:
    r"""Read word vectors from a file, plain or compressed (gzip, xz, zstandard, bzip2), or an artifact.

    Formats: ``word2vec`` text, ``word2vec-binary``, ``glove`` (text without a header), ``fasttext`` (a
    model's ``.bin``; n-grams are averaged in) and ``artifact`` (a directory, opened memory-mapped).

    What becomes of irregular files:

    - a repeated word: the first vector counts; one `VectorFileWarning` says how many and where the first is;
    - too few or too many numbers, something that is no number, NaN, infinity, an empty line between rows, a
      row without a word, more or fewer rows than the header promises: an error with the line, or with
      ``skip_bad_lines`` left out, and one `VectorFileWarning` says how many and what the first was;
    - words with spaces: taken whole, unless all that follows the first space are numbers, which is a row too
      long;
    - ``\r\n`` line ends, spaces at line ends, tabs, a byte-order mark, empty lines at the end, a missing last
      line end, and in the binary format a line feed after each vector or none: all accepted;
    - an empty file, a header alone, dimension 0, a file of something else: an error.

    Args:
        path: The file or artifact directory; ``-`` is standard input.
        format: The format, or ``auto`` to tell by the content; names and endings do not matter.
        limit: Keep only the first so many words; what follows is not looked at.
        skip_bad_lines: Leave bad rows out, with a warning, instead of failing.
        encoding_errors: What to do with words that are not UTF-8.
        threads: Threads for parsing text; every processor if None.
        progress: Where to show bytes read.

    Raises:
        FileError: The file cannot be read as vectors; the message has the line, what was seen and what to do.
        OptionError: An unknown format or policy, or a limit or threads below 1.
    """
    if format not in get_args(ReadFormat):
        raise OptionError(f"format {format!r}: choose from {', '.join(get_args(ReadFormat))}")
    if limit is not None and limit < 1:
        raise OptionError(f"limit = {limit}: keep at least 1 word")
    policy = parse_encoding_errors(encoding_errors)
    resolved = resolve_threads(threads)
    size = None
    if str(path) != STANDARD_INPUT:
        with os_errors_named(path):
            status = Path(path).stat()
        if stat.S_ISDIR(status.st_mode):
            return _read_directory(path, format, limit)
        size = status.st_size if stat.S_ISREG(status.st_mode) else None
    if format == "artifact":
        raise FileError(display_name(path), "is a file, and an artifact is a directory: name the directory")
    if size is not None and is_compressed(path):
        size = None
    reading = Reading(
        name=display_name(path),
        limit=limit,
        skip_bad_lines=skip_bad_lines,
        encoding_errors=policy,
        threads=resolved,
        progress=progress,
        size=size,
    )
    with open_binary(path) as stream:
        return _read_stream(stream, format, reading)


def _read_directory(path: str | os.PathLike[str], format: ReadFormat, limit: int | None) -> WordVectors:  # noqa: A002
    if format not in ("auto", "artifact") or artifact_kind(path) is None:
        raise FileError(path, "is a directory but no artifact of ours: name a file in it")
    vectors = WordVectors.load(path)
    return vectors if limit is None else vectors.limit(limit)


def _read_stream(stream: BinaryIO, format: ReadFormat, reading: Reading) -> WordVectors:  # noqa: A002
    from nlprep.embeddings.vector_files.fasttext_binary import read_fasttext
    from nlprep.embeddings.vector_files.word2vec_binary import read_binary
    from nlprep.embeddings.vector_files.word2vec_text import read_text

    head = b""
    while len(head) < _HEAD and (more := stream.read(_HEAD - len(head))):
        head += more
    if not head.strip():
        raise reading.error("is empty: name a file of word vectors")
    kind = _detect(head, reading) if format == "auto" else format
    if kind == "fasttext":
        return read_fasttext(stream, head, reading)
    if kind == "word2vec-binary":
        return read_binary(stream, head, reading)
    return read_text(stream, head, reading, header=kind == "word2vec")


def _detect(head: bytes, reading: Reading) -> ReadFormat:
    """The format of a file from its beginning."""
    from nlprep.embeddings.vector_files.fasttext_binary import MAGIC
    from nlprep.embeddings.vector_files.word2vec_text import guess_dimension, parse_header

    if head.startswith(MAGIC):
        return "fasttext"
    for magic, problem in _OTHERS.items():
        if head.startswith(magic):
            raise reading.error(problem)
    first, _, rest = head.removeprefix(b"\xef\xbb\xbf").partition(b"\n")
    counts = parse_header(first)
    if counts is not None:
        return "word2vec-binary" if looks_binary(rest, *counts) else "word2vec"
    if guess_dimension(first) == 0 and (b"\n" in head or len(head) < _HEAD):
        raise reading.error(
            f"expected one of the formats {', '.join(get_args(ReadFormat)[1:])}, found {first[:40]!r}: name "
            "a file of word vectors",
            line=1,
        )
    return "glove"


def check_vectors_output(
    path: str | os.PathLike[str],
    format: WriteFormat,  # noqa: A002
    *,
    inputs: Iterable[str | os.PathLike[str]] = (),
    overwrite: bool = False,
) -> None:
    """Fail before the work if `write_vectors` would refuse to write there.

    Args:
        path: As there.
        format: As there.
        inputs: What is read, which the output must neither be nor contain nor lie in.
        overwrite: As there.

    Raises:
        FileError: It would.
    """
    kind = ARTIFACT_KIND if format == "artifact" else WORD2VEC_FILE
    check_replaceable(path, kind, inputs=inputs, overwrite=overwrite)


def write_vectors(
    vectors: WordVectors,
    path: str | os.PathLike[str],
    *,
    format: WriteFormat = "word2vec",  # noqa: A002
    threads: int | None = None,
    overwrite: bool = False,
    progress: Progress = SILENT,
) -> None:
    """Write word vectors; the target is replaced when the new one is whole, and else untouched.

    Every format gives back the same words and the same bits. Words with spaces cannot be written as
    ``word2vec-binary``, and some not as ``word2vec`` text.

    Args:
        vectors: What to write.
        path: The file, or the directory of an artifact.
        format: ``word2vec`` text, ``word2vec-binary`` or ``artifact``.
        threads: Threads for formatting text; every processor if None.
        overwrite: Whether a file of word vectors there may be replaced, or another kind of directory of ours; an
            artifact of word vectors that nobody has changed is replaced without.
        progress: Where to show rows written.

    Raises:
        NlprepError: A word that the format cannot hold.
        FileError: The place cannot be written or holds something else, or the disk is full.
        OptionError: Another format.
    """
    from nlprep.embeddings.vector_files.word2vec_binary import write_binary
    from nlprep.embeddings.vector_files.word2vec_text import write_text

    if format == "artifact":
        vectors.save(path, overwrite=overwrite)
    elif format == "word2vec":
        write_text(vectors, path, threads=threads, overwrite=overwrite, progress=progress)
    elif format == "word2vec-binary":
        write_binary(vectors, path, overwrite=overwrite, progress=progress)
    else:
        raise OptionError(f"format {format!r}: choose from {', '.join(get_args(WriteFormat))}")


def format_of_name(path: str | os.PathLike[str]) -> WriteFormat:
    """The format that a name asks for: ``.vec`` and ``.txt`` word2vec, ``.bin`` its binary kind, others an artifact.

    Raises:
        OptionError: It names nothing, or promises a format that is not written.
    """
    name = Path(path)
    if name.name in ("", ".."):
        raise OptionError(f"output {str(path)!r}: name a file or directory to write")
    suffix = name.suffix.lower()
    if suffix in (".gz", ".xz", ".zst", ".bz2"):
        raise OptionError(f"output {str(path)!r}: compressed vectors are not written; leave out {suffix}")
    written: dict[str, WriteFormat] = {".vec": "word2vec", ".txt": "word2vec", ".bin": "word2vec-binary"}
    return written.get(suffix, "artifact")
