"""Vectors as text: word2vec's format, with a header line, and GloVe's, without.

    2 3                       number of words, dimension (word2vec only)
    the 0.1 -0.2 3e-05        word, then the numbers, between spaces or tabs
    of 0.4 0.5 0.6

The reader is a compiled kernel over blocks of whole lines (`nlprep.embeddings.vector_files.text_parse_kernel`), several
blocks at once; a line in which it finds anything unusual is read again here, with care and in plain Python.
"""

from __future__ import annotations

import re
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from nlprep.core.errors import NlprepError
from nlprep.core.files import atomic_file
from nlprep.core.progress import SILENT, Progress
from nlprep.core.threads import resolve_threads
from nlprep.embeddings.vector_files.recognition import WORD2VEC_FILE
from nlprep.embeddings.vector_files.rows import LARGEST_DIMENSION, BadRowError, Reading, VectorRows

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator
    from concurrent.futures import Future

    from numpy.typing import NDArray

    from nlprep.embeddings.word_vectors import WordVectors

_FIRST_BLOCK = 1 << 18
_LARGEST_BLOCK = 1 << 22
_LONGEST_LINE = 1 << 24
_ROWS_AT_FIRST = 4096
_WRITTEN_ROWS = 1024
_WRITTEN_NUMBERS = 1 << 21
_HEADER = re.compile(rb"[ \t]*(\d{1,18})[ \t]+(\d{1,18})[ \t\r]*")
_NUMBER = re.compile(rb"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_NOT_FINITE = re.compile(rb"[+-]?(?:nan|inf|infinity)", re.IGNORECASE)
_FIELD = re.compile(rb"[^ \t]+")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def parse_header(line: bytes) -> tuple[int, int] | None:
    """Number of words and dimension, if ``line`` is a header of word2vec."""
    match = _HEADER.fullmatch(line)
    return None if match is None else (int(match[1]), int(match[2]))


def is_number(field: bytes) -> bool:
    """Whether a field is a number as these files write them, NaN and infinity included."""
    return bool(_NUMBER.fullmatch(field) or _NOT_FINITE.fullmatch(field))


def guess_dimension(line: bytes) -> int:
    """The dimension that a row has if its word is as short as may be; 0 if it is no row."""
    fields = _FIELD.findall(line.rstrip(b" \t\r\n"))
    numbers = 0
    while numbers < len(fields) - 1 and is_number(fields[-1 - numbers]):
        numbers += 1
    return numbers


def check_header(reading: Reading, num_words: int, dimension: int) -> None:
    """Refuse a header that promises nothing or nonsense.

    Raises:
        FileError: No words, dimension 0, or a dimension past belief.
    """
    if num_words == 0 or not 0 < dimension <= LARGEST_DIMENSION:
        raise reading.error(
            f"the header promises {num_words:,} words of {dimension:,} numbers: it is damaged or empty; make it again",
            line=1,
        )


def read_text(stream: BinaryIO, head: bytes, reading: Reading, *, header: bool) -> WordVectors:
    """Read rows of text.

    Args:
        stream: The file, from behind ``head``.
        head: What has been read of it.
        reading: What was asked.
        header: Whether the first line is word2vec's header.

    Raises:
        FileError: As `nlprep.embeddings.vector_files.formats.read_vectors` says.
    """
    head = head.removeprefix(_BYTE_ORDER_MARK)
    while b"\n" not in head and len(head) <= _LONGEST_LINE and (more := stream.read(_FIRST_BLOCK)):
        head += more
    first, _, rest = head.partition(b"\n")
    promised = None
    if header:
        counts = parse_header(first)
        if counts is None:
            raise reading.error(
                f"expected the header 'words dimension', found {first[:40]!r}: name the format glove if there is none",
                line=1,
            )
        promised, dimension = counts
        check_header(reading, promised, dimension)
        head = rest
    else:
        dimension = guess_dimension(first)
        if not 0 < dimension <= LARGEST_DIMENSION:
            raise reading.error(f"expected a word and numbers, found {first[:40]!r}: name a vector file", line=1)
    # A row takes two bytes a number or more: a lying header cannot ask for more room than the file's size.
    if reading.size is None:
        expected = min(_ROWS_AT_FIRST, (1 << 24) // dimension)
    else:
        expected = reading.size // (2 * dimension) + 1
    if reading.size is not None and promised is None:
        expected = min(expected, reading.size // max(1, len(first) * 3 // 4) + 1)
    rows = VectorRows(reading, dimension, min(expected, promised or expected))
    parser = _TextParser(rows, promised, first_line=2 if header else 1)
    with reading.progress.task(f"Reading {reading.name}", reading.size) as task:
        for num_bytes in parser.run(stream, head):
            task.advance(num_bytes)
    parser.check_promise()
    return rows.finish()


@dataclass(frozen=True)
class _Block:
    """Whole lines, and what the kernel makes of them; its arrays are described in `parse_lines`."""

    buffer: NDArray[np.uint8]
    stop: int
    starts: NDArray[np.int64]
    usual: NDArray[np.bool_]
    matrix: NDArray[np.float32]
    packed: bytes


def _parse_block(buffer: NDArray[np.uint8], stop: int, dimension: int) -> _Block:
    from nlprep.embeddings.vector_files.text_parse_kernel import POWERS, count_lines, parse_lines

    num_lines = count_lines(buffer, stop)
    starts = np.empty(num_lines + 1, dtype=np.int64)
    usual = np.empty(num_lines, dtype=np.bool_)
    matrix = np.empty((min(num_lines, stop // (2 * dimension + 2)) + 1, dimension), dtype=np.float32)
    packed = np.empty(stop, dtype=np.uint8)
    filled = parse_lines(buffer, stop, POWERS, matrix, starts, packed, usual)
    return _Block(buffer, stop, starts, usual, matrix, packed[:filled].tobytes())


class _TextParser:
    """Blocks parsed by several threads and taken in order.

    Args:
        rows: Where the rows go.
        promised: How many rows the header promises.
        first_line: Number of the first line of the rows.
    """

    def __init__(self, rows: VectorRows, promised: int | None, *, first_line: int) -> None:
        self.rows = rows
        self.reading = rows.reading
        self.promised = promised
        self.num_found = 0
        self._line = first_line
        self._blank: int | None = None

    def run(self, stream: BinaryIO, head: bytes) -> Iterator[int]:
        """Take every block, or as many as the limit asks for; yield the bytes of each."""
        waiting: deque[Future[_Block]] = deque()
        with ThreadPoolExecutor(self.reading.threads) as pool:
            try:
                for buffer, stop in _line_blocks(stream, head, self.reading):
                    waiting.append(pool.submit(_parse_block, buffer, stop, self.rows.dimension))
                    if len(waiting) > self.reading.threads:
                        yield self._take(waiting.popleft().result())
                    if self.rows.full:
                        return
                while waiting and not self.rows.full:
                    yield self._take(waiting.popleft().result())
            finally:
                for block in waiting:
                    block.cancel()

    def _take(self, block: _Block) -> int:
        """Keep the rows of a parsed block, in one go where nothing is unusual."""
        if not self._take_all(block):
            usual = 0
            for row, is_usual in enumerate(block.usual):
                if self.rows.full:
                    break
                line = block.buffer[block.starts[row] : block.starts[row + 1]].tobytes()
                self._take_line(line, block.matrix[usual] if is_usual else None)
                usual += bool(is_usual)
                self._line += 1
        return block.stop

    def _take_all(self, block: _Block) -> bool:
        num_lines = len(block.usual)
        if self._blank is not None or not block.usual.all():
            return False
        if self.promised is not None and self.num_found + num_lines > self.promised:
            return False
        try:
            words = block.packed.decode("utf-8").split("\n")[:-1]
        except UnicodeDecodeError:
            return False
        if not self.rows.keep_all(words, block.matrix[:num_lines]):
            return False
        self.num_found += num_lines
        self._line += num_lines
        return True

    def _take_line(self, line: bytes, vector: NDArray[np.float32] | None) -> None:
        """Keep one line, whose vector the kernel has read or not."""
        rows = self.rows
        if not line.strip(b" \t\r\n"):
            self._blank = self._blank or self._line
            return
        if self._blank is not None:
            # Empty lines at the end are nobody's business.
            rows.complain("found an empty line: remove it or pass --skip-bad-lines", line=self._blank)
            self._blank = None
        self.num_found += 1
        if self.promised is not None and self.num_found > self.promised:
            rows.complain(
                f"the header promises {self.promised:,} words, found more: correct line 1 or pass --skip-bad-lines",
                line=self._line,
            )
            return
        try:
            if vector is None:
                raw, vector = parse_row(line, rows.dimension)
            else:
                raw = re.split(rb"[ \t]", line, maxsplit=1)[0]
            word = rows.decode(raw)
        except BadRowError as error:
            rows.complain(str(error), line=self._line)
            return
        if word is not None:
            rows.keep(word, vector, line=self._line)

    def check_promise(self) -> None:
        """Refuse a file that ends before the words that its header promises."""
        if self.promised is not None and self.num_found < self.promised and not self.rows.full:
            self.rows.complain(
                f"the header promises {self.promised:,} words, found {self.num_found:,}: the file may be cut "
                "short; re-download it or pass --skip-bad-lines",
                line=self._line - 1,
            )


def parse_row(line: bytes, dimension: int) -> tuple[bytes, NDArray[np.float32]]:
    """Parse one line with care: the last ``dimension`` fields are numbers, what stands before is the word.

    A word may hold spaces, unless all that follows its first field are numbers: that is a row too long.

    Raises:
        BadRowError: Too few or too many numbers, one that is not a number, or not finite as float32.
    """
    fields = list(_FIELD.finditer(line.rstrip(b" \t\r\n")))
    first = fields[0][0][:40].decode("utf-8", "backslashreplace")
    found = len(fields) - 1
    expected = f"expected {dimension} values after {first!r}, found {found}"
    if found < dimension:
        raise BadRowError(f"{expected}: the file may be cut short; re-download it or pass --skip-bad-lines")
    if found > dimension and all(is_number(field[0]) for field in fields[1:]):
        raise BadRowError(f"{expected}: correct the line or pass --skip-bad-lines")
    values = np.empty(dimension, dtype=np.float32)
    with np.errstate(over="ignore"):
        for column, field in enumerate(fields[-dimension:]):
            token = field[0]
            if not is_number(token):
                shown = token[:40].decode("utf-8", "backslashreplace")
                raise BadRowError(
                    f"value {column + 1} after {first!r} is {shown!r}, not a number: correct the line or "
                    "pass --skip-bad-lines"
                )
            values[column] = np.float32(float(token))
            if not np.isfinite(values[column]):
                shown = token[:40].decode("utf-8", "backslashreplace")
                raise BadRowError(
                    f"value {column + 1} after {first!r} is {shown!r}, not a finite float32: train or export "
                    "the vectors again or pass --skip-bad-lines"
                )
    word = line[fields[0].start() : fields[-dimension].start()].rstrip(b" \t")
    return word, values


def _line_blocks(stream: BinaryIO, head: bytes, reading: Reading) -> Iterator[tuple[NDArray[np.uint8], int]]:
    """Blocks of whole lines and their sizes; a line feed is put after the last line if it has none."""
    carried: NDArray[np.uint8] = np.frombuffer(head, dtype=np.uint8)
    size = _FIRST_BLOCK
    while True:
        room = max(size, 2 * len(carried))
        # One byte more, for that line feed.
        buffer = np.empty(room + 1, dtype=np.uint8)
        filled = len(carried)
        buffer[:filled] = carried
        while filled < room and (num_read := stream.readinto(buffer[filled:room])):  # type: ignore[attr-defined]
            filled += num_read
        if filled < room:
            if filled and buffer[filled - 1] != ord("\n"):
                buffer[filled] = ord("\n")
                filled += 1
            if filled:
                yield buffer, filled
            return
        stop = _end_of_last_line(buffer, filled)
        if not stop and filled > _LONGEST_LINE:
            raise reading.error(f"a line is longer than {_LONGEST_LINE:,} bytes: name a text file of word vectors")
        carried = buffer[stop:filled]
        if stop:
            yield buffer, stop
        size = min(size * 2, _LARGEST_BLOCK)


def _end_of_last_line(buffer: NDArray[np.uint8], filled: int) -> int:
    """Where the last whole line ends; 0 if there is none."""
    size = 1 << 15
    while True:
        start = max(0, filled - size)
        found = buffer[start:filled].tobytes().rfind(b"\n")
        if found >= 0:
            return start + found + 1
        if start == 0:
            return 0
        size *= 4


def write_text(
    vectors: WordVectors,
    path: str | os.PathLike[str],
    *,
    threads: int | None = None,
    overwrite: bool = False,
    progress: Progress = SILENT,
) -> None:
    """Write word2vec text, every number with the fewest digits that read back as the same float32.

    Args:
        vectors: What to write.
        path: The file.
        threads: Threads that format numbers; every processor if None.
        overwrite: Whether a file of word vectors there may be replaced.
        progress: Where to show rows written.

    Raises:
        NlprepError: A word could not be told from the numbers when the file is read again.
        FileError: The place cannot be written, or the disk is full; ``path`` is then untouched.
    """
    num_threads = resolve_threads(threads)
    encoded = [word.encode("utf-8") for word in vectors.words]
    for word in encoded:
        _check_writable(word)
    rows_at_once = max(1, min(_WRITTEN_ROWS, _WRITTEN_NUMBERS // vectors.dimension))
    waiting: deque[Future[memoryview]] = deque()
    with (
        atomic_file(path, format=WORD2VEC_FILE, overwrite=overwrite) as stream,
        progress.task(f"Writing {path}", len(vectors)) as task,
        ThreadPoolExecutor(num_threads) as pool,
    ):
        stream.write(f"{len(vectors)} {vectors.dimension}\n".encode())
        for start in range(0, len(vectors), rows_at_once):
            rows = slice(start, start + rows_at_once)
            waiting.append(pool.submit(_format_rows, encoded[rows], vectors.matrix[rows]))
            if len(waiting) > num_threads:
                stream.write(waiting.popleft().result())
                task.advance(rows_at_once)
        for lines in waiting:
            stream.write(lines.result())


def _format_rows(words: list[bytes], matrix: NDArray[np.float32]) -> memoryview:
    from nlprep.embeddings.vector_files.text_format_kernel import BYTES_PER_NUMBER, POWERS, format_rows

    ends = np.cumsum([len(word) for word in words], dtype=np.int64)
    joined = np.frombuffer(bytearray(b"".join(words)), dtype=np.uint8)
    out = np.empty(len(joined) + len(words) * (BYTES_PER_NUMBER * matrix.shape[1] + 1), dtype=np.uint8)
    filled = format_rows(joined, ends, matrix.view(np.uint32), POWERS, out)
    return out[:filled].data


def _check_writable(word: bytes) -> None:
    """Refuse a word that `parse_row` would not give back."""
    if not (b" " in word or b"\t" in word) and word:
        return
    fields = word.replace(b"\t", b" ").split(b" ")
    if not word or not fields[0] or not fields[-1] or all(map(is_number, filter(None, fields[1:]))):
        raise NlprepError(
            f"the word {word.decode()!r} cannot be written as text, since it is empty, begins or ends with a "
            "space, or holds a space before a number: rename it or write word2vec-binary or an artifact"
        )
