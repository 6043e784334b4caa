"""What ``rep-pretrain mlm`` and ``rep-pretrain gpt`` have in common."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from cli.options import (
    add_configuration,
    add_output,
    complete,
    given_options,
    inputs_of,
    resolve_configuration,
)
from cli.pretrain_commands.inputs import add_encoding_errors, add_text
from nlprep.core.errors import OptionError
from nlprep.core.training.configuration import TrainingConfig
from nlprep.core.training.runs import check_training_run
from nlprep.language_models.models.files import LANGUAGE_MODEL
from nlprep.language_models.text.tokenizers import TokenizerConfig

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from transformers import PreTrainedTokenizerFast

    from cli.console import Console
    from cli.options import Parser
    from nlprep.language_models.pretraining.training import Pretraining

_MODEL = ("family", "size", "block_length", "layers", "width", "heads", "dropout")
TRAINING_FIRST = (
    *("steps", "epochs", "batch_size", "micro_batch_size", "learning_rate", "precision", "compile", "seed", "workers"),
    *("evaluate_every", "patience"),
)
RESUME_HELP = (
    "auto goes on where RUN was stopped, or starts; never refuses a RUN that was begun, must one that was not "
    "(default: auto)"
)
_LABELS = {
    "parameters": "parameters",
    "steps": "steps",
    "resumed_from": "resumed from step",
    "train_tokens": "tokens of text",
    "tokens_seen": "tokens seen",
    "tokens_per_second": "tokens per second",
    "seconds": "seconds",
    "train_loss": "training loss",
    "loss": "validation loss",
    "best_step": "best step",
    "accuracy": "validation accuracy",
    "perplexity": "perplexity",
    "bits_per_byte": "bits per byte",
}


def add_pretraining(parser: Parser, configuration: type, *, algorithm: str) -> None:
    """Add what both commands take, the most important first.

    Args:
        parser: The command's parser.
        configuration: Of model and text.
        algorithm: Of the tokenizer that is trained when none is given.
    """
    # Written out, the options would fill the first screen.
    parser.usage = "%(prog)s TEXT [TEXT ...] --output RUN [options]"
    add_text(parser)
    add_output(parser, "directory for everything", metavar="RUN", kind="directory", required=True)
    complete(
        parser.add_argument("--tokenizer", metavar="DIR", help="a tokenizer, or a model's; without, one is trained"),
        "directory",
    )
    parser.add_argument(
        "--resume",
        choices=("auto", "never", "must"),
        default="auto",
        help=RESUME_HELP,
    )
    add_configuration(parser, configuration, title="model", only=_MODEL)
    add_configuration(parser, TrainingConfig, title="training", only=TRAINING_FIRST)
    add_encoding_errors(add_configuration(parser, configuration, title="text", omit=_MODEL))
    add_configuration(
        parser,
        TokenizerConfig,
        title="tokenizer, when none is given",
        defaults={"algorithm": algorithm},
    )
    add_configuration(parser, TrainingConfig, title="training in detail", omit=TRAINING_FIRST)


def chosen_tokenizer(
    arguments: argparse.Namespace, console: Console, *, algorithm: str, kind: str
) -> PreTrainedTokenizerFast | TokenizerConfig:
    """The tokenizer of ``--tokenizer``, or the settings of one to train.

    Raises:
        OptionError: Both were asked for.
        FileError: There is no tokenizer, or no place for a run of this kind.
    """
    from nlprep.language_models.text.tokenizers import load_tokenizer

    inputs = inputs_of(arguments, "text", "tokenizer")
    check_training_run(arguments.output, kind, result=LANGUAGE_MODEL, inputs=inputs, overwrite=arguments.overwrite)
    config = resolve_configuration(TokenizerConfig, arguments, {"algorithm": algorithm})
    if arguments.tokenizer is not None:
        given = given_options(TokenizerConfig, arguments)
        if given:
            raise OptionError(f"--tokenizer and {given[0]} contradict each other: {given[0]} is for a new tokenizer")
        return load_tokenizer(arguments.tokenizer)
    directory = Path(arguments.output) / "tokenizer"
    if not directory.exists():
        console.note(f"no --tokenizer given: a {config.algorithm} one is trained on this text, into {directory}")
    return config


@contextmanager
def said_as_command() -> Iterator[None]:
    """Speak of the command where the library speaks of the call, when a run is interrupted."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        raise KeyboardInterrupt(str(interrupt).replace("the same call", "the same command")) from None


def report(arguments: argparse.Namespace, console: Console, run: Pretraining) -> int:
    """Say what a run came to."""
    model = str(run.directory / "model")
    epochs = run.history.last("epoch") or 0.0
    summary = run.summary | {"tokens_seen": round(epochs * run.train.num_tokens)}
    speed = summary.get("tokens_per_second")
    summary["tokens_per_second"] = None if speed is None else round(speed)
    if console.json_output:
        console.result({"output": arguments.output, "model": model, **summary})
        return 0
    summary["seconds"] = f"{summary['seconds']:.1f}"
    shown = summary | summary["validation"]
    rows = [(label, shown[name]) for name, label in _LABELS.items() if shown.get(name) is not None]
    console.table(("pretraining", model), rows)
    return 0
