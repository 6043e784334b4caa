"""``rep-pretrain finetune``: a pretrained model trained for a task."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.options import (
    add_common_options,
    add_configuration,
    add_output,
    complete,
    given_options,
    inputs_of,
    resolve_configuration,
)
from cli.pretrain_commands.inputs import add_model
from cli.pretrain_commands.pretraining import RESUME_HELP, TRAINING_FIRST, said_as_command
from cli.pretrain_commands.probe import add_columns, labelled_of
from nlprep.core.configuration import to_mapping
from nlprep.core.errors import OptionError
from nlprep.core.training.configuration import TrainingConfig
from nlprep.core.training.runs import check_training_run
from nlprep.language_models.classifiers import training as classification
from nlprep.language_models.classifiers.training import ClassificationConfig
from nlprep.language_models.encoders import training as similarity
from nlprep.language_models.encoders.text_encoder import EncoderConfig
from nlprep.language_models.encoders.training import CONTRASTIVE_TRAINING, ContrastiveConfig
from nlprep.language_models.models.files import CLASSIFIER, SENTENCE_TRANSFORMER, TRANSLATION_MODEL
from nlprep.language_models.sequence_to_sequence import training as translation
from nlprep.language_models.sequence_to_sequence.training import TRANSLATION_TRAINING, TranslationConfig

if TYPE_CHECKING:
    import argparse

    from cli.console import Console
    from cli.options import Parser

EPILOG = """\
examples:
  rep-pretrain finetune bert --train train.tsv --test test.tsv --output classifier
  rep-pretrain finetune bert --train train.tsv --output classifier --parts head
  rep-pretrain finetune bert --task similarity --train pairs.tsv --test held-out.tsv --output sentences
  rep-pretrain finetune bert --task similarity --train sentences.txt --lines --output sentences
  rep-pretrain finetune bert-en --task translation --decoder gpt-fr --train train.en train.fr \\
      --test test.en test.fr --output en-fr

classification: columns text and label, and text_pair for pairs; CSV, TSV or JSON lines.
similarity: two texts in a row that belong together. translation: two files, line for line,
or one with a tab between the two. Stopped, the same command goes on where it was.
"""

_KINDS = {
    "classification": (classification.RUN, CLASSIFIER),
    "similarity": (similarity.RUN, SENTENCE_TRANSFORMER),
    "translation": (translation.RUN, TRANSLATION_MODEL),
}
_TASKS = ("classification", "similarity", "translation")
_PARTS = ("all", "head", "cross-attention")
_BY_TASK = (
    "epochs",
    "batch_size",
    "learning_rate",
    "final_learning_rate",
    "schedule",
    "warmup",
    "weight_decay",
    "beta2",
)
_SHARE_SET_ASIDE = 0.1


def add_arguments(parser: Parser) -> None:
    """Add the arguments of this command."""
    parser.epilog = EPILOG
    parser.usage = "%(prog)s MODEL --train FILE [--test FILE] --output RUN [options]"
    add_model(parser, "a pretrained model")
    parser.add_argument("--task", choices=_TASKS, default=_TASKS[0], help=f"what for (default: {_TASKS[0]})")
    for flag, required, what in (
        ("--train", True, "examples to learn from"),
        ("--validation", False, "examples that choose the weights (default: a tenth of those)"),
        ("--test", False, "examples to measure the result on"),
    ):
        complete(parser.add_argument(flag, required=required, nargs="+", metavar="FILE", help=what))
    add_output(parser, "directory for everything", metavar="RUN", kind="directory", required=True)
    parser.add_argument(
        "--parts", choices=_PARTS, default="all", help="what learns: all, the new head, or cross-attention"
    )
    complete(
        parser.add_argument("--decoder", metavar="DIR", help="translation: a GPT of the other language"), "directory"
    )
    parser.add_argument("--lines", action="store_true", help="similarity: files of single texts, one a line")
    parser.add_argument("--resume", choices=("auto", "never", "must"), default="auto", help=RESUME_HELP)
    shown = dict.fromkeys(_BY_TASK, "by task")
    add_configuration(parser, TrainingConfig, title="training", only=TRAINING_FIRST, defaults=shown)
    add_configuration(parser, ClassificationConfig, title="classification", omit=("train",))
    add_columns(parser)
    add_configuration(parser, ContrastiveConfig, title="similarity, and dropout of translation")
    add_configuration(parser, EncoderConfig, title="similarity: the encoder", only=("pooling", "normalize"))
    add_configuration(parser, TranslationConfig, title="translation", omit=("train", "dropout"))
    add_configuration(parser, TrainingConfig, title="training in detail", omit=TRAINING_FIRST, defaults=shown)
    add_common_options(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Train, measure, say."""
    from nlprep.core.threads import torch_threads

    _check(arguments)
    kind, result = _KINDS[arguments.task]
    inputs = inputs_of(arguments, "model", "train", "validation", "test", "decoder")
    check_training_run(arguments.output, kind, result=result, inputs=inputs, overwrite=arguments.overwrite)
    task = {"classification": _classify, "similarity": _contrast, "translation": _translate}[arguments.task]
    with torch_threads(arguments.threads), said_as_command():
        summary = task(arguments, console)
    summary = {"output": arguments.output, "model": str(Path(arguments.output) / "model"), **summary}
    if console.json_output:
        console.result(summary)
        return 0
    if summary.get("seconds") is not None:
        summary["seconds"] = f"{summary['seconds']:.1f}"
    hidden = ("output", "model", "settings", "labels", "validation", "test", "pairs")
    rows = [
        (name.replace("_", " "), value) for name, value in summary.items() if name not in hidden and value is not None
    ]
    for name in ("validation", "test"):
        rows += [
            (f"{name} {measure.replace('_', ' ')}", value)
            for measure, value in summary.get(name, {}).items()
            if isinstance(value, float)
        ]
    console.table((arguments.task, summary["model"]), rows)
    return 0


