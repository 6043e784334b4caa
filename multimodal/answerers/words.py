"""Questions as numbered words; which words are known is a function of the training questions alone."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from nlprep.vocabulary import Vocabulary

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

PADDING, UNKNOWN = 0, 1
"""What stands behind the last word of a question, and for a word that is not known."""
RESERVED = 2
"""Numbers that are no word's."""

_WORD = re.compile(r"[\w']+")


def split_words(text: str) -> list[str]:
    """The words of a question: small letters, digits and apostrophes, without what is between them.

    >>> split_words("What's left of the 2nd chair ?")
    ["what's", 'left', 'of', 'the', '2nd', 'chair']
    """
    return _WORD.findall(text.lower())


def fit_words(texts: Iterable[str], *, minimum: int = 1) -> Vocabulary:
    """The words that occur often enough.

    Args:
        texts: Training questions, and no others.
        minimum: How often a word has to occur. What is rarer teaches the number for unknown words.

    Returns:
        By falling count; equals by their first coming. It may be empty.
    """
    counted = Counter(word for text in texts for word in split_words(text)).most_common()
    kept = [(word, count) for word, count in counted if count >= minimum]
    return Vocabulary([word for word, _ in kept], [count for _, count in kept])


class QuestionWords:
    """Questions as rows of numbers.

    Args:
        vocabulary: The words that are known; the number of one is its place there, after those that are reserved.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary

    def __len__(self) -> int:
        return len(self.vocabulary) + RESERVED

    def numbers(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """(n, longest) numbers of words, `PADDING` behind the last.

        A question without a word (``?``) is one unknown word, so that every row has one.
        """
        rows = [[self._number(word) for word in split_words(text)] or [UNKNOWN] for text in texts]
        found = np.full((len(rows), max(map(len, rows), default=1)), PADDING, np.int64)
        for row, numbers in zip(found, rows, strict=True):
            row[: len(numbers)] = numbers
        return found

    def unknown(self, text: str) -> list[str]:
        """The words of a question that are not known."""
        return [word for word in split_words(text) if word not in self.vocabulary]

    def _number(self, word: str) -> int:
        place = self.vocabulary.index(word)
        return UNKNOWN if place is None else place + RESERVED
