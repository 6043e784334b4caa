"""Images decoded once, kept as bytes in a file that is mapped into memory.

An entry is a directory of the artifact format: ``pixels.safetensors`` holds (n, height, width, channels) uint8 and is
written as pictures are decoded, ``tensors.safetensors`` has labels and names, ``config.json`` the rest. It is found by:

- its name, a digest of the names and sizes of all files and of what was asked for, and another of when these files were
  last changed and where they are: if both are the same, nothing is read;
- else, if the first is the same, a digest of the files' contents, which are then read once, but not decoded.

An entry is never wrong for what it is found by, so nothing in the directory needs to be kept; remove what you like.
What was not used for longest is removed when they take too much room (`vision.images.eviction`).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nlprep.core.artifacts import fill_artifact, read_artifact, read_config, read_tensors
from nlprep.core.configuration import from_mapping, to_mapping
from nlprep.core.errors import FileError, NlprepError, os_errors_named
from nlprep.core.files import atomic_directory
from nlprep.core.ownership import check_apart
from nlprep.core.temporaries import is_temporary
from vision.images.amounts import require_room
from vision.images.collection import Images
from vision.images.conversion import convert, refused
from vision.images.eviction import evict, hold_open, release_with
from vision.images.names import PackedNames, pack_names, writable_name
from vision.images.preprocessing import Preprocessing
from vision.images.sources.source import Arrays, Pictures, SkippedPicturesWarning, warn_of_tiny

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nlprep.core.progress import Progress
    from vision.images.configuration import PreprocessingConfig
    from vision.images.sources.source import Source

KIND = "images"
PIXELS_NAME = "pixels.safetensors"

_VERSION = 2
"""Raised whenever the same pictures would be made other images."""
_HEADER = 256
_NAMED = 5


def default_cache() -> Path:
    """Where images are kept: ``$NLPREP_CACHE/images``, or ``nlprep/images`` in the user's cache directory."""
    given = os.environ.get("NLPREP_CACHE")
    if given:
        return Path(given) / "images"
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "nlprep" / "images"


def cached_images(
    source: Source,
    config: PreprocessingConfig,
    *,
    skip: bool,
    cache: str | os.PathLike[str] | None,
    threads: int,
    progress: Progress,
) -> Images:
    """The images of a source, decoded now or earlier.

    Args:
        source: Where they come from.
        config: What they are to be.
        skip: Whether pictures that cannot be read are left out.
        cache: The directory in which they are kept.
        threads: That decode.
        progress: Gets what is done.

    Raises:
        PictureError: One that cannot be read and may not be left out.
        FileError: Nothing can be read, or the cache cannot be written.
    """
    folder = default_cache() if cache is None else Path(cache)
    check_apart(folder, [source.path])
    with os_errors_named(folder):
        folder.mkdir(parents=True, exist_ok=True)
    listed, dated = _names_of_entry(source, config)
    entry = folder / f"{listed}-{dated}"
    found = _open_whole(entry)
    if found is None:
        found = _open_alike(folder, listed, source)
    fresh = found is None
    if found is None:
        with atomic_directory(entry, kind=KIND, private=True) as place:
            _fill(place, source, config, skip=skip, threads=threads, progress=progress)
        found = Entry.open(entry)
        evict(folder, entry)
    news = fresh and bool(found.config["skipped"]) and not _decoded_before(folder, found)
    return found.images(source, skip=skip, news=news)


@dataclass(frozen=True)
class Entry:
    """An entry of the cache, opened."""

    path: Path
    config: dict[str, Any]
    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64] | None
    names: PackedNames | None

    @classmethod
    def open(cls, path: Path) -> Entry:
        """Open an entry.

        Raises:
            FileError: It is not there, or not whole.
        """
        descriptor = hold_open(path)
        try:
            artifact = read_artifact(path, kind=KIND)
            pixels = read_tensors(path / PIXELS_NAME)["pixels"]
        except BaseException:
            if descriptor is not None:
                os.close(descriptor)
            raise
        release_with(pixels, descriptor)
        tensors = artifact.tensors
        names = PackedNames(tensors["names"], tensors["name_ends"]) if "names" in tensors else None
        return cls(path, artifact.config, pixels, tensors.get("labels"), names)

    def images(self, source: Source, *, skip: bool, news: bool) -> Images:
        """The images, if those that were left out may be; which these are is said where that is news.

        Raises:
            PictureError: They may not.
        """
        skipped = self.config["skipped"]
        if skipped and not skip:
            assert isinstance(source, Pictures)  # noqa: S101 - of numbers none is left out
            raise refused(source, [FileError(f"{source.path}/{name}", problem) for name, problem in skipped])
        if skipped and news:
            listed = "; ".join(f"{name} {problem.partition(':')[0]}" for name, problem in skipped[:_NAMED])
            more = f"; and {len(skipped) - _NAMED:,} more" if len(skipped) > _NAMED else ""
            warnings.warn(
                f"{source.path}: {len(skipped):,} of {len(source):,} pictures cannot be read and are left out: "
                f"{listed}{more}",
                SkippedPicturesWarning,
                stacklevel=4,
            )
        number, *first = self.config["tiny"]
        if number:
            made = self.config["preprocessing"]
            warn_of_tiny(
                f"{source.path}: {number:,} of {len(source):,} pictures, such as {first[0]},",
                (made["width"], made["height"]),
                stacklevel=5,
            )
        return Images(
            # Kept with the channels last, which is how convolutions are fastest, and seen with them first.
            self.pixels.transpose(0, 3, 1, 2),
            self.labels,
            tuple(self.config["classes"]),
            self.names,
            str(source.path) + (f" ({source.chosen})" if source.chosen else ""),
            preprocessing=from_mapping(Preprocessing, self.config["preprocessing"], where=str(self.path)),
            digest=self.config["digest"],
        )


