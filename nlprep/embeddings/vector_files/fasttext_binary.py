"""Word vectors out of a fastText model (``.bin``): the mean of a word's own row and its character n-grams'.

The layout is that of fastText's ``saveModel``, version 12: magic number, version, twelve settings and a
double; the dictionary; one byte that says whether the matrix is quantised; its shape; its float32 rows, the
words' first and then the buckets that n-grams are hashed into. The n-grams and their hashes are computed by
gensim, which follows fastText; the file is parsed here, because gensim's parser never returns from a
dictionary that is cut short.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from nlprep.embeddings.vector_files.rows import LARGEST_DIMENSION, BadRowError, Reading, VectorRows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nlprep.core.errors import FileError
    from nlprep.embeddings.word_vectors import WordVectors

MAGIC = struct.pack("<i", 793712314)
_VERSION = 12
_BLOCK = 1 << 22
_BLOCK_WORDS = 512
_LONGEST_WORD = 1 << 16
_SUPERVISED = 3


class _Bytes:
    """A stream read in exact pieces."""

    def __init__(self, stream: BinaryIO, head: bytes, reading: Reading) -> None:
        self._stream = stream
        self._data = head
        self._at = 0
        self._reading = reading

    def _more(self) -> bool:
        more = self._stream.read(_BLOCK)
        self._data = self._data[self._at :] + more
        self._at = 0
        return bool(more)

    def cut_short(self) -> FileError:
        return self._reading.error("the fastText model is cut short or damaged: re-download it")

    def take(self, layout: str) -> tuple[int, ...]:
        size = struct.calcsize(layout)
        while len(self._data) - self._at < size:
            if not self._more():
                raise self.cut_short()
        values = struct.unpack_from(layout, self._data, self._at)
        self._at += size
        return values

    def take_word(self) -> bytes:
        while (end := self._data.find(b"\0", self._at)) < 0:
            if len(self._data) - self._at > _LONGEST_WORD or not self._more():
                raise self.cut_short()
        word = self._data[self._at : end]
        self._at = end + 1
        return word

    def take_matrix(self, num_rows: int, num_columns: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
        """Rows of float32; memory is asked for as the bytes come, so a lying shape costs nothing."""
        wanted = 4 * num_rows * num_columns
        size = self._reading.size
        if size is not None and wanted > size:
            raise self.cut_short()
        pieces = bytearray(self._data[self._at : self._at + wanted])
        while len(pieces) < wanted:
            more = self._stream.read(min(4 * _BLOCK, wanted - len(pieces)))
            if not more:
                raise self.cut_short()
            pieces += more
        return np.frombuffer(pieces, dtype="<f4").reshape(num_rows, num_columns)


@dataclass(frozen=True)
class _Subwords:
    shortest: int
    longest: int
    num_buckets: int


def read_fasttext(stream: BinaryIO, head: bytes, reading: Reading) -> WordVectors:
    """Read the word vectors of an unsupervised fastText model.

    Args:
        stream: The file, from behind ``head``.
        head: What has been read of it.
        reading: What was asked.

    Raises:
        FileError: Not such a model, of another version, supervised, quantised, damaged or cut short.
    """
    data = _Bytes(stream, head, reading)
    if not head.startswith(MAGIC):
        raise reading.error(f"begins with {head[:4]!r}, not as a fastText model does: name its format")
    _, version = data.take("<2i")
    if version != _VERSION:
        raise reading.error(f"is of fastText version {version}, expected {_VERSION}: save it with a current fastText")
    dimension, _, _, _, _, _, _, kind, buckets, shortest, longest, _ = data.take("<12i")
    data.take("<d")
    size, num_words, num_labels = data.take("<3i")
    _, num_pruned = data.take("<2q")
    if kind == _SUPERVISED or num_labels > 0:
        raise reading.error("is a supervised fastText model, a classifier: name a skipgram or cbow model")
    if num_words != size or num_words < 1 or not 0 < dimension <= LARGEST_DIMENSION or buckets < 0:
        raise data.cut_short()
    raw = []
    for _ in range(size):
        raw.append(data.take_word())
        data.take("<qb")
    if num_pruned > 0:
        raise reading.error("is a pruned (quantised) fastText model: name the full .bin")
    (quantised,) = data.take("<?")
    if quantised:
        raise reading.error("is a quantised fastText model (.ftz): name the full .bin")
    num_rows, num_columns = data.take("<2q")
    if num_columns != dimension or num_rows != num_words + buckets:
        raise data.cut_short()
    matrix = data.take_matrix(num_rows, num_columns)
    rows = VectorRows(reading, dimension, num_words)
    subwords = _Subwords(shortest, longest, buckets)
    with reading.progress.task(f"Composing {reading.name}", num_words) as task:
        for start in range(0, num_words, _BLOCK_WORDS):
            names = raw[start : start + _BLOCK_WORDS]
            _keep(rows, names, matrix, start, subwords)
            task.advance(len(names))
            if rows.full:
                break
    return rows.finish()


def _keep(
    rows: VectorRows,
    raw: list[bytes],
    matrix: NDArray[np.float32],
    start: int,
    subwords: _Subwords,
) -> None:
    from gensim.models.fasttext import ft_ngram_hashes

    num_words = len(matrix) - subwords.num_buckets
    for number, name in enumerate(raw, start=start):
        if rows.full:
            return
        try:
            word = rows.decode(name)
        except BadRowError as error:
            rows.complain(f"word {number + 1:,}: {error}")
            continue
        if word is None:
            continue
        parts = [number]
        # fastText gives its end-of-sentence mark no n-grams.
        if subwords.num_buckets and 0 < subwords.shortest <= subwords.longest and word != "</s>":
            hashes = ft_ngram_hashes(word, subwords.shortest, subwords.longest, subwords.num_buckets)
            parts += [num_words + int(value) for value in hashes]
        vector = matrix[parts].mean(axis=0, dtype=np.float32)
        if not np.isfinite(vector).all():
            rows.complain(
                f"word {number + 1:,}: the vector of {word[:40]!r} holds NaN or infinity: train the model "
                "again or pass --skip-bad-lines"
            )
            continue
        rows.keep(word, vector)
