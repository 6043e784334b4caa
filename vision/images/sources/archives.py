"""Pictures in a zip archive, read without unpacking it.

Nothing of an archive is ever written under a name that it gives. One that would escape its folder if somebody unpacked
it is refused all the same, and so is one that holds far more than its size.
"""

from __future__ import annotations

import re
import struct
import zipfile
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nlprep.core.errors import FileError, os_errors_named
from vision.images.sources.arrangement import arrange
from vision.images.sources.folders import is_picture_name, warn_of_unread
from vision.images.sources.source import Pictures, file_state

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_ESCAPING = re.compile(r"^[/\\]|^[A-Za-z]:|(^|[/\\])\.\.([/\\]|$)|\0")
"""Absolute paths, drives, steps upwards, and what is cut off by a zero byte."""

_LOCAL_HEADER = 30

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
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise FileError(path, f"{name!r} in it is compressed in another way than zip's own: make it with deflate")
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


@dataclass(frozen=True)
class ArchiveReader:
    """Reads pictures' files in an archive, alike in every thread and process: nothing is kept open."""

    path: Path
    members: Sequence[zipfile.ZipInfo]

    def __call__(self, place: int) -> bytes:
        """The bytes of one file (see `vision.images.sources.source.PictureReader`)."""
        member = self.members[place]
        with os_errors_named(self.path), open(self.path, "rb", buffering=0) as stream:  # noqa: PTH123 - a million times
            stream.seek(member.header_offset)
            head = stream.read(_LOCAL_HEADER)
            if len(head) == _LOCAL_HEADER:
                name_length, extra_length = struct.unpack("<HH", head[26:])
                stream.seek(name_length + extra_length, 1)
            packed = stream.read(member.compress_size)
        try:
            data = packed
            if member.compress_type == zipfile.ZIP_DEFLATED:
                # No more than it said that it is.
                data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, member.file_size + 1)
        except zlib.error:
            data = b""
        if not head.startswith(b"PK\x03\x04") or len(data) != member.file_size or zlib.crc32(data) != member.CRC:
            raise FileError(f"{self.path}/{member.filename}", "is damaged in the archive: make the archive again")
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
        held = [member for member in archive.infolist() if not member.is_dir()]
    members = [member for member in held if is_picture_name(member.filename)]
    warn_of_unread(path, [member.filename for member in held if not is_picture_name(member.filename)])
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
