"""Images set aside, and what tells one collection of images from another."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from nlprep.core.errors import OptionError
from nlprep.core.randomness import combine, uniforms

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vision.images.collection import Images

_ROWS = 1 << 12
_SOME = 71


def split_places(images: Images, share: float, *, seed: int = 1) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Choose a share of the images to set aside, of each class alike.

    Whether an image is set aside depends on the seed, its place and its class, and on nothing that was drawn before.

    Args:
        images: All of them.
        share: How much to set aside, between 0 and 1; at least one image stays of each class.
        seed: Which ones.

    Returns:
        Places of those that stay and of those set aside, each in order; `vision.images.collection.ImageExamples` takes
        them, so that nothing is copied.

    Raises:
        OptionError: A share outside (0, 1).
    """
    if not 0 < share < 1:
        raise OptionError(f"share = {share}: must be between 0 and 1, such as 0.1")
    draws = uniforms(combine(seed, np.arange(len(images))), 1, purpose=1)[:, 0]
    labels = np.zeros(len(images), np.int64) if images.labels is None else images.labels
    aside = np.zeros(len(images), bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        taken = min(round(share * len(members)), len(members) - 1)
        aside[members[np.argsort(draws[members], kind="stable")[:taken]]] = True
    return np.flatnonzero(~aside), np.flatnonzero(aside)


def choose_places(count: int, number: int, seed: int = 1, *, purpose: int = _SOME) -> NDArray[np.int64]:
    """Places of so many of many at the most, ascending, as a function of the seed and of what they are for.

    >>> choose_places(5, 9).tolist()
    [0, 1, 2, 3, 4]
    """
    draws = uniforms(combine(seed, np.arange(count)), 1, purpose=purpose)[:, 0]
    return np.sort(np.argsort(draws, kind="stable")[:number])


def split_images(images: Images, share: float, *, seed: int = 1) -> tuple[Images, Images]:
    """`split_places`, as images: what stays and what is set aside, both copied into memory."""
    stays, aside = split_places(images, share, seed=seed)
    return images.select(stays), images.select(aside)


def content_digest(images: Images) -> str:
    """A digest of all pixels, known already where images were read; else they are read through once.

    Returns:
        In hexadecimal, of the bytes of (n, height, width, channels) in order.
    """
    if images.digest is not None:
        return images.digest
    digest = hashlib.blake2b(digest_size=16)
    for start in range(0, len(images), _ROWS):
        digest.update(np.ascontiguousarray(images.pixels[start : start + _ROWS].transpose(0, 2, 3, 1)).tobytes())
    return digest.hexdigest()


def describe_images(images: Images) -> dict[str, Any]:
    """What tells these images from others, in plain values: for the ``data`` of a run, which goes on with no others.

    Returns:
        ``images`` (their number), ``shape``, ``pixels`` (a digest), ``classes`` and ``labels`` (a digest, or None).
    """
    labels = None
    if images.labels is not None:
        labels = hashlib.blake2b(np.ascontiguousarray(images.labels).tobytes(), digest_size=16).hexdigest()
    return {
        "images": len(images),
        "shape": list(images.shape),
        "pixels": content_digest(images),
        "classes": list(images.classes),
        "labels": labels,
    }
