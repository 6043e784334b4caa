"""Images of one shape as bytes, with what is known of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nlprep.core.errors import NlprepError
from nlprep.core.wording import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from numpy.typing import NDArray

    from nlprep.core.randomness import Seeds
    from vision.images.preprocessing import Preprocessing

Shape = tuple[int, int, int]
"""Channels (1: grey, 3: red, green and blue), height, width."""


@dataclass(frozen=True)
class Images:
    """n images of one shape.

    Attributes:
        pixels: (n, channels, height, width) uint8, 0 to 255; read as they are used where they are mapped from a file.
        labels: (n,) int64, the place of each image's class in `classes`; None where nothing is known.
        classes: The names of the classes.
        names: What each image is called, such as its path in the folder; None: by number.
        source: Where they come from, for errors and records.
        preprocessing: What made them of pictures, to be kept with a model; None where they were given as they are.
        digest: Of all pixels, where it is known (`vision.images.splits.content_digest`).

    Raises:
        NlprepError: Numbers that differ, pixels of another type or form, or a label that has no class.
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64] | None = None
    classes: tuple[str, ...] = ()
    names: Sequence[str] | None = None
    source: str = "images"
    preprocessing: Preprocessing | None = None
    digest: str | None = None

    def __post_init__(self) -> None:
        if self.pixels.ndim != 4 or self.pixels.dtype != np.uint8 or self.pixels.shape[1] not in (1, 3):
            raise NlprepError(
                f"{self.source}: pixels are {self.pixels.dtype} {self.pixels.shape}: give uint8 (n, channels, height, "
                "width) with 1 or 3 channels"
            )
        for what, values in (("labels", self.labels), ("names", self.names)):
            if values is not None and len(values) != len(self.pixels):
                raise NlprepError(
                    f"{self.source}: {len(values):,} {what} for {len(self.pixels):,} images: give one for each"
                )
        if self.labels is not None and len(self.labels):
            low, high = int(self.labels.min()), int(self.labels.max())
            if low < 0 or high >= len(self.classes):
                raise NlprepError(
                    f"{self.source}: labels run from {low} to {high} and {len(self.classes)} classes are named: "
                    "name every class"
                )

    def __repr__(self) -> str:
        """One line with counts: of the values there may be millions."""
        channels, height, width = self.shape
        known = f", {counted(len(self.classes), 'class', 'classes')}" if self.labels is not None else ""
        return f"Images({self.source!r}: {counted(len(self), 'image')} of {channels} x {height} x {width}{known})"

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def shape(self) -> Shape:
        """(channels, height, width) of every image."""
        channels, height, width = self.pixels.shape[1:]
        return channels, height, width

    def name(self, place: int) -> str:
        """What an image is called."""
        return str(place) if self.names is None else self.names[place]

    def required_labels(self, use: str) -> NDArray[np.int64]:
        """The labels, where a use needs some.

        Args:
            use: What needs them, for the error.

        Raises:
            NlprepError: There are none, or all are of one class.
        """
        if self.labels is None:
            raise NlprepError(
                f"{self.source}: has no labels, which {use} needs: put pictures in a folder for each class"
            )
        if len(self.labels) == 0 or (self.labels == self.labels[0]).all():
            only = repr(self.classes[int(self.labels[0])]) if len(self.labels) else "none"
            raise NlprepError(f"{self.source}: the only class is {only}, and {use} needs at least two: add another")
        return self.labels

    def select(self, indices: NDArray[np.int64]) -> Images:
        """Those of the given places, copied; each is called what it was."""
        return replace(
            self,
            pixels=self.pixels[indices],
            labels=None if self.labels is None else self.labels[indices],
            names=[self.name(place) for place in indices.tolist()],
            digest=None,
        )


class ImageExamples:
    """Images as the loop's examples: ``images`` (b, channels, height, width) uint8, ``labels`` where there are some.

    Bytes go to the device, a quarter of what floats would be, in the memory format ``channels_last`` if they are kept
    so; `unit_pixels` makes them numbers there.

    Args:
        images: What to train on.
        labels: Whether to give labels, for models that are conditioned on them.
        places: (m,) which of the images, such as those that `vision.images.splits.split_places` sets aside; None: all.
        keys: Whether to give each example's seed as ``keys`` (b,) int64, for models that make something random of an
            image, such as a view.
    """

    def __init__(
        self,
        images: Images,
        *,
        labels: bool = False,
        places: NDArray[np.int64] | None = None,
        keys: bool = False,
    ) -> None:
        if labels and images.labels is None:
            raise NlprepError(f"{images.source}: has no labels, which this model learns from: give classes")
        self.images = images
        self.labels = labels
        self.places = places
        self.keys = keys

    def __len__(self) -> int:
        return len(self.images) if self.places is None else len(self.places)

    def batch(self, indices: NDArray[np.int64], seeds: Seeds) -> dict[str, torch.Tensor]:
        """Fetch images (see `nlprep.core.training.data.examples.Examples`)."""
        import torch

        if self.places is not None:
            indices = self.places[indices]
        # As they are kept, the channels last or not, rather than as NumPy would lay them out.
        pixels = self.images.pixels
        # What is decoded at every look (`vision.images.streaming`) comes with the channels last as it is.
        last = isinstance(pixels, np.ndarray) and (pixels.strides[1] < pixels.strides[3] or pixels.shape[1] == 1)
        chosen = torch.from_numpy(pixels.transpose(0, 2, 3, 1)[indices] if last else pixels[indices])
        found: dict[str, Any] = {"images": chosen.permute(0, 3, 1, 2) if last else chosen}
        if self.labels and self.images.labels is not None:
            found["labels"] = torch.from_numpy(self.images.labels[indices])
        if self.keys:
            # The same bits: torch computes with signed numbers.
            found["keys"] = torch.from_numpy(seeds.view(np.int64))
        return found


def unit_pixels(images: torch.Tensor) -> torch.Tensor:
    """Bytes as float32 in [0, 1], by 255 levels between; floats as they are."""
    return images if images.is_floating_point() else images.float() / 255
