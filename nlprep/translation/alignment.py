"""From two sets of vectors and a dictionary to what both sides go through: an `Alignment`."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nlprep.core.artifacts import read_artifact, write_artifact
from nlprep.core.configuration import check, option, to_mapping
from nlprep.core.errors import FileError, NlprepError
from nlprep.core.progress import SILENT
from nlprep.core.threads import blas_threads
from nlprep.translation.least_squares import fit_least_squares
from nlprep.translation.lexicon import quoted_examples
from nlprep.translation.normalization import Normalization, fit_normalization, parse_steps
from nlprep.translation.procrustes import fit_procrustes
from nlprep.translation.refinement import refine
from nlprep.translation.spelling import pair_spelled_alike
from nlprep.translation.whitening import WhiteningConfig, fit_whitened

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from nlprep.core.artifacts import Artifact
    from nlprep.core.progress import Progress
    from nlprep.embeddings.word_vectors import WordVectors
    from nlprep.translation.lexicon import Lexicon
    from nlprep.translation.refinement import Fit

ARTIFACT_KIND = "alignment"
METHODS = ("whitened", "procrustes", "least-squares")


class AlignmentWarning(UserWarning):
    """Something about the input that makes an alignment doubtful; the alignment's provenance holds it too."""


@dataclass(frozen=True, kw_only=True)
class AlignmentConfig:
    """How to align. The defaults are what was most accurate on held-out pairs: see ``docs/alignment.md``."""

    method: str = option("whitened", "kind of linear maps", choices=METHODS)
    normalization: str = option("iterative", "steps before the maps: unit, center, iterative or none, split by commas")
    refine: int = option(5, "most rounds of refinement on induced pairs; 0 for the dictionary alone", minimum=0)
    cutoff: int = option(20_000, "induce pairs among this many of the most frequent words", minimum=1)
    spelling: bool = option(True, "take frequent words spelled alike on both sides for likely pairs too")
    neighborhood: int = option(10, "nearest neighbours that CSLS averages", minimum=1)
    tolerance: float = option(0.01, "stop refining when the criterion rises by less than this share", minimum=0)
    induced_weight: float = option(
        0.5, "weight of a pair induced or spelled alike, a dictionary pair having 1", above=0
    )
    temperature: float = option(
        0.1, "trust the nearest of a word's several translations most; 0 trusts all alike", minimum=0
    )
    reweighting: float = option(0.5, "whitened: power of the correlations that weighs directions", minimum=0)
    dewhitening: float = option(0.75, "whitened: share of their variances that directions get back", minimum=0)
    ridge: float = option(0.0, "whitened: added to the variances, in units of their mean", minimum=0)

    def __post_init__(self) -> None:
        check(self)
        parse_steps(self.normalization)


