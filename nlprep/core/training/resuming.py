"""Whether a checkpoint is of the run that wants to go on from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nlprep.core.configuration import to_mapping
from nlprep.core.errors import OptionError
from nlprep.core.training.examples import same_examples

if TYPE_CHECKING:
    from pathlib import Path

    from nlprep.core.training.checkpoints import Checkpoint
    from nlprep.core.training.configuration import TrainingConfig

# What may differ between a run and the one that resumes it; the rest would silently make it neither of the two.
_FREE_SETTINGS = frozenset(
    {
        "steps", "epochs", "workers", "log_every", "evaluate_every", "keep_best", "patience", "checkpoint_every",
        "checkpoint_minutes", "keep_checkpoints", "halve_on_out_of_memory", "micro_batch_size", "tracker",
    }
)  # fmt: skip


def check_same_run(
    checkpoint: Checkpoint,
    *,
    config: TrainingConfig,
    num_examples: int,
    order: dict[str, Any],
    first_examples: dict[str, list[Any]],
    steps: int,
    where: Path | str,
) -> None:
    """Refuse a checkpoint made with other settings or data.

    Args:
        checkpoint: What was found.
        config: The settings now.
        num_examples: The number of examples now.
        order: The order of the examples now, as it describes itself.
        first_examples: The first of them, described by `describe_first_examples`.
        steps: Optimiser steps asked for.
        where: The checkpoint's place, for errors.

    Raises:
        OptionError: Names what is different, as it was and as it is.
    """
    values = checkpoint.values
    saved, given = values["settings"], to_mapping(config)
    for name in sorted(saved.keys() & given.keys() - _FREE_SETTINGS):
        if saved[name] != given[name]:
            raise OptionError(
                f"{where}: made with {name} = {saved[name]!r}, now {given[name]!r}: give the same settings to "
                "resume, or start in a new directory"
            )
    if values["examples"] != num_examples:
        raise OptionError(
            f"{where}: made with {values['examples']:,} examples, now {num_examples:,}: give the same "
            "data to resume, or start in a new directory"
        )
    if values["order"] != order:
        raise OptionError(
            f"{where}: made with examples in the order {_in_words(values['order'])}, now {_in_words(order)}: give the "
            "same order to resume, or start in a new directory"
        )
    if not same_examples(values["first_examples"], first_examples):
        raise OptionError(
            f"{where}: made with other examples of the same number: give the same data, in the same form, to "
            "resume, or start in a new directory"
        )
    if checkpoint.step > steps:
        raise OptionError(
            f"{where}: the checkpoint is of step {checkpoint.step:,}, beyond the {steps:,} asked for: "
            "ask for more, or start in a new directory"
        )


def _in_words(order: dict[str, Any]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in order.items())
