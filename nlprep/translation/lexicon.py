"""Bilingual dictionaries: pairs of words, read from the formats people publish them in."""

from __future__ import annotations

import csv
import itertools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import numpy as np

from nlprep.core.errors import FileError, NlprepError, OptionError
from nlprep.core.files import display_name, read_lines

if TYPE_CHECKING:
    import os
    from collections.abc import Container, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from nlprep.core.files import EncodingErrors
    from nlprep.embeddings.word_vectors import WordVectors

LexiconFormat = Literal["auto", "muse", "xling", "csv"]
"""MUSE: two words split by spaces or tabs. XLING: by one tab. CSV: commas or semicolons, with a header."""

FORMATS: tuple[LexiconFormat, ...] = ("auto", "muse", "xling", "csv")
_BLANKS = re.compile(r"[ \t]+")
_SHOWN = 3


@dataclass(frozen=True)
class Coverage:
    """How much of a lexicon two vocabularies hold.

    Attributes:
        num_pairs: Pairs in the lexicon.
        pairs_found: Pairs with both words known.
        num_source_words: Distinct source words in the lexicon.
        source_words_found: Distinct source words known, whatever their translations.
        source_words_usable: Distinct source words known that have at least one known translation: the words
            that MUSE's evaluation counts.
        num_target_words: Distinct target words in the lexicon.
        target_words_found: Distinct target words known.
    """

    num_pairs: int
    pairs_found: int
    num_source_words: int
    source_words_found: int
    source_words_usable: int
    num_target_words: int
    target_words_found: int

    @property
    def percent(self) -> float:
        """Usable source words in per cent of all."""
        return 100.0 * self.source_words_usable / max(1, self.num_source_words)

    def __str__(self) -> str:
        return (
            f"{self.pairs_found:,} of {self.num_pairs:,} pairs found; "
            f"{self.source_words_usable:,} of {self.num_source_words:,} source words ({self.percent:.1f}%)"
        )


@dataclass(frozen=True)
class Lexicon:
    """Pairs of a source word and a target word, in the order of the file, no pair twice.

    Attributes:
        pairs: The pairs; a word may have several translations, each a pair of its own.
    """

    pairs: tuple[tuple[str, str], ...]

    def __init__(self, pairs: Iterable[Sequence[str]]) -> None:
        """Keep the distinct pairs.

        Raises:
            NlprepError: An item is not two words.
        """
        kept: dict[tuple[str, str], None] = {}
        for pair in pairs:
            if isinstance(pair, str) or len(pair) != 2 or not all(isinstance(w, str) and w for w in pair):
                raise NlprepError(f"lexicon item {pair!r}: expected a source word and a target word")
            kept[pair[0], pair[1]] = None
        object.__setattr__(self, "pairs", tuple(kept))

    def __len__(self) -> int:
        return len(self.pairs)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self.pairs)

    def reversed(self) -> Lexicon:
        """The same pairs from the target language's side."""
        return Lexicon((target, source) for source, target in self.pairs)

    def translations(self) -> dict[str, list[str]]:
        """Every source word, in order of first appearance, with all its translations."""
        table: dict[str, list[str]] = {}
        for source, target in self.pairs:
            table.setdefault(source, []).append(target)
        return table

    def limit(self, num_source_words: int) -> Lexicon:
        """The pairs of the first ``num_source_words`` distinct source words."""
        kept = set(list(self.translations())[:num_source_words])
        return Lexicon(pair for pair in self.pairs if pair[0] in kept)

    def without(self, source_words: Container[str]) -> Lexicon:
        """The pairs whose source word is not among ``source_words``."""
        return Lexicon(pair for pair in self.pairs if pair[0] not in source_words)

    def coverage(self, source_words: Container[str], target_words: Container[str]) -> Coverage:
        """Count the words that two vocabularies hold.

        Args:
            source_words: Anything that answers ``word in source_words`` fast: a set, `WordVectors`...
            target_words: Likewise.
        """
        sources = {source: source in source_words for source, _ in self.pairs}
        targets = {target: target in target_words for _, target in self.pairs}
        found = [pair for pair in self.pairs if sources[pair[0]] and targets[pair[1]]]
        return Coverage(
            num_pairs=len(self.pairs),
            pairs_found=len(found),
            num_source_words=len(sources),
            source_words_found=sum(sources.values()),
            source_words_usable=len({source for source, _ in found}),
            num_target_words=len(targets),
            target_words_found=sum(targets.values()),
        )

    def rows(self, source: WordVectors, target: WordVectors) -> NDArray[np.int64]:
        """The pairs as rows of two sets of vectors, (pairs found, 2) int64, without unknown words."""
        rows = np.stack(
            [
                source.indices([pair[0] for pair in self.pairs]),
                target.indices([pair[1] for pair in self.pairs]),
            ],
            axis=1,
        )
        found: NDArray[np.int64] = rows[(rows >= 0).all(axis=1)]
        return found

    def examples(self, side: int) -> str:
        """The first few words of the source (0) or target (1) side, quoted, for messages."""
        return quoted_examples(pair[side] for pair in self.pairs)


