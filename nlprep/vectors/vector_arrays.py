"""Vectors of items as arrays on disk: NumPy's ``.npy`` and ``.npz``, and safetensors."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from nlprep.core.errors import OptionError
from nlprep.core.files import atomic_file
from nlprep.core.ownership import FileFormat

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from numpy.typing import NDArray

ENDINGS = (".npy", ".npz", ".safetensors")
NOUNS = ("texts", "images")
_HEADER_LIMIT = 1 << 16


def write_vector_arrays(
    vectors: NDArray[np.float32],
    names: Sequence[str],
    path: str | os.PathLike[str],
    *,
    noun: str = "texts",
    overwrite: bool = False,
) -> None:
    """Write vectors, and with ``.npz`` what they are of, in the format that the file's ending asks for.

    Args:
        vectors: (n, d) float32.
        names: The n items that they are of: texts, or names of images.
        path: Where they go.
        noun: What these are called in an ``.npz`` file, one of `NOUNS`.
        overwrite: Whether a file there that holds vectors in such a format may be replaced.

    Raises:
        OptionError: No known ending.
        FileError: The place cannot be written, or holds something else.
    """
    ending = vector_array_ending(path)
    with atomic_file(path, format=VECTOR_ARRAYS, overwrite=overwrite) as stream:
        if ending == ".npy":
            np.save(stream, vectors)
        elif ending == ".npz":
            arrays: Any = {"vectors": vectors, noun: np.array(names)}
            np.savez(stream, **arrays)
        else:
            from safetensors.numpy import save

            stream.write(save({"vectors": vectors}))


def vector_array_ending(path: str | os.PathLike[str]) -> str:
    """The ending of a name, which is one of `ENDINGS`.

    Raises:
        OptionError: Another ending, or none.
    """
    ending = Path(path).suffix
    if ending not in ENDINGS:
        raise OptionError(f"output {str(path)!r}: end it in {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}")
    return ending


def _is_vector_array(path: Path) -> bool:
    with path.open("rb") as stream:
        head = stream.read(8)
        stream.seek(0)
        if head.startswith(b"\x93NUMPY"):
            return _is_matrix(stream)
        if head.startswith(b"PK\x03\x04"):
            try:
                with zipfile.ZipFile(stream) as archive:
                    if set(archive.namelist()) not in [{f"{noun}.npy", "vectors.npy"} for noun in NOUNS]:
                        return False
                    with archive.open("vectors.npy") as inner:
                        return _is_matrix(inner)
            except zipfile.BadZipFile:
                return False
        length = int.from_bytes(head, "little")
        if not 2 <= length <= _HEADER_LIMIT:
            return False
        stream.seek(8)
        try:
            header = json.loads(stream.read(length))
        except ValueError:
            return False
    return isinstance(header, dict) and set(header) - {"__metadata__"} == {"vectors"}


def _is_matrix(stream: IO[bytes]) -> bool:
    from numpy.lib import format as npy

    try:
        version = npy.read_magic(stream)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read(stream)
    except ValueError:
        return False
    return len(shape) == 2 and dtype == np.dtype("<f4")


VECTOR_ARRAYS = FileFormat("a file of vectors as it is written here", recognises=_is_vector_array)
"""None of these formats can say who wrote a file."""
