"""Pictures of every kind become bytes by one stated rule; what is no picture is refused by name."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from picture_files import encoded, gradient
from PIL import Image

from nlprep.core.errors import FileError
from vision.images import decoding
from vision.images.decoding import open_picture, plain_picture


def plain(data: bytes) -> np.ndarray:
    return np.asarray(plain_picture(open_picture(data, "it"), "it"))


def test_sixteen_bits_are_scaled_not_clipped():
    values = np.array([[0, 128, 257, 1000, 30_000, 65_535]], np.uint16)
    found = plain(encoded(Image.fromarray(values)))
    np.testing.assert_array_equal(found, [[0, 0, 1, 4, 117, 255]])
    np.testing.assert_array_equal(found, np.rint(values / 257))


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_of_any_format(kind):
    values = np.linspace(0, 65_535, 48).astype(np.uint16).reshape(6, 8)
    np.testing.assert_array_equal(plain(encoded(Image.fromarray(values), kind)), np.rint(values / 257))


def test_whole_numbers_of_32_bits_count_as_16_bits_or_are_refused():
    values = np.array([[0, 65_535]], np.int32)
    np.testing.assert_array_equal(plain(encoded(Image.fromarray(values), "TIFF")), [[0, 255]])
    with pytest.raises(FileError, match=r"it: holds whole numbers from 0 to 70,000: convert it"):
        plain(encoded(Image.fromarray(np.array([[0, 70_000]], np.int32)), "TIFF"))


def test_floats_are_a_share_of_white_or_refused():
    values = np.array([[0, 0.5, 1]], np.float32)
    np.testing.assert_array_equal(plain(encoded(Image.fromarray(values), "TIFF")), [[0, 128, 255]])
    for wrong, said in ((1.5, "floats from"), (-0.1, "floats from"), (np.nan, "no finite numbers")):
        with pytest.raises(FileError, match=said):
            plain(encoded(Image.fromarray(np.array([[0, wrong]], np.float32)), "TIFF"))


def test_one_bit_is_black_and_white():
    picture = Image.fromarray(np.array([[0, 255, 255, 0]], np.uint8)).convert("1")
    np.testing.assert_array_equal(plain(encoded(picture)), [[0, 255, 255, 0]])


def test_a_palette_becomes_its_colours():
    picture = Image.fromarray(gradient(6, 6)).quantize(16)
    np.testing.assert_array_equal(plain(encoded(picture)), np.asarray(picture.convert("RGB")))


def test_transparency_is_laid_over_white():
    pixels = np.array([[[200, 0, 0, 255], [200, 0, 0, 0], [200, 0, 100, 127]]], np.uint8)
    found = plain(encoded(Image.fromarray(pixels)))
    share = pixels[..., 3:] / 255
    np.testing.assert_allclose(found, pixels[..., :3] * share + 255 * (1 - share), atol=1)
    np.testing.assert_array_equal(found[0, 1], [255, 255, 255])


def test_transparent_grey_stays_grey():
    pixels = np.array([[[10, 255], [10, 0], [10, 128]]], np.uint8)
    found = plain(encoded(Image.fromarray(pixels, "LA")))
    np.testing.assert_allclose(found, [[10, 255, 132]], atol=1)


@pytest.mark.parametrize("mode", ["P", "L", "RGB"])
def test_a_colour_that_stands_for_transparency_is_white(mode):
    pixels = np.array([[5, 9]], np.uint8)
    picture = Image.fromarray(pixels)
    if mode == "P":
        picture = picture.convert("RGB").quantize(4)
    elif mode == "RGB":
        picture = picture.convert("RGB")
    first = picture.getpixel((0, 0))
    found = plain(encoded(picture, transparency=first))
    assert found[0, 0].min() == 255
    assert found[0, 1].max() == 9


def test_cmyk_becomes_the_colours_that_pillow_makes_of_it():
    picture = Image.fromarray(gradient(16, 16)).convert("CMYK")
    found = plain(encoded(picture, "JPEG", quality=100, subsampling=0))
    assert found.shape == (16, 16, 3)
    np.testing.assert_allclose(found.astype(int), gradient(16, 16).astype(int), atol=12)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_as_the_camera_was_held(kind, orientation):
    upright = Image.fromarray(gradient(16, 24)[..., :1].repeat(3, axis=2))
    # What has to be done to the upright picture to store it in each orientation.
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    stored = upright if orientation == 1 else upright.transpose(Image.Transpose(undo[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = plain(encoded(stored, kind, exif=exif))
    assert found.shape == (16, 24, 3)
    np.testing.assert_allclose(found.astype(int), np.asarray(upright).astype(int), atol=10)


def test_the_first_of_several_frames():
    frames = [Image.new("L", (4, 4), value) for value in (10, 200)]
    found = plain(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert (found == 10).all()


def test_bombs_are_refused_before_they_are_decoded(monkeypatch):
    def bomb(width, height):
        def chunk(kind, data):
            return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

        header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
        return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")

    with decoding.pillow_silenced():
        for side in (10_000, 20_000, 60_000):
            with pytest.raises(FileError, match=r"it: .*89,478,485 pixels, a decompression bomb"):
                open_picture(bomb(side, side), "it")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", r"it: is empty \(0 bytes\)"),
        (b"dear diary, today", r"it: is no picture in a format that is read, it begins with b'dear diary, '"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "it: is no picture"),
        (encoded(Image.fromarray(gradient(64, 64)), "JPEG")[:900], r"it: is damaged or cut short \(.*truncated"),
        (encoded(Image.fromarray(gradient(64, 64)))[:150], "it: is damaged or cut short"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "it: is (damaged|no picture)"),
    ],
)
def test_what_is_no_whole_picture_is_refused_by_name(data, said):
    with pytest.raises(FileError, match=said) as raised:
        plain(data)
    assert "\n" not in str(raised.value)


def test_damaged_exif_does_not_lose_the_picture():
    data = encoded(Image.fromarray(gradient(8, 8)), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    assert plain(data).shape == (8, 8, 3)


def test_the_callers_stream_is_not_needed_any_longer():
    picture = open_picture(encoded(Image.fromarray(gradient(8, 8))), "it")
    assert isinstance(picture.fp, io.BytesIO)