def detect_languages(lexicon: Lexicon, vocabularies: Mapping[str, Container[str]]) -> tuple[str, str]:
    """Find out which languages a dictionary is of: those that know most of its pairs, source and target.

    Args:
        lexicon: The dictionary.
        vocabularies: Words by language; anything that answers ``word in words`` fast.

    Raises:
        NlprepError: No two languages know any pair.
    """
    found = {
        (one, other): lexicon.coverage(vocabularies[one], vocabularies[other]).pairs_found
        for one, other in itertools.permutations(vocabularies, 2)
    }
    best = max(found, key=lambda pair: found[pair])
    if not found[best]:
        raise NlprepError(
            f"the dictionary shares no pair of words with any two of {', '.join(vocabularies)}: it has "
            f"{lexicon.examples(0)} -> {lexicon.examples(1)}; check languages and letter case"
        )
    return best


def quoted_examples(words: Iterable[str]) -> str:
    """The first few distinct words, quoted, as in ``'the', 'of', 'and'...``."""
    shown = list(dict.fromkeys(word for word, _ in zip(words, range(50), strict=False)))
    return ", ".join(map(repr, shown[:_SHOWN])) + ("..." if len(shown) > _SHOWN else "")


def parse_lexicon_format(name: str) -> LexiconFormat:
    """Check the name of a lexicon format.

    Raises:
        OptionError: Not one of `FORMATS`.
    """
    if name not in FORMATS:
        raise OptionError(f"lexicon format {name!r}: choose from {', '.join(FORMATS)}")
    return cast("LexiconFormat", str(name))


def read_lexicon(
    path: str | os.PathLike[str],
    *,
    format: LexiconFormat = "auto",  # noqa: A002
    encoding_errors: EncodingErrors = "strict",
) -> Lexicon:
    """Read a bilingual dictionary, plain or compressed.

    Args:
        path: The file; ``-`` is standard input.
        format: ``muse``: ``source target`` on each line, split by spaces or tabs. ``xling``: split by one
            tab, so that entries may hold spaces. ``csv``: commas, semicolons or tabs under a header; the
            columns named ``source`` and ``target``, or else the first two. ``auto``: CSV for a name with
            ``.csv`` or a first line with a comma or semicolon and no space, XLING for a first line with a
            tab, else MUSE.
        encoding_errors: What to do with bytes that are not UTF-8.

    Raises:
        FileError: Missing, not UTF-8, a line that is not two words (it is quoted), or no pairs at all.
        OptionError: Another format.
    """
    name = display_name(path)
    format = parse_lexicon_format(format)  # noqa: A001
    lines = ((number, line) for number, line in read_lines(path, encoding_errors=encoding_errors) if line.strip(" \t"))
    first = next(lines, None)
    if first is None:
        raise FileError(name, "holds no pairs: expected 'source target' on each line")
    if format == "auto":
        format = _detect(Path(path), first[1])  # noqa: A001
    pairs = _csv_pairs(name, first, lines) if format == "csv" else _split_pairs(name, first, lines, format)
    lexicon = Lexicon(pairs)
    if not len(lexicon):
        raise FileError(name, "holds a header and no pairs: expected a source and a target word on each line")
    return lexicon


def _detect(path: Path, line: str) -> LexiconFormat:
    if ".csv" in (suffix.lower() for suffix in path.suffixes):
        return "csv"
    if "\t" in line:
        return "xling" if line.count("\t") == 1 else "muse"
    return "csv" if len(re.split(r"[,;]", line)) >= 2 and " " not in line.strip() else "muse"


def _split_pairs(
    name: str,
    first: tuple[int, str],
    lines: Iterator[tuple[int, str]],
    format: LexiconFormat,  # noqa: A002
) -> Iterator[tuple[str, str]]:
    for number, line in itertools.chain((first,), lines):
        parts = line.split("\t") if format == "xling" else _BLANKS.split(line.strip(" \t"))
        words = [part.strip(" \t") for part in parts]
        if len(words) != 2 or not all(words):
            split = "one tab" if format == "xling" else "spaces or a tab"
            several = ", or put one tab into every line if entries may hold spaces" if len(words) > 2 else ""
            raise FileError(
                name,
                f"expected a source and a target word split by {split}, found {len(words)} in {line[:60]!r}: "
                f"mend the line{several if format == 'muse' else ''}",
                line=number,
            )
        yield words[0], words[1]


def _csv_pairs(name: str, first: tuple[int, str], lines: Iterator[tuple[int, str]]) -> Iterator[tuple[str, str]]:
    header = first[1]
    delimiter = max(",;\t", key=header.count)
    titles = [title.strip().lower() for title in _csv_fields(name, first, delimiter)]
    if len(titles) < 2:
        raise FileError(
            name,
            f"expected a header of at least two columns, found {header[:60]!r}: add 'source,target'",
            line=first[0],
        )
    columns = [titles.index("source"), titles.index("target")] if {"source", "target"} <= set(titles) else [0, 1]
    for number, line in lines:
        fields = _csv_fields(name, (number, line), delimiter)
        words = [fields[column].strip() if column < len(fields) else "" for column in columns]
        if not all(words):
            raise FileError(
                name,
                f"expected a word in columns {titles[columns[0]]!r} and {titles[columns[1]]!r}, "
                f"found {line[:60]!r}: mend the line",
                line=number,
            )
        yield words[0], words[1]


def _csv_fields(name: str, numbered: tuple[int, str], delimiter: str) -> list[str]:
    number, line = numbered
    try:
        return next(csv.reader([line], delimiter=delimiter, strict=True), [])
    except csv.Error as error:
        raise FileError(name, f"is not valid CSV ({error}) in {line[:60]!r}: mend the line", line=number) from None
