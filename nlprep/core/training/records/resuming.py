"""Whether a checkpoint is of the run that wants to go on from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nlprep.core.configuration import to_mapping
from nlprep.core.errors import OptionError
from nlprep.core.training.data.examples import same_examples

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from nlprep.core.training.configuration import TrainingConfig
    from nlprep.core.training.records.checkpoints import Checkpoint

RESUME_CHOICES = ("auto", "never", "must")

FREE_SETTINGS = frozenset(
    {
        "steps", "epochs", "workers", "log_every", "evaluate_every", "keep_best", "patience", "checkpoint_every",
        "checkpoint_minutes", "keep_checkpoints", "halve_on_out_of_memory", "micro_batch_size", "tracker",
    }
)  # fmt: skip
"""What may differ between a run and the one that resumes it; the rest would silently make it neither of the two."""
_NAMED = 5


def check_resume(resume: str, steps: Sequence[int], directory: Path | None) -> None:
    """Refuse to start anew where something is, and to go on where nothing is.

    Args:
        resume: One of `RESUME_CHOICES`.
        steps: Of which there are checkpoints, in order.
        directory: The run's, for errors.

    Raises:
        OptionError: Says what is there, or is not.
    """
    if resume not in RESUME_CHOICES:
        raise OptionError(f"resume = {resume!r}: choose from {', '.join(RESUME_CHOICES)}")
    if resume == "never" and steps:
        raise OptionError(
            f"{directory} holds checkpoints up to step {steps[-1]:,}: resume from them, or name a new directory"
        )
    if resume == "must" and not steps:
        raise OptionError(f"{directory} holds no checkpoint to resume from: check the path, or start anew")


def check_same_settings(
    saved: Mapping[str, Any], given: Mapping[str, Any], *, where: Path | str, free: frozenset[str] = frozenset()
) -> None:
    """Refuse to go on with other settings than a run was begun with.

    Args:
        saved: The settings then, by name.
        given: The settings now; a name that only one of them has is left aside.
        where: What was made with them, for errors.
        free: Names that may differ.

    Raises:
        OptionError: Names the settings, each as it was and as it is.
    """
    refuse_differences(differing_settings(saved, given, free=free), where=where)


def differing_settings(
    saved: Mapping[str, Any], given: Mapping[str, Any], *, free: frozenset[str] = frozenset()
) -> list[str]:
    """What is different between settings then and now, each in words; arguments as of `check_same_settings`.

    Of a table of settings, such as a network's, those that differ are named.

    >>> differing_settings({"seed": 1, "net": {"width": 2, "depth": 3}}, {"seed": 2, "net": {"width": 4, "depth": 3}})
    ['net_width = 2, now 4', 'seed = 1, now 2']
    """
    found = []
    for name in sorted(saved.keys() & given.keys() - free):
        then, now = saved[name], given[name]
        if then == now:
            continue
        tables = isinstance(then, dict) and isinstance(now, dict) and then.keys() == now.keys()
        inner = differing_settings(then, now) if tables else []
        found += [f"{name}_{one}" for one in inner] or [f"{name} = {then!r:.100}, now {now!r:.100}"]
    return found


def refuse_differences(found: Sequence[str], *, where: Path | str) -> None:
    """Say what `differing_settings` found, if it did.

    Raises:
        OptionError: It did.
    """
    if found:
        more = f"; and {len(found) - _NAMED:,} more" if len(found) > _NAMED else ""
        raise OptionError(
            f"{where}: made with {'; '.join(found[:_NAMED])}{more}: give the same to resume, or start in a new "
            "directory"
        )


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
    check_same_settings(values["settings"], to_mapping(config), where=where, free=FREE_SETTINGS)
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
