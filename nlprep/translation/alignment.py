"""What the vectors of two languages go through to meet: an `Alignment`, made by `nlprep.translation.align.align`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nlprep.core.artifacts import read_artifact, write_artifact
from nlprep.core.errors import FileError, NlprepError
from nlprep.translation.spelling import Spellings, embed_spellings
from nlprep.vectors.normalization import Normalization, scaled_to_unit

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from nlprep.core.artifacts import Artifact
    from nlprep.embeddings.word_vectors import WordVectors

ARTIFACT_KIND = "alignment"


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

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """What `from_artifact` takes from an artifact's tensors, by name."""
        return {
            "source_map": self.source_map,
            "target_map": self.target_map,
            "source_means": self.source_normalization.means,
            "target_means": self.target_normalization.means,
        }

    def plain_values(self) -> dict[str, Any]:
        """What `from_artifact` takes besides: the steps of normalisation, the weight of spelling, the provenance."""
        return {
            "source_steps": list(self.source_normalization.steps),
            "target_steps": list(self.target_normalization.steps),
            "spelling_weight": self.spelling_weight,
            "provenance": dict(self.provenance),
        }

    @classmethod
    def from_artifact(cls, artifact: Artifact, values: Mapping[str, Any]) -> Alignment:
        """Rebuild from an opened artifact that holds `arrays`, and from `plain_values`.

        Raises:
            FileError: Something is absent or does not fit.
        """
        maps, normalizations = [], []
        rank: int | None = None
        for side in ("source", "target"):
            mapping = artifact.tensor(f"{side}_map", dtype="float32", shape=(None, rank))
            rank = mapping.shape[1]
            means = artifact.tensor(f"{side}_means", dtype="float32", shape=(None, len(mapping)))
            steps = values.get(f"{side}_steps")
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
        provenance = values.get("provenance")
        if not isinstance(provenance, dict):
            raise FileError(artifact.path, "has no provenance: the artifact is damaged; make it again")
        weight = values.get("spelling_weight", 0.0)
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
        write_artifact(path, kind=ARTIFACT_KIND, config=self.plain_values(), tensors=self.arrays(), overwrite=overwrite)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Alignment:
        """Open what `save` wrote.

        Raises:
            FileError: Missing, of another kind, from a newer version, damaged or cut short.
        """
        artifact = read_artifact(path, kind=ARTIFACT_KIND)
        return cls.from_artifact(artifact, artifact.config)
