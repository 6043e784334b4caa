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
from nlprep.translation.align import align
from nlprep.translation.aligners.configuration import AlignmentConfig
from nlprep.translation.aligners.maps import map_side
from nlprep.translation.aligners.refinement import Refinement
from nlprep.translation.alignment import Alignment, map_vectors
from nlprep.translation.spelling import WEIGHED_ON, Spellings, embed_spellings
from nlprep.vectors.joint_whitening import PairedVectors, fit_jointly
from nlprep.vectors.nearest import search_device
from nlprep.vectors.normalization import scaled_to_unit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from nlprep.core.progress import Progress
    from nlprep.embeddings.word_vectors import WordVectors
    from nlprep.translation.aligners.configuration import WhitenedConfig
    from nlprep.translation.aligners.refinement import FitTogether, Pair, Round, WeightedPairs
    from nlprep.translation.lexicon import Lexicon
    from nlprep.vectors.normalization import Normalization

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
        NlprepError: Two languages cannot be aligned; see `nlprep.translation.align.align`.
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
        sides = [normalizations[number].apply(vectors[name].matrix) for number, name in enumerate(names)]
        refinement = Refinement(
            sides=sides,
            known={pair: lexicon.rows(*(vectors[names[number]] for number in pair)) for pair, lexicon in given.items()},
            fit=_make_fit(sides, settings.whitened),
            cutoff=settings.cutoff,
            neighborhood=settings.neighborhood,
            induced_weight=settings.induced_weight,
            temperature=settings.temperature,
            threads=threads,
        )
        words = [vectors[name].words[: settings.cutoff] for name in names]
        maps, weights, rounds = _refine_together(links, refinement, words, settings, progress)
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
                {
                    "round": entry.number,
                    "criterion": round(entry.criterion, 6),
                    "pairs": {f"{names[i]}-{names[j]}": seen.induced for (i, j), seen in entry.pairs.items()},
                    "chosen": entry.chosen,
                }
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
        given[ordered] = lexicon if one < other else lexicon.reversed()
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


def _refine_together(
    links: Mapping[Pair, Alignment],
    refinement: Refinement,
    words: Sequence[Sequence[str]],
    settings: AlignmentConfig,
    progress: Progress,
) -> tuple[Sequence[NDArray[np.float64]], dict[Pair, float], list[Round]]:
    """From alignments two by two to maps of all, the weight of spelling of every two, and what rounds saw."""
    sides, cutoff = refinement.sides, settings.cutoff
    every = itertools.combinations(range(len(sides)), 2)
    spelled = embed_spellings(*words) if settings.spelling else None
    induced = {}
    for (first, second), link in links.items():
        spellings = None if spelled is None else Spellings(spelled[first], spelled[second], link.spelling_weight)
        one = map_side(sides[first], link.source_map, cutoff)
        other = map_side(sides[second], link.target_map, cutoff)
        induced[first, second] = refinement.induce(one, other, spellings).rows
    maps = refinement.fit(refinement.choose_pairs(induced))
    if spelled is None:
        weighed = {}
    else:
        some = [map_side(side, matrix, min(cutoff, WEIGHED_ON)) for side, matrix in zip(sides, maps, strict=True)]
        weighed = {
            (one, other): Spellings(spelled[one], spelled[other], 0).weighed(
                some[one], some[other], neighborhood=refinement.neighborhood, threads=refinement.threads
            )
            for one, other in every
        }
    maps, rounds = refinement.refine(
        maps, weighed, max_rounds=settings.refine, tolerance=settings.tolerance, progress=progress
    )
    weights = {pair: weighed[pair].weight if pair in weighed else 0.0 for pair in rounds[0].pairs}
    return maps, weights, rounds


def _make_fit(sides: Sequence[NDArray[np.float32]], settings: WhitenedConfig) -> FitTogether:
    """The fit of whitened maps of all languages at once."""

    def fit(pairs: Mapping[Pair, WeightedPairs]) -> Sequence[NDArray[np.float64]]:
        paired = [
            PairedVectors(*pair, (sides[pair[0]][given.rows[:, 0]], sides[pair[1]][given.rows[:, 1]]), given.weights)
            for pair, given in pairs.items()
        ]
        with blas_threads(1):
            return fit_jointly(
                paired,
                reweighting=settings.reweighting,
                dewhitening=settings.dewhitening,
                ridge=max(LEAST_RIDGE, settings.ridge),
            )

    return fit
