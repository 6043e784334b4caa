"""Many names in little memory."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray


class PackedNames(Sequence[str]):
    r"""Names as bytes one after another, of which each is made a string when asked for.

    Args:
        data: Bytes of all names.
        ends: (n,) where each ends.
        opens: Whether they are to open files by, bytes that are no UTF-8 included. Else they are to be shown and
            written, which such bytes cannot be: they are spelled out, ``\xe9``.
    """

    def __init__(self, data: NDArray[np.uint8], ends: NDArray[np.int64], *, opens: bool = False) -> None:
        self._data, self._ends = data, ends
        self._errors = "surrogateescape" if opens else "backslashreplace"

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return [self[number] for number in range(len(self))[place]]
        place = range(len(self))[place]
        start = int(self._ends[place - 1]) if place else 0
        return self._data[start : self._ends[place]].tobytes().decode("utf-8", self._errors)

    def __iter__(self) -> Iterator[str]:
        return (self[place] for place in range(len(self)))


def name_in_lines(name: str) -> str:
    """A name below a picture: the folder that it lies in, which may be its class, above the file.

    >>> name_in_lines("train/cats/1.png").splitlines(), name_in_lines("1.png")
    (['cats/', '1.png'], '1.png')
    """
    folder, _, file = name.rpartition("/")
    return f"{folder.rpartition('/')[2]}/\n{file}" if folder else file


def pack_names(names: Iterable[str]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """What `PackedNames` opens: the bytes of all names, and where each ends."""
    data, ends = bytearray(), array("q")
    for name in names:
        data += name.encode("utf-8", "surrogateescape")
        ends.append(len(data))
    return np.frombuffer(bytes(data), np.uint8), np.array(ends, np.int64)


def writable_name(name: str) -> str:
    """A name as UTF-8 can hold it: bytes of a file's name that are none are written out."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
