"""Directories that Hugging Face's ``datasets`` saved with ``save_to_disk``, if that library is installed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nlprep.core.errors import FileError, NlprepError, os_errors_named
from vision.images.sources.arrangement import ALL, SPLITS, choose_split
from vision.images.sources.number_files import number_labels
from vision.images.sources.source import Pictures, file_state

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_LABELS = ("label", "labels", "fine_label", "class")


def list_saved(folder: Path, split: str | None) -> Pictures:
    """The pictures of a saved data set: its one column of images, and labels if a column of them is there.

    Args:
        folder: What ``save_to_disk`` wrote.
        split: As for `vision.images.reading.read_images`.

    Raises:
        NlprepError: ``datasets`` is not installed.
        FileError: It cannot be opened, or has no column of images or several.
    """
    try:
        import datasets
    except ImportError:
        raise NlprepError(
            f"{folder}: was saved by the library datasets, which is not installed: pip install datasets"
        ) from None
    try:
        opened = datasets.load_from_disk(str(folder))
    except Exception as error:
        said = " ".join(str(error).split())[:120]
        raise FileError(folder, f"datasets cannot open it ({said}): save it again") from None
    chosen = ""
    parts = [opened]
    if isinstance(opened, dict):
        by_name = {SPLITS.get(str(name).lower(), str(name)): part for name, part in opened.items()}
        chosen = choose_split(set(by_name), split, folder)
        parts = [part for name, part in by_name.items() if chosen in (ALL, name)]
    else:
        choose_split(set(), split, folder)
    column = _image_column(parts[0], folder)
    labels, classes = _labels(parts, folder)
    encoded = [part.cast_column(column, datasets.Image(decode=False)).with_format(None) for part in parts]
    names = [f"{number}" for number in range(sum(len(part) for part in parts))]
    if not names:
        raise FileError(folder, "holds no images: name a data set that has some")
    with os_errors_named(folder):
        inside = sorted(path for path in folder.rglob("*") if path.is_file())
    states = [file_state(path, path.relative_to(folder).as_posix()) for path in inside]
    return Pictures(folder, names, _Reader(folder, encoded, column), states, labels, classes, chosen)


def _image_column(part: Any, folder: Path) -> str:
    columns = [name for name, feature in part.features.items() if type(feature).__name__ == "Image"]
    if len(columns) != 1:
        seen = ", ".join(f"{name} ({type(feature).__name__})" for name, feature in part.features.items())
        raise FileError(folder, f"has {len(columns)} columns of images among {seen}: save it with one")
    return str(columns[0])


def _labels(parts: Sequence[Any], folder: Path) -> tuple[NDArray[np.int64] | None, tuple[str, ...]]:
    column = next((name for name in _LABELS if name in parts[0].features), None)
    if column is None:
        return None, ()
    values = np.concatenate([np.asarray(part[column][:]) for part in parts])
    names = getattr(parts[0].features[column], "names", None)
    return number_labels(values, values, names, folder)


@dataclass(frozen=True)
class _Reader:
    folder: Path
    parts: Sequence[Any]
    column: str

    def __call__(self, place: int) -> bytes:
        """The bytes of one picture (see `vision.images.sources.source.PictureReader`)."""
        name = f"{self.folder}/{place}"
        for part in self.parts:
            if place < len(part):
                break
            place -= len(part)
        found = part[place][self.column]
        if found is None:
            raise FileError(name, "has no picture: remove the row")
        if found["bytes"] is not None:
            return bytes(found["bytes"])
        path = Path(found["path"])
        with os_errors_named(path):
            return path.read_bytes()
