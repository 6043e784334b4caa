from __future__ import annotations

import numpy as np
import pytest

from nlprep.core.errors import NlprepError
from nlprep.vocabulary import Vocabulary


def test_words_are_found_by_their_place() -> None:
    vocabulary = Vocabulary(["le", "chat", "dort"], [5, 2, 2])
    assert [vocabulary.index(word) for word in ("le", "dort", "chien")] == [0, 2, None]
    assert "chat" in vocabulary
    assert "chien" not in vocabulary
    assert len(vocabulary) == 3
    assert list(vocabulary) == ["le", "chat", "dort"]
    assert vocabulary.num_tokens == 9
    assert vocabulary.counts.dtype == np.int64


def test_counts_cannot_be_changed_behind_its_back() -> None:
    counts = np.array([3, 1])
    vocabulary = Vocabulary(["a", "b"], counts)
    counts[0] = 7
    assert vocabulary.counts.tolist() == [3, 1]
    with pytest.raises(ValueError, match="read-only"):
        vocabulary.counts[0] = 9


def test_equality_is_by_words_and_counts() -> None:
    assert Vocabulary(["a"], [2]) == Vocabulary(["a"], [2])
    assert Vocabulary(["a"], [2]) != Vocabulary(["a"], [3])
    assert Vocabulary(["a"], [2]) != Vocabulary(["b"], [2])


@pytest.mark.parametrize(
    ("words", "counts", "message"),
    [
        (["a", "b"], [1], "2 words got counts of shape"),
        (["a", "b"], [1, 2], "sort the words by count"),
        (["a", "b"], [1, 0], "sort the words by count"),
    ],
)
def test_inconsistent_counts_are_refused(words: list[str], counts: list[int], message: str) -> None:
    with pytest.raises(NlprepError, match=message):
        Vocabulary(words, counts)


def test_repeated_words_are_refused() -> None:
    with pytest.raises(NlprepError, match="'a' more than once"):
        Vocabulary(["a", "b", "a"], [3, 2, 1]).index("a")
