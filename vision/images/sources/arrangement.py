"""What the folders that pictures lie in say of them: to which split they belong, and to which class.

- A folder that holds nothing but one other folder, which holds folders, is a wrapping and is taken off.
- If all folders at the top are called train, test or validation (or val, valid, dev, training, testing), they are
  splits.
- Below, the first folder is the class; what lies deeper in it belongs to it too.
- If a picture lies in no class, none of the split has labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nlprep.core.errors import FileError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

SPLITS = {
    "train": "train",
    "training": "train",
    "test": "test",
    "testing": "test",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
}
"""Names of splits, and what they are called here."""

ALL = "all"
"""Asks for the images of all splits together."""


class NoSplitError(FileError):
    """A split that images are not divided into: whoever can do without one divides them."""


@dataclass(frozen=True)
class Arrangement:
    """Which of some files are chosen, and their classes.

    Attributes:
        places: (n,) of those chosen, in order.
        labels: (n,) int64, or None.
        classes: The names of the classes of all splits.
        split: The one chosen; empty where there are none, ``all`` for all of them.
    """

    places: NDArray[np.int64]
    labels: NDArray[np.int64] | None
    classes: tuple[str, ...]
    split: str


def arrange(names: Sequence[str], split: str | None, source: str | os.PathLike[str]) -> Arrangement:
    """Choose a split among files, and find their classes.

    Args:
        names: Paths within the source, with ``/``.
        split: As for `vision.images.reading.read_images`.
        source: For errors.

    Raises:
        FileError: There is no such split.
    """
    # Of each file the number of its folder: folders are few where files are many.
    numbers: dict[str, int] = {}
    which = np.fromiter((numbers.setdefault(name.rpartition("/")[0], len(numbers)) for name in names), np.int64)
    folders = [folder.split("/") if folder else [] for folder in numbers]
    while (
        folders
        and all(len(folder) > 1 for folder in folders)
        and len({folder[0] for folder in folders}) == 1
        and folders[0][0].lower() not in SPLITS
    ):
        folders = [folder[1:] for folder in folders]
    has_splits = bool(folders) and all(folder and folder[0].lower() in SPLITS for folder in folders)
    splits = [SPLITS[folder[0].lower()] for folder in folders] if has_splits else [""] * len(folders)
    if has_splits:
        folders = [folder[1:] for folder in folders]
    chosen = choose_split(set(splits) if has_splits else set(), split, source)
    is_chosen = np.array([chosen in ("", ALL) or name == chosen for name in splits], bool)
    places = np.flatnonzero(is_chosen[which])
    classes = class_names({folder[0] for folder in folders if folder})
    number = {name: place for place, name in enumerate(classes)}
    labels = None
    if len(places) and all(folder for folder, wanted in zip(folders, is_chosen, strict=True) if wanted):
        labels = np.array([number[folder[0]] if folder else -1 for folder in folders], np.int64)[which[places]]
    return Arrangement(places, labels, classes if labels is not None else (), chosen)


def choose_split(found: set[str], wanted: str | None, source: str | os.PathLike[str]) -> str:
    """The split to read: the wanted one; if none is wanted, train where there are splits.

    Args:
        found: Names of splits as in the values of `SPLITS`; empty where there are none.
        wanted: A name, ``all`` or None.
        source: For errors.

    Returns:
        One of those found, ``all``, or empty where there are none.

    Raises:
        NoSplitError: The wanted one is not there.
    """
    name = None if wanted is None else SPLITS.get(wanted.lower(), wanted)
    if name is None:
        if not found or "train" in found:
            return "train" if found else ""
        if len(found) == 1:
            return next(iter(found))
        name = "train"
    if name == ALL:
        return ALL if found else ""
    if name not in found:
        there = f"it has {', '.join(sorted(found))}" if found else "it is not divided into folders train, test, ..."
        raise NoSplitError(source, f"has no split {wanted or name!r}: {there}; ask for one of these, or for {ALL!r}")
    return name


def class_names(found: Iterable[str]) -> tuple[str, ...]:
    """Names of classes in order: of numbers if all are, and else of the alphabet."""
    names = set(found)
    try:
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    except ValueError:
        return tuple(sorted(names))
