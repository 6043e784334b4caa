"""Where every reader of vector files puts its rows, and what becomes of bad and repeated ones."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nlprep.core.errors import FileError
from nlprep.core.progress import SILENT, Progress
from nlprep.embeddings.word_vectors import WordVectors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from nlprep.core.files import EncodingErrors

LARGEST_DIMENSION = 1 << 20
"""Beyond this a dimension is taken for damage."""


class VectorFileWarning(UserWarning):
    """A vector file was read, but some of its rows were left out."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What was asked of a reader.

    Attributes:
        name: The file's name for messages.
        limit: How many words to keep at most.
        skip_bad_lines: Whether to leave bad rows out rather than fail.
        encoding_errors: What to do with words that are not UTF-8.
        threads: Threads to parse with.
        progress: Whom to tell.
        size: Bytes of the file where it is plain, None where that is unknown.
    """

    name: str
    limit: int | None = None
    skip_bad_lines: bool = False
    encoding_errors: EncodingErrors = "strict"
    threads: int = 1
    progress: Progress = SILENT
    size: int | None = None

    def error(self, problem: str, *, line: int | None = None) -> FileError:
        """A `FileError` about this file."""
        return FileError(self.name, problem, line=line)


class BadRowError(Exception):
    """A row that is no word with finite numbers; its text is what was seen and what to do."""


class VectorRows:
    """The rows kept so far, and what was wrong with the others.

    Args:
        reading: What was asked.
        dimension: Numbers in a vector.
        expected: How many rows to make room for at first; memory is used as rows come.
    """

    def __init__(self, reading: Reading, dimension: int, expected: int) -> None:
        self.reading = reading
        self.dimension = dimension
        self.words: list[str] = []
        self._matrix: NDArray[np.float32] = np.empty((0, dimension), dtype=np.float32)
        self._seen: set[str] = set()
        self._num_repeated = 0
        self._first_repeated = ""
        self._num_bad = 0
        self._first_bad = ""
        if reading.limit is not None:
            expected = min(expected, reading.limit)
        self._make_room(max(1, expected))

    def _make_room(self, num_rows: int) -> None:
        if num_rows <= len(self._matrix):
            return
        try:
            if not len(self._matrix):
                self._matrix = np.empty((num_rows, self.dimension), dtype=np.float32)
            else:
                # In place where the allocator can: a copy would need the memory twice. Nobody has a view yet.
                longer = max(num_rows, len(self._matrix) * 3 // 2)
                self._matrix.resize((longer, self.dimension), refcheck=False)
        except (MemoryError, ValueError):
            raise self.reading.error(
                f"{num_rows:,} vectors of {self.dimension:,} numbers do not fit in memory: pass a limit"
            ) from None

    @property
    def full(self) -> bool:
        """Whether as many words are kept as were asked for."""
        return self.reading.limit is not None and len(self.words) >= self.reading.limit

    def keep_all(self, words: Sequence[str], matrix: NDArray[np.float32]) -> bool:
        """Keep rows if none is a repetition and the limit allows all of them; say whether it did."""
        fresh = set(words)
        limit = self.reading.limit
        if limit is not None and len(self.words) + len(words) > limit:
            return False
        if len(fresh) != len(words) or not self._seen.isdisjoint(fresh):
            return False
        self._seen |= fresh
        start = len(self.words)
        self._make_room(start + len(words))
        self._matrix[start : start + len(words)] = matrix
        self.words.extend(words)
        return True

    def keep(self, word: str, vector: NDArray[np.float32], *, line: int | None = None) -> None:
        """Keep a row unless its word is a repetition: the first vector of a word counts."""
        if word in self._seen:
            if not self._num_repeated:
                place = self.reading.name if line is None else f"{self.reading.name}:{line}"
                self._first_repeated = f"{place}: the word {word!r} comes again"
            self._num_repeated += 1
            return
        self._seen.add(word)
        self._make_room(len(self.words) + 1)
        self._matrix[len(self.words)] = vector
        self.words.append(word)

    def complain(self, problem: str, *, line: int | None = None) -> None:
        """Note a problem of a row that is left out, or fail if bad rows are not to be skipped."""
        error = self.reading.error(problem, line=line)
        if not self.reading.skip_bad_lines:
            raise error
        if not self._num_bad:
            self._first_bad = str(error)
        self._num_bad += 1

    def decode(self, raw: bytes) -> str | None:
        """A word from its bytes, by the encoding policy; None if the row is to be passed over.

        Raises:
            BadRowError: Not UTF-8 where that is an error, or empty.
        """
        policy = self.reading.encoding_errors
        try:
            word = raw.decode("utf-8", "strict" if policy == "skip-line" else policy)
        except UnicodeDecodeError as error:
            if policy == "skip-line":
                return None
            raise BadRowError(
                f"the word {raw[:40]!r} is not UTF-8 (byte 0x{raw[error.start]:02x}): convert the file to "
                "UTF-8, or choose an encoding-errors policy (replace, ignore or skip-line)"
            ) from None
        if not word:
            raise BadRowError("the word is empty: remove the row or pass --skip-bad-lines")
        if "\n" in word:
            raise BadRowError(f"the word {word[:40]!r} holds a line feed: pass --skip-bad-lines")
        return word

    def finish(self) -> WordVectors:
        """The vectors that were kept; warns of those that were not.

        Raises:
            FileError: None was kept.
        """
        if not self.words:
            problem = "holds no usable vector: name a file of word vectors"
            raise self.reading.error(f"{problem} ({self._first_bad})" if self._first_bad else problem)
        kept = self._matrix[: len(self.words)]
        if len(self._matrix) > 2 * len(kept):
            # Do not hold on to room for rows that never came.
            kept = kept.copy()
        if self._num_repeated:
            count = f"{self._num_repeated:,} repeated word{'s' if self._num_repeated > 1 else ''}"
            message = f"{self._first_repeated}: kept the first vector of each, dropped {count}"
            warnings.warn(message, VectorFileWarning, stacklevel=5)
        if self._num_bad:
            message = f"skipped {self._num_bad:,} bad line{'s' if self._num_bad > 1 else ''}; {self._first_bad}"
            warnings.warn(message, VectorFileWarning, stacklevel=5)
        return WordVectors(self.words, kept, check=False)
