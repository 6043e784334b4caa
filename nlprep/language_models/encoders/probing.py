"""Accuracy by number of labels of text encoders, beside the same with random weights and counted words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nlprep.core.errors import NlprepError
from nlprep.core.progress import SILENT
from nlprep.evaluation.label_curves import measure_label_curves

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping

    from nlprep.core.progress import Progress
    from nlprep.evaluation.configuration import ProbeConfig
    from nlprep.evaluation.encoder import Encoder
    from nlprep.evaluation.label_curves import LabelCurves
    from nlprep.language_models.encoders.configuration import EncoderConfig
    from nlprep.language_models.text.labelled_texts import LabelledTexts

BAG_OF_WORDS = "bag of words"
"""The name of the curve of counted words."""


def probe(
    encoders: Mapping[str, Encoder[str] | str | os.PathLike[str]],
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
) -> LabelCurves:
    """Fit linear probes on frozen features of texts with few and many labels (see `measure_label_curves`).

    Args:
        encoders: Encoders, or directories that `TextEncoder.from_directory` opens, by the name that their curve is to
            have.
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
    import os

    from nlprep.language_models.encoders.text_encoder import TextEncoder
    from nlprep.language_models.encoders.tf_idf import TfIdfEncoder

    if not encoders and not bag_of_words:
        raise NlprepError("there is no encoder to probe: give at least one")

    def opened() -> Iterator[tuple[str, Encoder[str]]]:
        for name, given in encoders.items():
            if isinstance(given, str | os.PathLike):
                yield name, TextEncoder.from_directory(given, encoder_config, device=device)
            else:
                yield name, given
        if bag_of_words:
            yield BAG_OF_WORDS, TfIdfEncoder.fit([*train.texts, *(train.pairs or ())])

    return measure_label_curves(
        opened(),
        train,
        test,
        config,
        from_scratch=from_scratch and bool(encoders),
        batch_size=batch_size,
        progress=progress,
    )
