"""Images one by one, as encoders are given them: checked, and stacked into batches of numbers in [0, 1]."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nlprep.core.errors import NlprepError
from nlprep.core.progress import SILENT
from nlprep.evaluation.encoder import check_items, check_sequence

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from nlprep.core.progress import Progress
    from vision.images.collection import Shape


def is_image(thing: object) -> bool:
    """Whether something is an array (channels, height, width) of 1 or 3 channels, of bytes or floats."""
    return (
        isinstance(thing, np.ndarray)
        and thing.ndim == 3
        and thing.shape[0] in (1, 3)
        and (thing.dtype == np.uint8 or thing.dtype.kind == "f")
    )


def unit_array(pixels: NDArray[Any]) -> NDArray[np.float32]:
    """Bytes as float32 in [0, 1], by 255 levels between; floats as they are."""
    if pixels.dtype == np.uint8:
        return pixels.astype(np.float32) / np.float32(255)
    return pixels.astype(np.float32, copy=False)


def encode_batches(
    images: Sequence[NDArray[Any]],
    transform: Callable[[NDArray[np.float32]], NDArray[np.floating[Any]]],
    *,
    shape: Shape,
    dimension: int,
    batch_size: int,
    progress: Progress = SILENT,
) -> NDArray[np.float32]:
    """Vectors of images, some at a time.

    Args:
        images: n arrays, or one array of all, such as `Images.pixels`.
        transform: Vectors (b, dimension) of float32 images (b, channels, height, width).
        shape: That images must have.
        dimension: Numbers in a vector.
        batch_size: How many are transformed at once.
        progress: Gets images.

    Returns:
        (n, dimension) float32, finite, in C order.

    Raises:
        NlprepError: Something that is no image, one of another shape, with numbers outside [0, 1] or none at all.
        OptionError: A batch size below 1.
    """
    check_sequence(images, batch_size, noun="image", accepts=is_image)
    result = np.empty((len(images), dimension), np.float32)
    with progress.task("encoding images", len(images)) as task:
        for start in range(0, len(images), batch_size):
            batch = images[start : start + batch_size]
            pixels = stack_images(batch, shape=shape, first=start)
            result[start : start + len(batch)] = transform(pixels)
            task.advance(len(batch))
    return result


def stack_images(images: Sequence[NDArray[Any]], *, shape: Shape, first: int = 0) -> NDArray[np.float32]:
    """Images as one array of numbers in [0, 1]; arguments and errors of `encode_batches`.

    Args:
        images: b of them.
        shape: That each must have.
        first: The place of the first of them among all, for errors.

    Returns:
        (b, channels, height, width) float32.
    """
    check_items(images, noun="image", accepts=is_image, first=first)
    for place, image in enumerate(images, start=first):
        if image.shape != shape:
            seen, wanted = (" x ".join(map(str, sizes)) for sizes in (image.shape, shape))
            raise NlprepError(f"items[{place}] is an image of {seen}, this encoder takes {wanted}: resize it first")
    pixels = np.stack([unit_array(image) for image in images])
    # A comparison with NaN is false.
    if not (pixels.min() >= 0 and pixels.max() <= 1):
        wrong = [place for place, image in enumerate(pixels) if not (image.min() >= 0 and image.max() <= 1)]
        raise NlprepError(f"items[{first + wrong[0]}] has numbers outside [0, 1]: give bytes, or floats in [0, 1]")
    return pixels
