"""Codes with their images as a parquet file, in the columns that embedding-atlas reads.

Columns: ``name``; ``vector``, a list of float32; ``image``, a struct of ``bytes`` (a PNG) and ``path``, as the datasets
library has images; ``label`` where there are labels; ``x`` and ``y`` where a plane is given.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from nlprep.core.errors import NlprepError
from nlprep.core.files import atomic_file
from nlprep.core.ownership import FileFormat

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from numpy.typing import NDArray

    from vision.images.collection import Images

_MAGIC = b"PAR1"
_ROWS = 4096


def _is_parquet(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(4) == _MAGIC


PARQUET_FILE = FileFormat("a parquet file", recognises=_is_parquet)
"""Such a file cannot say who wrote it, so that replacing one has to be asked for."""


def require_pyarrow() -> None:
    """Fail if parquet cannot be written here.

    Raises:
        NlprepError: pyarrow is not installed.
    """
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError:
        raise NlprepError("writing parquet needs pyarrow: pip install pyarrow, or write .npz") from None


def write_parquet(
    vectors: NDArray[np.float32],
    images: Images,
    path: str | os.PathLike[str],
    *,
    plane: NDArray[np.floating[Any]] | None = None,
    overwrite: bool = False,
) -> None:
    """Write vectors with their images.

    Args:
        vectors: (n, d).
        images: n of them.
        path: The file.
        plane: (n, 2) where each stands on a map.
        overwrite: Whether another parquet file there may be replaced.

    Raises:
        NlprepError: pyarrow is not installed, or numbers that differ.
        FileError: The place cannot be written, or holds something else.
    """
    require_pyarrow()
    import pyarrow as pa
    import pyarrow.parquet as pq

    count, dimension = vectors.shape
    if count != len(images) or (plane is not None and plane.shape != (count, 2)):
        raise NlprepError(f"{count:,} vectors for {len(images):,} images: give one for each")
    fields = [
        ("name", pa.string()),
        ("vector", pa.list_(pa.float32())),
        ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
    ]
    if images.labels is not None:
        fields.append(("label", pa.string()))
    if plane is not None:
        fields += [("x", pa.float32()), ("y", pa.float32())]
    schema = pa.schema(fields)
    with atomic_file(path, format=PARQUET_FILE, overwrite=overwrite) as stream, pq.ParquetWriter(stream, schema) as out:
        for start in range(0, count, _ROWS):
            rows = range(start, min(start + _ROWS, count))
            names = [images.name(row) for row in rows]
            ends = pa.array(np.arange(len(rows) + 1, dtype=np.int32) * dimension)
            flat = np.ascontiguousarray(vectors[rows.start : rows.stop], np.float32).reshape(-1)
            columns: dict[str, Any] = {
                "name": names,
                "vector": pa.ListArray.from_arrays(ends, pa.array(flat)),
                "image": [
                    {"bytes": png_bytes(images.pixels[row]), "path": name}
                    for row, name in zip(rows, names, strict=True)
                ],
            }
            if images.labels is not None:
                columns["label"] = [images.classes[int(images.labels[row])] for row in rows]
            if plane is not None:
                columns["x"], columns["y"] = (
                    pa.array(plane[rows.start : rows.stop, axis].astype(np.float32)) for axis in (0, 1)
                )
            out.write_table(pa.table(columns, schema=schema))


def png_bytes(pixels: NDArray[np.uint8]) -> bytes:
    """One image (channels, height, width) as the bytes of a PNG."""
    from PIL import Image

    stream = io.BytesIO()
    picture = pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0))
    Image.fromarray(picture).save(stream, "PNG")
    return stream.getvalue()
