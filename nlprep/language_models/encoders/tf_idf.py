"""Bags of words: the features that every encoder should beat."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nlprep.core.errors import NlprepError
from nlprep.corpus import tokenize

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor


@dataclass(frozen=True)
class TfIdf:
    """Counts of words in a text, rare words weighing more.

    A word that occurs c times in a text, and in n of N texts at all, has c (1 + log((1 + N) / (1 + n))); a text's
    vector is then brought to unit length.

    Attributes:
        vocabulary: The column of each word.
        weights: (d,) the second factor.
    """

    vocabulary: Mapping[str, int]
    weights: NDArray[np.float64]

    @classmethod
    def fit(cls, texts: Iterable[str], *, max_words: int = 50_000) -> TfIdf:
        """Count in how many texts each word occurs; no labels are needed.

        Args:
            texts: Texts.
            max_words: Keep the most frequent ones only.

        Raises:
            NlprepError: There is no word.
        """
        frequencies: Counter[str] = Counter()
        num_texts = 0
        for text in texts:
            frequencies.update(set(tokenize(text)))
            num_texts += 1
        if not frequencies:
            raise NlprepError("the texts hold no words: give others")
        kept = sorted(frequencies, key=lambda word: (-frequencies[word], word))[:max_words]
        counts = np.array([frequencies[word] for word in kept])
        return cls({word: column for column, word in enumerate(kept)}, 1 + np.log((1 + num_texts) / (1 + counts)))

    @property
    def dimension(self) -> int:
        """The number of words."""
        return len(self.vocabulary)

    def features(self, texts: Sequence[str]) -> Tensor:
        """(n, `dimension`) float64, a sparse COO tensor; zeros for a text of unknown words."""
        import torch

        rows: list[int] = []
        columns: list[int] = []
        values: list[float] = []
        for row, text in enumerate(texts):
            known = Counter(column for word in tokenize(text) if (column := self.vocabulary.get(word)) is not None)
            weighted = {column: count * float(self.weights[column]) for column, count in known.items()}
            length = sum(value * value for value in weighted.values()) ** 0.5
            rows += [row] * len(weighted)
            columns += weighted.keys()
            values += [value / length for value in weighted.values()]
        return torch.sparse_coo_tensor(
            torch.tensor([rows, columns], dtype=torch.int64),
            torch.tensor(values, dtype=torch.float64),
            (len(texts), self.dimension),
            check_invariants=True,
        ).coalesce()
