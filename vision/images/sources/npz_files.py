"""NumPy's archives of arrays: ``x`` and ``y``, or such for each split.

Arrays are read in blocks from the archive, so that they may be larger than memory; nothing is unpickled.

| names | |
| --- | --- |
| ``x`` or ``images``, with ``y`` or ``labels`` | images and labels |
| ``x_train`` and ``y_train``, ``train_images`` and ``train_labels``, likewise test and validation | splits |
| ``classes`` | names of the classes, if labels are numbers |
"""

from __future__ import annotations

import zipfile
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from nlprep.core.errors import FileError, os_errors_named
from vision.images.preprocessing import array_bytes
from vision.images.sources.archives import open_archive
from vision.images.sources.arrangement import ALL, SPLITS, choose_split
from vision.images.sources.number_files import number_labels, read_exactly, rows_at_once
from vision.images.sources.source import Arrays, file_state

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

_IMAGES, _LABELS = ("x", "images"), ("y", "labels")


def is_npz(archive: zipfile.ZipFile) -> bool:
    """Whether a zip archive is one of arrays."""
    names = archive.namelist()
    return bool(names) and all(name.endswith(".npy") for name in names)


def list_npz(path: Path, split: str | None) -> Arrays:
    """The images of an ``.npz`` file.

    Args:
        path: The file.
        split: As for `vision.images.reading.read_images`.

    Raises:
        FileError: Damaged, without images, or with arrays of a type or shape that images do not have.
    """
    with open_archive(path) as archive:
        names = {name.removesuffix(".npy") for name in archive.namelist()}
        found = _splits(names)
        if not found:
            raise FileError(
                path,
                f"has no array x or images but {', '.join(sorted(names)) or 'none'}: save with np.savez(x=..., y=...)",
            )
        chosen = choose_split(set(found) - {""}, split, path)
        parts = [found[name] for name in sorted(found) if chosen in ("", ALL, name)]
        layouts = [_layout(archive, path, images) for images, _ in parts]
        labels, classes = _labels(archive, path, found, parts)
        counts = [layout[0][0] for layout in layouts]
    if labels is not None and len(labels) != sum(counts):
        raise FileError(path, f"has {len(labels):,} labels for {sum(counts):,} images: give one for each")
    shapes = {shape[1:] for shape, _ in layouts}
    if len(shapes) > 1:
        raise FileError(path, f"has images of the shapes {sorted(shapes)} in its splits: ask for one split")
    blocks = _Blocks(path, [images for images, _ in parts])
    return Arrays(path, sum(counts), blocks, [file_state(path, str(path))], labels, classes, chosen)


def _splits(names: set[str]) -> dict[str, tuple[str, str | None]]:
    """The names of arrays of images and labels, by split; that of none is empty."""
    found: dict[str, tuple[str, str | None]] = {}
    for images, labels in zip(_IMAGES, _LABELS, strict=True):
        spelled = {"": (images, labels)}
        for name, split in SPLITS.items():
            for order in ("{0}_{1}", "{1}_{0}"):
                spelled[f"{split} {name} {order}"] = (order.format(images, name), order.format(labels, name))
        for split, (image_name, label_name) in spelled.items():
            key = split.partition(" ")[0]
            if image_name in names and key not in found:
                found[key] = (image_name, label_name if label_name in names else None)
    if "" in found and len(found) > 1:
        del found[""]
    return found


@contextmanager
def _array(archive: zipfile.ZipFile, path: Path, name: str) -> Iterator[tuple[Any, tuple[int, ...], Any, bool]]:
    """An array's stream behind its header, its shape, dtype, and whether it is in Fortran's order."""
    member = archive.getinfo(f"{name}.npy")
    try:
        with archive.open(member) as stream:
            version = np.lib.format.read_magic(stream)
            read_header = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }.get(version)
            if read_header is None:
                raise FileError(path, f"array {name!r} is of a structured type: save plain numbers")
            shape, fortran, dtype = read_header(stream)
            if dtype.hasobject:
                raise FileError(
                    path, f"array {name!r} holds Python objects, which are never unpickled: save numbers of one shape"
                )
            size = int(np.prod(shape, dtype=object)) * dtype.itemsize
            if size > member.file_size:
                raise FileError(path, f"array {name!r} says {size:,} bytes and has {member.file_size:,}: copy it again")
            yield stream, shape, dtype, fortran
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError) as error:
        raise FileError(path, f"array {name!r} is damaged or cut short ({error}): copy the file again") from None