@dataclass(frozen=True)
class Alignment:
    """What the vectors of two languages go through to meet; always fitted, and good for both directions.

    Attributes:
        source_normalization: Fitted to the source vectors.
        target_normalization: Fitted to the target vectors.
        source_map: (d, r) float32, from normalised source vectors to the shared space: ``x @ source_map``.
        target_map: (e, r) float32, likewise.
        provenance: Plain values: method, settings, coverage of the dictionary, rounds, versions, warnings.
    """

    source_normalization: Normalization
    target_normalization: Normalization
    source_map: NDArray[np.float32]
    target_map: NDArray[np.float32]
    provenance: Mapping[str, Any]

    def map_source(self, matrix: NDArray[np.floating]) -> NDArray[np.float32]:
        """Source vectors (n, d) in the shared space, (n, r) float32; lengths carry no meaning there."""
        return self._map(matrix, self.source_normalization, self.source_map, "source")

    def map_target(self, matrix: NDArray[np.floating]) -> NDArray[np.float32]:
        """Target vectors (m, e) in the shared space, (m, r) float32."""
        return self._map(matrix, self.target_normalization, self.target_map, "target")

    @staticmethod
    def _map(
        matrix: NDArray[np.floating], normalization: Normalization, mapping: NDArray[np.float32], side: str
    ) -> NDArray[np.float32]:
        if matrix.ndim != 2 or matrix.shape[1] != len(mapping):
            raise NlprepError(
                f"{side} vectors of shape {matrix.shape}: this alignment takes rows of {len(mapping)} "
                "values; use the vectors it was made from"
            )
        mapped: NDArray[np.float32] = normalization.apply(matrix) @ mapping
        return mapped

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
        return cls(normalizations[0], normalizations[1], maps[0], maps[1], provenance)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write an artifact directory of kind ``alignment``.

        Raises:
            FileError: The place cannot be written or holds something else.
        """
        write_artifact(path, kind=ARTIFACT_KIND, config=self.config(), tensors=self.tensors())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Alignment:
        """Open what `save` wrote.

        Raises:
            FileError: Missing, of another kind, from a newer version, damaged or cut short.
        """
        artifact = read_artifact(path, kind=ARTIFACT_KIND)
        return cls.from_artifact(artifact, artifact.config)


def align(
    source: WordVectors,
    target: WordVectors,
    lexicon: Lexicon,
    config: AlignmentConfig | None = None,
    *,
    threads: int | None = None,
    progress: Progress = SILENT,
) -> Alignment:
    """Align two languages with a dictionary.

    Args:
        source: Vectors of the dictionary's first language, frequent words first.
        target: Vectors of its second language.
        lexicon: The dictionary; pairs with unknown words are left out.
        config: Settings; `AlignmentConfig` by default.
        threads: Processors to use; all by default.
        progress: Where to report.

    Raises:
        NlprepError: No pair of the dictionary is known, too few are for the method, or the dimensions differ
            where the method cannot have it.

    Warns:
        AlignmentWarning: Fewer pairs than dimensions, so that a part of an orthogonal map is arbitrary.
    """
    settings = config or AlignmentConfig()
    seed = lexicon.rows(source, target)
    if not len(seed):
        raise NlprepError(_nothing_shared(source, target, lexicon))
    notes = _check_number_of_pairs(seed, source, target, settings)
    alike = np.empty((0, 2), np.int64)
    if settings.spelling:
        alike = pair_spelled_alike(
            source.words,
            target.words,
            cutoff=settings.cutoff,
            excluded_source=set(seed[:, 0].tolist()),
            excluded_target=set(seed[:, 1].tolist()),
        )
    with blas_threads(threads):
        normalizations = [fit_normalization(side.matrix, settings.normalization) for side in (source, target)]
        normalized = [fitted.apply(side.matrix) for fitted, side in zip(normalizations, (source, target), strict=True)]
        maps, rounds = refine(
            _fit_of(settings, normalized[0], normalized[1]),
            normalized[0],
            normalized[1],
            seed,
            assumed=alike,
            cutoff=settings.cutoff,
            max_rounds=settings.refine,
            tolerance=settings.tolerance,
            neighborhood=settings.neighborhood,
            induced_weight=settings.induced_weight,
            temperature=settings.temperature,
            threads=threads,
            progress=progress,
        )
    provenance = {
        "config": to_mapping(settings),
        "lexicon": vars(lexicon.coverage(source, target))
        | {"pairs_used": len(seed), "pairs_spelled_alike": len(alike)},
        "vectors": {
            "source": {"num_words": len(source), "dimension": source.dimension},
            "target": {"num_words": len(target), "dimension": target.dimension},
        },
        "rounds": [entry.as_mapping() for entry in rounds],
        "warnings": notes,
        "versions": _versions(),
    }
    one, other = (matrix.astype(np.float32) for matrix in maps)
    return Alignment(normalizations[0], normalizations[1], one, other, provenance)


def _fit_of(settings: AlignmentConfig, source: NDArray[np.float32], target: NDArray[np.float32]) -> Fit:
    whitening = WhiteningConfig(
        source_power=settings.reweighting,
        target_power=settings.reweighting,
        dewhitening=settings.dewhitening,
        ridge=settings.ridge,
    )

    def fit(pairs: NDArray[np.int64], weights: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        x, z = source[pairs[:, 0]], target[pairs[:, 1]]
        # Decompositions of matrices this small spend their time waiting for each other's threads: measured
        # on a busy machine, one thread takes a fifteenth of two.
        with blas_threads(1):
            if settings.method == "whitened":
                return fit_whitened(x, z, weights=weights, config=whitening)
            # These two map the source onto the target, whose own space is the shared one.
            one_sided = fit_procrustes if settings.method == "procrustes" else fit_least_squares
            return one_sided(x, z, weights=weights), np.eye(target.shape[1])

    return fit


def _nothing_shared(source: WordVectors, target: WordVectors, lexicon: Lexicon) -> str:
    if not len(lexicon):
        return "the dictionary is empty: give at least some hundred pairs"
    if len(lexicon.inverse().rows(source, target)):
        return (
            f"the dictionary seems to be the wrong way round: it starts with {lexicon.pairs[0]!r}; "
            "swap the two sets of vectors, or invert the dictionary"
        )
    return (
        "the dictionary shares no pair of words with the vectors: it has "
        f"{lexicon.examples(0)} -> {lexicon.examples(1)}, the source vectors "
        f"{quoted_examples(source.words)}, the target vectors "
        f"{quoted_examples(target.words)}: check languages and letter case"
    )


def _check_number_of_pairs(
    seed: NDArray[np.int64], source: WordVectors, target: WordVectors, settings: AlignmentConfig
) -> list[str]:
    """Refuse or warn where the pairs cannot determine the maps."""
    # Several translations of one word span no more dimensions than one.
    words = min(len(np.unique(seed[:, 0])), len(np.unique(seed[:, 1])))
    dimension = max(source.dimension, target.dimension)
    if words >= dimension:
        return []
    seen = f"the dictionary gives {words} words with known translations for vectors of {dimension} dimensions"
    if settings.method == "procrustes":
        note = f"{seen}: a part of the map is arbitrary; give more pairs, or train vectors of fewer dimensions"
        warnings.warn(note, AlignmentWarning, stacklevel=3)
        return [note]
    if settings.method == "whitened" and settings.ridge > 0:
        return []
    raise NlprepError(
        f"{seen}, too few for the {settings.method} method: give more pairs, choose the procrustes method, "
        "or train vectors of fewer dimensions"
    )


def _versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    try:
        ours = version("nlprep-toolkit")
    except PackageNotFoundError:
        ours = "source checkout"
    return {"nlprep-toolkit": ours, "numpy": np.__version__}
