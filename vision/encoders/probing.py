"""Encoders of images compared on one's own labels, each seeing the pictures as it wants them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nlprep.core.errors import NlprepError
from nlprep.core.progress import SILENT
from nlprep.evaluation.configuration import ProbeConfig, possible_shares
from nlprep.evaluation.label_curves import LabelCurves, measure_label_curves
from nlprep.evaluation.labelled import Labelled
from vision.encoders.image_encoder import ImageEncoder
from vision.encoders.raw_pixels import RawPixels
from vision.images.amounts import require_images
from vision.run_images import asked_preprocessing

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray
    from torch import nn

    from nlprep.core.progress import Progress
    from vision.images.collection import Images
    from vision.images.configuration import PreprocessingConfig

    Read = Callable[[PreprocessingConfig], tuple[Images, Images]]

RAW_PIXELS = "raw pixels"
"""The name of the curve of the pixels themselves."""
_EACH = (1, 2, 4, 8)


class _PlacedImages:
    """An encoder whose items are places in pictures, which it reads in its own shape.

    Args:
        encoder: Of images.
        images: Collections of the same pictures, one after another, in the encoder's shape.
    """

    def __init__(self, encoder: ImageEncoder | RawPixels, images: Sequence[Images]) -> None:
        self.encoder, self.images = encoder, images

    @property
    def dimension(self) -> int:
        """Numbers in a vector."""
        return self.encoder.dimension

    @property
    def module(self) -> nn.Module | None:
        """The encoder's."""
        return getattr(self.encoder, "module", None)

    def encode(self, items: Sequence[int], batch_size: int = 64, *, progress: Progress = SILENT) -> NDArray[np.float32]:
        """Vectors (n, `dimension`) of pictures by their place among all, in the order of the places."""
        order = np.argsort(np.asarray(items, np.int64), kind="stable")
        places = np.asarray(items, np.int64)[order]
        made, start = [], 0
        for part in self.images:
            chosen = places[(places >= start) & (places < start + len(part))] - start
            start += len(part)
            if len(chosen):
                # The whole is left where it lies on the disk.
                some = part if np.array_equal(chosen, np.arange(len(part))) else part.select(chosen)
                made.append(self.encoder.encode(some, batch_size, progress=progress))
        vectors = np.zeros((len(places), self.dimension), np.float32)
        if made:
            # Read as they lie, given as they were asked for.
            vectors[order] = np.concatenate(made)
        return vectors

    def randomized(self, seed: int = 1) -> _PlacedImages:
        """The same with nothing learned."""
        return _PlacedImages(self.encoder.randomized(seed), self.images)

    def save(self, directory: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the encoder, which takes pictures."""
        self.encoder.save(directory, overwrite=overwrite)


def probe_images(
    encoders: Mapping[str, ImageEncoder | str | os.PathLike[str]],
    read: Read,
    config: ProbeConfig | None = None,
    *,
    fit_labels: bool = False,
    baselines: bool = True,
    batch_size: int = 128,
    device: str | None = None,
    progress: Progress = SILENT,
) -> LabelCurves:
    """Fit probes on the features of each encoder with few and many labels, in one table.

    Args:
        encoders: Encoders, or directories that `ImageEncoder.from_directory` opens, runs of ours and pretrained models
            of the transformers library alike, by the name that their curve is to have. Each is opened in its turn.
        read: Called with what pictures are to become, gives images with classes to learn from and to measure on: the
            same pictures in every shape.
        config: Numbers of labels, repeats.
        fit_labels: Measure with the numbers of labels that `possible_labels` gives instead.
        baselines: Add raw pixels, as the first encoder sees them, and that encoder with random weights.
        batch_size: Images that are encoded at once.
        device: Of encoders given as directories.
        progress: Gets images and probes.

    Raises:
        NlprepError: Nothing to compare, pictures that differ from reading to reading, or as `measure_label_curves`.
        FileError: As `ImageEncoder.from_directory` and ``read``.
    """
    if not encoders:
        raise NlprepError("there is no encoder to probe: give at least one")

    def opened() -> Iterator[tuple[str, ImageEncoder | RawPixels]]:
        first = None
        for name, given in encoders.items():
            encoder = given if isinstance(given, ImageEncoder) else ImageEncoder.from_directory(given, device=device)
            first = first or encoder.saved.preprocessing
            yield name, encoder
        if baselines and first is not None:
            yield RAW_PIXELS, RawPixels(first)

    waiting = opened()
    name, encoder = next(waiting)
    learn, measure = read(_wanted(encoder))
    labels = [learn.required_labels("probe"), measure.required_labels("probe")]
    require_images(
        len(learn), len(measure), source=measure.source, what=("image to learn from", "images to learn from")
    )
    named = (
        Labelled(_places(learn, 0), [learn.classes[one] for one in labels[0].tolist()], name=learn.source),
        Labelled(
            _places(measure, len(learn)), [measure.classes[one] for one in labels[1].tolist()], name=measure.source
        ),
    )
    if fit_labels:
        config = replace(config or ProbeConfig(), labels=possible_labels(labels[0]))

    def placed() -> Iterator[tuple[str, Any]]:
        yield name, _PlacedImages(encoder, (learn, measure))
        for other, one in waiting:
            parts = read(_wanted(one))
            if [len(part) for part in parts] != [len(learn), len(measure)]:
                raise NlprepError(f"{learn.source}: other pictures were read for {other} than for {name}")
            yield other, _PlacedImages(one, parts)

    return measure_label_curves(
        placed(), *named, config, from_scratch=baselines, batch_size=batch_size, progress=progress
    )


def possible_labels(labels: NDArray[np.integer[Any]]) -> str:
    """Numbers of labels to try: 1, 2, 4 and 8 of each class, a hundredth, a tenth and all, as far as there are so many.

    Args:
        labels: (n,) whole numbers from 0 of the images to learn from.

    >>> possible_labels(np.arange(30) % 2)
    '1/class,2/class,4/class,8/class,100%'
    >>> possible_labels(np.arange(1000) % 10)
    '1/class,2/class,4/class,8/class,10%,100%'
    """
    found = np.bincount(labels)
    classes, rarest = len(found), int(found[found > 0].min())
    few = [number for number in _EACH if number <= rarest]
    most = few[-1] * classes
    return ",".join([*(f"{number}/class" for number in few), possible_shares(len(labels), most + 1)])


def _places(images: Images, start: int) -> range:
    return range(start, start + len(images))


def _wanted(encoder: ImageEncoder | RawPixels) -> PreprocessingConfig:
    made = encoder.saved.preprocessing if isinstance(encoder, ImageEncoder) else encoder.preprocessing
    return asked_preprocessing(made)
