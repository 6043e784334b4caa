"""Pictures decoded when they are asked for, where there is no room to keep them decoded."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from nlprep.core.errors import FileError
from nlprep.core.progress import SILENT
from vision.images.amounts import require_memory_for
from vision.images.collection import Images
from vision.images.configuration import PreprocessingConfig
from vision.images.conversion import convert, picture_name
from vision.images.decoding import open_picture, pillow_silenced
from vision.images.preprocessing import Preprocessing, channel_pixels
from vision.images.reading import list_images
from vision.images.sources.source import Pictures

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray

_LOOKS = 64
"""Pictures that decide what is left open."""
_AS_ASKED = PreprocessingConfig()


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
        with pillow_silenced():
            for row, place in enumerate(places.reshape(-1).tolist()):
                name = picture_name(self.source, place)
                picture = self.preprocessing.fitted(open_picture(self.source.read(place), name), name)
                pixels[row] = channel_pixels(picture, channels)
        found = pixels.transpose(0, 3, 1, 2)
        return found if places.ndim else found[0]

    def __array__(self, dtype: Any = None, copy: Any = None) -> NDArray[Any]:
        return self[:] if dtype is None else self[:].astype(dtype)


def stream_images(
    path: str | os.PathLike[str],
    preprocessing: Preprocessing | PreprocessingConfig = _AS_ASKED,
    *,
    split: str | None = None,
) -> Images:
    """The images of a folder, an archive or a saved data set, decoded when they are asked for and not kept.

    They serve wherever images do, in training too, where the loader's ``workers`` decode them. That takes longer than
    mapping what `vision.images.reading.read_images` kept, in every epoch, and needs no room on the disk. Since nobody
    looks at all of them before, a damaged picture is an error when its turn comes, and what is left open of the images
    is decided by 64 pictures, evenly spread, as `read_images` decides it by all.

    Args:
        path: As for `read_images`, but no file of numbers.
        preprocessing: What is made of every picture, or what images are asked to be.
        split: As for `read_images`.

    Returns:
        Images whose ``pixels`` are a `DecodedPixels`.

    Raises:
        FileError: As `read_images`, of pictures if one of the 64 is damaged.
    """
    source = list_images(path, split)
    if not isinstance(source, Pictures):
        raise FileError(path, "holds numbers, which are not decoded one by one: read them without streaming")
    if isinstance(preprocessing, PreprocessingConfig):
        preprocessing = _settled(source, preprocessing)
    channels, height, width = preprocessing.shape
    require_memory_for((height, width, channels), source=str(source.path))
    return Images(
        cast("NDArray[np.uint8]", DecodedPixels(source, preprocessing)),
        source.labels,
        source.classes,
        source.names,
        str(source.path) + (f" ({source.chosen})" if source.chosen else ""),
        preprocessing=preprocessing,
    )


class _Nowhere:
    """Takes images and keeps none (see `vision.images.conversion.Sink`)."""

    def begin(self, shape: tuple[int, int, int], count: int) -> None:
        pass

    def write(self, rows: NDArray[np.uint8]) -> None:
        pass


def _settled(source: Pictures, config: PreprocessingConfig) -> Preprocessing:
    """What is made of every picture, by some of them where it is not said."""
    if config.height is not None and config.channels is not None:
        width = config.width or config.height
        return Preprocessing(channels=config.channels, height=config.height, width=width, fit=config.fit)
    places = np.unique(np.linspace(0, len(source) - 1, _LOOKS).round().astype(np.int64)).tolist()
    few = replace(
        source,
        names=[source.names[place] for place in places],
        read=lambda place: source.read(places[place]),
        labels=None,
    )
    with pillow_silenced(), SILENT.task("") as task:
        return convert(few, config, _Nowhere(), skip=False, threads=1, task=task).preprocessing
