"""Pictures that an evaluation gives beside its numbers, as PNG files."""

from __future__ import annotations

import io
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nlprep.core.errors import NlprepError, os_errors_named
from nlprep.core.files import atomic_directory

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from torch import Tensor

    Picture = bytes | os.PathLike[str] | NDArray[Any] | Tensor

FOLDER = "pictures"
KIND = "pictures"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = (1, 3, 4)


def encode_pictures(pictures: Mapping[str, Picture]) -> dict[str, bytes]:
    """The content of a PNG file for each picture.

    Args:
        pictures: By name: the content of a PNG file, the path of one, or pixels, as an array or a tensor (height,
            width) or (channels, height, width), with 1, 3 or 4 channels, uint8 or floats in [0, 1].

    Raises:
        NlprepError: A name that is no file name, or what is no picture.
        FileError: A file that cannot be read.
    """
    return {_checked(name): _encode(name, picture) for name, picture in pictures.items()}


def write_pictures(directory: Path, step: int, encoded: Mapping[str, bytes]) -> dict[str, str]:
    """Write the pictures of an evaluation, all or none, in place of those of an earlier one of the same step.

    Args:
        directory: The run's.
        step: At which they were made.
        encoded: What `encode_pictures` gave.

    Returns:
        Paths by name, from ``directory``.

    Raises:
        FileError: They cannot be written.
    """
    place = directory / FOLDER / f"step-{step:09d}"
    with os_errors_named(place):
        place.parent.mkdir(parents=True, exist_ok=True)
    with atomic_directory(place, kind=KIND, private=True) as assembly:
        for name, content in encoded.items():
            (assembly / f"{name}.png").write_bytes(content)
    return {name: f"{FOLDER}/{place.name}/{name}.png" for name in encoded}


def decode_picture(content: bytes) -> NDArray[np.uint8]:
    """The pixels of a PNG file, (height, width, 3) uint8, as trackers want them."""
    from PIL import Image

    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image.convert("RGB"))


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise NlprepError(f"picture {name!r}: use letters, digits, '.', '_' and '-' in its name, which a file gets")
    return name


def _encode(name: str, picture: Picture) -> bytes:
    if isinstance(picture, (bytes, os.PathLike)):
        content = picture if isinstance(picture, bytes) else _read(Path(picture))
        if not content.startswith(_SIGNATURE):
            raise NlprepError(f"picture {name!r}: is no PNG file: save it as one, or give pixels")
        return content
    if not isinstance(picture, np.ndarray):
        picture = picture.detach().cpu().float().numpy() if picture.is_floating_point() else picture.cpu().numpy()
    return _encode_pixels(name, picture)


def _read(path: Path) -> bytes:
    with os_errors_named(path):
        return path.read_bytes()


def _encode_pixels(name: str, pixels: NDArray[Any]) -> bytes:
    from PIL import Image

    if pixels.ndim not in (2, 3) or 0 in pixels.shape or (pixels.ndim == 3 and len(pixels) not in _CHANNELS):
        raise NlprepError(
            f"picture {name!r}: has shape {pixels.shape}: give (height, width), or (channels, height, width) with 1, "
            "3 or 4 channels"
        )
    if np.issubdtype(pixels.dtype, np.floating):
        lowest, highest = float(pixels.min()), float(pixels.max())
        if not (lowest >= 0 and highest <= 1):
            raise NlprepError(f"picture {name!r}: has values from {lowest:g} to {highest:g}: give them in [0, 1]")
        pixels = np.rint(pixels * 255).astype(np.uint8)
    elif pixels.dtype != np.uint8:
        raise NlprepError(f"picture {name!r}: is of {pixels.dtype}: give uint8, or floats in [0, 1]")
    if pixels.ndim == 3:
        pixels = pixels[0] if len(pixels) == 1 else np.moveaxis(pixels, 0, -1)
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(stream, format="PNG")
    return stream.getvalue()
