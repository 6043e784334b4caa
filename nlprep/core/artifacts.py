"""The one artifact format: a directory with ``config.json`` and ``*.safetensors``.

``config.json`` holds the artifact's kind, its format version and every setting needed to rebuild it; the tensors
are in the safetensors layout, opened memory-mapped and read-only. Directories are written whole (see
`nlprep.core.files.atomic_directory`). Nothing is ever unpickled.

The safetensors layout (https://github.com/huggingface/safetensors#format): eight bytes, little-endian, give the
length of a JSON header; it maps names to dtype, shape and byte range; the bytes follow. It is read and written
here, rather than by the library, because the library copies NumPy tensors into memory and we map them.
"""

from __future__ import annotations

import json
import math
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nlprep.core.errors import FileError, os_errors_named
from nlprep.core.files import atomic_directory

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

FORMAT_VERSION = 1
CONFIG_NAME = "config.json"
TENSORS_NAME = "tensors.safetensors"

_DTYPES: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "U8": np.dtype("u1"),
    "U16": np.dtype("<u2"),
    "U32": np.dtype("<u4"),
    "U64": np.dtype("<u8"),
    "BOOL": np.dtype("?"),
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
_HEADER_LIMIT = 100_000_000
_COPY_BYTES = 1 << 24


@dataclass(frozen=True)
class Artifact:
    """An artifact directory, opened.

    Attributes:
        path: The directory.
        config: ``config.json`` without its kind and version.
        tensors: Read-only arrays mapped from the file, by name.
    """

    path: Path
    config: dict[str, Any]
    tensors: dict[str, NDArray[Any]]

    def tensor(self, name: str, *, dtype: str, shape: tuple[int | None, ...]) -> NDArray[Any]:
        """One tensor, checked against a dtype (``float32``...) and a shape in which None matches any length.

        Raises:
            FileError: Absent, or of another dtype or shape.
        """
        array = self.tensors.get(name)
        if array is None:
            raise FileError(self.path, f"has no tensor {name!r}: the artifact is incomplete; make it again")
        fits = len(array.shape) == len(shape) and all(
            want in (None, have) for want, have in zip(shape, array.shape, strict=True)
        )
        if array.dtype != np.dtype(dtype) or not fits:
            raise FileError(
                self.path,
                f"tensor {name!r} is {array.dtype} {array.shape}, expected {dtype} "
                f"{shape}: the artifact is damaged; make it again",
            )
        return array


def write_artifact(
    path: str | os.PathLike[str],
    *,
    kind: str,
    config: Mapping[str, Any],
    tensors: Mapping[str, NDArray[Any]],
    overwrite: bool = False,
) -> None:
    """Write an artifact directory, replacing an older one of its kind at the same path only when whole.

    Args:
        path: The directory.
        kind: What it is, such as ``word-vectors``.
        config: Plain values for ``config.json``.
        tensors: Arrays by name; memory-mapped ones are copied through a small buffer.
        overwrite: Whether another kind of ours may be replaced.

    Raises:
        FileError: The place cannot be written or holds something else.
    """
    with atomic_directory(path, kind=kind, overwrite=overwrite) as directory:
        fill_artifact(directory, kind=kind, config=config, tensors=tensors)


def fill_artifact(
    directory: Path, *, kind: str, config: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]
) -> None:
    """Write an artifact's files into a directory being assembled, for those who need scratch space there.

    `write_artifact` is this inside an `atomic_directory`; arguments as there.
    """
    header = {"kind": kind, "format_version": FORMAT_VERSION}
    write_tensors(directory / TENSORS_NAME, tensors)
    text = json.dumps(header | dict(config), indent=2, ensure_ascii=False, allow_nan=False)
    (directory / CONFIG_NAME).write_text(text + "\n", encoding="utf-8")


def read_artifact(path: str | os.PathLike[str], *, kind: str) -> Artifact:
    """Open an artifact directory of the given kind.

    Raises:
        FileError: Missing, of another kind, from a newer version, damaged or cut short.
    """
    directory = Path(path)
    config = read_config(directory)
    found = config.pop("kind", None)
    version = config.pop("format_version", None)
    if found != kind:
        raise FileError(directory, f"holds {found!r}, expected {kind!r}: name a directory of that kind")
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise FileError(
            directory,
            f"has format version {version!r}, this nlprep reads up to {FORMAT_VERSION}: upgrade nlprep-toolkit",
        )
    return Artifact(directory, config, read_tensors(directory / TENSORS_NAME))


def artifact_kind(path: str | os.PathLike[str]) -> str | None:
    """The kind of the artifact at ``path``, or None where there is none."""
    if not (Path(path) / CONFIG_NAME).is_file():
        return None
    kind = read_config(Path(path)).get("kind")
    return kind if isinstance(kind, str) else None


