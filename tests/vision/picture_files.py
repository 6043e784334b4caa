"""Small pictures and files of them, for the tests of reading."""

from __future__ import annotations

import gzip
import io
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image


def encoded(picture: Image.Image, kind: str = "PNG", **settings) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **settings)
    return stream.getvalue()


def gradient(height: int, width: int) -> np.ndarray:
    """A colour picture no part of which looks like another."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack(
        [rows * 255 // max(1, height - 1), columns * 255 // max(1, width - 1), (rows * 7 + columns * 3) % 256], -1
    ).astype(np.uint8)


def write_pictures(folder: Path, names: list[str], size=(10, 12), *, grey: bool = False) -> None:
    """PNGs that differ from each other."""
    for number, name in enumerate(names):
        pixels = np.roll(gradient(*size), number, axis=0)
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[..., 0] if grey else pixels).save(path)


def zip_folder(folder: Path, archive: Path, *, compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(archive, "w", compression) as made:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                made.write(path, path.relative_to(folder).as_posix())
    return archive


def write_idx(path: Path, values: np.ndarray) -> None:
    data = bytes([0, 0, 8, values.ndim]) + b"".join(n.to_bytes(4, "big") for n in values.shape) + values.tobytes()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def write_cifar(path: Path, labels: np.ndarray, pixels: np.ndarray) -> None:
    """Labels (n,) or (n, 2) and pixels (n, 3, 32, 32)."""
    rows = np.concatenate([labels.reshape(len(pixels), -1), pixels.reshape(len(pixels), -1)], axis=1)
    path.write_bytes(rows.astype(np.uint8).tobytes())
