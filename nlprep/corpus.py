"""Text to token ids: streaming readers, and a corpus encoded once and opened memory-mapped ever after.

A sentence is a line. Readers hold one line at a time; `encode_corpus` holds the vocabulary and a fixed
buffer, so that a corpus larger than memory is no different from a small one, and takes one pass, so that
standard input will do.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import unicodedata
from collections.abc import Callable, Generator, Mapping, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from nlprep.core.artifacts import fill_artifact, pack_words, read_artifact, unpack_words
from nlprep.core.errors import FileError, NlprepError, OptionError, os_errors_named
from nlprep.core.files import STANDARD_INPUT, atomic_directory, is_compressed, read_lines
from nlprep.core.progress import SILENT
from nlprep.vocabulary import Vocabulary

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import BinaryIO

    from numpy.typing import NDArray

    from nlprep.core.files import EncodingErrors
    from nlprep.core.progress import Progress, Task

Tokenizer = Callable[[str], list[str]]
"""Makes words of one line of text."""

KIND = "corpus"

_find_words = re.compile(r"\w+").findall
# Below U+0300, and in general punctuation, no character needs more care than \w gives: most text stops here.
_needs_care = re.compile("[\u0300-\u1fff\u200c\u200d\u20d0-\U0010ffff]").search
_BLOCK_TOKENS = 1 << 18
_REPORT_BYTES = 1 << 20
_CHECKED_IDS = 1 << 22


def _mark_class() -> str:
    """Every combining mark (Unicode Mn, Mc) and the two joiners, as the inside of a character class."""
    ranges: list[list[int]] = []
    for code in (*range(0x300, 0x20000), *range(0xE0100, 0xE01F0)):
        if unicodedata.category(chr(code)) in ("Mn", "Mc") or code in (0x200C, 0x200D):
            if ranges and ranges[-1][1] == code - 1:
                ranges[-1][1] = code
            else:
                ranges.append([code, code])
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in ranges)


_find_marked: Callable[[str], list[str]] | None = None


def tokenize(text: str, *, lowercase: bool = True) -> list[str]:
    r"""Words of a text: runs of letters, digits and underscores (``\w+``) of any script, lower-cased or as they are.

    Combining marks and the zero-width joiners stay inside their word, where ``\w`` alone would break Hindi or
    vocalised Arabic apart, and text that has them is composed first (NFC), so that both spellings of an é are
    one. Scripts that write no spaces between words (Chinese, Japanese, Thai) need a tokenizer of their own.
    """
    global _find_marked
    if lowercase:
        text = text.lower()
    if text.isascii() or not _needs_care(text):
        return _find_words(text)
    if _find_marked is None:
        _find_marked = re.compile(rf"\w+(?:[{_mark_class()}]+\w*)*").findall
    return _find_marked(unicodedata.normalize("NFC", text))


def read_sentences(
    paths: Sequence[str | os.PathLike[str]] | str | os.PathLike[str],
    *,
    tokenizer: Tokenizer = tokenize,
    encoding_errors: EncodingErrors = "strict",
    progress: Progress = SILENT,
) -> Iterator[list[str]]:
    """Stream the lines of text files as lists of words; lines without words are left out.

    Args:
        paths: Files, plain or compressed (gzip, xz, zstandard, bzip2), read in turn; ``-`` is standard input.
        tokenizer: Makes words of a line. A line is held in memory whole, however long it is.
        encoding_errors: What to do with bytes that are not UTF-8.
        progress: Gets bytes read; the total is known when every file is plain.

    Raises:
        FileError: At once if a file is missing or unreadable; while reading, for damaged data or, with
            ``strict``, bytes that are not UTF-8 (file and line are named).
        OptionError: No files.
    """
    lines = read_text(paths, encoding_errors=encoding_errors, progress=progress)
    return (words for _, text in lines if (words := tokenizer(text)))


def read_text(
    paths: Sequence[str | os.PathLike[str]] | str | os.PathLike[str],
    *,
    encoding_errors: EncodingErrors = "strict",
    progress: Progress = SILENT,
) -> Iterator[tuple[int, str]]:
    """Stream the lines of text files, each with the number of its file, from 0.

    Arguments and errors are those of `read_sentences`.
    """
    names = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    if not names:
        raise OptionError("no text files were given: name at least one, or - for standard input")
    total: int | None = 0
    for name in names:
        size = _plain_size(name)
        total = None if size is None or total is None else total + size
    return _stream_lines(names, encoding_errors, progress, total)


def _plain_size(path: str | os.PathLike[str]) -> int | None:
    """The size of a plain regular file; None where the amount of text cannot be known.

    Raises:
        FileError: The file cannot be read.
    """
    if str(path) == STANDARD_INPUT:
        return None
    with os_errors_named(path):
        status = Path(path).stat()
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, "is a directory")
        if not os.access(path, os.R_OK):
            raise PermissionError(errno.EACCES, "not readable")
        # A pipe must not be opened to look at it: what is read of it is gone.
        return status.st_size if stat.S_ISREG(status.st_mode) and not is_compressed(path) else None


def _stream_lines(
    paths: list[str | os.PathLike[str]], encoding_errors: EncodingErrors, progress: Progress, total: int | None
) -> Iterator[tuple[int, str]]:
    with progress.task("reading text", total) as task:
        for index, path in enumerate(paths):
            pending = 0
            for _, text in read_lines(path, encoding_errors=encoding_errors):
                pending += 1 + (len(text) if text.isascii() else len(text.encode("utf-8", "replace")))
                if pending >= _REPORT_BYTES:
                    task.advance(pending)
                    pending = 0
                yield index, text
            task.advance(pending)


def read_dataset_sentences(
    dataset: Iterable[Mapping[str, Any]],
    *,
    column: str = "text",
    tokenizer: Tokenizer = tokenize,
    progress: Progress = SILENT,
) -> Iterator[list[str]]:
    """Stream one text column of a `datasets` dataset, in memory or streaming, or of any iterable of mappings.

    Each line of a row's text is a sentence; lines without words are left out.

    Args:
        dataset: Rows; one split, not a dictionary of splits.
        column: The column of text.
        tokenizer: Makes words of a line.
        progress: Gets rows read.

    Raises:
        NlprepError: A row is no mapping, lacks the column, or holds something else than text there.
    """
    total = len(dataset) if isinstance(dataset, Sized) else None
    with progress.task("reading text", total) as task:
        for number, row in enumerate(_column_rows(dataset, column), start=1):
            if not isinstance(row, Mapping):
                raise NlprepError(
                    f"row {number} of the dataset is {row!r:.60}, expected a mapping with {column!r}: "
                    "choose a split first, such as dataset['train']"
                )
            if column not in row:
                raise NlprepError(
                    f"row {number} of the dataset has no column {column!r}: choose one of {', '.join(map(str, row))}"
                )
            text = row[column]
            if not isinstance(text, str):
                raise NlprepError(
                    f"row {number} of the dataset has {text!r:.60} in column {column!r}, expected text: "
                    "filter such rows out, or name another column"
                )
            task.advance()
            for line in text.split("\n"):
                words = tokenizer(line)
                if words:
                    yield words


def _column_rows(dataset: Iterable[Any], column: str) -> Iterator[Any]:
    columns = getattr(dataset, "column_names", None)
    if isinstance(columns, list) and column in columns and hasattr(dataset, "select_columns"):
        # Row by row, `datasets` would decode every other column (images, say) too.
        for batch in dataset.select_columns([column]).iter(batch_size=1000):
            for text in batch[column]:
                yield {column: text}
    else:
        yield from dataset


@dataclass(frozen=True)
class EncodedCorpus:
    """A corpus as word ids, memory-mapped.

    Sentence ``s`` is ``ids[offsets[s]:offsets[s + 1]]``; every sentence has at least one word.

    Attributes:
        directory: Where it lives (artifact kind ``corpus``).
        vocabulary: The words kept.
        ids: (num_tokens,) int32, the kept words in order of the text; words not kept are gone.
        offsets: (num_sentences + 1,) int64, rising strictly from 0 to ``num_tokens``.
        num_raw_tokens: Words read, kept or not.
        min_count: Fewest occurrences a kept word has.
        max_vocabulary: Most words kept, if that was limited.
    """

    directory: Path
    vocabulary: Vocabulary
    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]
    num_raw_tokens: int
    min_count: int
    max_vocabulary: int | None

    @property
    def num_tokens(self) -> int:
        """Words in ``ids``."""
        return len(self.ids)

    @property
    def num_sentences(self) -> int:
        """Sentences with at least one word kept."""
        return len(self.offsets) - 1

    @classmethod
    def load(cls, directory: str | os.PathLike[str]) -> EncodedCorpus:
        """Open what `encode_corpus` wrote; ids and offsets are mapped, not read.

        Raises:
            FileError: Missing, of another kind, from a newer version, damaged or cut short.
        """
        artifact = read_artifact(directory, kind=KIND)
        counts = artifact.tensor("counts", dtype="int64", shape=(None,))
        ids = artifact.tensor("ids", dtype="int32", shape=(None,))
        offsets = artifact.tensor("offsets", dtype="int64", shape=(None,))
        words = unpack_words(artifact, "words", len(counts))
        config = artifact.config
        num_raw_tokens, min_count = config.get("num_raw_tokens"), config.get("min_count")
        max_vocabulary = config.get("max_vocabulary")
        settled = isinstance(num_raw_tokens, int) and isinstance(min_count, int)
        if not settled or not isinstance(max_vocabulary, int | None):
            raise FileError(artifact.path, "config.json lacks the corpus settings: encode the corpus again")
        if len(offsets) < 2 or offsets[0] != 0 or offsets[-1] != len(ids) or counts.sum() != len(ids):
            raise FileError(artifact.path, "ids, offsets and counts do not agree: encode the corpus again")
        return cls(
            directory=artifact.path,
            vocabulary=Vocabulary(words, counts),
            ids=ids,
            offsets=offsets,
            num_raw_tokens=cast("int", num_raw_tokens),
            min_count=cast("int", min_count),
            max_vocabulary=max_vocabulary,
        )

    def check(self) -> None:
        """Read everything once, for who hands it to compiled code, which looks up whatever number it is given.

        Raises:
            FileError: An id that is no word's, offsets that do not rise, or fewer ids than they say.
        """
        rising = self.offsets[0] == 0 and self.offsets[-1] == len(self.ids) and bool((np.diff(self.offsets) > 0).all())
        # In blocks, since what compares all of the ids at once would be in memory.
        blocks = (self.ids[start : start + _CHECKED_IDS] for start in range(0, len(self.ids), _CHECKED_IDS))
        if not rising or any(block.min() < 0 or block.max() >= len(self.vocabulary) for block in blocks):
            raise FileError(self.directory, "has ids of no words, or offsets that do not rise: encode the corpus again")


def encode_corpus(
    sentences: Iterable[Sequence[str]],
    directory: str | os.PathLike[str],
    *,
    min_count: int = 5,
    max_vocabulary: int | None = None,
    overwrite: bool = False,
    progress: Progress = SILENT,
) -> EncodedCorpus:
    """Number the words of sentences and write them as an artifact, in one pass over ``sentences``.

    Words get provisional ids by first appearance, written to a file as they come; once all counts are known
    that file is renumbered in place, block by block. Beside the vocabulary of everything seen, memory is a
    fixed buffer and the longest sentence. Sentences of any length stay whole; those without a kept word are
    dropped.

    Args:
        sentences: Lists of words: `read_sentences`, `read_dataset_sentences`, or any iterable of word lists.
        directory: The corpus directory; an earlier corpus there is replaced once the new one is whole.
        min_count: Words that occur less often are left out.
        max_vocabulary: Keep at most this many words, the most frequent.
        overwrite: Whether another kind of ours may be replaced, too.
        progress: Gets tokens renumbered; the first pass is reported by the reader of the sentences.

    Raises:
        NlprepError: No words, no word that occurs ``min_count`` times, a plain string where a list of words
            is meant, or a word that vector files cannot hold (no string, empty, with white space in it, not
            Unicode).
        OptionError: ``min_count`` or ``max_vocabulary`` below 1.
        FileError: The directory cannot be written; it is then as it was.
    """
    if min_count < 1:
        raise OptionError(f"min_count = {min_count}: must be at least 1")
    if max_vocabulary is not None and max_vocabulary < 1:
        raise OptionError(f"max_vocabulary = {max_vocabulary}: must be at least 1, or None for no limit")
    with atomic_directory(directory, kind=KIND, overwrite=overwrite) as assembly:
        ids_path, ends_path = assembly / "ids.scratch", assembly / "ends.scratch"
        numbering = _Numbering()
        try:
            with ids_path.open("wb") as ids_file, ends_path.open("wb") as ends_file:
                counts = _number_sentences(sentences, numbering, ids_file, ends_file)
        finally:
            # A reader that stopped half-way has its file and its bar closed now, not when it is collected.
            if isinstance(sentences, Generator):
                sentences.close()
        vocabulary, final = _choose_words(list(numbering), counts, min_count, max_vocabulary)
        with progress.task("numbering words", int(counts.sum())) as task:
            num_tokens, num_sentences = _renumber(ids_path, ends_path, final, task)
        fill_artifact(
            assembly,
            kind=KIND,
            config={
                "num_words": len(vocabulary),
                "num_tokens": num_tokens,
                "num_sentences": num_sentences,
                "num_raw_tokens": int(counts.sum()),
                "min_count": min_count,
                "max_vocabulary": max_vocabulary,
            },
            tensors={
                "ids": np.memmap(ids_path, np.int32, "r"),
                "offsets": np.memmap(ends_path, np.int64, "r"),
                "counts": vocabulary.counts,
                "words": pack_words(vocabulary.words),
            },
        )
        ids_path.unlink()
        ends_path.unlink()
    return EncodedCorpus.load(directory)


class _Numbering(dict[str, int]):
    """Ids by first appearance; words are checked when first met, so that the check costs next to nothing."""

    def __missing__(self, word: object) -> int:
        if not isinstance(word, str):
            raise NlprepError(f"a sentence holds {word!r:.60}, which is no word: give lists of strings")
        if word.split() != [word]:
            problem = "an empty word" if not word else f"the word {word!r:.60}, which has white space in it"
            raise NlprepError(
                f"a sentence holds {problem}: vector files separate words by white space; have the tokenizer "
                "split there or join with an underscore"
            )
        try:
            word.encode("utf-8")
        except UnicodeEncodeError:
            raise NlprepError(
                f"a sentence holds the word {word!r:.60}, which is not Unicode text: decode the text as UTF-8"
            ) from None
        number = self[str(word)] = len(self)
        return number


def _number_sentences(
    sentences: Iterable[Sequence[str]], numbering: _Numbering, ids_file: BinaryIO, ends_file: BinaryIO
) -> NDArray[np.int64]:
    """Append provisional int32 ids and int64 sentence ends to files; return the counts by provisional id."""
    counts = np.zeros(0, np.int64)
    words: list[str] = []
    ends: list[int] = []
    written = 0

    def flush() -> None:
        nonlocal counts, written
        try:
            ids = np.fromiter(map(numbering.__getitem__, words), np.int32, len(words))
        except TypeError as error:
            raise NlprepError(f"a sentence holds something that is no word ({error}): give lists of strings") from None
        if len(numbering) > len(counts):
            # Doubling: growing by what each block brings would copy the counts once a block.
            grown = np.zeros(max(len(numbering), 2 * len(counts)), np.int64)
            grown[: len(counts)] = counts
            counts = grown
        np.add.at(counts, ids, 1)
        ids_file.write(ids.data)
        ends_file.write((np.array(ends, np.int64) + written).data)
        written += len(words)
        words.clear()
        ends.clear()

    if isinstance(sentences, str | bytes):
        raise NlprepError(f"got the plain string {sentences!r:.60}, expected sentences: use read_sentences for a file")
    for number, sentence in enumerate(sentences, start=1):
        # Iterating over a string would give its characters, silently.
        if isinstance(sentence, str | bytes | Mapping):
            raise NlprepError(
                f"sentence {number} is {sentence!r:.60}, expected a list of words: "
                "split it first, for example with nlprep.corpus.tokenize"
            )
        try:
            words.extend(sentence)
        except TypeError:
            raise NlprepError(
                f"sentence {number} is {sentence!r:.60}, expected a list of words: give lists of strings"
            ) from None
        ends.append(len(words))
        if len(words) >= _BLOCK_TOKENS or len(ends) >= _BLOCK_TOKENS:
            flush()
    if words:
        flush()
    return counts[: len(numbering)]


def _choose_words(
    words: list[str], counts: NDArray[np.int64], min_count: int, max_vocabulary: int | None
) -> tuple[Vocabulary, NDArray[np.int32]]:
    """The vocabulary, and the final id (-1: dropped) of every provisional one."""
    if not words:
        raise NlprepError("the corpus has no words: check that the text is not empty, and the tokenizer")
    # Stable, and provisional ids rise with first appearance: that settles ties.
    order = np.argsort(-counts, kind="stable")[:max_vocabulary]
    order = order[counts[order] >= min_count]
    if not len(order):
        best = int(counts.argmax())
        raise NlprepError(
            f"no word occurs min_count = {min_count} times: the most frequent, {words[best]!r}, occurs "
            f"{counts[best]} times; give more text or lower min_count"
        )
    final = np.full(len(words), -1, np.int32)
    final[order] = np.arange(len(order), dtype=np.int32)
    return Vocabulary([words[index] for index in order.tolist()], counts[order]), final


def _renumber(ids_path: Path, ends_path: Path, final: NDArray[np.int32], task: Task) -> tuple[int, int]:
    """Replace provisional ids by final ones, and sentence ends by offsets; return kept tokens and sentences.

    The ids are replaced in place: they only get fewer, so that writing never overtakes reading.
    """
    ends_blocks = _blocks(ends_path, np.int64)
    ends = next(ends_blocks, np.zeros(0, np.int64))
    read = kept_tokens = num_sentences = last = 0
    offsets_path = ends_path.with_suffix(".new")
    with ids_path.open("r+b") as ids_file, offsets_path.open("wb") as offsets_file:
        offsets_file.write(np.zeros(1, np.int64).data)
        for block in _blocks(ids_path, np.int32):
            numbered = final[block]
            kept = numbered >= 0
            # running[t]: kept tokens among the first t of this block.
            running = np.concatenate(([0], np.cumsum(kept, dtype=np.int64))) + kept_tokens
            while len(ends):
                inside = ends[ends <= read + len(block)]
                new_ends = running[inside - read]
                # A sentence of which nothing is kept ends where the one before it does.
                new_ends = new_ends[np.diff(new_ends, prepend=last) > 0]
                if len(new_ends):
                    last = int(new_ends[-1])
                    num_sentences += len(new_ends)
                    offsets_file.write(new_ends.data)
                ends = ends[len(inside) :]
                if len(ends):
                    break
                ends = next(ends_blocks, np.zeros(0, np.int64))
            ids_file.seek(4 * kept_tokens)
            ids_file.write(numbered[kept].data)
            read += len(block)
            kept_tokens = int(running[-1])
            task.advance(len(block))
        ids_file.truncate(4 * kept_tokens)
    offsets_path.replace(ends_path)
    return kept_tokens, num_sentences


def _blocks(path: Path, dtype: type[np.generic]) -> Iterator[NDArray[Any]]:
    """The items of a file, some at a time."""
    with path.open("rb") as stream:
        while len(block := np.fromfile(stream, dtype, 4 * _BLOCK_TOKENS)):
            yield block
