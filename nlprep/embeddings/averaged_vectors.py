"""Texts as averages of the vectors of their words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nlprep.core.artifacts import artifact_kind, pack_words, read_artifact, unpack_words, write_artifact
from nlprep.core.errors import FileError, NlprepError, OptionError
from nlprep.core.progress import SILENT
from nlprep.corpus import tokenize
from nlprep.embeddings.word_vectors import ARTIFACT_KIND as WORD_VECTORS
from nlprep.embeddings.word_vectors import WordVectors
from nlprep.evaluation.encoder import check_texts

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray
    from torch import nn

    from nlprep.core.progress import Progress

ARTIFACT_KIND = "averaged-word-vectors"
_REPORT_EVERY = 1024


def sif_weights(words: Sequence[str], counts: Mapping[str, int], *, smoothing: float = 1e-3) -> NDArray[np.float32]:
    """Smooth inverse frequencies: a / (a + p(w)), which count frequent words for little.

    Arora et al. 2017, "A simple but tough-to-beat baseline for sentence embeddings", algorithm 1, line 2.

    >>> [f"{weight:.3f}" for weight in sif_weights(["the", "cat", "quux"], {"the": 999, "cat": 1})]
    ['0.001', '0.500', '1.000']

    Args:
        words: n words.
        counts: How often words occur in some text; p is the share of all. A word without a count is taken to be so
            rare that it weighs 1.
        smoothing: a; the paper finds 1e-4 to 1e-3 to do well.

    Returns:
        (n,) float32, above 0 and up to 1.

    Raises:
        OptionError: ``smoothing`` is not above 0.
        NlprepError: The counts add up to nothing.
    """
    if not smoothing > 0:
        raise OptionError(f"smoothing = {smoothing}: must be above 0")
    total = sum(counts.values())
    if total <= 0:
        raise NlprepError("the counts of words add up to nothing: count a text that has words")
    shares = np.array([counts.get(word, 0) / total for word in words], np.float64)
    return (smoothing / (smoothing + shares)).astype(np.float32)


class AveragedWordVectors:
    """An encoder that makes of a text the mean of its known words' vectors, each times the weight of the word.

    Words are those of `nlprep.corpus.tokenize`. Unknown ones are left out, and not counted; a text of which none is
    known has zeros.

    >>> vectors = WordVectors(["black", "cat"], np.array([[1.0, 0.0], [0.0, 3.0]]))
    >>> AveragedWordVectors(vectors).encode(["A black cat", "a dog"]).tolist()
    [[0.5, 1.5], [0.0, 0.0]]

    Args:
        vectors: The words and their vectors.
        weights: (n,) what each word's vector is multiplied by, such as `sif_weights`; default: 1.
        common: (d,) of unit length, a direction that is taken out of every mean; `without_common_direction` finds it.
        lowercase: Lower-case texts, as the words of `vectors` are if they were trained here.

    Attributes:
        vectors: As given.
        weights: As given, float32, or None.
        common: As given, float32, or None.
        lowercase: As given.

    Raises:
        NlprepError: Weights or a direction of another shape or length, or that are not finite.
    """

    def __init__(
        self,
        vectors: WordVectors,
        weights: NDArray[np.floating[Any]] | None = None,
        *,
        common: NDArray[np.floating[Any]] | None = None,
        lowercase: bool = True,
    ) -> None:
        self.vectors = vectors
        self.weights = None if weights is None else _finite("weights", weights, len(vectors))
        self.common = None if common is None else _finite("common", common, vectors.dimension)
        if self.common is not None and abs(float(np.linalg.norm(self.common)) - 1) > 1e-3:
            raise NlprepError(f"common has length {np.linalg.norm(self.common):.3g}: give a direction of length 1")
        self.lowercase = lowercase

    @property
    def dimension(self) -> int:
        """Numbers in one vector."""
        return self.vectors.dimension

    @property
    def module(self) -> nn.Module | None:
        """None: averaging is not learned by gradients."""
        return None

    def encode(
        self, texts: Sequence[str], /, batch_size: int = 32, *, progress: Progress = SILENT
    ) -> NDArray[np.float32]:
        """Make vectors (see `nlprep.evaluation.encoder.Encoder`).

        Args:
            texts: n of them.
            batch_size: Makes no difference.
            progress: Gets texts.

        Returns:
            (n, `dimension`) float32.
        """
        check_texts(texts, batch_size)
        words = (tokenize(text, lowercase=self.lowercase) for text in texts)
        return self._average(words, len(texts), progress)

    def encode_words(self, texts: Sequence[Sequence[str]], *, progress: Progress = SILENT) -> NDArray[np.float32]:
        """As `encode`, of texts that are lists of words already: (n, `dimension`) float32.

        Raises:
            NlprepError: One list of words, or a text that is none.
        """
        if isinstance(texts, str) or any(isinstance(words, str) for words in texts):
            raise NlprepError("encode_words takes a list of lists of words, got words: put each text's in a list")
        return self._average(texts, len(texts), progress)

    def _average(self, texts: Iterable[Sequence[str]], number: int, progress: Progress) -> NDArray[np.float32]:
        result = np.zeros((number, self.dimension), np.float32)
        matrix = self.vectors.matrix
        with progress.task("averaging", number) as task:
            for place, words in enumerate(texts, start=1):
                rows = self.vectors.indices(words)
                rows = rows[rows >= 0]
                if len(rows):
                    weights = np.ones(len(rows), np.float32) if self.weights is None else self.weights[rows]
                    result[place - 1] = (weights / np.float32(len(rows))) @ matrix[rows]
                if place % _REPORT_EVERY == 0 or place == number:
                    task.advance((place - 1) % _REPORT_EVERY + 1)
        if self.common is not None:
            result -= np.outer(result @ self.common, self.common)
        return result

    def without_common_direction(self, texts: Sequence[str]) -> AveragedWordVectors:
        """The encoder that takes out of every vector what those of given texts have most in common.

        That is their first right singular vector, of vectors as they are, without centring (Arora et al. 2017,
        algorithm 1, lines 4 to 7). The paper finds it in the texts that are compared; found in others, the vector of
        a text does not depend on what it is encoded with.

        Args:
            texts: Texts like those that will be encoded; a few thousand do.

        Raises:
            NlprepError: No text has a known word.
        """
        sample = AveragedWordVectors(self.vectors, self.weights, lowercase=self.lowercase).encode(texts)
        if not sample.any():
            raise NlprepError("no text has a word with a vector: give texts like those to be encoded")
        products = sample.astype(np.float64).T @ sample
        direction = np.linalg.eigh(products)[1][:, -1]
        return AveragedWordVectors(self.vectors, self.weights, common=direction, lowercase=self.lowercase)

    def randomized(self, seed: int = 1) -> AveragedWordVectors:
        """The same words and weights with vectors that mean nothing: normal numbers as large as the learned ones.

        The common direction, which was one of the learned vectors, goes with them.
        """
        matrix = self.vectors.matrix
        # A counter-based generator begun anew: what it gives is a function of the seed and the place.
        draws = np.random.Generator(np.random.Philox(seed)).standard_normal(matrix.shape, np.float32)
        draws *= _root_mean_square(matrix) / _root_mean_square(draws)
        words = WordVectors(self.vectors.words, draws, check=False)
        return AveragedWordVectors(words, self.weights, lowercase=self.lowercase)

    def save(self, directory: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write an artifact directory of kind ``averaged-word-vectors``, replacing an older one only when whole.

        Args:
            directory: The place.
            overwrite: Whether another kind of ours may be replaced, too.

        Raises:
            FileError: The place cannot be written or holds something else; what was there is untouched.
        """
        tensors: dict[str, NDArray[Any]] = {"matrix": self.vectors.matrix, "words": pack_words(self.vectors.words)}
        tensors |= {} if self.weights is None else {"weights": self.weights}
        tensors |= {} if self.common is None else {"common": self.common}
        config = {"num_words": len(self.vectors), "dimension": self.dimension, "lowercase": self.lowercase}
        write_artifact(directory, kind=ARTIFACT_KIND, config=config, tensors=tensors, overwrite=overwrite)

    @classmethod
    def from_directory(cls, directory: str | os.PathLike[str], /) -> AveragedWordVectors:
        """Open what `save` wrote, or a directory of word vectors, whose words then weigh 1; read as it is used.

        Raises:
            FileError: Missing, of another kind, from a newer version, damaged or cut short.
        """
        if artifact_kind(directory) == WORD_VECTORS:
            return cls(WordVectors.load(directory))
        artifact = read_artifact(directory, kind=ARTIFACT_KIND)
        matrix = artifact.tensor("matrix", dtype="float32", shape=(None, None))
        if 0 in matrix.shape:
            raise FileError(
                directory, f"holds a matrix of shape {matrix.shape}: the artifact is damaged; make it again"
            )
        words = unpack_words(artifact, "words", len(matrix))
        sizes = {"weights": matrix.shape[0], "common": matrix.shape[1]}
        given = {
            name: artifact.tensor(name, dtype="float32", shape=(size,)) if name in artifact.tensors else None
            for name, size in sizes.items()
        }
        return cls(
            WordVectors(words, matrix, check=False),
            given["weights"],
            common=given["common"],
            lowercase=artifact.config.get("lowercase") is not False,
        )


def _finite(name: str, values: NDArray[np.floating[Any]], size: int) -> NDArray[np.float32]:
    array = np.array(values, np.float32)
    if array.shape != (size,) or not np.isfinite(array).all():
        raise NlprepError(f"{name} of shape {array.shape}: give {size:,} finite numbers")
    return array


def _root_mean_square(matrix: NDArray[np.float32]) -> np.float32:
    return np.float32(np.sqrt(np.einsum("ij,ij->", matrix, matrix, dtype=np.float64) / matrix.size))
