"""Images from wherever they lie, in one call."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from nlprep.core.errors import FileError, OptionError, os_errors_named
from nlprep.core.progress import SILENT
from nlprep.core.threads import resolve_threads
from vision.images.cache import cached_images
from vision.images.configuration import PreprocessingConfig
from vision.images.decoding import PICTURE_SUFFIXES, pillow_silenced
from vision.images.sources.archives import list_archive, open_archive
from vision.images.sources.cifar_files import cifar_files_in, list_cifar, refuse_pickles
from vision.images.sources.folders import list_folder
from vision.images.sources.idx_files import idx_files_in, is_idx, list_idx
from vision.images.sources.npz_files import is_npz, list_npz

if TYPE_CHECKING:
    import os

    from nlprep.core.progress import Progress
    from vision.images.collection import Images
    from vision.images.sources.source import Source

OnError = Literal["refuse", "skip"]
"""What to do with pictures that cannot be read."""

_AS_ASKED = PreprocessingConfig()


def read_images(
    path: str | os.PathLike[str],
    *,
    split: str | None = None,
    preprocessing: PreprocessingConfig = _AS_ASKED,
    on_error: OnError = "refuse",
    cache: str | os.PathLike[str] | None = None,
    threads: int | None = None,
    progress: Progress = SILENT,
) -> Images:
    """Read images, decoding them once; the next call with the same files opens what this one kept.

    Args:
        path: One of these, told by content:

            - a folder of pictures, or of folders that are classes, or of folders ``train``, ``test``, ``validation``
              of either (`vision.images.sources.arrangement`); or a zip archive of such a folder;
            - an ``.npz`` file (`vision.images.sources.npz_files`);
            - an IDX file, as MNIST's, or a folder of them (`vision.images.sources.idx_files`);
            - a binary file of CIFAR's, or their folder (`vision.images.sources.cifar_files`);
            - a directory that `datasets` saved, if that is installed (`vision.images.sources.saved_datasets`).
        split: Which of its splits, or ``all``; None: train if there are splits, and else everything.
        preprocessing: What the images are to be; what is left open, the data decide.
        on_error: ``refuse`` to read anything if a picture is damaged, or ``skip`` those and say which, when they are
            decoded.
        cache: Where images are kept; None: `vision.images.cache.default_cache`. Memory-mapped from there, so that they
            may be larger than memory.
        threads: That decode; None: one for each processor.
        progress: Gets how many are read.

    Returns:
        Their pixels (n, channels, height, width) uint8 and what is known of them.

    Raises:
        PictureError: A picture that cannot be read, where that is refused.
        FileError: Nothing of the kinds above, no pictures, a split that is not there, numbers that are no pixels, or an
            archive that would do harm.
        OptionError: Another ``on_error``.
    """
    if on_error not in ("refuse", "skip"):
        raise OptionError(f"on_error = {on_error!r}: choose refuse or skip")
    with pillow_silenced():
        return cached_images(
            list_images(path, split),
            preprocessing,
            skip=on_error == "skip",
            cache=cache,
            threads=resolve_threads(threads),
            progress=progress,
        )


def list_images(path: str | os.PathLike[str], split: str | None = None) -> Source:
    """See what is there without decoding it.

    Args:
        path: As for `read_images`.
        split: Likewise.

    Raises:
        FileError: As `read_images`.
    """
    place = Path(path)
    with os_errors_named(place):
        if place.is_dir():
            return _list_directory(place, split)
        with place.open("rb") as stream:
            head = stream.read(8)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        with open_archive(place) as archive:
            holds_arrays = is_npz(archive)
        return list_npz(place, split) if holds_arrays else list_archive(place, split)
    if is_idx(_head(place)):
        return list_idx(place, split)
    if place.suffix.lower() == ".bin":
        return list_cifar(place, split)
    if place.suffix.lower() in PICTURE_SUFFIXES:
        raise FileError(place, "is one file: name the folder that it is in")
    if head[:1] == b"\x80":
        raise FileError(place, "looks like a pickle, which may run anything: save the images as .npz or as pictures")
    raise FileError(
        place,
        f"is none of the files that are read, it begins with {head!r}: name a folder, a zip archive, an .npz, an IDX "
        "or a CIFAR .bin file",
    )


def _head(path: Path) -> bytes:
    from nlprep.core.files import open_binary

    try:
        with open_binary(path) as stream:
            return stream.read(4)
    except FileError:
        return b""


def _list_directory(folder: Path, split: str | None) -> Source:
    inside = folder
    while True:
        if any((inside / name).is_file() for name in ("dataset_info.json", "dataset_dict.json")):
            from vision.images.sources.saved_datasets import list_saved

            return list_saved(inside, split)
        if idx_files_in(inside):
            return list_idx(inside, split)
        if cifar_files_in(inside):
            return list_cifar(inside, split)
        refuse_pickles(inside)
        entries = [entry for entry in inside.iterdir() if not entry.name.startswith(".")]
        if len(entries) != 1 or not entries[0].is_dir():
            return list_folder(folder, split)
        # A folder in a folder, as archives unpack.
        inside = entries[0]
