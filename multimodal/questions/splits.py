"""Questions set aside by their images, and images that are on both sides of a split."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from multimodal.questions.image_content import image_digests
from nlprep.core.errors import NlprepError, OptionError
from nlprep.core.randomness import combine, uniforms
from nlprep.core.wording import counted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from multimodal.questions.collection import Questions

_ASIDE = 41
_SHOWN = 3


class SharedImagesWarning(UserWarning):
    """Images are on both sides of a split: what is measured is better than what a new image would get."""


def split_questions(questions: Questions, share: float, *, seed: int = 1) -> tuple[Questions, Questions]:
    """Set a share of the images aside, with all of their questions.

    Images with the same pixels go to the same side, whatever they are called.

    Args:
        questions: All of them.
        share: Of the images that are asked about, between 0 and 1.
        seed: Which ones; it is drawn for each image by itself.

    Returns:
        What stays and what is set aside, each in the order of ``questions``.

    Raises:
        OptionError: A share outside (0, 1).
        NlprepError: Fewer than two different images.
    """
    if not 0 < share < 1:
        raise OptionError(f"share = {share}: must be between 0 and 1, such as 0.1")
    places = questions.image_places
    _, first, group = np.unique(image_digests(questions.images, places), return_index=True, return_inverse=True)
    if len(first) < 2:
        raise NlprepError(f"{questions.source}: asks about {counted(len(first), 'image')}: give at least two to divide")
    # Keyed by where an image first stands.
    draws = uniforms(combine(seed, places[first]), 1, purpose=_ASIDE)[:, 0]
    number = min(max(round(share * len(first)), 1), len(first) - 1)
    chosen = np.zeros(len(first), bool)
    chosen[np.argsort(draws, kind="stable")[:number]] = True
    aside = np.zeros(len(questions.images), bool)
    aside[places] = chosen[group.reshape(-1)]
    of_question = aside[questions.places]
    return questions.select(np.flatnonzero(~of_question)), questions.select(np.flatnonzero(of_question))


@dataclass(frozen=True)
class SharedImages:
    """Images that two sets of questions both ask about.

    Attributes:
        by_pixels: (k, 2) int64, places in the first and in the second images of those with the same pixels, one pair
            for each image of the second.
        by_name: (k, 2) int64, likewise of those that are called the same and show something else, as when a picture was
            compressed again. Names that are mere numbers say nothing.
        names: What the first of `by_pixels`, then of `by_name`, are called on the second side.
        second_images: Images that the second set asks about.
        second_questions: Questions of the second set that are about any of them.
    """

    by_pixels: NDArray[np.int64]
    by_name: NDArray[np.int64]
    names: tuple[str, ...]
    second_images: int
    second_questions: int

    def __bool__(self) -> bool:
        return bool(len(self.by_pixels) or len(self.by_name))

    def __str__(self) -> str:
        some = ", ".join(self.names[:_SHOWN]) + (", ..." if len(self.names) > _SHOWN else "")
        return (
            f"{len(self.by_pixels) + len(self.by_name):,} of {self.second_images:,} images, with "
            f"{counted(self.second_questions, 'question')}, are on both sides ({len(self.by_pixels):,} by their "
            f"pixels, {len(self.by_name):,} by their names alone): {some}"
        )


def find_shared_images(first: Questions, second: Questions) -> SharedImages:
    """Look for images that both sets ask about.

    Args:
        first: Such as what is trained on.
        second: Such as what is measured on.
    """
    sides = [(questions, questions.image_places) for questions in (first, second)]
    digests = [image_digests(questions.images, places).tolist() for questions, places in sides]
    by_digest = dict(zip(reversed(digests[0]), reversed(sides[0][1].tolist()), strict=True))
    names = [[_telling_name(questions, place) for place in places.tolist()] for questions, places in sides]
    by_called = {name: place for name, place in zip(names[0], sides[0][1].tolist(), strict=True) if name}
    by_pixels, by_name = [], []
    for digest, name, place in zip(digests[1], names[1], sides[1][1].tolist(), strict=True):
        if digest in by_digest:
            by_pixels.append((by_digest[digest], place))
        elif name in by_called:
            by_name.append((by_called[name], place))
    found = [place for _, place in by_pixels + by_name]
    return SharedImages(
        np.array(by_pixels, np.int64).reshape(-1, 2),
        np.array(by_name, np.int64).reshape(-1, 2),
        tuple(second.images.name(place) for place in found[:_SHOWN + 1]),
        len(sides[1][1]),
        int(np.isin(second.places, found).sum()),
    )  # fmt: skip


def _telling_name(questions: Questions, place: int) -> str:
    """What an image is called, without folders and ending, if that is more than a number."""
    file = questions.images.name(place).rpartition("/")[2]
    stem = file.rpartition(".")[0] or file
    return "" if stem.isdecimal() else stem


def warn_of_shared_images(first: Questions, second: Questions) -> SharedImages:
    """`find_shared_images`, said as a `SharedImagesWarning` if there are any.

    Warns:
        SharedImagesWarning: There are some.
    """
    found = find_shared_images(first, second)
    if found:
        warnings.warn(
            f"{first.source} and {second.source}: {found}. What is measured on these says nothing of new images: "
            "divide by image",
            SharedImagesWarning,
            stacklevel=2,
        )
    return found