def _open_whole(path: Path) -> Entry | None:
    """An entry, or None if there is none that is whole."""
    try:
        return Entry.open(path)
    except (NlprepError, KeyError):
        return None


def _open_alike(folder: Path, listed: str, source: Source) -> Entry | None:
    """An entry of the same names and contents, whose files were copied or touched since."""
    entries = [entry for path in sorted(folder.glob(f"{listed}-*")) if (entry := _open_whole(path)) is not None]
    if not entries:
        return None
    content = source.content()
    return next((entry for entry in entries if entry.config["content"] == content), None)


def _decoded_before(folder: Path, found: Entry) -> bool:
    """Whether there is an entry of the same pictures in another shape, with which was said which cannot be read."""
    for path in folder.iterdir():
        if path != found.path and not is_temporary(path.name):
            with contextlib.suppress(NlprepError):
                if read_config(path).get("content") == found.config["content"]:
                    return True
    return False


def _names_of_entry(source: Source, config: PreprocessingConfig) -> tuple[str, str]:
    listed, dated = hashlib.blake2b(digest_size=12), hashlib.blake2b(digest_size=8)
    kind = type(source).__name__
    listed.update(json.dumps([_VERSION, kind, source.chosen, to_mapping(config)]).encode())
    dated.update(os.fsencode(source.path.absolute()))
    for state in source.files:
        name = Path(state.name).name if isinstance(source, Arrays) else state.name
        listed.update(f"\0{name}\0{state.size}".encode("utf-8", "surrogateescape"))
        dated.update(b"\0%d %d" % state.times)
    return listed.hexdigest(), dated.hexdigest()


def _fill(
    place: Path, source: Source, config: PreprocessingConfig, *, skip: bool, threads: int, progress: Progress
) -> None:
    with (
        PixelFile(place / PIXELS_NAME, str(source.path)) as file,
        progress.task(f"reading {source.path.name}", len(source)) as task,
    ):
        conversion = convert(source, config, file, skip=skip, threads=threads, task=task)
    tensors: dict[str, NDArray[Any]] = {}
    if source.labels is not None:
        tensors["labels"] = source.labels[conversion.places]
    if source.names is not None:
        tensors["names"], tensors["name_ends"] = pack_names(source.names[n] for n in conversion.places)
    facts = {
        "preprocessing": to_mapping(conversion.preprocessing),
        "classes": list(map(writable_name, source.classes)),
        "skipped": [(writable_name(name), problem) for name, problem in conversion.skipped],
        "tiny": [len(conversion.tiny), *map(writable_name, conversion.tiny[:_NAMED])],
        "content": conversion.content,
        "digest": file.digest,
    }
    fill_artifact(place, kind=KIND, config=facts, tensors=tensors)


class PixelFile:
    """A safetensors file of one tensor that grows row by row; its header is written last, in room kept for it.

    Args:
        path: The file.
        source: What its images are of, for errors.
    """

    def __init__(self, path: Path, source: str) -> None:
        self.path, self.source = path, source
        self.digest = ""

    def __enter__(self) -> PixelFile:
        with os_errors_named(self.path):
            self._stream = self.path.open("wb", buffering=0)
        self.begin((0, 0, 0), 0)
        return self

    def begin(self, shape: tuple[int, int, int], count: int) -> None:
        """Forget what came; so many images of this (height, width, channels) follow, at the most.

        Raises:
            FileError: There is no room for them.
        """
        require_room(self.path.parent.parent, count, shape, source=self.source)
        self._shape, self._count = shape, 0
        self._hash = hashlib.blake2b(digest_size=16)
        with os_errors_named(self.path):
            self._stream.seek(_HEADER)
            self._stream.truncate()

    def write(self, rows: NDArray[np.uint8]) -> None:
        """Take (b, height, width, channels)."""
        if rows.shape[1:] != self._shape:
            raise ValueError(f"rows of {rows.shape[1:]} in a file of {self._shape}")
        data = np.ascontiguousarray(rows).data.cast("B") if rows.size else memoryview(b"")
        self._hash.update(data)
        self._count += len(rows)
        with os_errors_named(self.path):
            while data:
                data = data[self._stream.write(data) :]

    def __exit__(self, *failure: object) -> None:
        with self._stream:
            if failure[0] is not None:
                return
            shape = [self._count, *self._shape]
            entry = {"dtype": "U8", "shape": shape, "data_offsets": [0, int(np.prod(shape))]}
            text = json.dumps({"pixels": entry}, separators=(",", ":")).encode()
            with os_errors_named(self.path):
                self._stream.seek(0)
                self._stream.write((_HEADER - 8).to_bytes(8, "little") + text.ljust(_HEADER - 8))
        self.digest = self._hash.hexdigest()
