"""What the commands that train say of a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlprep.core.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cli.console import Console


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


def latest_run(kind: str, console: Console, *, program: str, advice: str) -> Path:
    """The run in the current directory that was finished last.

    Args:
        kind: What such runs are marked as.
        console: Is told which one it is.
        program: That makes such runs.
        advice: What to do where there is none.

    Raises:
        OptionError: There is none.
    """
    from nlprep.core.ownership import read_mark

    runs = [
        path
        for path in Path().iterdir()
        if path.is_dir() and (path / "model").is_dir() and (read_mark(path) or {}).get("kind") == kind
    ]
    if not runs:
        raise OptionError(f"there is no finished run of {program} train in this directory: {advice}")
    chosen = max(runs, key=lambda path: ((path / "model").stat().st_mtime_ns, path.name))
    console.note(f"run: {chosen}" + (f", the latest of {len(runs)}" if len(runs) > 1 else ""))
    return chosen