def _whole(archive: zipfile.ZipFile, path: Path, name: str) -> NDArray[Any]:
    with _array(archive, path, name) as (stream, shape, dtype, fortran):
        data = read_exactly(stream, int(np.prod(shape, dtype=object)) * dtype.itemsize, path)
        return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")


def _layout(archive: zipfile.ZipFile, path: Path, name: str) -> tuple[tuple[int, ...], Any]:
    with _array(archive, path, name) as (_, shape, dtype, _fortran):
        channels_at = _channels_axis(shape)
        if channels_at is None or min(shape[1:], default=0) < 1:
            raise FileError(
                path,
                f"array {name!r} has the shape {shape}: give (n, height, width), (n, height, width, channels) or "
                "(n, channels, height, width), with 1, 3 or 4 channels",
            )
        return shape, dtype


def _channels_axis(shape: tuple[int, ...]) -> int | None:
    """Where the channels are: 0 for nowhere, 1 or 3; None if these are no images."""
    if len(shape) == 3:
        return 0
    if len(shape) != 4:
        return None
    return 3 if shape[3] in (1, 3, 4) else 1 if shape[1] in (1, 3, 4) else None


def _labels(
    archive: zipfile.ZipFile,
    path: Path,
    found: dict[str, tuple[str, str | None]],
    parts: list[tuple[str, str | None]],
) -> tuple[NDArray[np.int64] | None, tuple[str, ...]]:
    labels = {name: _whole(archive, path, name) for _, name in found.values() if name is not None}
    # Some write (n, 1).
    labels = {name: array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array for name, array in labels.items()}
    wanted = [labels[name] for _, name in parts if name is not None]
    if len(wanted) < len(parts):
        return None, ()
    names = None
    if "classes.npy" in archive.namelist():
        names = [str(name) for name in _whole(archive, path, "classes").ravel().tolist()]
    known = np.concatenate([array.ravel() for array in labels.values()])
    return number_labels(np.concatenate(wanted), known, names, path)


class _Blocks:
    """Reads the images of arrays in an archive, block by block."""

    def __init__(self, path: Path, names: list[str]) -> None:
        self.path = path
        self.names = names

    def __call__(self) -> Iterator[NDArray[np.uint8]]:
        with os_errors_named(self.path), zipfile.ZipFile(self.path) as archive:
            for name in self.names:
                factor = np.uint8(255) if self._is_bilevel(archive, name) else np.uint8(1)
                for block in self._raw(archive, name):
                    pixels = array_bytes(block, f"{self.path}: array {name!r}")
                    yield pixels if factor == 1 else pixels * factor

    def _raw(self, archive: zipfile.ZipFile, name: str) -> Iterator[NDArray[Any]]:
        """(b, height, width, channels) as they are."""
        with _array(archive, self.path, name) as (stream, shape, dtype, fortran):
            axis = _channels_axis(shape)
            row = int(np.prod(shape[1:], dtype=object)) * dtype.itemsize
            whole = _whole(archive, self.path, name) if fortran else None
            start = 0
            for rows in rows_at_once(row, shape[0]):
                if whole is not None:
                    block = whole[start : start + rows]
                else:
                    block = np.frombuffer(read_exactly(stream, rows * row, self.path), dtype)
                    block = block.reshape(rows, *shape[1:])
                start += rows
                yield block[..., None] if axis == 0 else block.transpose(0, 2, 3, 1) if axis == 1 else block

    def _is_bilevel(self, archive: zipfile.ZipFile, name: str) -> bool:
        """Whether whole numbers are 0 and 1 alone, and so black and white."""
        some = False
        for block in self._raw(archive, name):
            if block.dtype.kind not in "iu" or (block.size and (int(block.max()) > 1 or int(block.min()) < 0)):
                return False
            some = some or bool(block.any())
        return some
