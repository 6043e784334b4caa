"""Pictures of every kind as bytes, grey or red, green and blue, by one rule.

| what is found | what is made of it |
| --- | --- |
| a rotation or reflection noted by the camera (EXIF) | done |
| 1 bit | black 0, white 255 |
| 16 bits, grey | scaled: value / 257, rounded, so that 65,535 is white |
| 16 bits a channel, colour | their upper eight bits, which is how Pillow reads them |
| floats | times 255, rounded; refused outside [0, 1] |
| palette | the colours it stands for |
| transparency (RGBA, LA, a palette's or a colour's) | laid over white |
| CMYK, YCbCr, HSV | red, green and blue, by Pillow's formulas; colour profiles are not applied |
| several frames or pages | the first |
| colour where grey is asked for | luma, 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601) |

A picture with more pixels than `MAX_PIXELS` is refused before anything is decoded; formats whose readers run other
programs (EPS) are never opened.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from nlprep.core.errors import FileError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

MAX_PIXELS = 89_478_485
"""Pixels that a picture may have: Pillow's own limit, a quarter of a GiB as red, green and blue."""

PICTURE_SUFFIXES = frozenset(
    f".{kind}"
    for kind in (
        "avif",
        "bmp",
        "dib",
        "gif",
        "jfif",
        "jpe",
        "jpeg",
        "jpg",
        "pbm",
        "pgm",
        "png",
        "pnm",
        "ppm",
        "tif",
        "tiff",
        "webp",
    )
)
"""Files that are taken for pictures, by the end of their name in lower case."""

_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "DIB", "TIFF", "WEBP", "PPM", "MPO", "AVIF")
_BEGINNINGS = {b"\xff\xd8\xff": "JPEG", b"\x89PNG\r\n\x1a\n": "PNG"}
_ORIENTATION = 0x0112
_HELD_IN = frozenset({"exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif"})
_WORST_RECORD = 80


@contextlib.contextmanager
def pillow_silenced() -> Iterator[None]:
    """Keep Pillow's warnings about odd files to itself inside the block; what is wrong is said by errors of ours.

    For the caller's thread, around all of the work: Python keeps one list of filters for all threads.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        warnings.filterwarnings("ignore", module=r"PIL\b")
        yield


@cache
def _known_formats() -> tuple[str, ...]:
    if "TIFF" not in Image.OPEN:
        Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def _open(data: bytes) -> Image.Image:
    """What `Image.open` gives, sooner for the two commonest formats, by a tenth of a small picture's time."""
    formats = _known_formats()
    for beginning, name in _BEGINNINGS.items():
        if data.startswith(beginning) and name in formats:
            with contextlib.suppress(Exception):
                return Image.OPEN[name][0](io.BytesIO(data), "")
            # It will say what is wrong.
            break
    return Image.open(io.BytesIO(data), formats=formats)


def open_picture(data: bytes, name: str) -> Image.Image:
    """Look at a picture's header.

    Args:
        data: The content of its file.
        name: What it is called in errors.

    Returns:
        The picture, nothing decoded yet.

    Raises:
        FileError: Empty, no picture, or more pixels than `MAX_PIXELS`.
    """
    if not data:
        raise FileError(name, "is empty (0 bytes): copy it again or remove it")
    try:
        picture = _open(data)
    except UnidentifiedImageError:
        start = data[:12]
        raise FileError(
            name, f"is no picture in a format that is read, it begins with {start!r}: remove or rename it"
        ) from None
    except Image.DecompressionBombError:
        raise FileError(name, f"has more than {MAX_PIXELS:,} pixels, a decompression bomb: remove it") from None
    except Exception as error:
        # Of a damaged file, a format's reader may raise anything.
        raise FileError(name, damage(error)) from None
    check_size(picture, name)
    return picture


