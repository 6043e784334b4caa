"""The directories of runs of training: whose they are, said before the work begins."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nlprep.core.ownership import check_replaceable, check_run, claim_run, read_mark, written_place

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Sequence

RUN_KIND = "training-run"
RUN_ENTRIES = ("checkpoints", "metrics.jsonl", "pictures")
"""What `nlprep.core.training.loop.fit` keeps in the directory of a run."""
RESULT = "model"
"""What is published in it at the end."""


def check_training_run(
    directory: str | os.PathLike[str],
    kind: str,
    *,
    result: str,
    inputs: Iterable[str | os.PathLike[str]] = (),
    overwrite: bool = False,
) -> None:
    """Fail before the work if a run cannot be in a directory, or could not publish its result there.

    Args:
        directory: The run's directory; one of a run of the same kind is one to go on with.
        kind: What kind of run it is.
        result: The kind of directory that it will publish.
        inputs: What the run reads, which the directory must neither be nor contain nor lie in.
        overwrite: Whether what is ours there may be replaced: a run of another kind, or one of this kind that is
            finished.

    Raises:
        FileError: Says why not.
    """
    inputs = list(inputs)
    check_run(directory, kind, inputs=inputs, overwrite=overwrite)
    mark = read_mark(written_place(directory))
    if mark is not None and mark["kind"] == kind:
        result_place = Path(directory) / RESULT
        check_replaceable(result_place, result, overwrite=overwrite)
        if overwrite and result_place.exists():
            # All of it will go.
            check_replaceable(directory, kind, inputs=inputs, overwrite=True)


def claim_training_run(
    directory: str | os.PathLike[str],
    kind: str,
    *,
    result: str,
    more: Sequence[str] = (),
    inputs: Iterable[str | os.PathLike[str]] = (),
    overwrite: bool = False,
) -> None:
    """Make the directory of a run, or see that it is one to go on with: see `check_training_run`.

    Args:
        directory: As there.
        kind: As there.
        result: As there.
        more: What the run keeps beside what `nlprep.core.training.loop.fit` does and its result.
        inputs: As there.
        overwrite: As there.

    Raises:
        FileError: As there, or the directory cannot be made.
    """
    inputs = list(inputs)
    check_training_run(directory, kind, result=result, inputs=inputs, overwrite=overwrite)
    claim_run(directory, kind, (*RUN_ENTRIES, RESULT, *more), inputs=inputs, overwrite=overwrite)
