"""One picture is made an image as a collection is; fits, sizes and channels."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from picture_files import encoded, gradient, write_pictures
from PIL import Image

from nlprep.core.configuration import from_mapping, to_mapping
from nlprep.core.errors import NlprepError, OptionError
from vision.images.configuration import PreprocessingConfig
from vision.images.preprocessing import Preprocessing
from vision.images.reading import read_images


def test_a_picture_of_the_right_size_is_not_touched():
    pixels = gradient(6, 9)
    found = Preprocessing(channels=3, height=6, width=9)(pixels)
    np.testing.assert_array_equal(found, pixels.transpose(2, 0, 1))
    assert found.dtype == np.uint8


def test_crop_keeps_the_centre():
    pixels = np.zeros((4, 8), np.uint8)
    pixels[:, 2:6] = 200
    assert (Preprocessing(channels=1, height=4, width=4, fit="crop")(pixels) == 200).all()


def test_crop_of_another_proportion_keeps_all_of_the_shorter_side():
    pixels = gradient(60, 100)
    found = Preprocessing(channels=3, height=30, width=20, fit="crop")(pixels)
    # 40 of 100 columns, from the 30th on.
    expected = Image.fromarray(pixels[:, 30:70]).resize((20, 30), Image.Resampling.BICUBIC)
    inner = np.s_[2:-2, 2:-2]
    np.testing.assert_allclose(
        found.transpose(1, 2, 0)[inner].astype(int), np.asarray(expected)[inner].astype(int), atol=3
    )


def test_pad_shows_all_on_black():
    found = Preprocessing(channels=1, height=8, width=8, fit="pad")(np.full((4, 8), 90, np.uint8))[0]
    assert (found[2:6] == 90).all()
    assert (found[:2] == 0).all()
    assert (found[6:] == 0).all()


def test_stretch_uses_all_and_fills_all():
    pixels = np.repeat(np.array([[0, 255]], np.uint8), 8, axis=0).repeat(8, axis=1)
    found = Preprocessing(channels=1, height=4, width=4, fit="stretch")(pixels)[0]
    assert found[:, 0].max() < 30
    assert found[:, 3].min() > 225


def test_resizing_is_antialiased():
    stripes = np.tile(np.array([0, 255], np.uint8), (64, 32))
    found = Preprocessing(channels=1, height=16, width=16, fit="stretch")(stripes)[0]
    assert found.std() < 10
    assert abs(found.mean() - 127.5) < 3


def test_grey_of_colour_is_luma():
    pixels = gradient(5, 5)
    found = Preprocessing(channels=1, height=5, width=5)(pixels)[0]
    np.testing.assert_allclose(found, pixels @ [0.299, 0.587, 0.114], atol=1)


def test_all_ways_to_give_a_picture_agree(tmp_path):
    path = tmp_path / "some.png"
    pixels = gradient(40, 30)
    Image.fromarray(pixels).save(path)
    preprocess = Preprocessing(channels=3, height=16, width=12)
    expected = preprocess(path)
    assert expected.shape == preprocess.shape == (3, 16, 12)
    ways = [str(path), path.read_bytes(), Image.open(path), pixels, pixels.transpose(2, 0, 1), pixels / 255.0]
    ways += [pixels.astype(np.int64), pixels.astype(np.uint16) * 257, np.dstack([pixels, np.full((40, 30), 255)])]
    for way in ways:
        np.testing.assert_array_equal(preprocess(way), expected)


def test_what_is_stored_does_to_one_picture_what_was_done_to_the_collection(tmp_path):
    for number, size in enumerate([(50, 80), (90, 40), (200, 210)]):
        write_pictures(tmp_path / "p", [f"{number}.png"], size)
        Image.fromarray(gradient(*size)).save(tmp_path / "p" / f"{number}.jpg")
    images = read_images(tmp_path / "p", preprocessing=PreprocessingConfig(height=24, width=16, fit="pad"))
    stored = from_mapping(Preprocessing, to_mapping(images.preprocessing), where="model")
    assert stored == images.preprocessing
    for place in range(len(images)):
        np.testing.assert_array_equal(stored(tmp_path / "p" / images.name(place)), images.pixels[place])


def test_a_large_jpeg_is_decoded_at_a_fraction_and_looks_the_same(tmp_path, monkeypatch):
    smooth = np.asarray(Image.fromarray(gradient(9, 12)).resize((1200, 900), Image.Resampling.BICUBIC))
    path = tmp_path / "large.jpg"
    path.write_bytes(encoded(Image.fromarray(smooth), "JPEG", quality=95))
    preprocess = Preprocessing(channels=3, height=60, width=60)
    decoded = []
    real = Image.Image.resize
    monkeypatch.setattr(
        Image.Image, "resize", lambda self, *a, **k: (decoded.append(self.size), real(self, *a, **k))[1]
    )
    reduced = preprocess(path)
    whole = preprocess(np.asarray(Image.open(path)))
    assert decoded == [(300, 225), (1200, 900)]
    assert abs(reduced.astype(int) - whole.astype(int)).max() <= 6


def test_a_large_turned_jpeg_is_reduced_by_its_own_sides():
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(Image.fromarray(gradient(300, 1200)), "JPEG", exif=exif)
    found = Preprocessing(channels=3, height=200, width=50)(data)
    assert found.shape == (3, 200, 50)
    upright = np.rot90(gradient(300, 1200), -1)
    expected = Image.fromarray(upright).resize((50, 200), Image.Resampling.BICUBIC)
    assert abs(found[:2].transpose(1, 2, 0).astype(int) - np.asarray(expected)[..., :2].astype(int)).max() < 12


def test_a_pillow_image_is_the_callers_and_stays_as_it_is(tmp_path):
    path = tmp_path / "large.jpg"
    path.write_bytes(encoded(Image.fromarray(gradient(400, 400)), "JPEG"))
    picture = Image.open(path)
    Preprocessing(channels=1, height=16, width=16)(picture)
    assert picture.size == (400, 400)
    assert picture.mode == "RGB"


@pytest.mark.parametrize(
    "array", [np.zeros(5, np.uint8), np.zeros((2, 5, 7), np.uint8), np.zeros((0, 4), np.uint8), np.zeros((1, 3, 4, 4))]
)
def test_arrays_that_are_no_pictures_are_refused(array):
    with pytest.raises(NlprepError, match="is no picture: give"):
        Preprocessing()(array)


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.full((4, 4), 300), "int64 from 300 to 300"),
        (np.full((4, 4), 2.0), r"floats from 2 to 2: bring them to \[0, 1\]"),
        (np.array([["a", "b"]]), "holds <U1, no pixels"),
    ],
)
def test_numbers_outside_their_range_are_refused(array, said):
    with pytest.raises(NlprepError, match=said):
        Preprocessing()(array)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"channels": 2}, "choose 1"),
        ({"width": 8}, "without a height"),
        ({"height": 0}, "at least 1"),
        ({"fit": "squeeze"}, "choose from crop, pad, stretch"),
    ],
)
def test_settings_out_of_range_are_refused(settings, said):
    with pytest.raises(OptionError, match=said):
        PreprocessingConfig(**settings)


def test_threads_leave_the_filters_of_warnings_alone():
    before = list(warnings.filters)
    preprocess = Preprocessing(channels=3, height=8, width=8)
    data = encoded(Image.fromarray(gradient(30, 30)))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(preprocess, [data] * 200))
    assert warnings.filters == before
    assert all((one == found[0]).all() for one in found)


@pytest.mark.parametrize(
    "settings", [{"channels": 2}, {"width": 0}, {"height": -1}, {"fit": "squeeze"}, {"height": "64"}, {"height": None}]
)
def test_what_was_stored_wrong_is_refused(settings):
    with pytest.raises(OptionError):
        from_mapping(Preprocessing, settings, where="model")
