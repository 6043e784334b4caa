"""Fine-tuning for classification, of a text or of a pair of texts, and measuring the result."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nlprep.core.errors import NlprepError
from nlprep.core.progress import SILENT
from nlprep.core.training.recipe import FinishedRun, prepare_run
from nlprep.evaluation.classification import report_classification
from nlprep.language_models.classifiers.configuration import ClassificationConfig
from nlprep.language_models.models.files import CLASSIFIER

if TYPE_CHECKING:
    import os
    from typing import Unpack

    from nlprep.core.progress import Progress
    from nlprep.core.training.configuration import TrainingConfig
    from nlprep.core.training.recipe import RunArguments
    from nlprep.evaluation.classification import ClassificationReport
    from nlprep.language_models.classifiers.classifier import TextClassifier
    from nlprep.language_models.text.labelled_texts import LabelledTexts

RUN = "classifier-training"
"""What the directories of runs are marked as."""


@dataclass(frozen=True, kw_only=True)
class FineTuning(FinishedRun):
    """A finished run.

    Attributes:
        classifier: The classifier.
        report: Of the validation examples, if there were any.
    """

    classifier: TextClassifier
    report: ClassificationReport | None


def train_classifier(
    model: str | os.PathLike[str],
    train: LabelledTexts,
    directory: str | os.PathLike[str],
    *,
    config: ClassificationConfig | None = None,
    training: TrainingConfig | None = None,
    validation: LabelledTexts | None = None,
    **run: Unpack[RunArguments],
) -> FineTuning:
    """Fine-tune a pretrained model as a classifier; the same call again goes on where it was stopped.

    Args:
        model: The directory of a pretrained model, or of its run.
        train: Examples; their labels are the classes.
        directory: The run's directory (see `nlprep.core.training.recipe`).
        config: What is trained.
        training: The loop's settings; default: ``config.default_training()``.
        validation: Examples that decide which weights are kept, and on which the result is measured.
        **run: As `nlprep.core.training.recipe.RunArguments`.

    Returns:
        The run; its classifier is also in ``directory/model``, which transformers alone opens.

    Raises:
        FileError: No such model, or a validation label that was not seen in training.
        NlprepError: No examples or a single label, pairs here and none there, or as `prepare_run` and `fit` do.
        OptionError: More tokens than the model takes.
    """
    from nlprep.core.training.steps.step import PlainStep
    from nlprep.language_models.classifiers.classifier import Classification, LabelledExamples, TextClassifier
    from nlprep.language_models.models.attention import fast_attention
    from nlprep.language_models.models.files import find_model

    config = config or ClassificationConfig()
    training = training or config.default_training()
    read = [model, *(data.name for data in (train, validation) if data is not None and Path(data.name).is_file())]
    names = train.label_names()
    classes = train.label_indices(names)
    if validation is not None:
        _check_form(validation, train)
        validation_classes = validation.label_indices(names)
    classifier = TextClassifier.from_pretrained(model, names, max_length=config.max_length, seed=training.seed)
    examples = LabelledExamples(classifier, train.texts, train.pairs, classes)
    held = None
    if validation is not None:
        held = LabelledExamples(classifier, validation.texts, validation.pairs, validation_classes)
    module = Classification(classifier, head_only=config.train == "head")
    with prepare_run(
        directory, kind=RUN, result=CLASSIFIER, settings={"classification": config}, training=training,
        bases={"model": find_model(model)}, data={"labels": names, "pairs": train.pairs is not None},
        inputs=read, **run,
    ) as prepared:  # fmt: skip
        with fast_attention(classifier.model):
            history = prepared.fit(PlainStep(module), examples, validation=held)
        prepared.publish(classifier.save)
    summary = prepared.summarise(history) | {"labels": names, "pairs": train.pairs is not None}
    report = None
    if validation is not None:
        report = measure_classifier(classifier, validation, progress=prepared.progress)
        summary["validation"] |= report.to_dict()
    return FineTuning(
        directory=prepared.directory, history=history, summary=summary, classifier=classifier, report=report
    )


def evaluate_classifier(
    path: str | os.PathLike[str],
    data: LabelledTexts,
    *,
    batch_size: int = 32,
    device: str | None = None,
    progress: Progress = SILENT,
) -> ClassificationReport:
    """Measure a classifier on disk.

    Args:
        path: The directory of a classifier, trained here or not, or of its run.
        data: Examples with the right labels.
        batch_size: How many at once.
        device: ``cpu``, ``cuda``...; default: a GPU where there is one.
        progress: Gets texts.

    Raises:
        FileError: No classifier there, or a label that it does not know.
        NlprepError: There are no examples.
    """
    from nlprep.language_models.classifiers.classifier import TextClassifier

    classifier = TextClassifier.from_directory(path, device=device)
    return measure_classifier(classifier, data, batch_size=batch_size, progress=progress)


def measure_classifier(
    classifier: TextClassifier, data: LabelledTexts, *, batch_size: int = 32, progress: Progress = SILENT
) -> ClassificationReport:
    """As `evaluate_classifier`, of a classifier in memory."""
    if not len(data):
        raise NlprepError(f"{data.name}: there are no examples to measure on: give some")
    truth = data.label_indices(classifier.labels)
    logits = classifier.logits(data.texts, data.pairs, batch_size=batch_size, progress=progress).astype(np.float64)
    chances = np.exp(logits - logits.max(axis=1, keepdims=True))
    chances /= chances.sum(axis=1, keepdims=True)
    return report_classification(truth, logits.argmax(axis=1), classifier.labels, probabilities=chances)


def _check_form(validation: LabelledTexts, train: LabelledTexts) -> None:
    if (validation.pairs is None) != (train.pairs is None):
        one, other = (validation, train) if validation.pairs is not None else (train, validation)
        raise NlprepError(f"{one.name} has pairs of texts and {other.name} has not: give both in one form")