def check_size(picture: Image.Image, name: str) -> None:
    """Refuse a picture of too many pixels.

    Raises:
        FileError: It has more than `MAX_PIXELS`.
    """
    width, height = picture.size
    if width * height > MAX_PIXELS:
        raise FileError(
            name,
            f"says that it is {width:,} x {height:,}, more than {MAX_PIXELS:,} pixels, a decompression bomb: "
            "remove it or make it smaller",
        )


def damage(error: Exception) -> str:
    """What is wrong with a picture that fails while it is decoded."""
    said = " ".join(str(error).split())[:_WORST_RECORD] or type(error).__name__
    return f"is damaged or cut short ({said}): copy it again or remove it"


def orientation(picture: Image.Image) -> int:
    """How a camera was held, 1 to 8 as EXIF has it; from 5 on height and width change places."""
    # Looking for it takes as long as decoding a tiny picture, and most have none.
    if picture.format in ("JPEG", "PNG") and _HELD_IN.isdisjoint(picture.info):
        return 1
    try:
        found = picture.getexif().get(_ORIENTATION, 1)
    except Exception:
        # Damaged EXIF is no reason to lose the picture.
        return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def plain_picture(picture: Image.Image, name: str) -> Image.Image:
    """A picture as bytes: upright, of mode ``L`` (grey) or ``RGB``, by the rule above.

    Raises:
        FileError: Damaged, or of numbers whose range nobody knows.
    """
    try:
        picture.load()
    except Exception as error:
        raise FileError(name, damage(error)) from None
    if orientation(picture) != 1:
        picture = ImageOps.exif_transpose(picture)
    mode = picture.mode
    if mode in ("L", "RGB") and "transparency" not in picture.info:
        return picture
    if mode == "1":
        return picture.convert("L")
    if mode == "I" or mode.startswith("I;16"):
        return Image.fromarray(_bytes_of_numbers(np.asarray(picture), name))
    if mode == "F":
        return Image.fromarray(scale_unit_floats(np.asarray(picture), name))
    try:
        return _over_white(picture) if _is_transparent(picture) else picture.convert("RGB")
    except ValueError:
        raise FileError(name, f"has pixels of the mode {mode}, which is not read: convert it to RGB") from None


def _is_transparent(picture: Image.Image) -> bool:
    return picture.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in picture.info


def _over_white(picture: Image.Image) -> Image.Image:
    grey = picture.mode in ("L", "LA", "La")
    layer = picture.convert("RGBA")
    composed = Image.alpha_composite(Image.new("RGBA", layer.size, (255, 255, 255, 255)), layer)
    return composed.convert("RGB").getchannel(0) if grey else composed.convert("RGB")


def _bytes_of_numbers(values: NDArray[np.generic], name: str) -> NDArray[np.uint8]:
    """Whole numbers of 16 bits, whatever type they came in."""
    low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
    if low < 0 or high > 65_535:
        raise FileError(name, f"holds whole numbers from {low:,} to {high:,}: convert it to 8 or 16 bits")
    return scale_16_bits(values)


def scale_16_bits(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Whole numbers from 0 to 65,535 as bytes: divided by 257 and rounded."""
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)


def scale_unit_floats(values: NDArray[np.generic], name: str) -> NDArray[np.uint8]:
    """Floats in [0, 1] as bytes: times 255, rounded.

    Raises:
        FileError: Some are outside, or no numbers.
    """
    floats = values.astype(np.float32)
    if not np.isfinite(floats).all():
        raise FileError(
            name,
            f"holds {np.count_nonzero(~np.isfinite(floats)):,} floats that are no finite numbers (NaN or infinity): "
            "put numbers in their place, or leave out the images that have them",
        )
    if floats.size and not (floats.min() >= 0 and floats.max() <= 1):
        raise FileError(
            name,
            f"holds floats from {floats.min():.4g} to {floats.max():.4g}: bring them to [0, 1], or give whole numbers "
            "from 0 to 255",
        )
    return np.rint(floats * 255).astype(np.uint8)
