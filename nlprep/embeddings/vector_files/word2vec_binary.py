r"""Vectors in word2vec's binary format: a header line, then a word, a space and float32 numbers for each row.

    2 3\n the<space><3 x 4 bytes, little-endian> of<space><12 bytes>

word2vec.c writes a line feed after each vector and gensim does not; both are read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from nlprep.core.errors import NlprepError
from nlprep.core.files import atomic_file
from nlprep.core.progress import SILENT, Progress
from nlprep.embeddings.vector_files.recognition import LONGEST_WORD, WORD2VEC_FILE, split_rows
from nlprep.embeddings.vector_files.rows import BadRowError, Reading, VectorRows
from nlprep.embeddings.vector_files.word2vec_text import check_header, parse_header
from nlprep.embeddings.word_vectors import first_non_finite_row

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray

    from nlprep.embeddings.word_vectors import WordVectors

_BLOCK = 1 << 22
_ROWS_AT_FIRST = 4096
_WRITTEN_ROWS = 2048


def read_binary(stream: BinaryIO, head: bytes, reading: Reading) -> WordVectors:
    """Read word2vec's binary format.

    Args:
        stream: The file, from behind ``head``.
        head: What has been read of it; the header line at least.
        reading: What was asked.

    Raises:
        FileError: As `nlprep.embeddings.vector_files.formats.read_vectors` says.
    """
    first, _, data = head.partition(b"\n")
    counts = parse_header(first)
    if counts is None:
        raise reading.error(f"expected the header 'words dimension', found {first[:40]!r}: name a vector file", line=1)
    promised, dimension = counts
    check_header(reading, promised, dimension)
    width = 4 * dimension
    expected = min(_ROWS_AT_FIRST, (1 << 24) // dimension) if reading.size is None else reading.size // (width + 2) + 1
    rows = VectorRows(reading, dimension, min(expected, promised))
    found = 0
    with reading.progress.task(f"Reading {reading.name}", reading.size) as task:
        while found < promised and not rows.full:
            words, vectors, used = split_rows(data, width, promised - found)
            if words:
                _keep(rows, words, np.frombuffer(b"".join(vectors), dtype="<f4").reshape(-1, dimension), found)
                found += len(words)
                task.advance(used)
                data = data[used:]
                continue
            if len(data) > width + LONGEST_WORD:
                raise reading.error(
                    f"no space within {LONGEST_WORD:,} bytes, where word {found + 1:,} of {promised:,} "
                    "should end: the file is damaged or not word2vec binary; get it again or name its format"
                )
            more = stream.read(max(_BLOCK, width))
            if not more:
                rows.complain(
                    f"the header promises {promised:,} words, found {found:,} whole ones: the file may be "
                    "cut short; re-download it or pass --skip-bad-lines"
                )
                break
            data += more
    if found == promised and not rows.full:
        data += stream.read(_BLOCK)
        if data.strip(b" \t\r\n"):
            rows.complain(
                f"the header promises {promised:,} words, found more bytes behind them: correct the header "
                "or pass --skip-bad-lines"
            )
    return rows.finish()


def _keep(rows: VectorRows, raw: list[bytes], matrix: NDArray[np.float32], found: int) -> None:
    if first_non_finite_row(matrix) is None:
        try:
            words = b"\n".join(raw).decode("utf-8").split("\n")
        except UnicodeDecodeError:
            words = []
        if len(words) == len(raw) and all(words) and rows.keep_all(words, matrix):
            return
    for number, (name, vector) in enumerate(zip(raw, matrix, strict=True), start=found + 1):
        if rows.full:
            return
        try:
            word = rows.decode(name)
        except BadRowError as error:
            rows.complain(f"word {number:,}: {error}")
            continue
        if word is None:
            continue
        if not np.isfinite(vector).all():
            rows.complain(
                f"word {number:,}: the vector of {word[:40]!r} holds NaN or infinity: train or export the "
                "vectors again or pass --skip-bad-lines"
            )
            continue
        rows.keep(word, vector)


def write_binary(
    vectors: WordVectors, path: str | os.PathLike[str], *, overwrite: bool = False, progress: Progress = SILENT
) -> None:
    """Write word2vec's binary format, a line feed after each vector as word2vec.c does.

    Args:
        vectors: What to write.
        path: The file.
        overwrite: Whether a file of word vectors there may be replaced.
        progress: Where to show rows written.

    Raises:
        NlprepError: A word is empty or holds a space, which ends a word in this format.
        FileError: The place cannot be written, or the disk is full; ``path`` is then untouched.
    """
    encoded = [word.encode("utf-8") for word in vectors.words]
    for word in encoded:
        if not word or b" " in word:
            raise NlprepError(
                f"the word {word.decode()!r} cannot be written as word2vec binary, since it is empty or "
                "holds a space: rename it or write an artifact"
            )
    with (
        atomic_file(path, format=WORD2VEC_FILE, overwrite=overwrite) as stream,
        progress.task(f"Writing {path}", len(vectors)) as task,
    ):
        stream.write(f"{len(vectors)} {vectors.dimension}\n".encode())
        for start in range(0, len(vectors), _WRITTEN_ROWS):
            matrix = np.ascontiguousarray(vectors.matrix[start : start + _WRITTEN_ROWS], dtype="<f4")
            for word, vector in zip(encoded[start : start + _WRITTEN_ROWS], matrix, strict=True):
                stream.write(b"%b %b\n" % (word, vector.tobytes()))
            task.advance(len(matrix))
