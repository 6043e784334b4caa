"""``rep-pretrain finetune``: a pretrained model trained for a task."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

from cyclopts import Parameter

from cli.console import Console, said_as_command
from cli.options import Given, Options, Output, Switch, Threads
from cli.pretrain_commands.inputs import LabelColumn, PairColumn, TextColumn
from cli.pretrain_commands.pretraining import TRAINING_FIRST, Resume
from cli.training_runs import describe_done, shown_summary
from nlprep.core.configuration import to_mapping
from nlprep.core.errors import OptionError
from nlprep.core.progress import Progress
from nlprep.core.training.configuration import TrainingConfig
from nlprep.language_models.classifiers.configuration import ClassificationConfig
from nlprep.language_models.encoders.configuration import ContrastiveConfig, EncoderConfig
from nlprep.language_models.sequence_to_sequence.configuration import TranslationConfig

if TYPE_CHECKING:
    from nlprep.core.training.recipe import RunArguments
    from nlprep.language_models.text.labelled_texts import LabelledTexts

EPILOG = """\
examples:
  rep-pretrain finetune bert --train train.tsv --test test.tsv \\
      --output classifier
  rep-pretrain finetune bert --train train.tsv --output classifier --parts head
  rep-pretrain finetune bert --task similarity --train pairs.tsv \\
      --test held-out.tsv --output sentences
  rep-pretrain finetune bert --task similarity --train sentences.txt --lines \\
      --output sentences
  rep-pretrain finetune bert-en --task translation --decoder gpt-fr \\
      --train train.en train.fr --test test.en test.fr --output en-fr

