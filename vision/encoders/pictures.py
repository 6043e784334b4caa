"""Pictures of whatever kind made batches of bytes for an encoder, some ahead of the one that is being computed."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from nlprep.core.errors import NlprepError
from nlprep.evaluation.encoder import check_items, check_sequence
from vision.images.collection import Images
from vision.images.preprocessing import is_tiny
from vision.images.sources.source import warn_of_tiny

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from concurrent.futures import Future

    from numpy.typing import NDArray

    from vision.images.preprocessing import Preprocessing

_AHEAD = 2
_THREADS = 8
NOUN = "image"


def is_picture(thing: object) -> bool:
    """Whether something is one picture: a path, a Pillow image, or an array (height, width) or with channels."""
    if isinstance(thing, np.ndarray):
        return thing.ndim in (2, 3) and thing.dtype.kind in "buif"
    if isinstance(thing, str | os.PathLike):
        return True
    from PIL import Image

    return isinstance(thing, Image.Image)


def check_pictures(items: Any, batch_size: int) -> None:
    """Fail if ``items`` is neither `Images` nor a sequence of pictures.

    Raises:
        NlprepError: As `nlprep.evaluation.encoder.check_sequence` and `check_items` say it.
        OptionError: A batch size below 1.
    """
    if isinstance(items, Images):
        check_sequence((), batch_size, noun=NOUN, accepts=is_picture)
        return
    check_sequence(items, batch_size, noun=NOUN, accepts=is_picture)
    check_items(items, noun=NOUN, accepts=is_picture)


def batches_of_pixels(
    items: Images | Sequence[Any], batch_size: int, preprocessing: Preprocessing
) -> Iterator[NDArray[np.uint8]]:
    """Items as (b, channels, height, width) uint8, in order.

    Images that have the right shape are taken as they are. Others, and pictures, are decoded and fitted by threads,
    two batches ahead of the caller.

    Args:
        items: Checked by `check_pictures`.
        batch_size: Items in a batch, but for the last.
        preprocessing: How pictures become images.

    Raises:
        FileError: A picture that cannot be read or is damaged.
        NlprepError: An array that is no picture.
    """
    pixels = items.pixels if isinstance(items, Images) else items
    if isinstance(pixels, np.ndarray) and pixels.dtype == np.uint8 and pixels.shape[1:] == preprocessing.shape:
        for start in range(0, len(pixels), batch_size):
            yield np.array(pixels[start : start + batch_size], order="C")
        return
    threads = min(_THREADS, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[list[Future[tuple[NDArray[np.uint8], tuple[int, int]]]]] = deque()
        tiny: list[str] = []
        try:
            for start in range(0, len(pixels), batch_size):
                batch = pixels[start : start + batch_size]
                waiting.append([pool.submit(preprocessing.with_size, item) for item in batch])
                if len(waiting) > _AHEAD:
                    yield _stacked(waiting.popleft(), preprocessing, tiny)
            while waiting:
                yield _stacked(waiting.popleft(), preprocessing, tiny)
        finally:
            pool.shutdown(cancel_futures=True)
    if tiny:
        warn_of_tiny(
            f"{len(tiny):,} of {len(pixels):,} pictures, the first of {tiny[0]},",
            (preprocessing.width, preprocessing.height),
        )


def _stacked(
    batch: list[Future[tuple[NDArray[np.uint8], tuple[int, int]]]], preprocessing: Preprocessing, tiny: list[str]
) -> NDArray[np.uint8]:
    """A batch; the sizes of pictures that are much smaller than their images are added to ``tiny``."""
    made = [image.result() for image in batch]
    images = np.stack([image for image, _ in made])
    wanted = preprocessing.width, preprocessing.height
    tiny += [f"{width} x {height}" for _, (width, height) in made if is_tiny((width, height), wanted)]
    if images.shape[1:] != preprocessing.shape:
        raise NlprepError(f"images of {images.shape[1:]} where {preprocessing.shape} was asked for")
    return images
