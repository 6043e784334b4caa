"""The words of a corpus and how often each occurs."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from nlprep.core.errors import NlprepError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray


class Vocabulary:
    """Distinct words with their counts, most frequent first; a word's place is its id everywhere.

    Args:
        words: The words, by falling count; equal counts by first appearance in the corpus.
        counts: (n,) int64, how often each occurs, at least once.

    Raises:
        NlprepError: Lengths differ, a word is repeated, or counts rise or fall below one.
    """

    def __init__(self, words: Sequence[str], counts: NDArray[np.int64] | Sequence[int]) -> None:
        self.words: list[str] = list(words)
        self.counts: NDArray[np.int64] = np.array(counts, dtype=np.int64)
        self.counts.flags.writeable = False
        if self.counts.shape != (len(self.words),):
            raise NlprepError(
                f"a vocabulary of {len(self.words)} words got counts of shape {self.counts.shape}: "
                "give one count for each word"
            )
        if len(self.words) and (self.counts[-1] < 1 or np.any(self.counts[1:] > self.counts[:-1])):
            raise NlprepError("the counts of a vocabulary must fall, down to 1: sort the words by count")

    @cached_property
    def _ids(self) -> dict[str, int]:
        # Made when first asked for: a training run that only needs the counts never pays for it.
        ids = {word: index for index, word in enumerate(self.words)}
        if len(ids) != len(self.words):
            repeated = next(word for index, word in enumerate(self.words) if ids[word] != index)
            raise NlprepError(f"the vocabulary holds {repeated!r} more than once: give each word once")
        return ids

    @property
    def num_tokens(self) -> int:
        """Occurrences of all words together."""
        return int(self.counts.sum())

    def index(self, word: str) -> int | None:
        """The id of ``word``, or None where it is unknown."""
        return self._ids.get(word)

    def __len__(self) -> int:
        return len(self.words)

    def __iter__(self) -> Iterator[str]:
        return iter(self.words)

    def __contains__(self, word: object) -> bool:
        return word in self._ids

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Vocabulary):
            return NotImplemented
        return self.words == other.words and bool(np.array_equal(self.counts, other.counts))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Vocabulary({len(self):,} words, {self.num_tokens:,} tokens)"
