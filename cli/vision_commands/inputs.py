"""What the commands of ``rep-vision`` read: a model, and images in its shape."""

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cli.console import Console
from nlprep.core.errors import FileError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vision.images.collection import Images
    from vision.models.files import SavedModel

OnError = Literal["refuse", "skip"]


@contextmanager
def skipping_named() -> "Iterator[None]":
    """Where one picture of many cannot be read, say how the others can be, too."""
    from vision.images.sources.source import PictureError

    try:
        yield
    except PictureError as error:
        raise FileError(
            error.path, f"{error.problem}, or leave out what cannot be read with --on-error skip", line=error.line
        ) from None


def check_init(path: Path) -> None:
    """Fail if the model that a network is to be of is not there.

    Raises:
        FileError: It is not.
    """
    if not path.is_dir():
        raise FileError(path, "is no directory of a model (--init): name one that is there")


def open_model(path: Path, device: str | None) -> "SavedModel":
    """A model, of a run or alone, or a pretrained one of the transformers library, on its device."""
    from vision.encoders.image_encoder import ImageEncoder

    return ImageEncoder.from_directory(path, device=device).saved


def read_images_of(
    saved: "SavedModel",
    data: Path | None,
    split: str | None,
    on_error: OnError,
    console: Console,
    *,
    classes: bool = False,
) -> "Images":
    """`read_for`, of the images that are named, or else of those that the model was trained on."""
    from vision.run_images import find_images

    place, split = find_images(saved, data, split)
    return read_for(saved, place, split, on_error, console, classes=classes)


def read_for(
    saved: "SavedModel", path: Path, split: str | None, on_error: OnError, console: Console, *, classes: bool = False
) -> "Images":
    """Images in the shape that a model takes (see `vision.run_images.read_for_model`)."""
    from vision.run_images import read_for_model

    with skipping_named():
        return read_for_model(saved, path, split=split, on_error=on_error, classes=classes, progress=console.progress)
