"""Pictures in a zip archive, read without unpacking it.

Nothing of an archive is ever written under a name that it gives. One that would escape its folder if somebody unpacked
it is refused all the same, and so is one that holds far more than its size.
"""

from __future__ import annotations

import re
import threading
import zipfile
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nlprep.core.errors import FileError, os_errors_named
from vision.images.arrangement import arrange
from vision.images.folders import is_picture_name
from vision.images.sources import Pictures, file_state

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_ESCAPING = re.compile(r"^[/\\]|^[A-Za-z]:|(^|[/\\])\.\.([/\\]|$)|\0")
"""Absolute paths, drives, steps upwards, and what is cut off by a zero byte."""

LARGEST_RATIO = 200
"""How many times its compressed size a thing in an archive may have..."""
LARGEST_UNSUSPECTED = 64 << 20
"""...if it is larger than this, in bytes."""


def open_archive(path: Path) -> zipfile.ZipFile:
    """Open a zip archive and look for what makes it dangerous.

    Raises:
        FileError: Damaged, encrypted, with a path that leads out of it, or a bomb.
    """
    with os_errors_named(path):
        try:
            archive = zipfile.ZipFile(path)
        except zipfile.BadZipFile as error:
            raise FileError(path, f"is no whole zip archive ({error}): copy it again") from None
    try:
        _check_members(path, archive.infolist())
    except BaseException:
        archive.close()
        raise
    return archive


def _check_members(path: Path, members: Sequence[zipfile.ZipInfo]) -> None:
    size = held = 0
    for member in members:
        # What was in the archive, before Python cut it at a zero byte.
        name = member.orig_filename
        if _ESCAPING.search(name):
            raise FileError(path, f"holds {name!r}, a path that leads out of it: do not unpack it; make a clean one")
        if member.flag_bits & 1:
            raise FileError(path, f"{name!r} in it is encrypted: unpack it and name the folder")
        size += member.compress_size
        held += member.file_size
        check_ratio(path, repr(name) + " in it", member.compress_size, member.file_size)
    check_ratio(path, "all", size, held)


def check_ratio(path: Path, what: str, compressed: int, size: int) -> None:
    """Refuse what holds far more than it takes.

    Raises:
        FileError: It does.
    """
    if size > LARGEST_UNSUSPECTED and size > LARGEST_RATIO * compressed:
        raise FileError(
            path, f"{what} would fill {size:,} bytes from {compressed:,}, as a zip bomb does: do not unpack it"
        )


@dataclass
class ArchiveReader:
    """Reads pictures' files in an archive; each thread and process opens it for itself."""

    path: Path
    members: Sequence[zipfile.ZipInfo]
    _opened: Any = field(default_factory=threading.local, repr=False)

    def __call__(self, place: int) -> bytes:
        """The bytes of one file (see `vision.images.sources.PictureReader`)."""
        member = self.members[place]
        archive = getattr(self._opened, "archive", None)
        if archive is None:
            with os_errors_named(self.path):
                archive = self._opened.archive = zipfile.ZipFile(self.path)
        try:
            data: bytes = archive.read(member)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError) as error:
            raise FileError(
                f"{self.path}/{member.filename}", f"cannot be read from the archive ({error}): make the archive again"
            ) from None
        return data


def list_archive(path: Path, split: str | None) -> Pictures:
    """The pictures of a zip archive, by the folders in it.

    Args:
        path: The archive.
        split: As for `vision.images.reading.read_images`.

    Raises:
        FileError: There are none, or the archive is damaged or dangerous.
    """
    with open_archive(path) as archive:
        members = [member for member in archive.infolist() if not member.is_dir() and is_picture_name(member.filename)]
    members.sort(key=lambda member: member.filename)
    if not members:
        raise FileError(path, "holds no pictures: name an archive of JPEG, PNG, GIF, BMP, TIFF, WebP or PNM files")
    arrangement = arrange([member.filename for member in members], split, path)
    chosen = [members[place] for place in arrangement.places]
    return Pictures(
        path,
        [member.filename for member in chosen],
        ArchiveReader(path, chosen),
        [file_state(path, path.name)],
        arrangement.labels,
        arrangement.classes,
        arrangement.split,
    )
