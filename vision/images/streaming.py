"""Pictures decoded when they are asked for, where there is no room to keep them decoded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nlprep.core.errors import FileError
from vision.images.conversion import picture_name
from vision.images.decoding import open_picture
from vision.images.preprocessing import channel_pixels
from vision.images.reading import list_images
from vision.images.sources.source import Pictures

if TYPE_CHECKING:
    import os

    import torch
    from numpy.typing import NDArray

    from nlprep.core.randomness import Seeds
    from vision.images.preprocessing import Preprocessing


class StreamedExamples:
    """Pictures of a folder, an archive or a saved data set as the loop's examples, decoded by its loader processes.

    Each picture is decoded in every epoch, which takes longer than reading it from `vision.images.reading.read_images`
    and needs no room on the disk. Nothing is decided by the data, since nobody looks at them before.

    Args:
        path: As for `read_images`, but no file of numbers.
        preprocessing: What is made of every picture.
        split: As for `read_images`.
        labels: Whether to give labels.

    Raises:
        FileError: As `read_images`; labels that are asked for and not there.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        preprocessing: Preprocessing,
        *,
        split: str | None = None,
        labels: bool = False,
    ) -> None:
        source = list_images(path, split)
        if not isinstance(source, Pictures):
            raise FileError(path, "holds numbers, which are not decoded one by one: use read_images")
        if labels and source.labels is None:
            raise FileError(path, "has no labels, which are asked for: put pictures in a folder for each class")
        self.source = source
        self.preprocessing = preprocessing
        self.labels = source.labels if labels else None

    def __len__(self) -> int:
        return len(self.source)

    def batch(self, indices: NDArray[np.int64], seeds: Seeds) -> dict[str, torch.Tensor]:  # noqa: ARG002
        """Fetch pictures (see `nlprep.core.training.data.examples.Examples`).

        Returns:
            ``images`` (b, channels, height, width) uint8 with the channels last in memory, and ``labels`` (b,) int64.

        Raises:
            FileError: One is damaged; it is named.
        """
        import torch

        channels, height, width = self.preprocessing.shape
        pixels = np.empty((len(indices), height, width, channels), np.uint8)
        for row, place in enumerate(indices.tolist()):
            name = picture_name(self.source, place)
            picture = self.preprocessing.fitted(open_picture(self.source.read(place), name), name)
            pixels[row] = channel_pixels(picture, channels)
        found = {"images": torch.from_numpy(pixels).permute(0, 3, 1, 2)}
        if self.labels is not None:
            found["labels"] = torch.from_numpy(self.labels[indices])
        return found
