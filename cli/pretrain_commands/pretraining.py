"""What ``rep-pretrain mlm`` and ``rep-pretrain gpt`` have in common."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cli.console import Console, said_as_command
from cli.options import Given, Options
from cli.training_runs import describe_done, shown_summary
from nlprep.core.errors import OptionError
from nlprep.language_models.text.configuration import TokenizerConfig

if TYPE_CHECKING:
    from collections.abc import Callable

    from transformers import PreTrainedTokenizerFast

    from nlprep.language_models.pretraining.training import Pretraining

Resume = Literal["auto", "never", "must"]
MODEL = Options(
    title="model", first=("family", "size", "block_length", "layers", "width", "heads", "dropout"), rest="text"
)
NEW_TOKENIZER = Options(title="tokenizer, when none is given")
TRAINING_FIRST = (
    *("steps", "epochs", "batch_size", "micro_batch_size", "learning_rate", "precision", "compile", "seed", "workers"),
    *("evaluate_every", "patience"),
)
TRAINING = Options(title="training", first=TRAINING_FIRST, rest="training in detail")
_LABELS = {
    "parameters": "parameters",
    "steps": "steps",
    "ended_early": "ended early",
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


def chosen_tokenizer(
    path: Path | None, new: Given[TokenizerConfig], output: Path, console: Console
) -> "PreTrainedTokenizerFast | TokenizerConfig":
    """The tokenizer of ``--tokenizer``, or the settings of one to train.

    Raises:
        OptionError: Both were asked for.
        FileError: There is no tokenizer.
    """
    from nlprep.language_models.text.tokenizers import load_tokenizer

    config = new.resolve()
    if path is not None:
        for flag in new.flags:
            raise OptionError(f"--tokenizer and {flag} contradict each other: {flag} is for a new tokenizer")
        return load_tokenizer(path)
    if not (output / "tokenizer").exists():
        console.note(
            f"no --tokenizer given: a {config.algorithm} one is trained on this text, into {output / 'tokenizer'}"
        )
    return config


def pretrain(
    task: "Callable[..., Pretraining]",
    kind: str,
    text: tuple[Path, ...],
    output: Path,
    *,
    overwrite: bool,
    tokenizer: Path | None,
    new_tokenizer: Given[TokenizerConfig],
    threads: int | None,
    console: Console,
    **settings: object,
) -> int:
    """Pretrain a model, and say what the run came to.

    Args:
        task: `pretrain_masked` or `pretrain_causal`.
        kind: The kind of run that it makes.
        text: As for the commands, and so is what follows.
        output: Likewise.
        overwrite: Likewise.
        tokenizer: Likewise.
        new_tokenizer: Likewise.
        threads: Likewise.
        console: Likewise.
        **settings: What ``task`` takes besides.
    """
    from nlprep.core.threads import torch_threads
    from nlprep.core.training.records.runs import check_training_run
    from nlprep.language_models.models.files import LANGUAGE_MODEL

    inputs = console.inputs(text, tokenizer)
    check_training_run(output, kind, result=LANGUAGE_MODEL, inputs=inputs, overwrite=overwrite)
    chosen = chosen_tokenizer(tokenizer, new_tokenizer, output, console)
    with torch_threads(threads), said_as_command():
        run = task(text, output, tokenizer=chosen, overwrite=overwrite, progress=console.progress, **settings)
    report(run, console)
    return 0


def report(run: "Pretraining", console: Console) -> None:
    """Say what a run came to."""
    model = str(run.directory / "model")
    summary = {"output": str(run.directory), "model": model, **run.summary}
    if (done := describe_done(summary)) is not None:
        console.note(done)
    speed = summary.get("tokens_per_second")
    summary["tokens_per_second"] = None if speed is None else round(speed)
    if console.json_output:
        console.result(summary)
        return
    summary["seconds"] = f"{summary['seconds']:.1f}"
    shown = shown_summary(summary) | summary["validation"]
    labels = _LABELS | ({"seconds": "seconds since then"} if shown.get("resumed_from") is not None else {})
    rows = [(label, shown[name]) for name, label in labels.items() if shown.get(name) is not None]
    console.table(("pretraining", model), rows)
