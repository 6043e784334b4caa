"""Questions and pictures in a directory that Hugging Face's ``datasets`` saved, if that library is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from multimodal.questions.sources.rows import Rows, Spot, parse_row
from nlprep.core.errors import FileError
from vision.images.sources.arrangement import ALL, SPLITS, choose_split

if TYPE_CHECKING:
    from pathlib import Path


def list_saved_questions(folder: Path, split: str | None, *, answered: bool) -> Rows:
    """The questions of a saved data set, whose images are called by the numbers of their rows.

    Args:
        folder: What ``save_to_disk`` wrote: columns as `multimodal.questions.sources.rows.parse_row` takes them.
        split: As for `vision.images.reading.read_images`.
        answered: Whether answers are needed.

    Raises:
        FileError: It cannot be opened, or a row lacks something; with its number.
    """
    # Opened by now by the reader of its images, which says what is wrong with the library or the directory.
    import datasets

    opened = datasets.load_from_disk(str(folder))
    parts: list[Any] = [opened]
    if isinstance(opened, dict):
        by_name = {SPLITS.get(str(name).lower(), str(name)): part for name, part in opened.items()}
        chosen = choose_split(set(by_name), split, folder)
        parts = [part for name, part in by_name.items() if chosen in (ALL, name)]
    rows = Rows(str(folder))
    for part in parts:
        columns = [name for name, feature in part.features.items() if type(feature).__name__ != "Image"]
        if "question" not in columns:
            raise FileError(folder, f"has no column 'question', but {', '.join(columns) or 'none'}: rename one")
        for values in part.select_columns(columns).with_format(None):
            number = len(rows.found)
            rows.add(parse_row(values, Spot(str(folder), entry=f"row {number}"), answered=answered, image=str(number)))
    return rows