def _check(arguments: argparse.Namespace) -> None:
    """Refuse what the task has no use for."""
    task = arguments.task
    suitable = {"classification": ("all", "head"), "similarity": ("all",), "translation": ("all", "cross-attention")}
    if arguments.parts not in suitable[task]:
        raise OptionError(f"--parts {arguments.parts}: for {task}, choose from {', '.join(suitable[task])}")
    if (arguments.decoder is None) == (task == "translation"):
        wrong = (
            "translation needs --decoder, a model of the other language"
            if task == "translation"
            else (f"--decoder is for translation, not for {task}")
        )
        raise OptionError(wrong)
    if arguments.lines and task != "similarity":
        raise OptionError(f"--lines is for similarity, not for {task}")
    most = 2 if task == "translation" else 1
    for name in ("train", "validation", "test"):
        files = getattr(arguments, name)
        if files is not None and len(files) > most:
            raise OptionError(
                f"--{name} names {len(files)} files: for {task}, give {'one or two' if most > 1 else 'one'}"
            )
    own = {"classification": ClassificationConfig, "similarity": ContrastiveConfig, "translation": TranslationConfig}
    for other, configuration in own.items():
        given = [flag for flag in given_options(configuration, arguments) if flag != "--train"]
        if other != task and given:
            raise OptionError(f"{given[0]} is for {other}, not for {task}")


def _classify(arguments: argparse.Namespace, console: Console) -> dict[str, Any]:
    from nlprep.evaluation.labelled import split_labelled
    from nlprep.language_models.classifiers.training import measure_classifier, train_classifier

    config = resolve_configuration(ClassificationConfig, arguments, train=arguments.parts)
    training = resolve_configuration(TrainingConfig, arguments, to_mapping(config.default_training()))
    train = labelled_of(arguments, arguments.train[0])
    test = labelled_of(arguments, arguments.test[0]) if arguments.test else None
    if test is not None:
        # A label that training lacks shows now rather than after it.
        test.label_indices(train.label_names())
    if arguments.validation:
        validation = labelled_of(arguments, arguments.validation[0])
    else:
        train, validation = split_labelled(train, _SHARE_SET_ASIDE, seed=training.seed)
    made = train_classifier(
        arguments.model,
        train,
        arguments.output,
        config=config,
        training=training,
        validation=validation if len(validation) else None,
        resume=arguments.resume,
        overwrite=arguments.overwrite,
        progress=console.progress,
    )
    summary = dict(made.summary)
    if test is not None:
        summary["test"] = measure_classifier(made.classifier, test, progress=console.progress).to_dict()
    return summary


def _contrast(arguments: argparse.Namespace, console: Console) -> dict[str, Any]:
    from nlprep.core.files import read_lines
    from nlprep.language_models.encoders.training import (
        SentencePairs,
        read_sentence_pairs,
        retrieval_accuracy,
        train_sentence_encoder,
    )

    config = resolve_configuration(ContrastiveConfig, arguments)
    training = resolve_configuration(TrainingConfig, arguments, to_mapping(CONTRASTIVE_TRAINING))
    encoder_config = resolve_configuration(EncoderConfig, arguments)

    def read(files: list[str] | None) -> SentencePairs | None:
        if not files:
            return None
        if arguments.lines:
            return SentencePairs([line for _, line in read_lines(files[0]) if line.strip()], None, files[0])
        return read_sentence_pairs(files[0])

    pairs, validation = read(arguments.train), read(arguments.validation)
    test = read_sentence_pairs(arguments.test[0]) if arguments.test else None
    if pairs is None:
        raise OptionError("--train is missing")
    made = train_sentence_encoder(
        arguments.model,
        pairs,
        arguments.output,
        config=config,
        training=training,
        encoder_config=encoder_config,
        validation=validation,
        resume=arguments.resume,
        overwrite=arguments.overwrite,
        progress=console.progress,
    )
    summary = dict(made.summary)
    if test is not None:
        summary["test"] = {
            "pairs": len(test),
            "retrieval_accuracy": retrieval_accuracy(made.encoder, test, progress=console.progress),
        }
    return summary


def _translate(arguments: argparse.Namespace, console: Console) -> dict[str, Any]:
    from nlprep.language_models.sequence_to_sequence.decoding import translate_sentences
    from nlprep.language_models.sequence_to_sequence.parallel_text import read_parallel_text
    from nlprep.language_models.sequence_to_sequence.scores import score_translations
    from nlprep.language_models.sequence_to_sequence.training import train_translation_model

    config = resolve_configuration(TranslationConfig, arguments, train=arguments.parts)
    training = resolve_configuration(TrainingConfig, arguments, to_mapping(TRANSLATION_TRAINING))
    train, validation, test = (
        read_parallel_text(*files) if files else None
        for files in (arguments.train, arguments.validation, arguments.test)
    )
    if train is None:
        raise OptionError("--train is missing")
    made = train_translation_model(
        arguments.model,
        arguments.decoder,
        train,
        arguments.output,
        config=config,
        training=training,
        validation=validation,
        resume=arguments.resume,
        overwrite=arguments.overwrite,
        progress=console.progress,
    )
    summary = dict(made.summary)
    if test is not None:
        found = translate_sentences(
            made.model, made.source, made.target, test.source, longest=config.longest, progress=console.progress
        )
        summary["test"] = score_translations(found, test.target).to_dict()
    return summary
