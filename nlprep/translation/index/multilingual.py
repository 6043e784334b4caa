"""Several languages in one space, ready to be asked between any two."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nlprep.core.artifacts import artifact_kind, pack_words, read_artifact, unpack_words, write_artifact
from nlprep.core.errors import FileError, OptionError
from nlprep.core.progress import SILENT
from nlprep.core.threads import blas_threads
from nlprep.translation.index.bilingual import Side, TranslationIndex
from nlprep.translation.multilingual import MultilingualAlignment, check_two
from nlprep.translation.spelling import Spellings, embed_spellings
from nlprep.vectors.nearest import mutual_neighborhood_means
from nlprep.vectors.normalization import Normalization

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from nlprep.core.artifacts import Artifact
    from nlprep.core.progress import Progress
    from nlprep.embeddings.word_vectors import WordVectors

ARTIFACT_KIND = "multilingual-translator"


@dataclass(frozen=True)
class IndexedVocabulary:
    """One language in the shared space.

    Attributes:
        words: Most frequent first.
        vectors: (n, r) float32 rows of length one.
        spellings: (n, s) likewise, comparable between languages; s is 0 where spelling counts for nothing anywhere.
    """

    words: list[str]
    vectors: NDArray[np.float32]
    spellings: NDArray[np.float32]


class MultilingualIndex:
    """Several languages in one space; made by `build` or `load`. `between` gives what translates.

    Attributes:
        vocabularies: By language.
        alignment: What brought them together.
        neighborhood: Nearest neighbours that CSLS averaged.
    """

    def __init__(
        self,
        vocabularies: Mapping[str, IndexedVocabulary],
        means: Mapping[tuple[str, str], NDArray[np.float32]],
        alignment: MultilingualAlignment,
        neighborhood: int,
    ) -> None:
        self.vocabularies = vocabularies
        self.alignment = alignment
        self.neighborhood = neighborhood
        # (n,) mean cosines of the first language's words to their nearest neighbours in the second.
        self._means = means

    @property
    def languages(self) -> list[str]:
        """Their names, in the order given."""
        return list(self.vocabularies)

    @classmethod
    def build(
        cls,
        vectors: Mapping[str, WordVectors],
        alignment: MultilingualAlignment,
        *,
        neighborhood: int = 10,
        threads: int | None = None,
        progress: Progress = SILENT,
    ) -> MultilingualIndex:
        """Bring all vocabularies into the shared space and find the neighbourhood means of every two.

        Args:
            vectors: By language, of all languages of the alignment.
            alignment: From `nlprep.translation.multilingual.align_languages`.
            neighborhood: Nearest neighbours that CSLS averages.
            threads: Processors to use; all by default.
            progress: Where to report.

        Raises:
            OptionError: Other languages than the alignment's.
            NlprepError: Vectors of another dimension.
        """
        names = alignment.languages
        if sorted(vectors) != sorted(names):
            raise OptionError(f"vectors of {', '.join(vectors)}: this alignment is of {', '.join(names)}")
        words = {name: vectors[name].words for name in names}
        with blas_threads(threads):
            mapped = {name: alignment.map_words(name, vectors[name].matrix) for name in names}
        if any(alignment.spelling_weights.values()):
            spelled = embed_spellings(*words.values())
        else:
            spelled = [np.zeros((len(mapped[name]), 0), np.float32) for name in names]
        vocabularies = {
            name: IndexedVocabulary(words[name], mapped[name], spellings)
            for name, spellings in zip(names, spelled, strict=True)
        }
        index = cls(vocabularies, {}, alignment, neighborhood)
        means: dict[tuple[str, str], NDArray[np.float32]] = {}
        for one, other in itertools.combinations(names, 2):
            means[one, other], means[other, one] = mutual_neighborhood_means(
                *index._joined(one, other), neighborhood, threads=threads, progress=progress
            )
        return cls(vocabularies, means, alignment, neighborhood)

    def between(self, source: str, target: str) -> TranslationIndex:
        """The translator of two of the languages.

        Raises:
            OptionError: A language that is not there, or the same one twice.
        """
        check_two(self.languages, source, target)
        one, other = self._joined(source, target)
        return TranslationIndex(
            Side(source, self.vocabularies[source].words, one, self._means[source, target]),
            Side(target, self.vocabularies[target].words, other, self._means[target, source]),
            self.alignment.between(source, target),
            self.neighborhood,
        )

    def _joined(self, source: str, target: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        one, other = self.vocabularies[source], self.vocabularies[target]
        weight = self.alignment.spelling_weight(source, target)
        return Spellings(one.spellings, other.spellings, weight).join(one.vectors, other.vectors)

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write an artifact directory of kind ``multilingual-translator``, with the alignment inside.

        Args:
            path: The directory; an older one of this kind is replaced when the new one is whole.
            overwrite: Whether another kind of ours may be replaced, too.

        Raises:
            FileError: The place cannot be written or holds something else.
        """
        tensors: dict[str, NDArray[Any]] = {}
        for number, (name, vocabulary) in enumerate(self.vocabularies.items()):
            normalization = self.alignment.normalizations[name]
            tensors[f"{number}.map"] = self.alignment.maps[name]
            tensors[f"{number}.means"] = normalization.means
            tensors[f"{number}.vectors"] = vocabulary.vectors
            tensors[f"{number}.spellings"] = vocabulary.spellings
            tensors[f"{number}.words"] = pack_words(vocabulary.words)
            for towards, other in enumerate(self.languages):
                if towards != number:
                    tensors[f"{number}.neighborhoods.{towards}"] = self._means[name, other]
        config = {
            "languages": self.languages,
            "neighborhood": self.neighborhood,
            "steps": [list(self.alignment.normalizations[name].steps) for name in self.languages],
            "spelling_weights": [
                [one, other, weight] for (one, other), weight in self.alignment.spelling_weights.items()
            ],
            "provenance": dict(self.alignment.provenance),
        }
        write_artifact(path, kind=ARTIFACT_KIND, config=config, tensors=tensors, overwrite=overwrite)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> MultilingualIndex:
        """Open what `save` wrote; vectors stay on disk and are read as questions need them.

        Raises:
            FileError: Missing, of another kind, from a newer version, damaged or cut short.
        """
        artifact = read_artifact(path, kind=ARTIFACT_KIND)
        names, weights, provenance = _checked(artifact)
        normalizations, maps, vocabularies = {}, {}, {}
        means: dict[tuple[str, str], NDArray[np.float32]] = {}
        rank: int | None = None
        width: int | None = None
        for number, (name, steps) in enumerate(zip(names, artifact.config["steps"], strict=True)):
            maps[name] = artifact.tensor(f"{number}.map", dtype="float32", shape=(None, rank))
            dimension, rank = maps[name].shape
            centers = artifact.tensor(f"{number}.means", dtype="float32", shape=(steps.count("center"), dimension))
            normalizations[name] = Normalization(tuple(steps), centers)
            vectors = artifact.tensor(f"{number}.vectors", dtype="float32", shape=(None, rank))
            spellings = artifact.tensor(f"{number}.spellings", dtype="float32", shape=(len(vectors), width))
            width = spellings.shape[1]
            words = unpack_words(artifact, f"{number}.words", len(vectors))
            vocabularies[name] = IndexedVocabulary(words, vectors, spellings)
            for towards, other in enumerate(names):
                if towards != number:
                    means[name, other] = artifact.tensor(
                        f"{number}.neighborhoods.{towards}", dtype="float32", shape=(len(vectors),)
                    )
        alignment = MultilingualAlignment(normalizations, maps, weights, provenance)
        return cls(vocabularies, means, alignment, artifact.config["neighborhood"])


