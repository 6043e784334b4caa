"""A picture of two languages in one plane: which words to show, and where they lie."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nlprep.core.errors import NlprepError
from nlprep.figures.planes import draw_pairs

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from nlprep.translation.index.bilingual import TranslationIndex
    from nlprep.translation.lexicon import Lexicon

_FREQUENT = 5_000
_SHORTEST = 3
_FUNCTION_WORDS = 200
_THEME = 5
_SAME_THEME = 0.4


def pick_pairs(
    index: TranslationIndex,
    *,
    words: Sequence[str] | None = None,
    lexicon: Lexicon | None = None,
    num_pairs: int = 40,
) -> list[tuple[str, str]]:
    """Choose pairs of words to draw.

    Args:
        index: The translator.
        words: Source words to draw. If None, they are chosen: with a lexicon, evenly from its known pairs;
            without, themes are looked for among the 5,000 most frequent words that are each other's first
            translation (CSLS): the pair that scored best with the pairs nearest to it, then the next that is
            none of them.
        lexicon: Where translations come from; without one, from the translator itself.
        num_pairs: How many source words to choose if ``words`` is None.

    Raises:
        NlprepError: A word is unknown, or nothing is left to draw.
    """
    if words is not None and (unknown := index.unknown(words)):
        raise NlprepError(
            f"no {index.source_language} vector for {', '.join(map(repr, unknown[:5]))}: check the spelling, or "
            "leave the word out"
        )
    if lexicon is None:
        pairs = _themed_pairs(index, num_pairs) if words is None else _first_translations(index, words)
    else:
        known = [pair for pair in lexicon if pair[0] in index.source and pair[1] in index.target]
        if words is None:
            of_source: dict[str, tuple[str, str]] = {}
            for pair in known:
                of_source.setdefault(pair[0], pair)
            first = list(of_source.values())
            chosen = np.linspace(0, len(first) - 1, min(num_pairs, len(first))).round().astype(int)
            pairs = [first[number] for number in chosen]
        else:
            pairs = [pair for pair in known if pair[0] in set(words)]
    if len(pairs) < 2:
        raise NlprepError(f"{len(pairs)} pair(s) of known words to draw: give at least 2")
    return pairs


def _first_translations(index: TranslationIndex, words: Sequence[str]) -> list[tuple[str, str]]:
    return [(word, found[0].word) for word, found in zip(words, index.translate(words, 1), strict=True)]


def _themed_pairs(index: TranslationIndex, num_pairs: int) -> list[tuple[str, str]]:
    # In a large vocabulary the very first words are function words, which say little in a picture.
    first = _FUNCTION_WORDS if len(index.source) > _FREQUENT else 0
    rows = [row for row in range(first, min(_FREQUENT, len(index.source))) if len(index.source.words[row]) >= _SHORTEST]
    words = [index.source.words[row] for row in rows]
    answers = [found[0] for found in index.translate(words, 1)]
    back = index.reversed().translate([answer.word for answer in answers], 1)
    mutual = [
        (answer.score, row, answer.word)
        for word, row, answer, found in zip(words, rows, answers, back, strict=True)
        if found[0].word == word and len(answer.word) >= _SHORTEST
    ]
    mutual.sort(key=lambda item: -item[0])
    vectors = index.source.matrix[[row for _, row, _ in mutual]]
    left = np.ones(len(mutual), bool)
    pairs: list[tuple[str, str]] = []
    while len(pairs) < num_pairs and left.any():
        cosines = np.where(left, vectors @ vectors[int(left.argmax())], -np.inf)
        theme = np.argsort(-cosines, kind="stable")[: min(_THEME, num_pairs - len(pairs), int(left.sum()))]
        pairs += [(index.source.words[mutual[number][1]], mutual[number][2]) for number in theme]
        left[theme] = False
        # The next theme is to be another one.
        near = left & (cosines > _SAME_THEME)
        if (left & ~near).any():
            left &= ~near
    return pairs


def draw_translations(
    index: TranslationIndex,
    pairs: Sequence[tuple[str, str]],
    path: str | os.PathLike[str],
    *,
    title: str | None = None,
    overwrite: bool = False,
) -> None:
    """Draw pairs of words of a translator in the plane of their shared space; see `nlprep.figures.planes.draw_pairs`.

    Raises:
        NlprepError: No pairs, or a word without a vector.
        OptionError: A name that ends in no known format.
        FileError: The place cannot be written.
    """
    sides = (index.source, index.target)
    rows = [side.indices([pair[number] for pair in pairs]) for number, side in enumerate(sides)]
    for number, side in enumerate(sides):
        if len(rows[number]) and rows[number].min() < 0:
            word = pairs[int(rows[number].argmin())][number]
            raise NlprepError(f"no {side.language} vector for {word!r}: leave the pair out")
    draw_pairs(
        pairs,
        index.source.matrix[rows[0]],
        index.target.matrix[rows[1]],
        path,
        names=(index.source_language, index.target_language),
        title=title,
        overwrite=overwrite,
    )