classification: columns text and label, and text_pair for pairs; CSV, TSV or JSON lines.
similarity: two texts in a row that belong together. translation: two files, line for line,
or one with a tab between the two. Stopped, the same command goes on where it was.
"""

_BY_TASK = (
    *("epochs", "batch_size", "learning_rate", "final_learning_rate", "schedule", "warmup", "weight_decay", "beta2"),
)
_TRAINING = Options(
    title="training", first=TRAINING_FIRST, rest="training in detail", shown=dict.fromkeys(_BY_TASK, "by task")
)
_PARTS = {"classification": ("all", "head"), "similarity": ("all",), "translation": ("all", "cross-attention")}
_SHARE_SET_ASIDE = 0.1
Files = Annotated[list[Path], Parameter(consume_multiple=1)]


def finetune(
    model: Path,
    /,
    *,
    task: Literal["classification", "similarity", "translation"] = "classification",
    train: Files,
    validation: Files | None = None,
    test: Files | None = None,
    output: Output,
    overwrite: Switch = False,
    parts: Literal["all", "head", "cross-attention"] = "all",
    decoder: Path | None = None,
    lines: Switch = False,
    resume: Resume = "auto",
    training: Annotated[Given[TrainingConfig], _TRAINING],
    classification: Annotated[Given[ClassificationConfig], Options(title="classification", omit=("train",))],
    text_column: TextColumn = "text",
    label_column: LabelColumn = "label",
    pair_column: PairColumn = None,
    similarity: Annotated[Given[ContrastiveConfig], Options(title="similarity")],
    encoder: Annotated[Given[EncoderConfig], Options(title="similarity: the encoder", first=("pooling", "normalize"))],
    translation: Annotated[
        Given[TranslationConfig],
        Options(title="translation", omit=("train",), names={"dropout": "translation_dropout"}),
    ],
    threads: Threads = None,
    console: Console,
) -> int:
    """Train a pretrained model for a task.

    Args:
        model: A pretrained model: a run of rep-pretrain, or a transformers directory.
        task: What for.
        train: Examples to learn from.
        validation: Examples that choose the weights; for classification, a tenth of the others if not given.
        test: Examples to measure the result on.
        output: Directory for everything: RUN.
        overwrite: Replace what nlprep wrote there: a run of other settings or files, or one that is finished, begins
            anew; the same one, stopped, goes on; never anything else.
        parts: What learns: all, the new head, or cross-attention.
        decoder: Translation: a GPT of the other language.
        lines: Similarity: files of single texts, one a line.
        resume: With auto, go on where RUN was stopped, or start; never refuses a RUN that was begun, must one that
            was not.
        training: How it is trained.
        classification: How classifiers are trained.
        text_column: The texts'.
        label_column: The labels'.
        pair_column: The second texts'; text_pair, if it is there.
        similarity: How pairs are told apart.
        encoder: How vectors are made.
        translation: How translators are trained.
        threads: Processor threads; all by default.
        console: Where results and remarks go.
    """
    from nlprep.core.threads import torch_threads
    from nlprep.core.training.records.runs import check_training_run
    from nlprep.language_models.text.labelled_texts import read_labelled_texts

    files = {"train": train, "validation": validation or [], "test": test or []}
    _check(task, parts, decoder, files, lines=lines)
    own = {
        "classification": classification.flags,
        "similarity": [*similarity.flags, *encoder.flags],
        "translation": translation.flags,
    }
    for other, flags in own.items():
        if other != task and flags:
            raise OptionError(f"{flags[0]} is for {other}, not for {task}")
    kind, result = _kinds(task)
    inputs = console.inputs(model, train, validation, test, decoder)
    check_training_run(output, kind, result=result, inputs=inputs, overwrite=overwrite)
    progress = console.progress
    run: RunArguments = {"resume": resume, "overwrite": overwrite, "progress": progress}
    job = _Finetuning(model, files, output, training, progress, run)
    with torch_threads(threads), said_as_command():
        if task == "classification":
            read = partial(read_labelled_texts, text=text_column, label=label_column, text_pair=pair_column)
            summary = job.classify(classification.resolve(train=parts), read)
        elif task == "similarity":
            summary = job.contrast(similarity.resolve(), encoder.resolve(), lines=lines)
        else:
            # `_check` has seen to it that there is one.
            summary = job.translate(translation.resolve(train=parts), cast("Path", decoder))
    summary = {"output": str(output), "model": str(output / "model"), **summary}
    if (done := describe_done(summary)) is not None:
        console.note(done)
    if console.json_output:
        console.result(summary)
        return 0
    summary = shown_summary(summary)
    if summary.get("seconds") is not None:
        summary["seconds"] = f"{summary['seconds']:.1f}"
    hidden = ("output", "model", "settings", "already_done", "labels", "validation", "test", "pairs")
    rows = [
        (name.replace("_", " "), value) for name, value in summary.items() if name not in hidden and value is not None
    ]
    for name in ("validation", "test"):
        rows += [
            (f"{name} {measure.replace('_', ' ')}", value)
            for measure, value in summary.get(name, {}).items()
            if isinstance(value, float)
        ]
    console.table((task, summary["model"]), rows)
    return 0


def _kinds(task: str) -> tuple[str, str]:
    """What the run of a task is marked as, and what its model is."""
    from nlprep.language_models.classifiers import training as classifiers
    from nlprep.language_models.encoders import training as encoders
    from nlprep.language_models.models.files import CLASSIFIER, SENTENCE_TRANSFORMER, TRANSLATION_MODEL
    from nlprep.language_models.sequence_to_sequence import training as translators

    return {
        "classification": (classifiers.RUN, CLASSIFIER),
        "similarity": (encoders.RUN, SENTENCE_TRANSFORMER),
        "translation": (translators.RUN, TRANSLATION_MODEL),
    }[task]


def _check(task: str, parts: str, decoder: Path | None, files: dict[str, list[Path]], *, lines: bool) -> None:
    """Refuse what the task has no use for."""
    if parts not in _PARTS[task]:
        raise OptionError(f"--parts {parts}: for {task}, choose from {', '.join(_PARTS[task])}")
    if task == "translation" and decoder is None:
        raise OptionError("translation needs --decoder, a model of the other language")
    if task != "translation" and decoder is not None:
        raise OptionError(f"--decoder is for translation, not for {task}")
    if lines and task != "similarity":
        raise OptionError(f"--lines is for similarity, not for {task}")
    if not files["train"]:
        raise OptionError("--train names no file: give one")
    most = 2 if task == "translation" else 1
    for name, named in files.items():
        if len(named) > most:
            wanted = "one or two" if most > 1 else "one"
            raise OptionError(f"--{name} names {len(named)} files: for {task}, give {wanted}")


@dataclass(frozen=True)
class _Finetuning:
    """What the tasks have in common."""

    model: Path
    files: Mapping[str, list[Path]]
    output: Path
    training: Given[TrainingConfig]
    progress: Progress
    run: "RunArguments"

    def classify(self, config: ClassificationConfig, read: "Callable[[Path], LabelledTexts]") -> dict[str, Any]:
        """Train a classifier."""
        from nlprep.evaluation.labelled import split_labelled
        from nlprep.language_models.classifiers.training import measure_classifier, train_classifier

        training = self.training.resolve(to_mapping(config.default_training()))
        train = read(self.files["train"][0])
        validation, test = (read(self.files[name][0]) if self.files[name] else None for name in ("validation", "test"))
        if test is not None:
            # A label that training lacks shows now rather than after it.
            test.label_indices(train.label_names())
        if validation is None:
            train, validation = split_labelled(train, _SHARE_SET_ASIDE, seed=training.seed)
        made = train_classifier(
            self.model,
            train,
            self.output,
            config=config,
            training=training,
            validation=validation if len(validation) else None,
            **self.run,
        )
        summary = dict(made.summary)
        if test is not None:
            measured = measure_classifier(made.classifier, test, progress=self.progress)
            summary["test"] = measured.to_dict()
        return summary

    def contrast(self, config: ContrastiveConfig, encoder: EncoderConfig, *, lines: bool) -> dict[str, Any]:
        """Train a sentence encoder."""
        from nlprep.core.files import read_lines
        from nlprep.language_models.encoders.configuration import CONTRASTIVE_TRAINING
        from nlprep.language_models.encoders.training import (
            SentencePairs,
            read_sentence_pairs,
            retrieval_accuracy,
            train_sentence_encoder,
        )

        def read(path: Path) -> SentencePairs:
            if lines:
                return SentencePairs([line for _, line in read_lines(path) if line.strip()], None, str(path))
            return read_sentence_pairs(path)

        training = self.training.resolve(to_mapping(CONTRASTIVE_TRAINING))
        pairs = read(self.files["train"][0])
        validation = read(self.files["validation"][0]) if self.files["validation"] else None
        # Single texts have nothing that could be found again.
        test = read_sentence_pairs(self.files["test"][0]) if self.files["test"] else None
        made = train_sentence_encoder(
            self.model,
            pairs,
            self.output,
            config=config,
            training=training,
            encoder_config=encoder,
            validation=validation,
            **self.run,
        )
        summary = dict(made.summary)
        if test is not None:
            accuracy = retrieval_accuracy(made.encoder, test, progress=self.progress)
            summary["test"] = {"pairs": len(test), "retrieval_accuracy": accuracy}
        return summary

    def translate(self, config: TranslationConfig, decoder: Path) -> dict[str, Any]:
        """Train a translator."""
        from nlprep.language_models.sequence_to_sequence.configuration import TRANSLATION_TRAINING
        from nlprep.language_models.sequence_to_sequence.decoding import translate_sentences
        from nlprep.language_models.sequence_to_sequence.parallel_text import read_parallel_text
        from nlprep.language_models.sequence_to_sequence.scores import score_translations
        from nlprep.language_models.sequence_to_sequence.training import train_translation_model

        training = self.training.resolve(to_mapping(TRANSLATION_TRAINING))
        train = read_parallel_text(*self.files["train"])
        validation, test = (
            read_parallel_text(*self.files[name]) if self.files[name] else None for name in ("validation", "test")
        )
        made = train_translation_model(
            self.model,
            decoder,
            train,
            self.output,
            config=config,
            training=training,
            validation=validation,
            **self.run,
        )
        summary = dict(made.summary)
        if test is not None:
            halves = (made.model, made.source, made.target)
            found = translate_sentences(*halves, test.source, longest=config.longest, progress=self.progress)
            summary["test"] = score_translations(found, test.target).to_dict()
        return summary
