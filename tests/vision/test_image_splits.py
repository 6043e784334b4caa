"""Images set aside, by class and by seed alone; digests; pictures streamed without being kept."""

from __future__ import annotations

import numpy as np
import pytest
from picture_files import write_pictures

from nlprep.core.errors import NlprepError, OptionError
from vision.images.collection import ImageExamples, Images
from vision.images.reading import read_images
from vision.images.splits import content_digest, describe_images, split_images, split_places

PIXELS = np.random.default_rng(0).integers(0, 256, (100, 3, 4, 5), np.uint8)
LABELS = np.repeat([0, 1, 2], [60, 39, 1])
IMAGES = Images(PIXELS, LABELS, ("a", "b", "c"), names=[f"n{k}" for k in range(100)])


def test_a_split_takes_a_share_of_each_class():
    stays, aside = split_places(IMAGES, 0.2, seed=3)
    assert np.bincount(LABELS[aside]).tolist() == [12, 8]
    assert np.bincount(LABELS[stays]).tolist() == [48, 31, 1]
    np.testing.assert_array_equal(np.sort(np.concatenate([stays, aside])), np.arange(100))
    again = split_places(IMAGES, 0.2, seed=3)
    np.testing.assert_array_equal(aside, again[1])
    assert aside.tolist() != split_places(IMAGES, 0.2, seed=4)[1].tolist()


def test_a_split_without_labels():
    stays, aside = split_images(Images(PIXELS), 0.25)
    assert (len(stays), len(aside)) == (75, 25)


def test_chosen_images_are_called_what_they_were():
    for images, names in ((Images(PIXELS), ["7", "3"]), (IMAGES, ["n7", "n3"])):
        chosen = images.select(np.array([9, 7, 3])).select(np.array([1, 2]))
        assert [chosen.name(row) for row in range(2)] == names


def test_examples_of_some_places_copy_nothing():
    _, aside = split_places(IMAGES, 0.2)
    examples = ImageExamples(IMAGES, labels=True, places=aside)
    assert len(examples) == len(aside)
    found = examples.batch(np.array([3, 0]), np.zeros(2, np.uint64))
    np.testing.assert_array_equal(found["images"], PIXELS[aside[[3, 0]]])
    np.testing.assert_array_equal(found["labels"], LABELS[aside[[3, 0]]])


@pytest.mark.parametrize("share", [0, 1, -0.1, 1.5])
def test_shares_out_of_range_are_refused(share):
    with pytest.raises(OptionError, match="must be between 0 and 1"):
        split_places(IMAGES, share)


def test_the_digest_is_of_the_pixels_however_they_lie(tmp_path):
    write_pictures(tmp_path, ["cat/a.png", "dog/b.png"])
    images = read_images(tmp_path)
    copied = Images(np.ascontiguousarray(images.pixels), images.labels, images.classes)
    assert copied.digest is None
    assert content_digest(copied) == content_digest(images) == images.digest
    assert describe_images(copied) == describe_images(images)
    other = np.array(images.pixels)
    other[1, 0, 0, 0] ^= 1
    assert content_digest(Images(other)) != images.digest
    assert images.select(np.array([1])).digest is None
    assert content_digest(images.select(np.array([1]))) != images.digest


def test_labels_are_a_part_of_what_is_described():
    assert describe_images(IMAGES) != describe_images(Images(PIXELS, LABELS[::-1].copy(), ("a", "b", "c")))
    assert describe_images(Images(PIXELS))["labels"] is None


def test_examples_with_labels_want_some():
    with pytest.raises(NlprepError, match="has no labels"):
        ImageExamples(Images(PIXELS), labels=True)
