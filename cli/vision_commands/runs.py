"""Runs and images as several commands of ``rep-vision`` take them."""

from pathlib import Path
from typing import TYPE_CHECKING

from cli.console import Console
from nlprep.core.errors import NlprepError

if TYPE_CHECKING:
    from vision.encoders.image_encoder import ImageEncoder
    from vision.images.collection import Images


def latest_run() -> Path:
    """The run in the current directory that was begun or changed last.

    Raises:
        NlprepError: There is none.
    """
    from nlprep.core.ownership import read_mark
    from vision.training import RUN

    found = []
    for place in Path().iterdir():
        mark = read_mark(place) if place.is_dir() else None
        if mark is not None and mark["kind"] == RUN:
            found.append((max(entry.stat().st_mtime for entry in place.iterdir()), place))
    if not found:
        raise NlprepError("there is no run of rep-vision train in this directory: name one")
    return max(found)[1]


def open_encoder(run: Path, device: str | None) -> "ImageEncoder":
    """The encoder of a run, or of a model's directory."""
    from vision.encoders.image_encoder import ImageEncoder

    return ImageEncoder.from_directory(run, device=device)


def read_for(
    encoder: "ImageEncoder", data: Path, console: Console, *, split: str | None = None, skip: bool = False
) -> "Images":
    """Images as an encoder's model takes them."""
    from vision.images.configuration import PreprocessingConfig
    from vision.images.reading import read_images

    wanted = encoder.saved.preprocessing
    preprocessing = PreprocessingConfig(
        height=wanted.height, width=wanted.width, channels=wanted.channels, fit=wanted.fit
    )
    return read_images(
        data, split=split, preprocessing=preprocessing, on_error="skip" if skip else "refuse",
        progress=console.progress,
    )  # fmt: skip
