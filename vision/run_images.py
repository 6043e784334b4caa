"""The images of a run: found again, read in the shape that its model takes, and parted as its training parted them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from nlprep.core.errors import FileError, NlprepError, OptionError
from nlprep.core.ownership import read_mark
from nlprep.core.progress import SILENT
from nlprep.core.training.records.runs import RESULT
from vision.images.configuration import PreprocessingConfig

if TYPE_CHECKING:
    import os

    import numpy as np
    from numpy.typing import NDArray

    from nlprep.core.progress import Progress
    from vision.images.collection import Images
    from vision.images.preprocessing import Preprocessing
    from vision.models.files import SavedModel

_NAMED = 10


def find_images(
    saved: SavedModel, data: str | os.PathLike[str] | None = None, split: str | None = None
) -> tuple[Path, str | None]:
    """Where images come from, and their split: as named, or those that the model was trained on.

    Args:
        saved: The model.
        data: Images; default: the model's own.
        split: Which of their splits.

    Raises:
        OptionError: None are named, and the model does not say, or they are no longer there.
    """
    if data is not None:
        return Path(data), split
    source = dict(saved.notes.get("data", {})).get("source")
    if source is None:
        raise OptionError("the model does not say which images it was trained on: name some with --data")
    named = re.fullmatch(r"(.+) \((\w+)\)", source)
    if named and not Path(source).exists():
        source, split = named[1], split or named[2]
    if not Path(source).exists():
        raise OptionError(f"the model was trained on {source}, which is not there from here: name images with --data")
    return Path(source), split


def run_name(path: str | os.PathLike[str]) -> str:
    """What a run, or what else there is a model in, is called: by it figures are named.

    A model that lies in the directory of its run is called as the run is.
    """
    place = Path(path).resolve()
    inside = place.name == RESULT and RESULT in (read_mark(place.parent) or {}).get("entries", ())
    return (place.parent if inside else place).name


def read_for_model(
    saved: SavedModel,
    path: str | os.PathLike[str],
    *,
    split: str | None = None,
    on_error: Literal["refuse", "skip"] = "refuse",
    classes: bool = False,
    progress: Progress = SILENT,
) -> Images:
    """Images in the shape that a model takes.

    Args:
        saved: The model.
        path: As for `vision.images.reading.read_images`, and so is what follows.
        split: Likewise.
        on_error: Likewise.
        classes: Whether their labels are used: then they are to be of the classes that the model knows, if it does.
        progress: Likewise.

    Raises:
        FileError: As there, or there are no images.
        NlprepError: Classes that are others than those which the model knows.
    """
    from vision.images.reading import read_images

    wanted = asked_preprocessing(saved.preprocessing)
    images = read_images(path, split=split, preprocessing=wanted, on_error=on_error, progress=progress)
    if not len(images):
        raise FileError(path, "holds no images")
    if classes and bool(getattr(saved.model, "num_classes", 0)) and images.classes and images.classes != saved.classes:
        raise NlprepError(
            f"{path}: its classes, {_listed(images.classes)}, are not those of the model: {_listed(saved.classes)}"
        )
    return images


def _listed(classes: tuple[str, ...]) -> str:
    more = f" and {len(classes) - _NAMED} more" if len(classes) > _NAMED else ""
    return ", ".join(classes[:_NAMED]) + more


def asked_preprocessing(made: Preprocessing) -> PreprocessingConfig:
    """What became of pictures, as a reader of images is asked for it."""
    return PreprocessingConfig(height=made.height, width=made.width, channels=made.channels, fit=made.fit)


def parts_of_run(saved: SavedModel, images: Images) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """Places of the images that a run was trained on and of those that it held out; None if these are not its images.

    Args:
        saved: The run's model.
        images: All that were read from a place.

    Returns:
        Both ascending; none were held out where the run had others to validate on.
    """
    import numpy as np

    from vision.training import held_out_places

    known = dict(saved.notes.get("data", {}))
    # The same folder may have been named in another way.
    same = Path(str(known.get("source"))).resolve() == Path(images.source).resolve()
    if not same or known.get("images") != len(images):
        return None
    share = known.get("held_out")
    if not isinstance(share, float):
        return np.arange(len(images)), np.zeros(0, np.int64)
    return held_out_places(len(images), share, seed=int(known["seed"]))


def part_images(saved: SavedModel, images: Images) -> tuple[Images, Images, bool]:
    """Usual images to compare with and others to draw a line by; and whether the latter were kept from training.

    Those that a run held out are found again if these are the images of the run; else a fifth is set aside.
    """
    from vision.images.splits import split_images

    parts = parts_of_run(saved, images)
    if parts is not None and len(parts[1]):
        return images.select(parts[0]), images.select(parts[1]), True
    reference, held_out = split_images(images, 0.2)
    return reference, held_out, parts is None
