"""Texts as weighted counts of words: what a neural network must beat."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nlprep.core.artifacts import pack_words, read_artifact, unpack_words, write_artifact
from nlprep.core.errors import FileError, NlprepError, OptionError
from nlprep.core.progress import SILENT
from nlprep.core.randomness import combine, integers
from nlprep.corpus import tokenize
from nlprep.evaluation.encoder import check_texts

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import nn

    from nlprep.core.progress import Progress

ARTIFACT_KIND = "tf-idf"
# Texts counted between two reports of progress; their words are in memory together.
_BLOCK_TEXTS = 4096


class TfIdfEncoder:
    """Counts of words in a text, rare words weighing more: scikit-learn's ``TfidfVectorizer`` on our words.

    A word that occurs c times in a text, and in n of N texts at all, has c (1 + log((1 + N) / (1 + n))); a text's
    vector is then brought to unit length. A text without a known word has zeros. Made by `fit`.

    Args:
        words: The word of each column; no two alike.
        weights: (d,) the second factor.

    Attributes:
        words: As given.
        weights: As given, float64.
    """

    def __init__(self, words: Sequence[str], weights: NDArray[np.floating[Any]]) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer

        self.words: list[str] = list(words)
        self.weights: NDArray[np.float64] = np.array(weights, np.float64)
        self._vectorizer = TfidfVectorizer(analyzer=tokenize, vocabulary=self.words)
        self._vectorizer.idf_ = self.weights

    @classmethod
    def fit(cls, texts: Sequence[str], *, max_words: int = 50_000) -> TfIdfEncoder:
        """Count in how many texts each word occurs; no labels are needed.

        Args:
            texts: Texts.
            max_words: Keep the words that occur most often only; columns are in the order of the alphabet.

        Raises:
            NlprepError: One text instead of a list, something else than a text, or no word in any.
            OptionError: ``max_words`` below 1.
        """
        from sklearn.feature_extraction.text import TfidfVectorizer

        check_texts(texts)
        if max_words < 1:
            raise OptionError(f"max_words = {max_words}: keep at least 1")
        vectorizer = TfidfVectorizer(analyzer=tokenize, max_features=max_words)
        try:
            vectorizer.fit(texts)
        except ValueError as error:
            raise NlprepError("the texts hold no words: give others") from error
        return cls(vectorizer.get_feature_names_out().tolist(), vectorizer.idf_)

    @property
    def dimension(self) -> int:
        """The number of words."""
        return len(self.words)

    @property
    def module(self) -> nn.Module | None:
        """None: counting is not learned by gradients."""
        return None

    def encode(
        self, texts: Sequence[str], /, batch_size: int = 32, *, progress: Progress = SILENT
    ) -> NDArray[np.float32]:
        """Make vectors (see `nlprep.evaluation.encoder.Encoder`); `encode_sparse` is for many texts.

        Args:
            texts: n of them.
            batch_size: Makes no difference.
            progress: Gets texts.

        Returns:
            (n, `dimension`) float32, most of them zeros.
        """
        check_texts(texts, batch_size)
        result = np.zeros((len(texts), self.dimension), np.float32)
        with progress.task("counting words", len(texts)) as task:
            for start in range(0, len(texts), _BLOCK_TEXTS):
                block = texts[start : start + _BLOCK_TEXTS]
                self._vectorizer.transform(block).astype(np.float32).toarray(out=result[start : start + len(block)])
                task.advance(len(block))
        return result

    def encode_sparse(self, texts: Sequence[str], /, *, progress: Progress = SILENT) -> Any:
        """The numbers that `encode` gives, as a scipy CSR array (n, `dimension`) float32."""
        from scipy import sparse

        check_texts(texts)
        blocks = [sparse.csr_array((0, self.dimension), dtype=np.float32)]
        with progress.task("counting words", len(texts)) as task:
            for start in range(0, len(texts), _BLOCK_TEXTS):
                block = texts[start : start + _BLOCK_TEXTS]
                blocks.append(sparse.csr_array(self._vectorizer.transform(block).astype(np.float32)))
                task.advance(len(block))
        return sparse.vstack(blocks, format="csr")

    def randomized(self, seed: int = 1) -> TfIdfEncoder:
        """The same words with their weights dealt out anew, so that which words are rare is forgotten."""
        draws = integers(combine(seed, np.arange(self.dimension)), 1, purpose=1)[:, 0]
        return TfIdfEncoder(self.words, np.sort(self.weights)[np.argsort(draws, kind="stable")])

    def save(self, directory: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write an artifact directory of kind ``tf-idf``, replacing an older one only when whole.

        Args:
            directory: The place.
            overwrite: Whether another kind of ours may be replaced, too.

        Raises:
            FileError: The place cannot be written or holds something else; what was there is untouched.
        """
        write_artifact(
            directory,
            kind=ARTIFACT_KIND,
            config={"num_words": self.dimension},
            tensors={"words": pack_words(self.words), "weights": self.weights},
            overwrite=overwrite,
        )

    @classmethod
    def from_directory(cls, directory: str | os.PathLike[str], /) -> TfIdfEncoder:
        """Open what `save` wrote.

        Raises:
            FileError: Missing, of another kind, from a newer version, damaged or cut short.
        """
        artifact = read_artifact(directory, kind=ARTIFACT_KIND)
        weights = artifact.tensor("weights", dtype="float64", shape=(None,))
        words = unpack_words(artifact, "words", len(weights))
        if not words or len(set(words)) < len(words) or not np.isfinite(weights).all():
            raise FileError(directory, "holds words twice, none, or weights that are no numbers: fit and save it again")
        return cls(words, weights)
