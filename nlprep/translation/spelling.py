"""Words spelled alike in both languages: names, loans and numerals, which mostly mean the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from numpy.typing import NDArray

SHORTEST = 4
"""Shorter words are often spelled alike by chance: "on", "or", "but"."""


def pair_spelled_alike(
    source_words: Sequence[str],
    target_words: Sequence[str],
    *,
    cutoff: int = 20_000,
    excluded_source: Container[int] = (),
    excluded_target: Container[int] = (),
) -> NDArray[np.int64]:
    """Find the words of four characters or more that stand in both vocabularies.

    Args:
        source_words: Words of the source, frequent ones first.
        target_words: Words of the target.
        cutoff: Look among this many of the most frequent words of each side: rare ones are spelled alike by
            accident, such as foreign words in both texts.
        excluded_source: Rows of source words to leave out.
        excluded_target: Rows of target words to leave out.

    Returns:
        (p, 2) int64 rows, by falling frequency of the source word.
    """
    target_rows = {word: row for row, word in enumerate(target_words[:cutoff])}
    pairs = [
        (row, target_rows[word])
        for row, word in enumerate(source_words[:cutoff])
        if len(word) >= SHORTEST and word in target_rows
    ]
    kept = [(one, other) for one, other in pairs if one not in excluded_source and other not in excluded_target]
    return np.array(kept, np.int64).reshape(-1, 2)
