"""Pictures in folders, one file each, however deep."""

from __future__ import annotations

import os
import stat
import warnings
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nlprep.core.errors import FileError, os_errors_named
from nlprep.core.wording import counted
from vision.images.decoding import PICTURE_SUFFIXES
from vision.images.names import PackedNames, pack_names
from vision.images.sources.arrangement import arrange
from vision.images.sources.source import FileState, FileStates, Pictures, SkippedPicturesWarning

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

UNREAD_SUFFIXES = frozenset(
    f".{kind}"
    for kind in ("arw", "cr2", "cr3", "dng", "heic", "heif", "jp2", "jxl", "nef", "orf", "psd", "raf", "rw2", "svg")
)
"""Kinds of pictures that are not read, which somebody may miss."""


def is_picture_name(name: str) -> bool:
    """Whether a path in a folder or an archive is a picture's, by its ending; hidden files are not."""
    *folders, last = name.split("/")
    if last.startswith(".") or "__MACOSX" in folders or any(folder.startswith(".") for folder in folders):
        return False
    return os.path.splitext(last)[1].lower() in PICTURE_SUFFIXES  # noqa: PTH122 - a million of them


@dataclass(frozen=True)
class FolderReader:
    """Reads pictures' files of a folder."""

    folder: Path
    names: Sequence[str]

    def __call__(self, place: int) -> bytes:
        """The bytes of one file (see `vision.images.sources.source.PictureReader`)."""
        path = os.path.join(self.folder, self.names[place])  # noqa: PTH118 - a million of them
        with os_errors_named(path), open(path, "rb", buffering=0) as stream:  # noqa: PTH123
            return stream.read()


def list_folder(folder: Path, split: str | None) -> Pictures:
    """The pictures of a folder.

    Args:
        folder: With pictures in it or in folders in it; links are followed.
        split: As for `vision.images.reading.read_images`.

    Raises:
        FileError: There are none, or it cannot be read.
    """
    with os_errors_named(folder):
        # Of a million files, Python's objects would be ten times what is known of them.
        others, found, sizes, times = list[str](), list[str](), array("q"), array("q")
        for state in _walk(folder, others):
            found.append(state.name)
            sizes.append(state.size)
            times.extend(state.times)
    warn_of_unread(folder, others)
    if not found:
        raise FileError(folder, f"holds no pictures{_what_it_holds(folder)}: name a folder of {_kinds()} files")
    order = np.array(sorted(range(len(found)), key=found.__getitem__), np.int64)
    found.sort()
    arrangement = arrange(found, split, folder)
    packed = pack_names(found[place] for place in arrangement.places)
    names = PackedNames(*packed, opens=True)
    order = order[arrangement.places]
    return Pictures(
        folder,
        PackedNames(*packed),
        FolderReader(folder, names),
        FileStates(names, np.array(sizes, np.int64)[order], np.array(times, np.int64).reshape(-1, 2)[order]),
        arrangement.labels,
        arrangement.classes,
        arrangement.split,
    )


def _kinds() -> str:
    return "JPEG, PNG, GIF, BMP, TIFF, WebP or PNM"


def _walk(folder: Path, others: list[str]) -> Iterator[FileState]:
    # A link to a folder that this one is in would bring in all that is beside it.
    above = [os.stat(place) for place in folder.resolve().parents]  # noqa: PTH116
    met = {(status.st_dev, status.st_ino) for status in above}
    waiting = [(os.fspath(folder), "")]
    while waiting:
        place, prefix = waiting.pop()
        status = os.stat(place)  # noqa: PTH116
        if (status.st_dev, status.st_ino) in met:
            # A link that leads back, or up.
            continue
        met.add((status.st_dev, status.st_ino))
        with os.scandir(place) as entries:
            for entry in entries:
                name = prefix + entry.name
                if entry.is_dir():
                    if not entry.name.startswith(".") and entry.name != "__MACOSX":
                        waiting.append((entry.path, name + "/"))
                elif is_picture_name(entry.name):
                    state = _state(entry, name)
                    if state is not None:
                        yield state
                else:
                    others.append(name)


def _state(entry: os.DirEntry[str], name: str) -> FileState | None:
    try:
        status = entry.stat()
    except FileNotFoundError:
        # A link to nothing: named when it is read.
        return FileState(name, 0, (0, 0))
    return (
        FileState(name, status.st_size, (status.st_mtime_ns, status.st_ctime_ns))
        if stat.S_ISREG(status.st_mode)
        else None
    )


def _what_it_holds(folder: Path) -> str:
    for _, _, names in os.walk(folder):
        for name in sorted(names):
            if not name.startswith("."):
                return f" (but {name!r}, for one)"
    return ", it is empty"


def warn_of_unread(path: Path, names: Sequence[str]) -> None:
    """Say how many of some files are pictures of kinds that are not read, which somebody may miss.

    Args:
        path: The folder or archive.
        names: Of all files in it that are not taken for pictures.
    """
    unread = [name for name in names if os.path.splitext(name)[1].lower() in UNREAD_SUFFIXES]  # noqa: PTH122
    if unread:
        warnings.warn(
            f"{path}: {counted(len(unread), 'picture is', 'pictures are')} of kinds that are not read, such as "
            f"{min(unread)}, and left out: convert to JPEG or PNG",
            SkippedPicturesWarning,
            stacklevel=2,
        )
