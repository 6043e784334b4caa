"""Pictures made images of one shape: the same for a collection that is read and for one picture given later.

>>> preprocess = Preprocessing(channels=1, height=2, width=2, fit="crop")
>>> preprocess(np.array([[0, 0, 255, 255, 9], [0, 0, 255, 255, 9]], np.uint8)).shape
(1, 2, 2)

Resizing is Pillow's, bicubic and antialiased (every source pixel counts when a picture is made smaller). JPEGs that are
more than twice too large are decoded at a half, a quarter or an eighth of their size, never below twice of what is
wanted, which saves most of the time; a large JPEG that was decoded elsewhere is resized from all of its pixels, and may
differ by a level or two.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from nlprep.core.configuration import check
from nlprep.core.errors import FileError, NlprepError, os_errors_named
from vision.images.configuration import Fit, PreprocessingConfig
from vision.images.decoding import (
    check_size,
    open_picture,
    orientation,
    plain_picture,
    scale_16_bits,
    scale_unit_floats,
)

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray

    from vision.images.collection import Shape

    Picture = str | os.PathLike[str] | bytes | Image.Image | NDArray[Any]

LARGEST_KEPT = 128
"""The longest side that pictures of one size may have to be kept as they are, where no size is asked for."""
DEFAULT_SIDE = 64
"""The sides of images where no size is asked for and pictures are not equal, or large."""

_ENOUGH = 2
_MOST_ENLARGED = 4


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """From a picture to an image. Stored with every model, and applied to whatever it is given later.

    Attributes:
        channels: 1 (grey) or 3 (red, green, blue).
        height: Pixels.
        width: Pixels.
        fit: Where proportions differ: ``crop`` fills the image and keeps the centre, ``pad`` shows all of the picture
            and puts black around, ``stretch`` distorts.

    Raises:
        OptionError: A value out of its range.
    """

    channels: int = 3
    height: int = DEFAULT_SIDE
    width: int = DEFAULT_SIDE
    fit: Fit = "crop"

    def __post_init__(self) -> None:
        check(self)
        # Whatever may be asked for may be done.
        PreprocessingConfig(channels=self.channels, height=self.height, width=self.width, fit=self.fit)

    @property
    def shape(self) -> Shape:
        """(channels, height, width)."""
        return self.channels, self.height, self.width

    def __call__(self, item: Picture) -> NDArray[np.uint8]:
        """One picture as an image; several threads may call it at once.

        Args:
            item: A path, the bytes of a picture's file, a Pillow image, or an array: (height, width), (height, width,
                channels) or (channels, height, width), with 1, 3 or 4 channels (red, green, blue, opacity); bytes,
                whole numbers of 16 bits (uint16), booleans, or floats in [0, 1].

        Returns:
            (channels, height, width) uint8.

        Raises:
            FileError: A file that is no picture, or a damaged one.
            NlprepError: An array that is no picture.
        """
        return self.with_size(item)[0]

    def with_size(self, item: Picture) -> tuple[NDArray[np.uint8], tuple[int, int]]:
        """One picture as an image, as a call gives it, and the width and height that the picture had."""
        picture, name = _as_picture(item)
        size = picture.size
        # Reducing would change a picture that is the caller's.
        fitted = self.fitted(picture, name, reduce=not isinstance(item, Image.Image))
        return np.ascontiguousarray(channel_pixels(fitted, self.channels).transpose(2, 0, 1)), size

    def fitted(self, picture: Image.Image, name: str, *, reduce: bool = True) -> Image.Image:
        """A picture made to fit, in the colours that it has.

        Args:
            picture: As it was opened.
            name: What it is called in errors.
            reduce: Whether a large JPEG may be decoded at a fraction of its size.

        Returns:
            A picture of the right height and width, of mode ``L`` or ``RGB``.

        Raises:
            FileError: It is damaged.
        """
        if reduce:
            self._reduce(picture)
        return self.fit_plain(plain_picture(picture, name))

    def fit_plain(self, plain: Image.Image) -> Image.Image:
        """The part of `fitted` that follows decoding, for a picture as `plain_picture` gives it."""
        if self.channels == 1 and plain.mode != "L":
            plain = plain.convert("L")
        size = (self.width, self.height)
        if plain.size == size:
            return plain
        if self.fit == "crop":
            return plain.resize(size, Image.Resampling.BICUBIC, box=_central_box(plain.size, size))
        if self.fit == "stretch":
            return plain.resize(size, Image.Resampling.BICUBIC)
        inner = _inscribed(plain.size, size)
        canvas = Image.new(plain.mode, size)
        shrunk = plain.resize(inner, Image.Resampling.BICUBIC)
        canvas.paste(shrunk, ((self.width - inner[0]) // 2, (self.height - inner[1]) // 2))
        return canvas

    def _reduce(self, picture: Image.Image) -> None:
        """Have a JPEG decoded at a fraction of its size, if that is still large enough."""
        width, height = picture.size
        if picture.format not in ("JPEG", "MPO") or min(width, height) < 2 * _ENOUGH * min(self.width, self.height):
            return
        across, down = (self.width, self.height) if orientation(picture) < 5 else (self.height, self.width)
        scales = (across / width, down / height)
        scale = _ENOUGH * (min(scales) if self.fit == "pad" else max(scales))
        picture.draft("", (ceil(width * scale), ceil(height * scale)))


def channel_pixels(picture: Image.Image, channels: int) -> NDArray[np.uint8]:
    """(height, width, channels) uint8 of a picture of mode ``L`` or ``RGB``."""
    mode = "L" if channels == 1 else "RGB"
    # Not `np.asarray`, which takes half as long again for a small picture.
    data = (picture if picture.mode == mode else picture.convert(mode)).tobytes()
    return np.frombuffer(data, np.uint8).reshape(picture.height, picture.width, channels)


def _central_box(size: tuple[int, int], wanted: tuple[int, int]) -> tuple[float, float, float, float]:
    """The largest box of the wanted proportions in the middle of a picture: left, upper, right, lower."""
    width, height = size
    scale = min(width / wanted[0], height / wanted[1])
    left, upper = (width - scale * wanted[0]) / 2, (height - scale * wanted[1]) / 2
    return max(left, 0.0), max(upper, 0.0), min(width - left, width), min(height - upper, height)


def _inscribed(size: tuple[int, int], wanted: tuple[int, int]) -> tuple[int, int]:
    """The width and height of a picture made just small, or large, enough to be shown whole."""
    scale = min(wanted[0] / size[0], wanted[1] / size[1])
    return max(1, min(wanted[0], round(size[0] * scale))), max(1, min(wanted[1], round(size[1] * scale)))


def _as_picture(item: Picture) -> tuple[Image.Image, str]:
    if isinstance(item, Image.Image):
        name = str(getattr(item, "filename", "")) or "picture"
        check_size(item, name)
        return item, name
    if isinstance(item, bytes):
        return open_picture(item, "picture"), "picture"
    if isinstance(item, np.ndarray):
        return picture_of_array(item, "picture"), "picture"
    path = Path(item)
    with os_errors_named(path):
        data = path.read_bytes()
    return open_picture(data, str(path)), str(path)


def picture_of_array(array: NDArray[Any], name: str) -> Image.Image:
    """A Pillow image of an array, as `Preprocessing.__call__` takes it.

    Raises:
        NlprepError: It is no picture.
    """
    pixels = array_bytes(array, name)
    if pixels.ndim == 3 and pixels.shape[2] not in (1, 3, 4) and pixels.shape[0] in (1, 3, 4):
        pixels = pixels.transpose(1, 2, 0)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    if pixels.size == 0 or not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (3, 4))):
        raise NlprepError(
            f"{name}: an array of shape {array.shape} is no picture: give (height, width), (height, width, channels) "
            "or (channels, height, width), with 1, 3 or 4 channels"
        )
    return Image.fromarray(np.ascontiguousarray(pixels))


def is_tiny(size: tuple[int, int], wanted: tuple[int, int]) -> bool:
    """Whether a picture has to be enlarged so much, more than four times, that hardly anything of the image is its own.

    Args:
        size: Its width and height.
        wanted: Those of the image.

    >>> is_tiny((1, 1), (28, 28)), is_tiny((7, 30), (28, 28))
    (True, False)
    """
    return any(_MOST_ENLARGED * have < want for have, want in zip(size, wanted, strict=True))


def array_bytes(array: NDArray[Any], name: str) -> NDArray[np.uint8]:
    """Pixels of other types as bytes: booleans black and white, uint16 and floats scaled, others 0 to 255.

    Raises:
        FileError: Numbers outside their range, or no numbers.
    """
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype == np.uint16:
        return scale_16_bits(array)
    if array.dtype.kind == "f":
        return scale_unit_floats(array, name)
    if array.dtype.kind not in "iu":
        raise FileError(name, f"holds {array.dtype}, no pixels: give whole numbers from 0 to 255, or floats in [0, 1]")
    low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
    if low < 0 or high > 255:
        raise FileError(
            name, f"holds {array.dtype} from {low:,} to {high:,}: give 0 to 255, or uint16 for pixels of 16 bits"
        )
    return array.astype(np.uint8)
