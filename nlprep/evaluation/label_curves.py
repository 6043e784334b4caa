"""What learning without labels is for: accuracy by number of labels, of encoders and of what they must beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from nlprep.core.errors import NlprepError
from nlprep.core.progress import SILENT
from nlprep.evaluation.configuration import ProbeConfig
from nlprep.evaluation.encoder import SparseEncoder
from nlprep.evaluation.linear_probe import ProbeCurve, check_amounts, probe_features

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from nlprep.core.progress import Progress
    from nlprep.evaluation.encoder import Encoder
    from nlprep.evaluation.labelled import Labelled

FROM_SCRATCH = "random weights"
"""The name of the first encoder's curve with nothing learned."""

Item = TypeVar("Item")


@dataclass(frozen=True)
class LabelCurves:
    """Curves of accuracy by number of labels.

    Attributes:
        curves: One for each encoder.
        labels: The names of the classes.
        num_train: Labelled training examples.
        num_test: Test examples.
        majority: The accuracy of always answering the most frequent label of the training set.
    """

    curves: tuple[ProbeCurve, ...]
    labels: tuple[str, ...]
    num_train: int
    num_test: int
    majority: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON."""
        return {
            "curves": [curve.to_dict() for curve in self.curves],
            "labels": list(self.labels),
            "num_train": self.num_train,
            "num_test": self.num_test,
            "majority": self.majority,
        }


def measure_label_curves(
    encoders: Mapping[str, Encoder[Item]] | Iterable[tuple[str, Encoder[Item]]],
    train: Labelled[Item],
    test: Labelled[Item],
    config: ProbeConfig | None = None,
    *,
    from_scratch: bool = True,
    batch_size: int = 32,
    progress: Progress = SILENT,
) -> LabelCurves:
    """Fit probes, linear or of neighbours, on frozen features of each encoder, with few and many labels.

    Features are computed once. The labels chosen are the same for every encoder. Where an example has two items, u and
    v, its features are u, v, |u - v| and u v (Conneau et al. 2017, "InferSent").

    Args:
        encoders: Encoders by the name that their curve is to have; or names and encoders in turn, each of which is
            asked for when the one before is done with, so that one model is in memory at a time.
        train: Examples to learn from; their items, but for the labels, are all at hand at any number of labels.
        test: Examples to measure on.
        config: Numbers of labels, repeats.
        from_scratch: Add the first encoder with random weights, as what no learning gives.
        batch_size: Items that are encoded at once.
        progress: Gets items encoded and probes fitted.

    Raises:
        NlprepError: Nothing to compare, a single label, more labels asked for than there are, or one item here and two
            there.
        FileError: A label of the test set that the training set lacks.
    """
    if (train.pairs is None) != (test.pairs is None):
        raise NlprepError(f"{train.name} and {test.name}: one has pairs and the other has not")
    if not len(test):
        raise NlprepError(f"{test.name}: there are no examples to measure on: give some")
    names = train.label_names()
    train_labels, test_labels = train.label_indices(names), test.label_indices(names)
    # Fails on numbers of labels that cannot be had before an hour of encoding, not after it.
    check_amounts(config or ProbeConfig(), train_labels, len(names))
    curves = []
    for name, encoder in _with_baseline(encoders, from_scratch):
        features = [pair_features(encoder, data, batch_size, progress) for data in (train, test)]
        curves.append(
            probe_features(name, (features[0], train_labels), (features[1], test_labels), config, progress=progress)
        )
    if not curves:
        raise NlprepError("there is no encoder to probe: give at least one")
    majority = int(np.bincount(train_labels).argmax())
    return LabelCurves(tuple(curves), tuple(names), len(train), len(test), float((test_labels == majority).mean()))


def _with_baseline(
    encoders: Mapping[str, Encoder[Item]] | Iterable[tuple[str, Encoder[Item]]], from_scratch: bool
) -> Iterator[tuple[str, Encoder[Item]]]:
    named: Any = encoders.items() if hasattr(encoders, "items") else encoders
    for number, (name, encoder) in enumerate(named):
        yield name, encoder
        if number == 0 and from_scratch:
            yield FROM_SCRATCH, encoder.randomized()


def pair_features(
    encoder: Encoder[Item], data: Labelled[Item], batch_size: int = 32, progress: Progress = SILENT
) -> Any:
    """The features of labelled items: vectors (n, d), or u, v, |u - v| and u v (n, 4 d) of pairs.

    Returns:
        float32, an array, or a scipy CSR array of a `SparseEncoder`.
    """
    if isinstance(encoder, SparseEncoder):
        from scipy import sparse

        one = encoder.encode_sparse(data.items, progress=progress)
        if data.pairs is None:
            return one
        other = encoder.encode_sparse(data.pairs, progress=progress)
        return sparse.hstack([one, other, abs(one - other), one.multiply(other)], format="csr")
    vectors = encoder.encode(data.items, batch_size, progress=progress)
    if data.pairs is None:
        return vectors
    others = encoder.encode(data.pairs, batch_size, progress=progress)
    return np.concatenate([vectors, others, np.abs(vectors - others), vectors * others], axis=1)
