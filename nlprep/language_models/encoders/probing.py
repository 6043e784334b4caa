"""What pretraining is for: accuracy by number of labels, of a frozen encoder and of what it must beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nlprep.core.errors import NlprepError
from nlprep.core.progress import SILENT
from nlprep.evaluation.linear_probe import ProbeConfig, ProbeCurve, probe_features

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from nlprep.core.progress import Progress
    from nlprep.evaluation.linear_probe import Features
    from nlprep.language_models.encoders.text_encoder import EncoderConfig, TextEncoder
    from nlprep.language_models.text.labelled_texts import LabelledTexts

FROM_SCRATCH = "random weights"
BAG_OF_WORDS = "bag of words"


@dataclass(frozen=True)
class ProbeResult:
    """Curves of accuracy by number of labels.

    Attributes:
        curves: One for each kind of features.
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


def probe(
    encoders: Mapping[str, TextEncoder | str | os.PathLike[str]],
    train: LabelledTexts,
    test: LabelledTexts,
    config: ProbeConfig | None = None,
    *,
    encoder_config: EncoderConfig | None = None,
    from_scratch: bool = True,
    bag_of_words: bool = True,
    batch_size: int = 32,
    device: str | None = None,
    progress: Progress = SILENT,
) -> ProbeResult:
    """Fit linear probes on frozen features with few and many labels.

    Features are computed once. The labels chosen are the same for every kind of features. Where an example has two
    texts, u and v, its features are u, v, |u - v| and u v (Conneau et al. 2017, "InferSent").

    Args:
        encoders: Encoders, or their directories, by the name that their curve is to have.
        train: Examples to learn from; their texts, but for the labels, are all at hand at any number of labels.
        test: Examples to measure on.
        config: Numbers of labels, repeats.
        encoder_config: Pooling and so on, of encoders given as directories.
        from_scratch: Add the first encoder with random weights, as what no pretraining gives.
        bag_of_words: Add tf-idf, as what no neural network gives.
        batch_size: Texts that are encoded at once.
        device: Of encoders given as directories.
        progress: Gets texts encoded and probes fitted.

    Raises:
        NlprepError: Nothing to compare, a single label, fewer examples than labels, or one text here and two there.
        FileError: A label of the test set that the training set lacks, or an encoder that cannot be read.
    """
    from nlprep.language_models.encoders.text_encoder import TextEncoder

    if not encoders and not bag_of_words:
        raise NlprepError("there is no encoder to probe: give at least one")
    if (train.pairs is None) != (test.pairs is None):
        raise NlprepError(f"{train.name} and {test.name}: one has pairs of texts and the other has not")
    if not len(test):
        raise NlprepError(f"{test.name}: there are no examples to measure on: give some")
    names = train.label_names()
    answers = (train.label_indices(names), test.label_indices(names))
    # Fails on numbers of labels that cannot be had before an hour of encoding, not after it.
    _check_numbers(config or ProbeConfig(), len(train), names)
    curves = []

    def measure(name: str, features: tuple[Features, Features]) -> None:
        sides = ((features[0], answers[0]), (features[1], answers[1]))
        curves.append(probe_features(name, *sides, config, progress=progress))

    for number, (name, given) in enumerate(encoders.items()):
        encoder = (
            given
            if isinstance(given, TextEncoder)
            else TextEncoder.from_directory(given, encoder_config, device=device)
        )
        measure(name, _encode_both(encoder, train, test, batch_size, progress))
        if number == 0 and from_scratch:
            measure(FROM_SCRATCH, _encode_both(encoder.randomized(), train, test, batch_size, progress))
    if bag_of_words:
        measure(BAG_OF_WORDS, _count_both(train, test))
    majority = int(np.bincount(answers[0]).argmax())
    return ProbeResult(tuple(curves), tuple(names), len(train), len(test), float((answers[1] == majority).mean()))


def _check_numbers(config: ProbeConfig, available: int, names: list[str]) -> None:
    fewest = config.num_labels(available)[0]
    if fewest < len(names):
        raise NlprepError(
            f"labels = {config.labels!r}: {fewest:,} of {available:,} examples are fewer than the {len(names)} labels "
            "there are: ask for more or give more examples"
        )


def _encode_both(
    encoder: TextEncoder, train: LabelledTexts, test: LabelledTexts, batch_size: int, progress: Progress
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    return _encode(encoder, train, batch_size, progress), _encode(encoder, test, batch_size, progress)


def _encode(encoder: TextEncoder, data: LabelledTexts, batch_size: int, progress: Progress) -> NDArray[np.float32]:
    vectors = encoder.encode(data.texts, batch_size, progress=progress)
    if data.pairs is None:
        return vectors
    others = encoder.encode(data.pairs, batch_size, progress=progress)
    return np.concatenate([vectors, others, np.abs(vectors - others), vectors * others], axis=1)


def _count_both(train: LabelledTexts, test: LabelledTexts) -> tuple[Features, Features]:
    import torch

    from nlprep.language_models.encoders.tf_idf import TfIdf

    counted = TfIdf.fit([*train.texts, *(train.pairs or ())])
    sides = []
    for data in (train, test):
        one = counted.features(data.texts)
        if data.pairs is not None:
            other = counted.features(data.pairs)
            one = torch.cat([one, other, (one - other).coalesce().abs(), (one * other).coalesce()], dim=1).coalesce()
        sides.append(one)
    return sides[0], sides[1]
