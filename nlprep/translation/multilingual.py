"""Any number of languages in one space: two by two through a pivot, then all at once.

Languages are first aligned one after the other, each to the pivot or, where there is a dictionary, to a language that
is in already. Then all are mapped into one space together (`nlprep.vectors.joint_whitening`), and refined there:
words that are each other's nearest are paired between all languages, those included that nobody gave a dictionary
for (Chen and Cardie, EMNLP 2018, "Unsupervised multilingual word embeddings", whose maps are orthogonal).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nlprep.core.configuration import to_mapping
from nlprep.core.errors import NlprepError, OptionError
from nlprep.core.progress import SILENT
from nlprep.core.threads import blas_threads
from nlprep.translation.aligners.maps import map_words
from nlprep.translation.aligners.refinement import induce_pairs, weigh_pairs, without_words_of
from nlprep.translation.alignment import Alignment, AlignmentConfig, align, map_vectors
from nlprep.translation.spelling import WEIGHED_ON, Spellings, embed_spellings
from nlprep.vectors.joint_whitening import PairedVectors, fit_jointly
from nlprep.vectors.nearest import search_device
from nlprep.vectors.normalization import scaled_to_unit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from nlprep.core.progress import Progress
    from nlprep.embeddings.word_vectors import WordVectors
    from nlprep.translation.aligners.refinement import InducedPairs
    from nlprep.translation.lexicon import Lexicon
    from nlprep.vectors.normalization import Normalization

    Pair = tuple[int, int]
    """Numbers of two languages, the smaller first."""

LEAST_RIDGE = 1e-3
"""Induced pairs need not span every dimension."""


@dataclass(frozen=True)
class MultilingualAlignment:
    """What the vectors of several languages go through to meet; always fitted, good for every direction.

    Attributes:
        normalizations: By language.
        maps: By language, (d, r) float32, from normalised vectors to the shared space: ``x @ map``.
        spelling_weights: By two languages, in the order of `normalizations`: what the cosine of two words' spellings
            counts for where that of their vectors counts 1.
        provenance: Plain values: settings, how each language came in, rounds.
    """

    normalizations: Mapping[str, Normalization]
    maps: Mapping[str, NDArray[np.float32]]
    spelling_weights: Mapping[tuple[str, str], float]
    provenance: Mapping[str, Any]

    @property
    def languages(self) -> list[str]:
        """Their names, in the order given."""
        return list(self.maps)

    def spelling_weight(self, source: str, target: str) -> float:
        """What likeness of spelling counts between two languages, in either order.

        Raises:
            OptionError: A language that is not there, or the same one twice.
        """
        check_two(self.languages, source, target)
        weights = self.spelling_weights
        return weights[source, target] if (source, target) in weights else weights[target, source]

    def map_words(self, language: str, matrix: NDArray[np.floating]) -> NDArray[np.float32]:
        """Vectors (n, d) of a language in the shared space, (n, r) float32 rows of length one.

        Raises:
            NlprepError: Vectors of another dimension than the language's.
        """
        return scaled_to_unit(map_vectors(matrix, self.normalizations[language], self.maps[language], language))

    def between(self, source: str, target: str) -> Alignment:
        """The alignment of two of the languages.

        Raises:
            OptionError: A language that is not there, or the same one twice.
        """
        weight = self.spelling_weight(source, target)
        return Alignment(
            self.normalizations[source],
            self.normalizations[target],
            self.maps[source],
            self.maps[target],
            self.provenance,
            weight,
        )


def check_two(languages: Sequence[str], source: str, target: str) -> None:
    """Check that two different languages are asked for.

    Raises:
        OptionError: They are not.
    """
    for name in (source, target):
        if name not in languages:
            raise OptionError(f"language {name!r} is not in the model: choose from {', '.join(languages)}")
    if source == target:
        raise OptionError(f"from {source} to {target}: choose two different languages")


def align_languages(
    vectors: Mapping[str, WordVectors],
    lexicons: Mapping[tuple[str, str], Lexicon] | None = None,
    config: AlignmentConfig | None = None,
    *,
    pivot: str | None = None,
    threads: int | None = None,
    progress: Progress = SILENT,
) -> MultilingualAlignment:
    """Align two or more languages.

    Args:
        vectors: By language, frequent words first.
        lexicons: By source and target language, at most one for two languages; may be missing for some or all.
        config: Settings of the alignments two by two, and of the refinement; `AlignmentConfig` by default. The maps
            that come out are whitened, whatever method brought the languages in.
        pivot: The language that those without a dictionary are aligned to; the first by default. Best the one with
            the most text.
        threads: Processors to use; all by default.
        progress: Where to report.

    Raises:
        NlprepError: Two languages cannot be aligned; see `nlprep.translation.alignment.align`.
        OptionError: Fewer than two languages, an unknown pivot, or a dictionary of languages that are not there.
    """
    settings = config or AlignmentConfig()
    names = list(vectors)
    if len(names) < 2:
        raise OptionError(f"{len(names)} language: give two or more")
    pivot = names[0] if pivot is None else pivot
    if pivot not in names:
        raise OptionError(f"pivot {pivot!r}: choose from {', '.join(names)}")
    given = _in_order(names, lexicons or {})
    normalizations: dict[int, Normalization] = {}
    links: dict[Pair, Alignment] = {}
    for one, other in _plan_links(len(names), names.index(pivot), given):
        first, second = names[one], names[other]
        try:
            link = align(
                vectors[first],
                vectors[second],
                given.get((one, other)),
                settings,
                threads=threads,
                progress=progress,
            )
        except NlprepError as error:
            raise NlprepError(f"{first} and {second}: {error}") from error
        links[one, other] = link
        normalizations |= {one: link.source_normalization, other: link.target_normalization}
    with blas_threads(threads), search_device(settings.device):
        joint = _Joint(
            settings,
            [normalizations[number].apply(vectors[name].matrix) for number, name in enumerate(names)],
            [vectors[name].words[: settings.cutoff] for name in names],
            {pair: lexicon.rows(*(vectors[names[number]] for number in pair)) for pair, lexicon in given.items()},
            threads,
            progress,
        )
        maps, weights, rounds = joint.refine(links)
    return MultilingualAlignment(
        {name: normalizations[number] for number, name in enumerate(names)},
        {name: matrix.astype(np.float32) for name, matrix in zip(names, maps, strict=True)},
        {(names[one], names[other]): weight for (one, other), weight in weights.items()},
        {
            "config": to_mapping(settings),
            "pivot": pivot,
            "links": [
                {
                    "languages": [names[number] for number in pair],
                    **{
                        key: link.provenance[key]
                        for key in ("method", "reason", "agreement", "supervision", "warnings")
                    },
                }
                for pair, link in links.items()
            ],
            "rounds": [
                entry | {"pairs": {f"{names[i]}-{names[j]}": count for (i, j), count in entry["pairs"].items()}}
                for entry in rounds
            ],
            "vectors": {name: {"num_words": len(side), "dimension": side.dimension} for name, side in vectors.items()},
            "versions": next(iter(links.values())).provenance["versions"],
        },
    )


def _in_order(names: Sequence[str], lexicons: Mapping[tuple[str, str], Lexicon]) -> dict[Pair, Lexicon]:
    """Dictionaries by numbers of languages, turned round where the second language comes first."""
    given: dict[Pair, Lexicon] = {}
    for (source, target), lexicon in lexicons.items():
        check_two(names, source, target)
        one, other = names.index(source), names.index(target)
        ordered = (min(one, other), max(one, other))
        if ordered in given:
            raise OptionError(f"two dictionaries of {source} and {target}: join them into one")
        given[ordered] = lexicon if one < other else lexicon.inverse()
    return given


def _plan_links(count: int, pivot: int, given: Mapping[Pair, Lexicon]) -> list[Pair]:
    """Which two languages to align, one pair after the other, until all are linked to the pivot.

    A dictionary is better than none, so whoever has one with a language that is in comes in by it.
    """
    inside, links = [pivot], []
    while len(inside) < count:
        outside = [number for number in range(count) if number not in inside]
        pairs = [(min(one, other), max(one, other)) for one in inside for other in outside]
        chosen = next((pair for pair in pairs if pair in given), pairs[0])
        # Whoever has no dictionary waits: one that comes in before may have one with it.
        links.append(chosen)
        inside.append(chosen[0] if chosen[0] in outside else chosen[1])
    return links


@dataclass(frozen=True)
class _Joint:
    """Normalised vectors of all languages, the dictionaries as rows, and how the settings go about them."""

    settings: AlignmentConfig
    sides: Sequence[NDArray[np.float32]]
    words: Sequence[Sequence[str]]
    known: Mapping[Pair, NDArray[np.int64]]
    threads: int | None
    progress: Progress

    def refine(
        self, links: Mapping[Pair, Alignment]
    ) -> tuple[list[NDArray[np.float64]], dict[Pair, float], list[dict[str, Any]]]:
        """From alignments two by two to maps of all, the weight of spelling of every two, and what rounds saw."""
        settings = self.settings
        every = list(itertools.combinations(range(len(self.sides)), 2))
        spelled = embed_spellings(*self.words) if settings.spelling else None
        induced = {}
        for pair, link in links.items():
            maps_of_two = (link.source_map.astype(np.float64), link.target_map.astype(np.float64))
            induced[pair] = self._induce(pair, maps_of_two, spelled, link.spelling_weight)
        maps = self._fit({pair: found.rows for pair, found in induced.items()}, None)
        weights = {pair: self._weigh(pair, maps, spelled) for pair in every}
        best, chosen, rounds = maps, 0, list[dict[str, Any]]()
        with self.progress.task("refining all languages", total=(settings.refine + 1) * len(every)) as task:
            for number in range(settings.refine + 1):
                induced = {}
                for pair in every:
                    induced[pair] = self._induce(pair, (maps[pair[0]], maps[pair[1]]), spelled, weights[pair])
                    task.advance()
                criterion = float(np.mean([found.criterion for found in induced.values()]))
                rounds.append(
                    {
                        "round": number,
                        "criterion": round(criterion, 6),
                        "pairs": {pair: len(found.rows) for pair, found in induced.items()},
                    }
                )
                task.describe(f"criterion {criterion:.4f}")
                risen = criterion - rounds[chosen]["criterion"]
                if number > 0 and risen > 0:
                    best, chosen = maps, number
                if number == settings.refine or (number > 0 and risen < settings.tolerance * abs(criterion)):
                    break
                maps = self._fit({pair: found.rows for pair, found in induced.items()}, maps)
        return best, weights, [entry | {"chosen": entry["round"] == chosen} for entry in rounds]

    def _induce(
        self,
        pair: Pair,
        maps: tuple[NDArray[np.float64], NDArray[np.float64]],
        spelled: Sequence[NDArray[np.float32]] | None,
        weight: float,
    ) -> InducedPairs:
        one, other = map_words(self.sides[pair[0]], self.sides[pair[1]], maps, self.settings.cutoff)
        if spelled is not None:
            one, other = Spellings(spelled[pair[0]], spelled[pair[1]], weight).join(one, other)
        return induce_pairs(one, other, neighborhood=self.settings.neighborhood, threads=self.threads)

    def _weigh(
        self,
        pair: Pair,
        maps: Sequence[NDArray[np.float64]],
        spelled: Sequence[NDArray[np.float32]] | None,
    ) -> float:
        if spelled is None:
            return 0.0
        count = min(self.settings.cutoff, WEIGHED_ON)
        some = map_words(self.sides[pair[0]], self.sides[pair[1]], (maps[pair[0]], maps[pair[1]]), count)
        spellings = Spellings(spelled[pair[0]], spelled[pair[1]], 0)
        return spellings.weighed(*some, neighborhood=self.settings.neighborhood, threads=self.threads).weight

    def _fit(
        self, induced: Mapping[Pair, NDArray[np.int64]], maps: Sequence[NDArray[np.float64]] | None
    ) -> list[NDArray[np.float64]]:
        """Fit to dictionaries and to what was induced of words that they do not know."""
        settings = self.settings
        paired = []
        for pair in sorted(induced.keys() | self.known.keys()):
            known = self.known.get(pair, np.empty((0, 2), np.int64))
            fresh = without_words_of(induced.get(pair, known[:0]), known)
            rows = np.concatenate([known, fresh])
            one, other = (self.sides[language] for language in pair)
            trusted = np.ones(len(known))
            if maps is not None and settings.temperature > 0 and len(known):
                x, z = map_words(one[known[:, 0]], other[known[:, 1]], (maps[pair[0]], maps[pair[1]]))
                trusted = weigh_pairs(known, np.einsum("ij,ij->i", x, z), settings.temperature)
            weights = np.concatenate([trusted, np.full(len(fresh), settings.induced_weight)])
            paired.append(PairedVectors(*pair, (one[rows[:, 0]], other[rows[:, 1]]), weights))
        with blas_threads(1):
            return fit_jointly(
                paired,
                reweighting=settings.reweighting,
                dewhitening=settings.dewhitening,
                ridge=max(LEAST_RIDGE, settings.ridge),
            )
