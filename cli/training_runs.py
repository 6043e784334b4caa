"""What the commands that train say of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def describe_done(summary: Mapping[str, Any]) -> str | None:
    """A line on a run that was done before this call, with what to do; None if this call trained something.

    Args:
        summary: Of the run, as `nlprep.core.training.recipe.TrainingRun.summarise` gives it, with its ``output``.
    """
    if not summary["already_done"]:
        return None
    training = summary["settings"]["training"]
    ended = f" ({summary['ended_early']})" if summary["ended_early"] else ""
    if not ended:
        more = f"to go on, give more {'--epochs' if training.get('steps') is None else '--steps'}; "
    else:
        more = "to go on, give more --patience; " if training.get("patience") is not None else ""
    return (
        f"{summary['output']} is already done, at step {summary['steps']:,}{ended}: nothing was trained; "
        f"{more}to begin anew, --overwrite"
    )


def shown_summary(summary: Mapping[str, Any]) -> dict[str, Any]:
    """A summary as a table shows it: where this call trained nothing, without how fast an earlier one was."""
    if not summary["already_done"]:
        return dict(summary)
    of_a_call = ("resumed_from", "seconds")
    return {
        name: value for name, value in summary.items() if name not in of_a_call and not name.endswith("_per_second")
    }
