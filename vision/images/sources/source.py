"""Where images come from: files of one picture each, or files of many images as numbers.

A source is listed, not read: it knows names, labels and the files it depends on, and gives contents when asked.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from nlprep.core.errors import FileError, os_errors_named

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from numpy.typing import NDArray


class SkippedPicturesWarning(UserWarning):
    """Pictures that cannot be read were left out."""


class PictureError(FileError):
    """One picture of many that cannot be read; the others can, where it may be left out."""


class TinyPicturesWarning(UserWarning):
    """Pictures that were enlarged so much that what is said of them says little."""


def warn_of_tiny(which: str, size: tuple[int, int], *, stacklevel: int = 3) -> None:
    """Say that pictures are much smaller than the images made of them.

    Args:
        which: They, as the beginning of a sentence.
        size: Width and height of the images.
        stacklevel: As for `warnings.warn`.
    """
    width, height = size
    warnings.warn(
        f"{which} had to be enlarged more than four times, to {width} x {height}: what is said of these says little",
        TinyPicturesWarning,
        stacklevel=stacklevel,
    )


@dataclass(frozen=True, slots=True)
class FileState:
    """What shows that a file has been changed, without reading it.

    Attributes:
        name: Its name in the source.
        size: Bytes.
        times: When its content and its entry were last changed, in nanoseconds.
    """

    name: str
    size: int
    times: tuple[int, int]


class FileStates(Sequence[FileState]):
    """The states of very many files, of which each is made when asked for.

    Args:
        names: (n,) names.
        sizes: (n,) bytes.
        times: (n, 2) nanoseconds.
    """

    def __init__(self, names: Sequence[str], sizes: NDArray[np.int64], times: NDArray[np.int64]) -> None:
        self._names, self._sizes, self._times = names, sizes, times

    def __len__(self) -> int:
        return len(self._sizes)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return [self[number] for number in range(len(self))[place]]
        changed, moved = self._times[place].tolist()
        return FileState(self._names[place], int(self._sizes[place]), (changed, moved))


def file_state(path: Path, name: str) -> FileState:
    """Look at a file.

    Raises:
        FileError: It is not there.
    """
    with os_errors_named(path):
        status = path.stat()
    return FileState(name, status.st_size, (status.st_mtime_ns, status.st_ctime_ns))


class PictureReader(Protocol):
    """Gives the contents of pictures' files, in any thread or process."""

    def __call__(self, place: int) -> bytes:
        """The bytes of one file.

        Raises:
            FileError: It cannot be read.
        """


@dataclass(frozen=True)
class Pictures:
    """Files of one picture each.

    Attributes:
        path: The folder or file that they come from.
        names: What each is called.
        read: Gives their contents.
        files: What they depend on.
        labels: (n,) int64, or None.
        classes: The names of the classes.
        chosen: What was chosen of all that is there, such as a split.
    """

    path: Path
    names: Sequence[str]
    read: PictureReader
    files: Sequence[FileState]
    labels: NDArray[np.int64] | None = None
    classes: tuple[str, ...] = ()
    chosen: str = ""

    def __len__(self) -> int:
        return len(self.names)

    def content(self) -> str:
        """A digest of all contents, as `ContentDigest` makes it."""
        digest = ContentDigest()
        for place in range(len(self)):
            try:
                digest.add(digest_of_bytes(self.read(place)))
            except FileError:
                digest.add(UNREADABLE)
        return digest.text()


@dataclass(frozen=True)
class Arrays:
    """Images as numbers, many in a file.

    Attributes:
        path: The file or folder that they come from.
        count: How many.
        blocks: Gives them in order: (b, height, width, channels) uint8, channels 1, 3 or 4 (with opacity).
        files: What they depend on, `FileState.name` being the path.
        labels: (n,) int64, or None.
        classes: The names of the classes.
        chosen: What was chosen of all that is there, such as a split.
    """

    path: Path
    count: int
    blocks: Callable[[], Iterator[NDArray[np.uint8]]]
    files: Sequence[FileState]
    labels: NDArray[np.int64] | None = None
    classes: tuple[str, ...] = ()
    chosen: str = ""
    names: Sequence[str] | None = field(default=None)

    def __len__(self) -> int:
        return self.count

    def content(self) -> str:
        """A digest of the files' contents."""
        digest = ContentDigest()
        for state in self.files:
            digest.add(digest_of_file(Path(state.name)))
        return digest.text()


Source = Pictures | Arrays


UNREADABLE = bytes(16)
"""Stands for the digest of a file that cannot be read."""


class ContentDigest:
    """One digest of many, in their order."""

    def __init__(self) -> None:
        self._hash: Any = hashlib.blake2b(digest_size=16)

    def add(self, digest: bytes) -> None:
        """Take in the next."""
        self._hash.update(digest)

    def text(self) -> str:
        """Of all so far, in hexadecimal."""
        found: str = self._hash.hexdigest()
        return found


def digest_of_bytes(data: bytes) -> bytes:
    """Sixteen bytes that tell contents apart."""
    return hashlib.blake2b(data, digest_size=16).digest()


def digest_of_file(path: Path) -> bytes:
    """`digest_of_bytes` of a file, read in pieces.

    Raises:
        FileError: It cannot be read.
    """
    digest = hashlib.blake2b(digest_size=16)
    with os_errors_named(path), path.open("rb") as stream:
        while piece := stream.read(1 << 20):
            digest.update(piece)
    return digest.digest()
