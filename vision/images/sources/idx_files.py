"""IDX, the format of MNIST's own files, plain or compressed, with labels beside.

Big-endian: two zero bytes, the type (8: bytes), the number of dimensions, then each dimension in four bytes, then the
values (http://yann.lecun.com/exdb/mnist). Labels of ``train-images-idx3-ubyte`` are looked for in
``train-labels-idx1-ubyte``; either may end in ``.gz``.
"""

from __future__ import annotations

import math
import re
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from nlprep.core.errors import FileError
from nlprep.core.files import open_binary
from vision.images.sources.arrangement import ALL, choose_split
from vision.images.sources.number_files import number_labels, read_exactly, rows_at_once
from vision.images.sources.source import Arrays, file_state

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

_IMAGES = re.compile(r"images(?P<between>[-.])idx3")


def is_idx(head: bytes) -> bool:
    """Whether a file's first bytes are those of an IDX file of images."""
    return head[:4] == b"\0\0\x08\x03"


def idx_files_in(folder: Path) -> list[Path]:
    """The IDX files of images in a folder, by their names."""
    return sorted(path for path in folder.iterdir() if _IMAGES.search(path.name) and path.is_file())


def list_idx(path: Path, split: str | None) -> Arrays:
    """The images of an IDX file, or of a folder of such.

    Args:
        path: A file of images, or a folder with MNIST's files.
        split: As for `vision.images.reading.read_images`, for a folder.

    Raises:
        FileError: Damaged or cut short, of another kind, or with labels that are not as many.
    """
    if path.is_dir():
        by_split: dict[str, list[Path]] = {}
        for found in idx_files_in(path):
            by_split.setdefault("test" if re.search("t10k|test", found.name) else "train", []).append(found)
        for name, files in by_split.items():
            if len(files) > 1:
                raise FileError(
                    path, f"has several files of {name} images, {files[0].name} and {files[1].name}: name one of them"
                )
        chosen = choose_split(set(by_split), split, path)
        files = [found for name, (found,) in sorted(by_split.items()) if chosen in (ALL, name)]
    else:
        chosen, files = choose_split(set(), split, path), [path]
    shapes = [_shape(file) for file in files]
    if len({shape[1:] for shape in shapes}) > 1:
        raise FileError(path, "has images of different shapes in its splits: ask for one split")
    labels = [_labels(file, shape[0]) for file, shape in zip(files, shapes, strict=True)]
    states = [file_state(file, str(file)) for file in files]
    states += [file_state(beside, str(beside)) for file in files if (beside := _labels_beside(file)) is not None]
    known = [values for values in labels if values is not None]
    numbers: NDArray[np.int64] | None = None
    classes: tuple[str, ...] = ()
    if len(known) == len(files):
        joined = np.concatenate(known)
        numbers, classes = number_labels(joined, joined, None, path)
    return Arrays(path, sum(shape[0] for shape in shapes), _Blocks(files), states, numbers, classes, chosen)


def _header(stream: BinaryIO, path: Path, dimensions: int) -> tuple[int, ...]:
    head = bytes(read_exactly(stream, 4, path))
    if head[:2] != b"\0\0" or head[2] != 8 or head[3] != dimensions:
        raise FileError(path, f"begins with {head!r}, not as IDX bytes of {dimensions} dimensions do: name such a file")
    return struct.unpack(f">{dimensions}I", read_exactly(stream, 4 * dimensions, path))


def _shape(path: Path) -> tuple[int, ...]:
    with open_binary(path) as stream:
        shape = _header(stream, path, 3)
    if min(shape[1:]) < 1:
        raise FileError(path, f"has images of {shape[1]} x {shape[2]}: name a file of images")
    return shape


def _labels_beside(path: Path) -> Path | None:
    if not _IMAGES.search(path.name):
        return None
    name = _IMAGES.sub(lambda match: f"labels{match['between']}idx1", path.name).removesuffix(".gz")
    return next((place for place in (path.with_name(name), path.with_name(name + ".gz")) if place.is_file()), None)


def _labels(path: Path, count: int) -> NDArray[np.uint8] | None:
    beside = _labels_beside(path)
    if beside is None:
        return None
    with open_binary(beside) as stream:
        (found,) = _header(stream, beside, 1)
        if found != count:
            raise FileError(beside, f"has {found:,} labels for the {count:,} images of {path.name}: give one for each")
        return np.frombuffer(read_exactly(stream, found, beside), np.uint8)


@dataclass(frozen=True)
class _Blocks:
    files: list[Path]

    def __call__(self) -> Iterator[NDArray[np.uint8]]:
        for path in self.files:
            with open_binary(path) as stream:
                shape = _header(stream, path, 3)
                for rows in rows_at_once(math.prod(shape[1:]), shape[0]):
                    data = read_exactly(stream, rows * math.prod(shape[1:]), path)
                    yield np.frombuffer(data, np.uint8).reshape(rows, *shape[1:], 1)
