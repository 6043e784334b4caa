"""Pictures decoded when they are asked for, where there is no room to keep them decoded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from nlprep.core.errors import FileError
from vision.images.collection import Images
from vision.images.conversion import picture_name
from vision.images.decoding import open_picture
from vision.images.preprocessing import channel_pixels
from vision.images.reading import list_images
from vision.images.sources.source import Pictures

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray

    from vision.images.preprocessing import Preprocessing


class DecodedPixels:
    """Pixels (n, channels, height, width) uint8 as an array has them, of pictures that are decoded at every look.

    Indexed by a number, a slice or an array of places, it gives an array, with the channels last in memory.

    Args:
        source: The pictures.
        preprocessing: What is made of each.
    """

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(self, source: Pictures, preprocessing: Preprocessing) -> None:
        self.source, self.preprocessing = source, preprocessing
        self.shape = (len(source), *preprocessing.shape)
        self.nbytes = int(np.prod(self.shape))

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, which: Any) -> NDArray[np.uint8]:
        """Decode some.

        Raises:
            FileError: One is damaged; it is named.
        """
        places = np.arange(len(self))[which]
        channels, height, width = self.preprocessing.shape
        pixels = np.empty((places.size, height, width, channels), np.uint8)
        for row, place in enumerate(places.reshape(-1).tolist()):
            name = picture_name(self.source, place)
            picture = self.preprocessing.fitted(open_picture(self.source.read(place), name), name)
            pixels[row] = channel_pixels(picture, channels)
        found = pixels.transpose(0, 3, 1, 2)
        return found if places.ndim else found[0]

    def __array__(self, dtype: Any = None, copy: Any = None) -> NDArray[Any]:
        return self[:] if dtype is None else self[:].astype(dtype)


def stream_images(path: str | os.PathLike[str], preprocessing: Preprocessing, *, split: str | None = None) -> Images:
    """The images of a folder, an archive or a saved data set, decoded when they are asked for and not kept.

    They serve wherever images do, in training too, where the loader's ``workers`` decode them. That takes longer than
    mapping what `vision.images.reading.read_images` kept, in every epoch, and needs no room on the disk. Nothing is
    decided by the data, since nobody looks at them before; a damaged picture is an error when its turn comes.

    Args:
        path: As for `read_images`, but no file of numbers.
        preprocessing: What is made of every picture.
        split: As for `read_images`.

    Returns:
        Images whose ``pixels`` are a `DecodedPixels`.

    Raises:
        FileError: As `read_images`, but for what is in the pictures.
    """
    source = list_images(path, split)
    if not isinstance(source, Pictures):
        raise FileError(path, "holds numbers, which are not decoded one by one: use read_images")
    return Images(
        cast("NDArray[np.uint8]", DecodedPixels(source, preprocessing)),
        source.labels,
        source.classes,
        source.names,
        str(source.path) + (f" ({source.chosen})" if source.chosen else ""),
        preprocessing=preprocessing,
    )
