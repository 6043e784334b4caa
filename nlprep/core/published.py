"""Where a run's result lies: in the directory that is named, or in that of a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nlprep.core.artifacts import CONFIG_NAME
from nlprep.core.errors import FileError, os_errors_named
from nlprep.core.ownership import read_mark

if TYPE_CHECKING:
    import os


def find_published(path: str | os.PathLike[str], what: str) -> Path:
    """The directory of a model: the one named, or ``model`` in the directory of a run.

    Args:
        path: Either.
        what: A model of which kind is looked for, in words: ``model of images``.

    Raises:
        FileError: There is none; a run that has not come to one says how to go on.
    """
    directory = Path(path)
    with os_errors_named(directory):
        names = {child.name for child in directory.iterdir()}
    if CONFIG_NAME in names:
        return directory
    if (directory / "model" / CONFIG_NAME).is_file():
        return directory / "model"
    if "checkpoints" in names:
        raise FileError(directory, "the run has not published a model yet: let it finish with the same call")
    if (read_mark(directory) or {}).get("entries"):
        raise FileError(
            directory,
            "the run was begun and has not come to a checkpoint yet: give the same call again, and let it finish",
        )
    raise FileError(directory, f"holds no {what}: name the directory of one, or of its run")
