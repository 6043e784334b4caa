"""Which files are word2vec's, as far as their content tells: text and binary, each under a header line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nlprep.core.ownership import FileFormat

if TYPE_CHECKING:
    from pathlib import Path

LONGEST_WORD = 1 << 16
_HEAD = 1 << 16
_TAIL = 1 << 20


def looks_binary(data: bytes, num_words: int, dimension: int) -> bool:
    """Whether rows behind a header are binary: float32 numbers are full of bytes that text never holds."""
    from nlprep.embeddings.vector_files.word2vec_text import guess_dimension

    line = data[: data.find(b"\n") + 1] or data
    if dimension == 0 or guess_dimension(line) >= dimension:
        return False
    # Words may hold anything, so look behind the first one only.
    numbers = line[line.find(b" ") + 1 :]
    if any(byte < 32 and byte not in b"\t\n\r" for byte in numbers):
        return True
    try:
        # A cut may go through the last character.
        numbers[:-4].decode("utf-8")
    except UnicodeDecodeError:
        return b" " in line
    # A handful of numbers may happen to look like text; rows that end where the file ends decide.
    words, _, used = split_rows(data, 4 * dimension, num_words)
    return len(words) == num_words and not data[used:].strip()


def split_rows(data: bytes, width: int, most: int) -> tuple[list[bytes], list[bytes], int]:
    """The words and the vectors' bytes of the whole rows in ``data``, and how many bytes those are."""
    words: list[bytes] = []
    vectors: list[bytes] = []
    position = 0
    while len(words) < most:
        start = position
        while data[start : start + 1] == b"\n":
            start += 1
        space = data.find(b" ", start, start + LONGEST_WORD)
        end = space + 1 + width
        if space < 0 or end > len(data):
            break
        words.append(data[start:space])
        vectors.append(data[space + 1 : end])
        position = end
    return words, vectors, position


def _is_word2vec(path: Path) -> bool:
    """Whether header, size, first rows and last row are those of vectors: a text or a table never passes."""
    from nlprep.embeddings.vector_files.word2vec_text import guess_dimension, parse_header

    with path.open("rb") as stream:
        head = stream.read(_HEAD)
        first, _, rest = head.partition(b"\n")
        counts = parse_header(first)
        if counts is None:
            return False
        num_words, dimension = counts
        size = path.stat().st_size - len(first) - 1
        if num_words < 1 or dimension < 1:
            return False
        if looks_binary(rest, num_words, dimension):
            row = 4 * dimension + 2
            return num_words * row <= size <= num_words * (row + LONGEST_WORD)
        whole = size <= len(rest)
        rows = rest.rstrip(b"\n").split(b"\n") if whole else rest.split(b"\n")[:-1]
        if whole and len(rows) != num_words:
            return False
        if not whole:
            # A row for each word, of a letter, and a digit and a blank for each number, at least.
            if size < num_words * 2 * (dimension + 1):
                return False
            stream.seek(max(0, size + len(first) + 1 - _TAIL))
            rows.append(stream.read().rstrip(b"\n").rpartition(b"\n")[2])
    return bool(rows) and all(guess_dimension(row) >= dimension for row in rows)


WORD2VEC_FILE = FileFormat("a file of word2vec vectors", recognises=_is_word2vec)
"""Both of word2vec's formats, neither of which can say who wrote a file."""
