"""Translations by nearest neighbours in the shared space, with cosine or CSLS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from nlprep.core.artifacts import pack_words, read_artifact, unpack_words, write_artifact
from nlprep.core.errors import FileError, NlprepError, OptionError
from nlprep.core.progress import SILENT
from nlprep.core.threads import blas_threads
from nlprep.embeddings.word_vectors import WordVectors
from nlprep.translation.alignment import Alignment
from nlprep.vectors.nearest import mutual_neighborhood_means, ranks, top_k

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from nlprep.core.progress import Progress

ARTIFACT_KIND = "translator"
RetrievalMethod = Literal["csls", "cosine"]
RETRIEVAL_METHODS: tuple[RetrievalMethod, ...] = ("csls", "cosine")


class Candidate(NamedTuple):
    """A translation and how well it scored: its cosine, or its CSLS, which lies about zero."""

    word: str
    score: float


class Side:
    """One language of a `TranslationIndex`.

    Attributes:
        language: Its name, such as ``en``.
        words: Its words, most frequent first.
        matrix: (n, r + s) float32, their vectors in the shared space and, where it counts, their spelling, rows of
            length one.
        means: (n,) float32, mean cosine of each to its nearest neighbours on the other side (CSLS's r).
    """

    def __init__(
        self, language: str, words: list[str], matrix: NDArray[np.float32], means: NDArray[np.float32]
    ) -> None:
        self.language = language
        self.words = words
        self.matrix = matrix
        self.means = means
        self._lookup: dict[str, int] | None = None

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: object) -> bool:
        return word in self.lookup

    @property
    def lookup(self) -> dict[str, int]:
        """Rows by word."""
        # Built on first use: one direction of a question needs one side's only.
        if self._lookup is None:
            self._lookup = {word: row for row, word in enumerate(self.words)}
        return self._lookup

    def indices(self, words: Sequence[str]) -> NDArray[np.int64]:
        """Rows of words, (len(words),) int64, -1 where unknown."""
        lookup = self.lookup
        return np.fromiter((lookup.get(word, -1) for word in words), dtype=np.int64, count=len(words))

    def vectors(self) -> WordVectors:
        """The words with their vectors in the shared space, for neighbours, figures and hand-off."""
        return WordVectors(self.words, self.matrix)


class TranslationIndex:
    """Two languages in one space, ready to be asked; made by `build` or `load`.

    Words are of the source language and translations of the target language; `reversed` swaps the two, at no cost.

    Attributes:
        source: The source language.
        target: The target language.
        alignment: What brought them together.
        neighborhood: Nearest neighbours that CSLS averaged.
    """

    def __init__(self, source: Side, target: Side, alignment: Alignment, neighborhood: int) -> None:
        self.source = source
        self.target = target
        self.alignment = alignment
        self.neighborhood = neighborhood

    @property
    def source_language(self) -> str:
        """Name of the source language."""
        return self.source.language

    @property
    def target_language(self) -> str:
        """Name of the target language."""
        return self.target.language

    @property
    def provenance(self) -> dict[str, Any]:
        """How the alignment was made, in plain values."""
        return dict(self.alignment.provenance)

    @classmethod
    def build(
        cls,
        source: WordVectors,
        target: WordVectors,
        alignment: Alignment,
        *,
        source_language: str = "source",
        target_language: str = "target",
        neighborhood: int = 10,
        threads: int | None = None,
        progress: Progress = SILENT,
    ) -> TranslationIndex:
        """Bring both vocabularies into the shared space and find every word's neighbourhood mean.

        Args:
            source: The vectors that were aligned, or others of the same space.
            target: Likewise.
            alignment: From `nlprep.translation.align.align`.
            source_language: A name for people.
            target_language: A name for people.
            neighborhood: Nearest neighbours that CSLS averages.
            threads: Processors to use; all by default.
            progress: Where to report.

        Raises:
            NlprepError: Vectors of another dimension than the alignment's.
        """
        with blas_threads(threads):
            mapped = alignment.bring_together(source, target)
        of_source, of_target = mutual_neighborhood_means(
            mapped[0], mapped[1], neighborhood, threads=threads, progress=progress
        )
        return cls(
            Side(source_language, source.words, mapped[0], of_source),
            Side(target_language, target.words, mapped[1], of_target),
            alignment,
            neighborhood,
        )

    def reversed(self) -> TranslationIndex:
        """The same translator with the languages swapped, on the same arrays."""
        alignment = self.alignment
        turned = Alignment(
            alignment.target_normalization,
            alignment.source_normalization,
            alignment.target_map,
            alignment.source_map,
            alignment.provenance,
            alignment.spelling_weight,
        )
        return TranslationIndex(self.target, self.source, turned, self.neighborhood)

    def unknown(self, words: Sequence[str]) -> list[str]:
        """The words that have no vector in the source language."""
        return [word for word in words if word not in self.source]

    def translate(
        self,
        words: Sequence[str],
        top: int = 10,
        *,
        method: str = "csls",
        threads: int | None = None,
        progress: Progress = SILENT,
    ) -> list[list[Candidate]]:
        """Translate words.

        Args:
            words: Words of the source language.
            top: Candidates for each.
            method: ``csls`` or ``cosine``.
            threads: Processors to use; all by default.
            progress: Where to report.

        Returns:
            For each word its candidates, best first; an empty list for a word without a vector, of which
            `unknown` makes a list.

        Raises:
            NlprepError: ``words`` is a single string.
            OptionError: Another method, or ``top`` below 1.
        """
        if isinstance(words, str):
            raise NlprepError(f"words is the single string {words[:30]!r}: pass a list of words")
        rows = self.source.indices(words)
        known = np.flatnonzero(rows >= 0)
        scores, found = self.nearest(
            self.source.matrix[rows[known]],
            top,
            method=method,
            means=self.source.means[rows[known]],
            threads=threads,
            progress=progress,
        )
        candidates: list[list[Candidate]] = [[] for _ in words]
        for place, row_scores, row in zip(known, scores, found, strict=True):
            candidates[place] = [
                Candidate(self.target.words[key], float(score)) for key, score in zip(row, row_scores, strict=True)
            ]
        return candidates

    def nearest(
        self,
        queries: NDArray[np.floating],
        top: int,
        *,
        method: str = "csls",
        means: NDArray[np.float32] | None = None,
        threads: int | None = None,
        progress: Progress = SILENT,
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The best target rows for vectors of the shared space.

        CSLS of x and y is 2 cos(x, y) - r(x) - r(y) (Conneau et al. 2018, section 2.3). For a fixed x it
        ranks as cos(x, y) - r(y) / 2: one search of inner products with an offset for each y.

        Args:
            queries: (q, r + s) rows of length one, laid out as `Side.matrix` is.
            top: How many for each.
            method: ``csls`` or ``cosine``.
            means: (q,) r(x), for the value of CSLS; without it 0 is taken, which ranks alike.
            threads: Processors to use; all by default.
            progress: Where to report.

        Returns:
            Scores (q, top) float32, falling, and rows (q, top) int64.

        Raises:
            OptionError: Another method, or ``top`` below 1.
        """
        if top < 1:
            raise OptionError(f"top = {top}: ask for at least 1 candidate")
        offsets = _offsets(self.target, method)
        scores, rows = top_k(queries, self.target.matrix, top, offsets=offsets, threads=threads, progress=progress)
        if method == "csls":
            scores = 2 * scores - (0 if means is None else means[:, None])
        return scores, rows

    def ranks(
        self,
        pairs: NDArray[np.int64],
        *,
        method: str = "csls",
        threads: int | None = None,
    ) -> NDArray[np.int64]:
        """The place of given answers among all answers to given questions, 1 the best, (p,) int64.

        Args:
            pairs: (p, 2) source and target rows.
            method: ``csls`` or ``cosine``.
            threads: Processors to use; all by default.

        Raises:
            OptionError: Another method.
        """
        questions, places = np.unique(pairs[:, 0], return_inverse=True)
        return ranks(
            self.source.matrix[questions],
            self.target.matrix,
            np.stack([places, pairs[:, 1]], axis=1),
            offsets=_offsets(self.target, method),
            threads=threads,
        )

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write an artifact directory of kind ``translator``, with the alignment inside.

        Args:
            path: The directory; an older one of this kind is replaced when the new one is whole.
            overwrite: Whether another kind of ours may be replaced, too.

        Raises:
            FileError: The place cannot be written or holds something else.
        """
        tensors: dict[str, NDArray[Any]] = dict(self.alignment.arrays())
        for name, side in (("source", self.source), ("target", self.target)):
            tensors[f"{name}_vectors"] = side.matrix
            tensors[f"{name}_neighborhoods"] = side.means
            tensors[f"{name}_words"] = pack_words(side.words)
        config = {
            "source_language": self.source_language,
            "target_language": self.target_language,
            "neighborhood": self.neighborhood,
            "alignment": self.alignment.plain_values(),
        }
        write_artifact(path, kind=ARTIFACT_KIND, config=config, tensors=tensors, overwrite=overwrite)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> TranslationIndex:
        """Open what `save` wrote; vectors stay on disk and are read as questions need them.

        Raises:
            FileError: Missing, of another kind, from a newer version, damaged or cut short.
        """
        artifact = read_artifact(path, kind=ARTIFACT_KIND)
        config = artifact.config
        if not isinstance(config.get("alignment"), dict) or not isinstance(config.get("neighborhood"), int):
            raise FileError(path, "lacks the settings of its alignment: the artifact is damaged; make it again")
        alignment = Alignment.from_artifact(artifact, config["alignment"])
        sides: list[Side] = []
        for name in ("source", "target"):
            dimension = sides[0].matrix.shape[1] if sides else None
            matrix = artifact.tensor(f"{name}_vectors", dtype="float32", shape=(None, dimension))
            if matrix.shape[1] < alignment.source_map.shape[1]:
                raise FileError(path, "has vectors that do not fit its maps: the artifact is damaged; make it again")
            means = artifact.tensor(f"{name}_neighborhoods", dtype="float32", shape=(len(matrix),))
            words = unpack_words(artifact, f"{name}_words", len(matrix))
            sides.append(Side(str(config.get(f"{name}_language", name)), words, matrix, means))
        return cls(sides[0], sides[1], alignment, config["neighborhood"])


def _offsets(answers: Side, method: str) -> NDArray[np.float32] | None:
    """What a method adds to the cosines of the answers."""
    if method not in RETRIEVAL_METHODS:
        raise OptionError(f"retrieval method {method!r}: choose csls or cosine")
    return np.multiply(answers.means, -0.5, dtype=np.float32) if method == "csls" else None
