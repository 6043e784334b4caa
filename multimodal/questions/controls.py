"""One side taken away: what a score has to be compared with before it says that the image was looked at.

Each control is a view of the same questions, in the same order and with the same answers, so that whatever is trained
or measured on these is trained and measured on those.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from nlprep.core.errors import NlprepError
from nlprep.core.randomness import combine, uniforms

if TYPE_CHECKING:
    from multimodal.questions.collection import Questions

NO_QUESTION = "?"
"""What stands in place of every question where these are taken away."""
NO_IMAGE = 128
"""What all pixels are where images are taken away."""

_SHUFFLE = 51


def shuffle_images(questions: Questions, *, seed: int = 1) -> Questions:
    """Give every image's questions another image of those that are asked about, and none its own.

    Questions of one image keep one image, and every image is used once, so that nothing else changes. Images that stand
    in two places with the same pixels may be given for each other.

    Args:
        questions: n questions.
        seed: Which images: they are put in a ring in an order of the seed's, and each is given the next.

    Raises:
        NlprepError: They are about one image.
    """
    places = questions.image_places
    if len(places) < 2:
        raise NlprepError(f"{questions.source}: asks about one image: give questions about more to shuffle")
    ring = places[np.argsort(uniforms(combine(seed, places), 1, purpose=_SHUFFLE)[:, 0], kind="stable")]
    given = np.zeros(len(questions.images), np.int64)
    given[ring] = np.roll(ring, -1)
    return replace(questions, places=given[questions.places], source=f"{questions.source} (images shuffled)")


def question_only(questions: Questions) -> Questions:
    """All images grey, and alike; they keep their places, and take no memory."""
    blank = np.broadcast_to(np.full((), NO_IMAGE, np.uint8), questions.images.pixels.shape)
    images = replace(questions.images, pixels=blank, digest=None, source=f"{questions.images.source} (taken away)")
    return replace(questions, images=images, source=f"{questions.source} (questions only)")


def image_only(questions: Questions) -> Questions:
    """All questions the same text, `NO_QUESTION`."""
    return replace(questions, texts=[NO_QUESTION] * len(questions), source=f"{questions.source} (images only)")


CONTROLS = {"question only": question_only, "image only": image_only, "shuffled images": shuffle_images}
"""All of them, by the name that reports give them."""
