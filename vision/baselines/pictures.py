"""Pictures as the baselines take them: the numbers of an image in a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nlprep.core.configuration import from_mapping
from nlprep.core.errors import FileError, NlprepError, OptionError
from nlprep.core.progress import SILENT
from vision.encoders.pictures import batches_of_pixels, check_pictures
from vision.images.preprocessing import Preprocessing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from nlprep.core.artifacts import Artifact
    from nlprep.core.progress import Progress
    from vision.images.collection import Images


def encode_pictures(
    items: Images | Sequence[Any],
    batch_size: int,
    preprocessing: Preprocessing,
    transform: Callable[[NDArray[np.float32]], NDArray[np.floating[Any]]],
    *,
    dimension: int,
    progress: Progress = SILENT,
) -> NDArray[np.float32]:
    """Vectors of pictures, some at a time.

    Args:
        items: As for `vision.encoders.image_encoder.ImageEncoder.encode`.
        batch_size: How many are transformed at once.
        preprocessing: How pictures become images.
        transform: Vectors (b, dimension) of images (b, channels, height, width) float32 in [0, 1].
        dimension: Numbers in a vector.
        progress: Gets images.

    Returns:
        (n, dimension) float32, in order.

    Raises:
        NlprepError: As there.
        FileError: As there.
        OptionError: As there.
    """
    check_pictures(items, batch_size)
    vectors = np.zeros((len(items), dimension), np.float32)
    done = 0
    with progress.task("encoding", len(items)) as task:
        for pixels in batches_of_pixels(items, batch_size, preprocessing):
            vectors[done : done + len(pixels)] = transform(pixels.astype(np.float32) / np.float32(255))
            done += len(pixels)
            task.advance(len(pixels))
    return vectors


def unit_matrix(images: Images) -> NDArray[np.float32]:
    """The pixels in [0, 1] of all images, (n, channels height width) float32.

    Raises:
        NlprepError: There are none.
    """
    if not len(images):
        raise NlprepError(f"{images.source}: holds no images: give some")
    return images.pixels.reshape(len(images), -1).astype(np.float32) / np.float32(255)


def preprocessing_of(images: Images, preprocessing: Preprocessing | None) -> Preprocessing:
    """What makes pictures such images: as given, or cropping to their shape.

    Raises:
        OptionError: One that makes images of another shape.
    """
    if preprocessing is None:
        channels, height, width = images.shape
        return Preprocessing(channels=channels, height=height, width=width)
    if preprocessing.shape != images.shape:
        raise OptionError(
            f"preprocessing makes images of {preprocessing.shape}, {images.source} are of {images.shape}: give the one "
            "that they were read with"
        )
    return preprocessing


def open_preprocessing(artifact: Artifact) -> Preprocessing:
    """The preprocessing that an encoder was saved with.

    Raises:
        FileError: It was saved with none, or one of another version.
    """
    try:
        return from_mapping(Preprocessing, artifact.config["preprocessing"], where="preprocessing")
    except (KeyError, TypeError, OptionError) as error:
        raise FileError(artifact.path, f"does not say how pictures become images ({error}): save it again") from None