def _checked(artifact: Artifact) -> tuple[list[str], dict[tuple[str, str], float], dict[str, Any]]:
    """The plain values of an artifact: languages, weights of spelling, provenance."""
    config = artifact.config
    names, steps, weights = config.get("languages"), config.get("steps"), config.get("spelling_weights")
    provenance = config.get("provenance")
    if (
        isinstance(names, list)
        and len(names) == len(set(map(str, names))) >= 2
        and isinstance(steps, list)
        and len(steps) == len(names)
        and all(isinstance(each, list) and set(each) <= {"unit", "center"} for each in steps)
        and isinstance(weights, list)
        and all(isinstance(each, list) and len(each) == 3 and _is_weight(each[2]) for each in weights)
        and isinstance(provenance, dict)
        and isinstance(config.get("neighborhood"), int)
    ):
        names = [str(name) for name in names]
        by_pair = {(str(one), str(other)): float(weight) for one, other, weight in weights}
        if set(by_pair) == set(itertools.combinations(names, 2)):
            return names, by_pair, provenance
    raise FileError(artifact.path, "has settings that do not fit together: the artifact is damaged; make it again")


def _is_weight(value: object) -> bool:
    return isinstance(value, int | float) and 0 <= value < math.inf


def open_translator(
    path: str | os.PathLike[str], source: str | None = None, target: str | None = None
) -> TranslationIndex:
    """Open a translator of two languages, or any two languages of a translator of several.

    Args:
        path: What `TranslationIndex.save` or `MultilingualIndex.save` wrote.
        source: The language of the words. Where there are two languages, either may be left out.
        target: The language of the translations.

    Returns:
        Whose source is the language of the words; if neither is named, as it was made.

    Raises:
        FileError: Missing, of another kind, from a newer version, damaged or cut short.
        OptionError: A language that is not there, the same one twice, or not both of several.
    """
    if artifact_kind(path) == ARTIFACT_KIND:
        several = MultilingualIndex.load(path)
        if source is None or target is None:
            raise OptionError(
                f"{path} translates between {', '.join(several.languages)}: choose two of them, from (--from) and "
                "to (--to)"
            )
        return several.between(source, target)
    index = TranslationIndex.load(path)
    names = [index.source_language, index.target_language]
    for name in (source, target):
        if name is not None and name not in names:
            raise OptionError(f"language {name!r}: this model translates between {' and '.join(names)}")
    if source is not None and source == target:
        raise OptionError(f"from {source} to {target}: choose two different languages")
    swapped = source == names[1] or target == names[0]
    return index.reversed() if swapped else index
