"""What the commands of ``rep-vision`` read: a model, and images in its shape."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cli.console import Console
from nlprep.core.errors import FileError, NlprepError, OptionError

if TYPE_CHECKING:
    import torch

    from vision.images.collection import Images
    from vision.images.configuration import PreprocessingConfig
    from vision.models.files import SavedModel

OnError = Literal["refuse", "skip"]


def open_model(path: Path, device: str | None) -> "SavedModel":
    """A model, of a run or alone, on its device."""
    from nlprep.core.devices import find_device
    from vision.models.files import load_model

    chosen = find_device(device)
    saved = load_model(path)
    saved.model.to(chosen)
    return saved


def latest_run(console: Console) -> Path:
    """The run in the current directory that was finished last.

    Raises:
        OptionError: There is none.
    """
    from nlprep.core.ownership import read_mark
    from vision.training import RUN

    runs = [
        path
        for path in Path().iterdir()
        if path.is_dir() and (path / "model").is_dir() and (read_mark(path) or {}).get("kind") == RUN
    ]
    if not runs:
        raise OptionError("there is no finished run of rep-vision train in this directory: name one")
    chosen = max(runs, key=lambda path: ((path / "model").stat().st_mtime_ns, path.name))
    console.note(f"run: {chosen}" + (f", the latest of {len(runs)}" if len(runs) > 1 else ""))
    return chosen


def source_of(saved: "SavedModel", data: Path | None, split: str | None) -> tuple[Path, str | None]:
    """Where images come from, and their split: as named, or those that the model was trained on.

    Raises:
        OptionError: None are named, and the model does not say, or they are no longer there.
    """
    if data is not None:
        return data, split
    source = dict(saved.notes.get("data", {})).get("source")
    if source is None:
        raise OptionError("the model does not say which images it was trained on: name some with --data")
    named = re.fullmatch(r"(.+) \((\w+)\)", source)
    if named and not Path(source).exists():
        source, split = named[1], split or named[2]
    if not Path(source).exists():
        raise OptionError(f"the model was trained on {source}, which is not there from here: name images with --data")
    return Path(source), split


def read_for(saved: "SavedModel", path: Path, split: str | None, on_error: OnError, console: Console) -> "Images":
    """Images in the shape that a model takes.

    Raises:
        FileError: As `vision.images.reading.read_images`.
        NlprepError: Labels that the model is conditioned on and that are missing, or of other classes.
    """
    from vision.images.reading import read_images

    images = read_images(
        path, split=split, preprocessing=preprocessing_of(saved), on_error=on_error, progress=console.progress
    )
    if not len(images):
        raise FileError(path, "holds no images")
    if getattr(saved.model, "num_classes", 0) and images.classes and images.classes != saved.classes:
        raise NlprepError(
            f"{path}: its classes are not those that the model is conditioned on: {', '.join(saved.classes)}"
        )
    return images


def preprocessing_of(saved: "SavedModel") -> "PreprocessingConfig":
    """What a model's images are, as a reader of images is asked for it."""
    from vision.images.configuration import PreprocessingConfig

    made = saved.preprocessing
    return PreprocessingConfig(height=made.height, width=made.width, channels=made.channels, fit=made.fit)


def labels_of(saved: "SavedModel", images: "Images") -> "torch.Tensor | None":
    """Labels for a model that is conditioned on some, on its device.

    Raises:
        NlprepError: It is, and there are none.
    """
    import torch

    if not getattr(saved.model, "num_classes", 0):
        return None
    if images.labels is None:
        raise NlprepError(f"{images.source}: has no labels, which the model is conditioned on: give a folder a class")
    return torch.from_numpy(images.labels).to(next(saved.model.parameters()).device)


def held_out_of(saved: "SavedModel", images: "Images") -> "tuple[Images, Images, bool]":
    """Usual images to compare with and others to draw a line by; and whether the latter were kept from training.

    Those that a run held out are found again if these are the images of the run; else a fifth is set aside.
    """
    from vision.images.splits import split_images
    from vision.training import held_out_places

    known = dict(saved.notes.get("data", {}))
    share = known.get("held_out")
    same = known.get("source") == images.source and known.get("images") == len(images)
    if same and isinstance(share, float) and share > 0:
        trained, held = held_out_places(len(images), share, seed=int(known["seed"]))
        return images.select(trained), images.select(held), True
    reference, held_out = split_images(images, 0.2)
    return reference, held_out, not same
