"""How long images are in a lossless code: what simple ones have little of, whatever a model says of them.

An image of bytes is coded in whichever of these ways is shorter; which it was, costs one of six choices.

- **As PNG does**: bytes less what one of its five filters expects (nothing, the pixel to the left, the one above, their
  mean, or Paeth's choice of three), the same filter for the whole image, in the compressed form of zlib, without PNG's
  headers. Short where an image repeats itself.
- **As JPEG-LS does** (Weinberger et al. 2000), in small: bytes less what its median of three expects, in Rice's code,
  m = 2 r or -2 r - 1 of a difference r, floor(m / 2^k) ones, a zero, and k bits, with the best k of 0 to 7 for each
  image, which costs three bits. Short where an image is smooth; zlib has to be told of frequencies, and small images
  are too short for that.

Other versions of zlib may make a few bytes more or less of the first.
"""

from __future__ import annotations

import math
import zlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LARGEST_SHIFT = 7
_WAYS = 6


def code_nats(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Lengths (n,) of images (n, channels, height, width), in nats: bits times log 2."""
    found: NDArray[np.float64] = np.minimum(deflated_bits(pixels), rice_bits(pixels)) * math.log(2) + math.log(_WAYS)
    return found


def deflated_bits(pixels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Lengths (n,) of images in bits, by the best of PNG's filters and zlib; arguments as `code_nats`."""
    left, above, corner = _neighbors(pixels)
    expected = left + above - corner
    away = [np.abs(expected - value) for value in (left, above, corner)]
    paeth = np.where(
        (away[0] <= away[1]) & (away[0] <= away[2]), left, np.where(away[1] <= away[2], above, corner)
    )  # fmt: skip
    filtered = [
        # The channels of a pixel lie beside each other.
        np.ascontiguousarray((pixels - guess).astype(np.uint8).transpose(0, 2, 3, 1))
        for guess in (np.zeros_like(left), left, above, (left + above) // 2, paeth)
    ]
    lengths = [min(_deflated(kind[place].tobytes()) for kind in filtered) for place in range(len(pixels))]
    return 8 * np.array(lengths, np.int64)


def rice_bits(pixels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Lengths (n,) of images in bits, by the median of three and Rice's code; arguments as `code_nats`."""
    left, above, corner = _neighbors(pixels)
    smaller, larger = np.minimum(left, above), np.maximum(left, above)
    median = np.where(corner >= larger, smaller, np.where(corner <= smaller, larger, left + above - corner))
    # Modulo 256, as bytes are: what is left is the remainder nearest to 0.
    rest = (pixels - median).astype(np.uint8).view(np.int8).astype(np.int64)
    folded = np.where(rest >= 0, 2 * rest, -2 * rest - 1).reshape(len(pixels), math.prod(pixels.shape[1:]))
    lengths = [((folded >> shift) + 1 + shift).sum(1) for shift in range(_LARGEST_SHIFT + 1)]
    found: NDArray[np.int64] = np.min(lengths, axis=0) + 3
    return found


def _neighbors(pixels: NDArray[np.uint8]) -> tuple[NDArray[np.int16], NDArray[np.int16], NDArray[np.int16]]:
    """The bytes to the left, above, and to the left of that one; 0 beyond the edge."""
    padded = np.pad(pixels.astype(np.int16), ((0, 0), (0, 0), (1, 0), (1, 0)))
    return padded[:, :, 1:, :-1], padded[:, :, :-1, 1:], padded[:, :, :-1, :-1]


def _deflated(content: bytes) -> int:
    # Without the header and the checksum of a file.
    coder = zlib.compressobj(9, zlib.DEFLATED, -15)
    return len(coder.compress(content)) + len(coder.flush())
