"""What files of many images as numbers have in common: blocks, labels, and room for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from nlprep.core.errors import FileError
from vision.images.sources.arrangement import class_names

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

BLOCK_BYTES = 4 << 20
"""How much is read at once, about."""

_LARGEST_NUMBERED = 10_000


def read_exactly(stream: BinaryIO, size: int, name: str | os.PathLike[str]) -> bytearray:
    """So many bytes, or an error that the file is cut short.

    Raises:
        FileError: There are fewer.
    """
    data = bytearray(size)
    view, have = memoryview(data), 0
    while have < size:
        piece = stream.read(min(size - have, 1 << 24))
        if not piece:
            raise FileError(name, f"ends {size - have:,} bytes early: it is cut short; copy it again")
        view[have : have + len(piece)] = piece
        have += len(piece)
    return data


def rows_at_once(row_bytes: int, count: int) -> Iterator[int]:
    """Numbers of rows that make up blocks, until all are had."""
    rows = max(1, BLOCK_BYTES // max(1, row_bytes))
    for start in range(0, count, rows):
        yield min(rows, count - start)


def number_labels(
    values: NDArray[Any], known: NDArray[Any], names: Sequence[str] | None, source: str | os.PathLike[str]
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Labels as places among classes.

    Whole numbers from 0 on stay as they are, so that the files of a data set agree; other labels become the classes
    that there are, in order.

    Args:
        values: (n,) labels: whole numbers or words.
        known: All labels of the source, those of its other splits included.
        names: Names of the classes, where the source has some.
        source: For errors.

    Returns:
        (n,) places and the names of the classes.

    Raises:
        FileError: Labels of another form or type, or without a name.
    """
    if values.ndim != 1 or values.dtype.kind not in "iuUSb":
        raise FileError(
            source, f"labels are {values.dtype} {values.shape}: give one whole number or word for each image, (n,)"
        )
    if values.dtype.kind in "iub" and len(known) and 0 <= int(known.min()) <= int(known.max()) < _LARGEST_NUMBERED:
        count = int(known.max()) + 1
        if names is not None and len(names) < count:
            raise FileError(source, f"labels run to {count - 1} and {len(names)} classes are named: name every class")
        return values.astype(np.int64), tuple(names or map(str, range(count)))
    words = _words(values)
    classes = class_names(_words(known))
    place = {name: number for number, name in enumerate(classes)}
    return np.array([place[word] for word in words], np.int64), classes


def _words(values: NDArray[Any]) -> list[str]:
    if values.dtype.kind == "S":
        return [value.decode("utf-8", "replace") for value in values.tolist()]
    return [str(value) for value in values.tolist()]