def read_config(directory: Path) -> dict[str, Any]:
    """Read the ``config.json`` of a directory.

    Raises:
        FileError: Missing or not a JSON object.
    """
    if directory.is_dir() and not (directory / CONFIG_NAME).exists():
        raise FileError(directory, f"holds no {CONFIG_NAME}: name a directory that nlprep wrote")
    path = directory / CONFIG_NAME
    with os_errors_named(path if directory.is_dir() else directory):
        raw = path.read_bytes()
    try:
        config = json.loads(raw)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise FileError(path, f"is not valid JSON ({error}): the artifact is damaged; make it again") from None
    if not isinstance(config, dict):
        raise FileError(path, "is not a JSON object: the artifact is damaged; make it again")
    return config


def write_tensors(path: Path, tensors: Mapping[str, NDArray[Any]]) -> None:
    """Write a safetensors file at ``path``; a directory being assembled is the usual place."""
    header: dict[str, Any] = {}
    position = 0
    ordered = [(name, np.asarray(array)) for name, array in tensors.items()]
    # Wide items first keeps every tensor aligned for its dtype.
    ordered.sort(key=lambda item: -item[1].dtype.itemsize)
    for name, array in ordered:
        dtype = array.dtype.newbyteorder("<") if array.dtype.itemsize > 1 else array.dtype
        header[name] = {
            "dtype": _NAMES[dtype],
            "shape": list(array.shape),
            "data_offsets": [position, position + array.nbytes],
        }
        position += array.nbytes
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    # Sixty-four bytes: a cache line, so that rows of vectors start on one.
    text += b" " * (-(len(text) + 8) % 64)
    with os_errors_named(path), path.open("wb") as stream:
        stream.write(struct.pack("<Q", len(text)))
        stream.write(text)
        for _, array in ordered:
            for block in _blocks(array):
                stream.write(block)


def _blocks(array: NDArray[Any]) -> Iterator[memoryview]:
    flat = array if array.ndim else array.reshape(1)
    rows = max(1, _COPY_BYTES // max(1, flat[:1].nbytes)) if len(flat) else 1
    little = flat.dtype.newbyteorder("<")
    for start in range(0, len(flat), rows):
        block = np.ascontiguousarray(flat[start : start + rows], dtype=little)
        if block.nbytes:
            yield block.data.cast("B")


def read_tensors(path: Path) -> dict[str, NDArray[Any]]:
    """Map every tensor of a safetensors file, read-only and without copying.

    Raises:
        FileError: Missing, not safetensors, of an unsupported dtype, damaged or cut short.
    """
    with os_errors_named(path), path.open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        head = stream.read(8)
        length = struct.unpack("<Q", head)[0] if len(head) == 8 else 0
        if not 2 <= length <= min(_HEADER_LIMIT, size - 8):
            raise FileError(path, "is not a whole safetensors file: it is damaged or cut short; make it again")
        raw = stream.read(length)
    try:
        header = json.loads(raw)
        entries = {
            name: (
                _DTYPES[entry["dtype"]],
                tuple(int(n) for n in entry["shape"]),
                int(entry["data_offsets"][0]),
                int(entry["data_offsets"][1]),
            )
            for name, entry in header.items()
            if name != "__metadata__"
        }
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise FileError(path, f"has a header that cannot be read ({error!r}): make the file again") from None
    start = 8 + length
    needed = start + max((end for *_, end in entries.values()), default=0)
    if size < needed:
        raise FileError(path, f"is cut short at {size:,} of {needed:,} bytes: copy or make it again")
    with os_errors_named(path):
        # The system maps no empty range, but the header is never empty.
        mapped = np.memmap(path, dtype=np.uint8, mode="r").view(np.ndarray)
    tensors = {}
    for name, (dtype, shape, begin, end) in entries.items():
        lies = FileError(path, f"tensor {name!r} has a shape that does not fit its bytes: make the file again")
        # Whole numbers of Python, since a damaged header can claim a shape whose size no int64 holds.
        if min(shape, default=0) < 0 or begin < 0 or end - begin != math.prod(shape) * dtype.itemsize:
            raise lies
        try:
            tensors[name] = mapped[start + begin : start + end].view(dtype).reshape(shape)
        except (ValueError, OverflowError):
            # No items, of a length that no array can have.
            raise lies from None
    return tensors


def pack_words(words: Sequence[str]) -> NDArray[np.uint8]:
    r"""Words as one tensor of UTF-8 bytes, separated by ``\n``, which no word may contain.

    Raises:
        ValueError: A word contains a line feed.
    """
    text = "\n".join(words)
    if text.count("\n") != max(0, len(words) - 1):
        raise ValueError("a word contains a line feed")
    return np.frombuffer(text.encode("utf-8"), dtype=np.uint8)


def unpack_words(artifact: Artifact, name: str, count: int) -> list[str]:
    """The words that `pack_words` made a tensor of.

    Raises:
        FileError: Not UTF-8, or not ``count`` of them.
    """
    raw = artifact.tensor(name, dtype="uint8", shape=(None,)).tobytes()
    try:
        words = raw.decode("utf-8").split("\n") if count else []
    except UnicodeDecodeError:
        raise FileError(artifact.path, f"tensor {name!r} is not UTF-8: the artifact is damaged") from None
    if len(words) != count:
        raise FileError(
            artifact.path,
            f"tensor {name!r} has {len(words)} words, expected {count}: the artifact is damaged",
        )
    return words
