"""The pixels themselves as vectors: what every representation has to be better than."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from nlprep.core.artifacts import read_artifact, write_artifact
from nlprep.core.configuration import from_mapping, to_mapping
from nlprep.core.errors import FileError, OptionError
from nlprep.core.progress import SILENT
from nlprep.core.randomness import combine, uniforms
from vision.encoders.pictures import batches_of_pixels, check_pictures
from vision.images.preprocessing import Preprocessing

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from nlprep.core.progress import Progress
    from vision.images.collection import Images

RAW_PIXELS = "raw-pixels"
"""What its directories are marked as."""
_ORDER = 53


class RawPixels:
    """Pixels in [0, 1], channel by channel and row by row: an `nlprep.evaluation.encoder.Encoder`.

    Args:
        preprocessing: How pictures become images of one shape.
        order: (d,) the places of the numbers, where they are not as in the image.
    """

    module: None = None

    def __init__(self, preprocessing: Preprocessing, order: NDArray[np.int64] | None = None) -> None:
        self.preprocessing = preprocessing
        self.order = order

    @classmethod
    def from_directory(cls, directory: str | os.PathLike[str]) -> RawPixels:
        """Open what `save` wrote.

        Raises:
            FileError: Missing, damaged or something else's.
        """
        artifact = read_artifact(directory, kind=RAW_PIXELS)
        try:
            preprocessing = from_mapping(Preprocessing, artifact.config["preprocessing"], where="preprocessing")
        except (KeyError, TypeError, OptionError) as error:
            raise FileError(directory, f"does not say how pictures become images ({error}): save it again") from None
        if not artifact.tensors:
            return cls(preprocessing)
        numbers = math.prod(preprocessing.shape)
        return cls(preprocessing, np.array(artifact.tensor("order", dtype="int64", shape=(numbers,))))

    @property
    def dimension(self) -> int:
        """Numbers in an image."""
        return math.prod(self.preprocessing.shape)

    def encode(
        self, items: Sequence[Any] | Images, batch_size: int = 64, *, progress: Progress = SILENT
    ) -> NDArray[np.float32]:
        """Make vectors (n, `dimension`) float32.

        Args:
            items: As for `vision.encoders.image_encoder.ImageEncoder.encode`.
            batch_size: How many are read at once.
            progress: Gets images.

        Raises:
            NlprepError: As there.
            FileError: As there.
            OptionError: As there.
        """
        check_pictures(items, batch_size)
        vectors = np.zeros((len(items), self.dimension), np.float32)
        done = 0
        with progress.task("encoding", len(items)) as task:
            for pixels in batches_of_pixels(items, batch_size, self.preprocessing):
                flat = pixels.reshape(len(pixels), -1)
                flat = flat if self.order is None else flat[:, self.order]
                np.divide(flat, 255, out=vectors[done : done + len(pixels)])
                done += len(pixels)
                task.advance(len(pixels))
        return vectors

    def randomized(self, seed: int = 1) -> RawPixels:
        """The same numbers in a random order, the same in every image: nothing is learned here that could be lost.

        What measures a representation by distances or linear maps finds no difference, as it should.

        Args:
            seed: Of the order.
        """
        draws = uniforms(combine(seed, np.arange(self.dimension)), 1, purpose=_ORDER)[:, 0]
        return RawPixels(self.preprocessing, np.argsort(draws, kind="stable"))

    def save(self, directory: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write a directory that `from_directory` opens.

        Args:
            directory: The place; another one of these there is replaced when this one is whole.
            overwrite: Whether another kind of ours may be replaced, too.

        Raises:
            FileError: It cannot be written or holds something else; what was there is untouched.
        """
        write_artifact(
            directory, kind=RAW_PIXELS, config={"preprocessing": to_mapping(self.preprocessing)},
            tensors={} if self.order is None else {"order": self.order}, overwrite=overwrite,
        )  # fmt: skip
