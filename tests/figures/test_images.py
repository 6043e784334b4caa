"""Images that are drawn pixel by pixel, in every layout they come in."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from PIL import Image

from nlprep.core.errors import FileError, NlprepError, OptionError
from nlprep.figures.images import (
    as_pixels,
    draw_image_rows,
    draw_image_sequences,
    draw_images,
    draw_reconstructions,
)

GREY = np.random.default_rng(0).random((5, 12, 20)).astype(np.float32)
COLOUR = np.random.default_rng(1).integers(0, 256, (5, 12, 20, 3), dtype=np.uint8)


def test_every_layout_gives_the_same_pixels():
    grey = np.repeat(np.rint(GREY * 255).astype(np.uint8)[..., None], 3, axis=3)
    for given in (GREY, GREY[:, None], GREY[..., None], torch.from_numpy(GREY[:, None]), GREY.astype(np.float64)):
        np.testing.assert_array_equal(as_pixels(given), grey)
    first = COLOUR.transpose(0, 3, 1, 2)
    for given in (COLOUR, first, torch.from_numpy(first.copy()), first / 255):
        np.testing.assert_array_equal(as_pixels(given), COLOUR)
    # Both axes could be channels: the second is, as everywhere in the package.
    assert as_pixels(np.zeros((2, 3, 8, 3))).shape == (2, 8, 3, 3)


def test_a_png_holds_every_pixel_as_a_square(tmp_path):
    draw_images(COLOUR, tmp_path / "a.png", columns=2)
    drawn = np.asarray(Image.open(tmp_path / "a.png").convert("RGB"))
    # 160 / 20 = 8 times as large, 12 pixels between, a margin of 24.
    for number, image in enumerate(COLOUR):
        top, left = 24 + (number // 2) * (96 + 12), 24 + (number % 2) * (160 + 12)
        np.testing.assert_array_equal(drawn[top : top + 96, left : left + 160], image.repeat(8, 0).repeat(8, 1))
    assert drawn.shape == (24 + 3 * 108 - 12 + 24, 24 + 160 + 12 + 160 + 24, 3)
    # Where the sixth image would be there is nothing.
    assert (drawn[24 + 2 * 108 :, 24 + 172 :] == 255).all()


def test_large_images_are_shrunk_by_area(tmp_path):
    checkers = (np.indices((640, 320)).sum(0) % 2).astype(np.float32)
    draw_images(checkers[None], tmp_path / "a.png")
    drawn = np.asarray(Image.open(tmp_path / "a.png").convert("L"))
    assert drawn.shape == (160 + 48, 80 + 48)
    assert set(np.unique(drawn[24:184, 24:104])) <= {127, 128}


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
@pytest.mark.slow
def test_the_same_images_have_the_same_bytes(tmp_path, ending):
    for name in ("one", "two"):
        draw_image_rows({"originals": GREY, "reconstructions": GREY}, tmp_path / f"{name}.{ending}", columns=3)
    assert (tmp_path / f"one.{ending}").read_bytes() == (tmp_path / f"two.{ending}").read_bytes()


def test_captions_titles_and_names_of_rows(tmp_path):
    captions = ["a cat", "$a_b$", "a caption that goes on and on and on and on and on and on", "", "é"]
    draw_images(GREY, tmp_path / "a.svg", captions=captions, title="A title")
    text = (tmp_path / "a.svg").read_text()
    for words in ("a cat", "$a_b$", "é", "A title"):
        assert f">{words}</" in text
    assert "…" in text
    draw_image_rows({"originals": GREY, "reconstructions": 1 - GREY}, tmp_path / "b.svg", columns=3)
    text = (tmp_path / "b.svg").read_text()
    # Five images in rows of three: two blocks.
    assert text.count(">originals</") == text.count(">reconstructions</") == 2


def test_reconstructions_stand_below_their_originals(tmp_path):
    draw_image_rows({"": COLOUR, " ": 255 - COLOUR}, tmp_path / "a.png", columns=5)
    drawn = np.asarray(Image.open(tmp_path / "a.png").convert("RGB")).astype(int)
    left = np.flatnonzero((drawn[24:120] != 255).any(axis=(0, 2)))[0] + 1
    above, below = drawn[24:120, left : left + 160], drawn[132:228, left : left + 160]
    np.testing.assert_array_equal(above + below, 255)


@pytest.mark.parametrize(
    ("images", "problem"),
    [
        (np.zeros((0, 3, 4, 4)), "there are no images"),
        (np.zeros((2, 3, 0, 4)), "there are no images"),
        (np.zeros((2, 4, 4, 2)), r"images of shape \(2, 4, 4, 2\)"),
        (np.zeros((4, 4)), r"images of shape \(4, 4\)"),
        (np.full((1, 4, 4), 1.5), "from 1.5 to 1.5"),
        (np.full((1, 4, 4), -0.1), r"into \[0, 1\]"),
        (np.full((1, 4, 4), np.nan), "from nan"),
        (np.zeros((1, 4, 4), np.int64), "of type int64"),
    ],
)
def test_what_is_no_image(tmp_path, images, problem):
    with pytest.raises(NlprepError, match=problem):
        draw_images(images, tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


def test_a_white_image_is_seen_on_white(tmp_path):
    draw_images(np.full((1, 6, 6), 255, np.uint8), tmp_path / "a.png")
    drawn = np.asarray(Image.open(tmp_path / "a.png").convert("L")).astype(int)
    rows, columns = np.nonzero(drawn < 255)
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    # A line around it, and nothing inside.
    assert len(rows) == 2 * (height + width) - 4
    assert min(height, width) > 100


def test_lines_of_a_caption_are_kept_and_lose_their_middle(tmp_path):
    draw_images(GREY[:1], tmp_path / "a.svg", captions=["0.99\na-very-long-name-of-a-picture.png"])
    text = (tmp_path / "a.svg").read_text()
    assert ">0.99</" in text
    assert re.search(r">a-[-a-z]*…[-a-z]*\.png</", text)


def test_what_cannot_be_drawn(tmp_path):
    with pytest.raises(NlprepError, match="2 captions for 5 images"):
        draw_images(GREY, tmp_path / "a.png", captions=["a", "b"])
    with pytest.raises(NlprepError, match="rows of different images"):
        draw_image_rows({"a": GREY, "b": GREY[:4]}, tmp_path / "a.png")
    with pytest.raises(NlprepError, match="at least one row"):
        draw_image_rows({}, tmp_path / "a.png")
    with pytest.raises(NlprepError, match="there are no b"):
        draw_image_rows({"a": GREY, "b": GREY[:0]}, tmp_path / "a.png")
    for draw in (
        lambda path: draw_images(GREY, path, columns=0),
        lambda path: draw_image_rows({"a": GREY}, path, columns=0),
    ):
        with pytest.raises(OptionError, match="columns = 0"):
            draw(tmp_path / "a.png")
    with pytest.raises(OptionError, match="end its name"):
        draw_images(GREY, tmp_path / "a.bmp")
    with pytest.raises(FileError):
        draw_images(GREY, tmp_path / "gone" / "a.png")
    assert list(tmp_path.iterdir()) == []


def test_reconstructions_of_several_models_with_their_differences(tmp_path):
    models = {"first": COLOUR, "second": 255 - COLOUR}
    draw_reconstructions(COLOUR, models, tmp_path / "a.svg", differences=True, columns=3)
    text = (tmp_path / "a.svg").read_text()
    for name in ("original", "first", "first, difference", "second", "second, difference"):
        assert text.count(f">{name}</") == 2
    draw_reconstructions(COLOUR, models, tmp_path / "a.png", differences=True, columns=5)
    drawn = np.asarray(Image.open(tmp_path / "a.png").convert("RGB")).astype(int)
    left = np.flatnonzero((drawn[24:120] != 255).any(axis=2).mean(axis=0) > 0.9)[0] + 1
    tiles = [drawn[24 + 108 * row : 120 + 108 * row, left : left + 160] for row in range(5)]
    np.testing.assert_array_equal(tiles[1], tiles[0])
    assert (tiles[2] == 0).all()
    np.testing.assert_array_equal(tiles[4], np.abs(tiles[3] - tiles[0]))


def test_sequences_are_read_from_left_to_right(tmp_path):
    rows = {"one": COLOUR, "two": 255 - COLOUR}
    draw_image_sequences(rows, tmp_path / "a.svg", column_names=["-2", "-1", "0", "1", "2"])
    text = (tmp_path / "a.svg").read_text()
    for words in ("one", "two", "-2", "-1", "0", "1", "2"):
        assert text.count(f">{words}</") == 1, words
    for name in ("b.png", "c.png"):
        draw_image_sequences({"": COLOUR, " ": 255 - COLOUR}, tmp_path / name)
    assert (tmp_path / "b.png").read_bytes() == (tmp_path / "c.png").read_bytes()
    drawn = np.asarray(Image.open(tmp_path / "b.png").convert("RGB")).astype(int)
    left = np.flatnonzero((drawn[24:120] != 255).any(axis=2).mean(axis=0) > 0.9)[0] + 1
    for column, image in enumerate(COLOUR):
        x = left + column * 172
        np.testing.assert_array_equal(drawn[24:120, x : x + 160], image.repeat(8, 0).repeat(8, 1))


def test_rows_and_sequences_that_cannot_be_drawn(tmp_path):
    path = tmp_path / "a.png"
    with pytest.raises(NlprepError, match="no reconstructions to draw"):
        draw_reconstructions(GREY, {}, path)
    with pytest.raises(NlprepError, match=r"mine of shape \(4, 12, 20, 3\) for originals of shape \(5, 12, 20, 3\)"):
        draw_reconstructions(GREY, {"mine": GREY[:4]}, path)
    with pytest.raises(NlprepError, match="mine with values from"):
        draw_reconstructions(GREY, {"mine": GREY * 2}, path)
    with pytest.raises(NlprepError, match="named 'original'"):
        draw_reconstructions(GREY, {"original": GREY}, path)
    with pytest.raises(NlprepError, match="3 names for 5 columns"):
        draw_image_sequences({"a": GREY}, path, column_names=["a", "b", "c"])
    with pytest.raises(NlprepError, match="rows of different images"):
        draw_image_sequences({"a": GREY, "b": GREY[:2]}, path)
    with pytest.raises(NlprepError, match="2 captions for 5 images"):
        draw_image_rows({"a": GREY}, path, captions=["a", "b"])
    assert list(tmp_path.iterdir()) == []
