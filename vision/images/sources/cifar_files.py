"""The binary files of CIFAR-10 and CIFAR-100 (https://www.cs.toronto.edu/~kriz/cifar.html).

A record is one label (CIFAR-10), or a coarse and a fine one (CIFAR-100, of which the fine one is taken), then 32 x 32
bytes of red, of green and of blue. The version for Python is a pickle, which could run anything, and is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nlprep.core.errors import FileError, os_errors_named
from nlprep.core.files import open_binary
from vision.images.sources.arrangement import ALL, choose_split
from vision.images.sources.number_files import read_exactly, rows_at_once
from vision.images.sources.source import Arrays, file_state

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

_PIXELS = 3 * 32 * 32
_NAMES = {10: "batches.meta.txt", 100: "fine_label_names.txt"}
_PICKLED = ("batches.meta", "data_batch_1", "test_batch", "meta", "train", "test")


def refuse_pickles(folder: Path) -> None:
    """Refuse the version of CIFAR for Python.

    Raises:
        FileError: It is there.
    """
    for name in _PICKLED:
        path = folder / name
        if path.is_file() and _is_pickle(path):
            raise FileError(
                path, "is CIFAR's version for Python, a pickle, which may run anything: take the binary one"
            )


def _is_pickle(path: Path) -> bool:
    with os_errors_named(path), path.open("rb") as stream:
        return stream.read(1) == b"\x80"


def cifar_files_in(folder: Path) -> dict[str, list[Path]]:
    """CIFAR's binary files in a folder, by split."""
    train = sorted(folder.glob("data_batch_*.bin")) or sorted(folder.glob("train.bin"))
    test = sorted(folder.glob("test_batch.bin")) or sorted(folder.glob("test.bin"))
    return {name: files for name, files in (("train", train), ("test", test)) if files}


def list_cifar(path: Path, split: str | None) -> Arrays:
    """The images of CIFAR's binary files.

    Args:
        path: Their folder, or one of them.
        split: As for `vision.images.reading.read_images`, for a folder.

    Raises:
        FileError: Cut short, or a label that there is not.
    """
    if path.is_dir():
        found = cifar_files_in(path)
        chosen = choose_split(set(found), split, path)
        files = [file for name, some in sorted(found.items()) if chosen in (ALL, name) for file in some]
    else:
        chosen, files = choose_split(set(), split, path), [path]
    states = [file_state(file, str(file)) for file in files]
    kinds = {_num_classes(file, state.size) for file, state in zip(files, states, strict=True)}
    if len(kinds) > 1:
        raise FileError(path, "holds files of both CIFAR-10 and CIFAR-100: keep them in folders of their own")
    num_classes = kinds.pop()
    record = _record_size(num_classes)
    labels = np.concatenate([_labels(file, num_classes) for file in files])
    classes = _classes(files[0].parent, num_classes)
    count = sum(state.size // record for state in states)
    return Arrays(path, count, _Blocks(files, record), states, labels, classes, chosen)


def _record_size(num_classes: int) -> int:
    return _PIXELS + (1 if num_classes == 10 else 2)


def _num_classes(path: Path, size: int) -> int:
    fits = [number for number in (10, 100) if size and size % _record_size(number) == 0]
    if len(fits) == 2:
        # A multiple of both: by its name.
        fits = [100 if path.name in ("train.bin", "test.bin") else 10]
    if not fits:
        raise FileError(
            path,
            f"has {size:,} bytes, no multiple of 3,073 (CIFAR-10) or 3,074 (CIFAR-100): it is cut short or something "
            "else; copy it again",
        )
    return fits[0]


def _records(path: Path, record: int) -> Iterator[NDArray[np.uint8]]:
    with os_errors_named(path):
        count = path.stat().st_size // record
    with open_binary(path) as stream:
        for rows in rows_at_once(record, count):
            yield np.frombuffer(read_exactly(stream, rows * record, path), np.uint8).reshape(rows, record)


def _labels(path: Path, num_classes: int) -> NDArray[np.int64]:
    record = _record_size(num_classes)
    # The fine label of CIFAR-100 is the second.
    labels = np.concatenate([block[:, record - _PIXELS - 1] for block in _records(path, record)]).astype(np.int64)
    if int(labels.max()) >= num_classes:
        place = int(np.argmax(labels >= num_classes))
        raise FileError(
            path, f"image {place:,} has the label {labels[place]}, and there are {num_classes}: it is no CIFAR file"
        )
    return labels


def _classes(folder: Path, num_classes: int) -> tuple[str, ...]:
    path = folder / _NAMES[num_classes]
    if path.is_file():
        with os_errors_named(path):
            names = tuple(path.read_text("utf-8", "replace").split())
        if len(names) == num_classes:
            return names
    return tuple(map(str, range(num_classes)))


@dataclass(frozen=True)
class _Blocks:
    files: list[Path]
    record: int

    def __call__(self) -> Iterator[NDArray[np.uint8]]:
        for path in self.files:
            for block in _records(path, self.record):
                yield block[:, self.record - _PIXELS :].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
