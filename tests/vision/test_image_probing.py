"""Encoders of images compared, each reading the same pictures in its own shape."""

from __future__ import annotations

import numpy as np
import pytest
from vision_toys import toy_images

from nlprep.evaluation.configuration import possible_shares
from vision.encoders.probing import _PlacedImages, possible_labels
from vision.encoders.raw_pixels import RawPixels
from vision.images.preprocessing import Preprocessing


@pytest.mark.parametrize("places", [[3, 0, 6, 1], [0, 0, 5, 5], [2, 2], list(range(8)), []])
def test_pictures_by_their_place_come_in_the_order_that_was_asked_for(places: list[int]) -> None:
    both = toy_images(8)
    first, second = both.select(np.arange(5)), both.select(np.arange(5, 8))
    encoder = RawPixels(Preprocessing(channels=1, height=8, width=8))
    placed = _PlacedImages(encoder, (first, second))
    whole = both.pixels[places].reshape(len(places), 64) / np.float32(255)
    assert np.array_equal(placed.encode(places), whole.astype(np.float32))


def test_no_more_labels_are_tried_than_there_are() -> None:
    assert possible_labels(np.array([0, 0, 0, 1])) == "1/class,100%"


def test_shares_that_are_fewer_labels_than_classes_are_left_out_and_all_stay() -> None:
    assert possible_shares(1000, 10) == "1%,10%,100%"
    assert possible_shares(801, 10) == "10%,100%"
    assert possible_shares(8, 10) == "100%"
