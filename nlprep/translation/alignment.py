"""From two sets of vectors, with a dictionary or without, to what both sides go through: an `Alignment`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nlprep.core.artifacts import read_artifact, write_artifact
from nlprep.core.configuration import check, option, to_mapping
from nlprep.core.errors import FileError, NlprepError
from nlprep.core.progress import SILENT
from nlprep.core.threads import blas_threads
from nlprep.translation.aligners.maps import ROUGH, make_fit, map_words
from nlprep.translation.aligners.rcsls import fit_rcsls
from nlprep.translation.aligners.refinement import fit_seed, induce_pairs, refine, without_words_of
from nlprep.translation.aligners.self_learning import SelfLearning
from nlprep.translation.spelling import WEIGHED_ON, Spellings, embed_spellings
from nlprep.translation.supervision import FITTED_METHODS, METHODS, AlignmentWarning, Supervision, choose_supervision
from nlprep.vectors.nearest import search_device
from nlprep.vectors.normalization import Normalization, fit_normalization, parse_steps, scaled_to_unit
from nlprep.vectors.whitening import WhiteningConfig

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from nlprep.core.artifacts import Artifact
    from nlprep.core.progress import Progress
    from nlprep.embeddings.word_vectors import WordVectors
    from nlprep.translation.aligners.maps import Maps
    from nlprep.translation.aligners.self_learning import Learned
    from nlprep.translation.lexicon import Lexicon

__all__ = ["METHODS", "Alignment", "AlignmentConfig", "AlignmentWarning", "align"]

ARTIFACT_KIND = "alignment"


@dataclass(frozen=True, kw_only=True)
class AlignmentConfig:
    """How to align. The defaults are what was most accurate on held-out pairs: see ``docs/alignment.md``."""

    method: str = option("auto", "how to align; auto goes by the dictionary", choices=("auto", *METHODS))
    normalization: str = option("iterative", "steps before the maps: unit, center, iterative or none, split by commas")
    refine: int = option(5, "most rounds of refinement on induced pairs; 0 for the dictionary alone", minimum=0)
    cutoff: int = option(20_000, "induce pairs among this many of the most frequent words", minimum=1)
    spelling: bool = option(True, "let likeness of spelling count, as much as it is found to be worth")
    seed: int = option(1, "of what chance decides in learning", minimum=0)
    device: str = option("cpu", "where to search for neighbours: cpu, or a torch device such as cuda")
    neighborhood: int = option(10, "nearest neighbours that CSLS averages", minimum=1)
    tolerance: float = option(0.01, "stop refining when the criterion rises by less than this share", minimum=0)
    induced_weight: float = option(0.5, "weight of an induced pair in refinement, a dictionary pair having 1", above=0)
    temperature: float = option(
        0.1, "trust the nearest of a word's several translations most; 0 trusts all alike", minimum=0
    )
    reweighting: float = option(0.5, "whitened: power of the correlations that weighs directions", minimum=0)
    dewhitening: float = option(0.75, "whitened: share of their variances that directions get back", minimum=0)
    games: int = option(6, "adversarial: the most games", minimum=2)
    game_steps: int = option(6_000, "adversarial: updates of each player in a game", minimum=1)
    ridge: float = option(0.0, "whitened: added to the variances, in units of their mean", minimum=0)

    def __post_init__(self) -> None:
        check(self)
        parse_steps(self.normalization)


def map_vectors(
    matrix: NDArray[np.floating], normalization: Normalization, mapping: NDArray[np.float32], side: str
) -> NDArray[np.float32]:
    """Vectors (n, d) through a normalisation and a map (d, r): (n, r) float32.

    Raises:
        NlprepError: Vectors of another dimension; ``side`` says whose.
    """
    if matrix.ndim != 2 or matrix.shape[1] != len(mapping):
        raise NlprepError(
            f"{side} vectors of shape {matrix.shape}: this alignment takes rows of {len(mapping)} "
            "values; use the vectors it was made from"
        )
    mapped: NDArray[np.float32] = normalization.apply(matrix) @ mapping
    return mapped


@dataclass(frozen=True)
class Alignment:
    """What the vectors of two languages go through to meet; always fitted, and good for both directions.

    Attributes:
        source_normalization: Fitted to the source vectors.
        target_normalization: Fitted to the target vectors.
        source_map: (d, r) float32, from normalised source vectors to the shared space: ``x @ source_map``.
        target_map: (e, r) float32, likewise.
        spelling_weight: What the cosine of two words' spellings counts for where that of their vectors counts 1.
        provenance: Plain values: method, settings, coverage of the dictionary, rounds, versions, warnings.
    """

    source_normalization: Normalization
    target_normalization: Normalization
    source_map: NDArray[np.float32]
    target_map: NDArray[np.float32]
    provenance: Mapping[str, Any]
    spelling_weight: float = 0.0

    def map_source(self, matrix: NDArray[np.floating]) -> NDArray[np.float32]:
        """Source vectors (n, d) in the shared space, (n, r) float32; lengths carry no meaning there."""
        return map_vectors(matrix, self.source_normalization, self.source_map, "source")

    def map_target(self, matrix: NDArray[np.floating]) -> NDArray[np.float32]:
        """Target vectors (m, e) in the shared space, (m, r) float32."""
        return map_vectors(matrix, self.target_normalization, self.target_map, "target")

    def bring_together(
        self, source: WordVectors, target: WordVectors
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Both vocabularies in one space, spelling included: (n, r + s) and (m, r + s) float32 rows of length one.

        The first r columns come from the vectors; s is 0 where spelling counts for nothing.
        """
        one, other = scaled_to_unit(self.map_source(source.matrix)), scaled_to_unit(self.map_target(target.matrix))
        if self.spelling_weight == 0:
            return one, other
        of_source, of_target = embed_spellings(source.words, target.words)
        return Spellings(of_source, of_target, self.spelling_weight).join(one, other)

    def tensors(self) -> dict[str, NDArray[np.float32]]:
        """The arrays to save, by name."""
        return {
            "source_map": self.source_map,
            "target_map": self.target_map,
            "source_means": self.source_normalization.means,
            "target_means": self.target_normalization.means,
        }

    def config(self) -> dict[str, Any]:
        """The plain values to save."""
        return {
            "source_steps": list(self.source_normalization.steps),
            "target_steps": list(self.target_normalization.steps),
            "spelling_weight": self.spelling_weight,
            "provenance": dict(self.provenance),
        }

    @classmethod
    def from_artifact(cls, artifact: Artifact, config: Mapping[str, Any]) -> Alignment:
        """Rebuild from an opened artifact that holds `tensors`, and the values of `config`.

        Raises:
            FileError: Something is absent or does not fit.
        """
        maps, normalizations = [], []
        rank: int | None = None
        for side in ("source", "target"):
            mapping = artifact.tensor(f"{side}_map", dtype="float32", shape=(None, rank))
            rank = mapping.shape[1]
            means = artifact.tensor(f"{side}_means", dtype="float32", shape=(None, len(mapping)))
            steps = config.get(f"{side}_steps")
            if (
                not isinstance(steps, list)
                or not set(steps) <= {"unit", "center"}
                or steps.count("center") != len(means)
            ):
                raise FileError(
                    artifact.path, f"{side}_steps is {steps!r}, which does not fit: the artifact is damaged"
                )
            maps.append(mapping)
            normalizations.append(Normalization(tuple(steps), means))
        provenance = config.get("provenance")
        if not isinstance(provenance, dict):
            raise FileError(artifact.path, "has no provenance: the artifact is damaged; make it again")
        weight = config.get("spelling_weight", 0.0)
        if not isinstance(weight, int | float) or not 0 <= weight < math.inf:
            raise FileError(artifact.path, f"spelling_weight is {weight!r}: the artifact is damaged; make it again")
        return cls(normalizations[0], normalizations[1], maps[0], maps[1], provenance, float(weight))

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write an artifact directory of kind ``alignment``.

        Args:
            path: The directory; an older one of this kind is replaced when the new one is whole.
            overwrite: Whether another kind of ours may be replaced, too.

        Raises:
            FileError: The place cannot be written or holds something else.
        """
        write_artifact(path, kind=ARTIFACT_KIND, config=self.config(), tensors=self.tensors(), overwrite=overwrite)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Alignment:
        """Open what `save` wrote.

        Raises:
            FileError: Missing, of another kind, from a newer version, damaged or cut short.
        """
        artifact = read_artifact(path, kind=ARTIFACT_KIND)
        return cls.from_artifact(artifact, artifact.config)


@dataclass(frozen=True)
class _Work:
    """Normalised vectors, and how the settings go about them."""

    settings: AlignmentConfig
    source: NDArray[np.float32]
    target: NDArray[np.float32]
    threads: int | None
    progress: Progress

    def fit_and_refine(
        self, supervision: Supervision, spellings: Spellings | None
    ) -> tuple[Maps, Spellings | None, dict[str, Any]]:
        """Fit to the dictionary, and refine."""
        settings = self.settings
        method = supervision.method if supervision.method in FITTED_METHODS else "whitened"
        fit = make_fit(self.source, self.target, method=method, whitening=self._whitening())
        first = fit_seed(fit, self.source, self.target, supervision.pairs, temperature=settings.temperature)
        spellings = self._weigh(spellings, first)
        maps, rounds = refine(
            fit,
            self.source,
            self.target,
            supervision.pairs,
            first,
            spellings=spellings,
            cutoff=settings.cutoff,
            max_rounds=settings.refine,
            tolerance=settings.tolerance,
            neighborhood=settings.neighborhood,
            induced_weight=settings.induced_weight,
            temperature=settings.temperature,
            threads=self.threads,
            progress=self.progress,
        )
        return maps, spellings, {"rounds": [entry.as_mapping() for entry in rounds], "agreement": None}

    def contrast(
        self, supervision: Supervision, spellings: Spellings | None
    ) -> tuple[Maps, Spellings | None, dict[str, Any]]:
        """Fit and refine, then tell the pairs, induced ones included, from what is taken for them."""
        from nlprep.translation.aligners.hard_negatives import ContrastiveConfig, refine_by_contrast

        settings = self.settings
        maps, spellings, told = self.fit_and_refine(supervision, spellings)
        one, other = map_words(self.source, self.target, maps, settings.cutoff)
        if spellings is not None:
            one, other = spellings.join(one, other)
        induced = induce_pairs(one, other, neighborhood=settings.neighborhood, threads=self.threads).rows
        maps, losses = refine_by_contrast(
            self.source,
            self.target,
            np.concatenate([supervision.pairs, without_words_of(induced, supervision.pairs)]),
            maps,
            ContrastiveConfig(cutoff=settings.cutoff, seed=settings.seed),
            neighborhood=settings.neighborhood,
            threads=self.threads,
            progress=self.progress,
        )
        return maps, spellings, told | {"losses": losses}

    def descend(
        self, supervision: Supervision, spellings: Spellings | None
    ) -> tuple[Maps, Spellings | None, dict[str, Any]]:
        """From the best rotation down the loss of RCSLS."""
        start, identity = make_fit(self.source, self.target, method="procrustes")(
            supervision.pairs, np.ones(len(supervision.pairs))
        )
        mapping, losses = fit_rcsls(
            self.source,
            self.target,
            supervision.pairs,
            start,
            neighborhood=self.settings.neighborhood,
            threads=self.threads,
            progress=self.progress,
        )
        maps = (mapping, identity)
        return maps, self._weigh(spellings, maps), {"rounds": [], "losses": losses, "agreement": None}

    def self_learn(
        self, supervision: Supervision, spellings: Spellings | None
    ) -> tuple[Maps, Spellings | None, dict[str, Any]]:
        """Learn from the pairs there are, or from none."""
        learning = self._learning(spellings)
        learned = (learning.learn_from if supervision.kind == "dictionary" else learning.learn)(supervision.pairs)
        return learned.maps, learned.spellings, _tell(learned)

    def play(
        self, supervision: Supervision, spellings: Spellings | None
    ) -> tuple[Maps, Spellings | None, dict[str, Any]]:
        """Learn from what comes of games."""
        from nlprep.translation.aligners.starts.adversarial import AdversarialConfig, AdversarialStarts, describe_games

        settings = self.settings
        starts = AdversarialStarts(
            self.source,
            self.target,
            AdversarialConfig(games=settings.games, steps=settings.game_steps, seed=settings.seed),
            neighborhood=settings.neighborhood,
            threads=self.threads,
            progress=self.progress,
        )
        learned = self._learning(spellings).learn(supervision.pairs, starts)
        return learned.maps, learned.spellings, _tell(learned) | {"games": describe_games(starts.games)}

    def _learning(self, spellings: Spellings | None) -> SelfLearning:
        return SelfLearning(
            self.source,
            self.target,
            rough=make_fit(self.source, self.target, whitening=ROUGH),
            # Whoever starts from nothing cannot choose pairs that span every dimension.
            fit=make_fit(self.source, self.target, whitening=self._whitening(least_ridge=1e-3)),
            spellings=spellings,
            cutoff=self.settings.cutoff,
            neighborhood=self.settings.neighborhood,
            seed=self.settings.seed,
            threads=self.threads,
            progress=self.progress,
        )

    def _weigh(self, spellings: Spellings | None, maps: Maps) -> Spellings | None:
        if spellings is None:
            return None
        some = map_words(self.source, self.target, maps, min(self.settings.cutoff, WEIGHED_ON))
        return spellings.weighed(*some, neighborhood=self.settings.neighborhood, threads=self.threads)

    def _whitening(self, least_ridge: float = 0.0) -> WhiteningConfig:
        return WhiteningConfig(
            source_power=self.settings.reweighting,
            target_power=self.settings.reweighting,
            dewhitening=self.settings.dewhitening,
            ridge=max(least_ridge, self.settings.ridge),
        )


def _tell(learned: Learned) -> dict[str, Any]:
    return {"rounds": [entry.as_mapping() for entry in learned.iterations], "agreement": learned.agreement}


def align(
    source: WordVectors,
    target: WordVectors,
    lexicon: Lexicon | None = None,
    config: AlignmentConfig | None = None,
    *,
    threads: int | None = None,
    progress: Progress = SILENT,
) -> Alignment:
    """Align two languages.

    Args:
        source: Vectors of the dictionary's first language, frequent words first.
        target: Vectors of its second language.
        lexicon: The dictionary; pairs with unknown words are left out. None: learn without one.
        config: Settings; `AlignmentConfig` by default.
        threads: Processors to use; all by default.
        progress: Where to report.

    Raises:
        NlprepError: No pair of the dictionary is known, too few are for the method, the dimensions differ where the
            method cannot have it, or attempts without a dictionary do not agree.
        OptionError: The method needs a dictionary and there is none, or takes none and there is one.

    Warns:
        AlignmentWarning: Fewer pairs than dimensions, so that a part of an orthogonal map is arbitrary; or so few that
            what is learned from them is doubtful.
    """
    settings = config or AlignmentConfig()
    supervision = choose_supervision(
        source,
        target,
        lexicon,
        method=settings.method,
        spelling=settings.spelling,
        cutoff=settings.cutoff,
        ridge=settings.ridge,
    )
    with blas_threads(threads), search_device(settings.device):
        normalizations = [fit_normalization(side.matrix, settings.normalization) for side in (source, target)]
        normalized = [fitted.apply(side.matrix) for fitted, side in zip(normalizations, (source, target), strict=True)]
        work = _Work(settings, normalized[0], normalized[1], threads, progress)
        spellings = None
        if settings.spelling:
            of_source, of_target = embed_spellings(*(side.words[: settings.cutoff] for side in (source, target)))
            spellings = Spellings(of_source, of_target, 0)
        ways = {
            "self-learning": work.self_learn,
            "adversarial": work.play,
            "rcsls": work.descend,
            "contrastive": work.contrast,
        }
        maps, spellings, told = ways.get(supervision.method, work.fit_and_refine)(supervision, spellings)
    provenance = {
        "config": to_mapping(settings),
        "method": supervision.method,
        "reason": supervision.reason,
        "supervision": {"kind": supervision.kind, "pairs": len(supervision.pairs)},
        "vectors": {
            "source": {"num_words": len(source), "dimension": source.dimension},
            "target": {"num_words": len(target), "dimension": target.dimension},
        },
        **told,
        "warnings": list(supervision.notes),
        "versions": _versions(),
    }
    if lexicon is not None:
        provenance["lexicon"] = vars(lexicon.coverage(source, target)) | {"pairs_used": len(supervision.pairs)}
    one, other = (matrix.astype(np.float32) for matrix in maps)
    weight = 0.0 if spellings is None else spellings.weight
    return Alignment(normalizations[0], normalizations[1], one, other, provenance, weight)


def _versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    try:
        ours = version("nlprep-toolkit")
    except PackageNotFoundError:
        ours = "source checkout"
    return {"nlprep-toolkit": ours, "numpy": np.__version__}
