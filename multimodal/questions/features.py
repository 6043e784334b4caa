"""Features of images that an encoder gives, computed once and kept in a file that is mapped into memory.

What is kept is found by content: by the pixels of each image, by the encoder's weights and settings, and by what makes
images of pictures. Names, places and order do not count, so that rows are right whatever was sorted, and an image that
was replaced, or an encoder that was trained further, is encoded. Images that another file of the same encoder has are
taken from it.

Every encoder gives one form of grid, (n, height, width, channels), whether it is convolutional or has tokens, with a
token for the class or without (`vision.backbones.backbone.Backbone.forward_maps`).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from multimodal.questions.image_content import image_digests
from nlprep.core.artifacts import Artifact, fill_artifact, read_artifact
from nlprep.core.errors import NlprepError, OptionError, os_errors_named
from nlprep.core.files import atomic_directory
from nlprep.core.progress import SILENT
from vision.images.collection import Images, unit_pixels

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from nlprep.core.progress import Progress
    from vision.encoders.image_encoder import ImageEncoder

KIND = "image-features"

_DIGEST_BYTES = 32
_BATCHES_AT_ONCE = 8
_NOT_THERE = -1


@dataclass(frozen=True)
class ImageFeatures:
    """Features of images.

    Attributes:
        vectors: (u, dimension) float32 or float16, one row for each different image, mapped from a file.
        grids: (u, height, width, channels) likewise; None where they were not asked for.
        rows: (n,) int64, the row of each image; -1 for those that were not asked for.
        path: The directory that they are mapped from.
    """

    vectors: NDArray[np.floating[Any]]
    grids: NDArray[np.floating[Any]] | None
    rows: NDArray[np.int64]
    path: Path

    def vectors_of(self, places: NDArray[np.int64]) -> NDArray[np.floating[Any]]:
        """(m, dimension) of the images at m places, copied.

        Raises:
            NlprepError: One was not encoded.
        """
        return self.vectors[self._rows_of(places)]

    def grids_of(self, places: NDArray[np.int64]) -> NDArray[np.floating[Any]]:
        """(m, height, width, channels) of the images at m places, copied.

        Raises:
            NlprepError: One was not encoded, or grids were not asked for.
        """
        if self.grids is None:
            raise NlprepError(f"{self.path}: holds vectors alone: encode with grids=True")
        return self.grids[self._rows_of(places)]

    def _rows_of(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        rows = self.rows[places]
        if (rows == _NOT_THERE).any():
            missing = int(np.asarray(places)[rows == _NOT_THERE][0])
            raise NlprepError(f"{self.path}: image {missing} was not encoded: name its place among those to encode")
        return rows


def encode_images(
    images: Images,
    encoder: ImageEncoder,
    folder: str | os.PathLike[str],
    *,
    places: NDArray[np.int64] | None = None,
    grids: bool = True,
    half: bool = False,
    batch_size: int = 64,
    progress: Progress = SILENT,
) -> ImageFeatures:
    """Encode images once; the next call with the same images and the same encoder opens what this one kept.

    Args:
        images: n images; the encoder's own preprocessing makes them the size that it wants.
        encoder: One of ours, or of the transformers library (`vision.encoders.image_encoder.ImageEncoder`); nothing in
            it changes, statistics of batch norms included.
        folder: Where features are kept; made if absent. Whatever is in it may be removed.
        places: (m,) which images; None: all.
        grids: Whether to keep grids beside vectors.
        half: Whether to keep them in 16 bits: half of the room, and three decimal digits.
        batch_size: How many are computed at once.
        progress: Gets images.

    Raises:
        OptionError: A batch size below 1, or grids of an encoder that has none.
        NlprepError: Features that are not finite, or too large for 16 bits.
        FileError: The folder cannot be written.
    """
    if batch_size < 1:
        raise OptionError(f"batch_size = {batch_size}: must be at least 1")
    chosen = np.arange(len(images)) if places is None else np.unique(places)
    if not len(chosen):
        raise NlprepError(f"{images.source}: there are no images to encode: give some")
    digests, first, which = np.unique(image_digests(images, chosen), return_index=True, return_inverse=True)
    rows = np.full(len(images), _NOT_THERE, np.int64)
    rows[chosen] = which.reshape(-1)
    home = Path(folder)
    with os_errors_named(home):
        home.mkdir(parents=True, exist_ok=True)
    # torch loads with it.
    from vision.encoders.digests import encoder_digest

    of_encoder = encoder_digest(encoder, f"grids {grids}, half {half}")[:24]
    entry = home / f"{of_encoder}-{hashlib.blake2b(digests.tobytes(), digest_size=8).hexdigest()}"
    found = _open(entry)
    if found is None:
        with atomic_directory(entry, kind=KIND, private=True) as place:
            source = _Encoded(encoder, images, grids=grids, half=half, batch_size=batch_size)
            _fill(place, digests, chosen[first], source, home.glob(f"{of_encoder}-*"), progress)
        found = read_artifact(entry, kind=KIND)
    return ImageFeatures(found.tensors["vectors"], found.tensors.get("grids"), rows, entry)


class _Encoded:
    """Gives the features of images, a few batches at a time."""

    def __init__(self, encoder: ImageEncoder, images: Images, *, grids: bool, half: bool, batch_size: int) -> None:
        from vision.models.files import find_backbone

        self.encoder, self.images, self.grids, self.batch_size = encoder, images, grids, batch_size
        self.dtype: np.dtype[Any] = np.dtype(np.float16 if half else np.float32)
        self.backbone = find_backbone(encoder.saved.model) if grids else None
        if grids and self.backbone is None:
            raise OptionError("grids = True: the encoder has no network whose features have places: ask for vectors")

    def __call__(self, places: NDArray[np.int64]) -> Iterator[dict[str, NDArray[np.floating[Any]]]]:
        """``vectors`` and, if asked for, ``grids`` of some images, in order."""
        import torch

        from nlprep.evaluation.encoder import evaluation_mode
        from vision.encoders.pictures import batches_of_pixels

        encoder = self.encoder
        step = self.batch_size * _BATCHES_AT_ONCE
        low = torch.autocast(encoder.device.type, torch.bfloat16, enabled=encoder.precision == "bf16")
        for start in range(0, len(places), step):
            some = Images(np.ascontiguousarray(self.images.pixels[places[start : start + step]]))
            for pixels in batches_of_pixels(some, self.batch_size, encoder.saved.preprocessing):
                with evaluation_mode(encoder.module), low:
                    given = torch.from_numpy(pixels).to(encoder.device)
                    made = {"vectors": encoder.module(given).float().cpu().numpy()}
                    if self.backbone is not None:
                        maps = self.backbone.forward_maps(unit_pixels(given))
                        if maps is None:
                            raise OptionError(
                                "grids = True: the features of this encoder have no places: ask for vectors alone"
                            )
                        made["grids"] = maps.permute(0, 2, 3, 1).float().cpu().numpy()
                yield {name: self._kept(name, values) for name, values in made.items()}

    def _kept(self, name: str, values: NDArray[np.float32]) -> NDArray[np.floating[Any]]:
        if not np.isfinite(values).all():
            raise NlprepError(f"{name} of {self.images.source} hold numbers that are not finite: look at the encoder")
        if abs(values).max(initial=0) > np.finfo(self.dtype).max:
            raise NlprepError(f"{name} reach {abs(values).max():.4g}, too large for 16 bits: encode with half=False")
        return values.astype(self.dtype)


def _open(entry: Path) -> Artifact | None:
    try:
        return read_artifact(entry, kind=KIND)
    except NlprepError:
        # Not there, or not whole: made anew.
        return None


def _fill(
    place: Path,
    digests: NDArray[np.bytes_],
    places: NDArray[np.int64],
    source: _Encoded,
    others: Iterator[Path],
    progress: Progress,
) -> None:
    known, missing = _already(digests, others)
    scratch: dict[str, Any] = {}

    def room(values: dict[str, NDArray[Any]]) -> None:
        for name, rows in values.items():
            if name not in scratch:
                shape, file = (len(digests), *rows.shape[1:]), place / f"{name}.scratch.npy"
                scratch[name] = np.lib.format.open_memmap(file, "w+", source.dtype, shape)

    for found, rows, theirs in known:
        values = {name: found.tensors[name][:0] for name in found.tensors if name != "digests"}
        room(values)
        for name in values:
            for start in range(0, len(rows), source.batch_size):
                part = slice(start, start + source.batch_size)
                scratch[name][rows[part]] = found.tensors[name][theirs[part]]
    done = 0
    with progress.task("encoding", len(missing)) as task:
        for values in source(places[missing]):
            room(values)
            count = len(values["vectors"])
            for name, made in values.items():
                scratch[name][missing[done : done + count]] = made
            done += count
            task.advance(count)
    tensors = {"digests": digests.view(np.uint8).reshape(len(digests), _DIGEST_BYTES), **scratch}
    fill_artifact(place, kind=KIND, config={"images": len(digests)}, tensors=tensors)
    for name in scratch:
        (place / f"{name}.scratch.npy").unlink()


_Rows = tuple[Artifact, "NDArray[np.int64]", "NDArray[np.int64]"]


def _already(digests: NDArray[np.bytes_], others: Iterator[Path]) -> tuple[list[_Rows], NDArray[np.int64]]:
    """What other files of the encoder have (the rows here and there), and the rows that none has."""
    missing = np.ones(len(digests), bool)
    known: list[_Rows] = []
    for path in sorted(others):
        found = _open(path)
        if found is None or not missing.any():
            continue
        theirs = np.ascontiguousarray(found.tensors["digests"]).view(f"S{_DIGEST_BYTES}").reshape(-1)
        places = np.minimum(np.searchsorted(theirs, digests), len(theirs) - 1)
        has = missing & (theirs[places] == digests)
        rows = np.flatnonzero(has)
        if len(rows):
            known.append((found, rows, places[rows]))
            missing[rows] = False
    return known, np.flatnonzero(missing)
