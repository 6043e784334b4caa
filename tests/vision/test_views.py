"""Views against Pillow and loops, an image at a time, and what keys promise."""

from __future__ import annotations

import colorsys
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance

from nlprep.core import randomness
from nlprep.core.errors import OptionError
from vision.views import making
from vision.views.colours import jitter
from vision.views.compiled_views import can_compile, compiled_views
from vision.views.configuration import ViewConfig
from vision.views.draws import ViewDraws, draw_views, normals, uniforms
from vision.views.filters import blurred, cut_out, edges, noisy
from vision.views.making import apply_draws, batched_views, make_views
from vision.views.resampling import resized_crops

NOTHING = ViewConfig(least_crop=1, flip=0, jitter=0, grey=0)
EVERYTHING = ViewConfig(
    strength=1, jitter=0.9, rotation=0.5, blur=0.5, noise=0.5, sobel=0.2, cutout=0.5, grey=0.3, least_crop=0.2
)
LEVEL = 1 / 255


def drawn_images(count: int = 24, size: tuple[int, int] = (12, 12), channels: int = 3) -> torch.Tensor:
    """Smooth colours with some noise."""
    draws = np.random.default_rng(3)
    rows, columns = np.mgrid[: size[0], : size[1]] / max(size)
    waves = draws.uniform(1, 6, (2, count, channels, 1, 1))
    pixels = 0.5 + 0.4 * np.sin(waves[0] * rows + waves[1] * columns + draws.uniform(0, 6, (count, channels, 1, 1)))
    return torch.from_numpy((255 * (pixels + draws.uniform(-0.1, 0.1, pixels.shape)).clip(0, 1)).astype(np.uint8))


def keys_of(count: int, seed: int = 1) -> torch.Tensor:
    return torch.from_numpy(randomness.combine(seed, np.arange(count)).view(np.int64))


def pillow_view(image: torch.Tensor, draws: ViewDraws, place: int) -> np.ndarray:
    """The same crop, flip, changes of colour and loss of it, by Pillow: bytes after each."""
    picture = Image.fromarray(image.permute(1, 2, 0).numpy())
    top, left, height, width = draws.boxes[place].tolist()
    picture = picture.crop((left, top, left + width, top + height))
    picture = picture.resize((image.shape[2], image.shape[1]), Image.Resampling.BILINEAR)
    if draws.flips[place]:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    factors = draws.factors[place].tolist()
    for which in draws.order[place].tolist():
        if which < 3:
            kind = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)[which]
            picture = kind(picture).enhance(factors[which])
        else:
            # Not Pillow's, whose hue has 255 levels, but Python's, pixel by pixel.
            turned = np.asarray(picture).copy()
            for row, column in np.ndindex(turned.shape[:2]):
                hue, saturation, value = colorsys.rgb_to_hsv(*(turned[row, column] / 255))
                made = colorsys.hsv_to_rgb((hue + factors[3]) % 1, saturation, value)
                turned[row, column] = np.round(255 * np.array(made))
            picture = Image.fromarray(turned)
    if draws.grey[place]:
        picture = picture.convert("L").convert("RGB")
    return np.asarray(picture).transpose(2, 0, 1) / 255


def test_views_are_what_pillow_makes_of_each_image_with_the_same_draws() -> None:
    images, config = drawn_images(), ViewConfig()
    draws = draw_views(keys_of(len(images)), (3, 12, 12), config)
    ours = make_views(images, keys_of(len(images)), config)
    differences = np.array([np.abs(ours[n].numpy() - pillow_view(images[n], draws, n)) for n in range(len(images))])
    # Pillow cuts numbers to whole levels after each of six changes, and some multiply what those before were off by;
    # without that there is no difference (next test).
    assert differences.max() < 8 * LEVEL
    assert differences.mean() < 1.2 * LEVEL
    # All that can be drawn was: that nothing was compared with nothing.
    assert len(torch.unique(draws.order, dim=0)) > 10
    assert 0 < draws.grey.sum() < len(images)
    assert 0 < draws.flips.sum() < len(images)
    assert 0 < (draws.factors[:, 3] != 0).sum() < len(images)


def test_changes_of_colour_are_exactly_a_loop() -> None:
    images = drawn_images(count=16, size=(3, 4))
    # Some colours of one channel alone, some grey, black and white.
    images[0, :2], images[1], images[2], images[3] = 0, images[1, :1], 0, 255
    draws = draw_views(keys_of(16), (3, 3, 4), replace(NOTHING, jitter=1, strength=1))
    ours = jitter(images.double() / 255, draws.factors.double(), draws.order)
    weights = np.array([0.299, 0.587, 0.114])[:, None, None]
    for place, image in enumerate(images.numpy() / 255):
        brightness, contrast, saturation, turn = draws.factors[place].tolist()
        for which in draws.order[place].tolist():
            own = (weights * image).sum(0)
            if which == 3:
                for row, column in np.ndindex(3, 4):
                    hue, *others = colorsys.rgb_to_hsv(*image[:, row, column])
                    image[:, row, column] = colorsys.hsv_to_rgb((hue + turn) % 1, *others)
            else:
                factor, aim = ((brightness, 0), (contrast, own.mean()), (saturation, own))[which]
                image = (factor * image + (1 - factor) * aim).clip(0, 1)
        np.testing.assert_allclose(ours[place].numpy(), image, atol=1e-9)


def test_a_compiled_function_and_operators_on_batches_make_the_same_views(monkeypatch: pytest.MonkeyPatch) -> None:
    # Some colours of one channel alone, some grey, black and white.
    images = drawn_images(40)
    images[0, :2], images[1], images[2], images[3] = 0, images[1, :1], 0, 255
    loud = replace(EVERYTHING, strength=1.25, jitter=1, blur=0.7, least_crop=0.02)
    wide = drawn_images(9, (7, 45), channels=1)
    threads = torch.get_num_threads()
    for some, config in ((images, loud), (images, NOTHING), (wide, replace(loud, rotation=0))):
        draws = draw_views(keys_of(len(some)), tuple(some.shape[1:]), config)
        assert can_compile(some)
        ours = compiled_views(some, draws)
        torch.testing.assert_close(ours, batched_views(some, draws, config), atol=1e-5, rtol=0)
        monkeypatch.setattr("vision.views.compiled_views._PER_THREAD", some[:3].numel())
        torch.set_num_threads(3)
        try:
            assert torch.equal(compiled_views(some, draws), ours)
        finally:
            torch.set_num_threads(threads)
    for other in (images.double(), images.to("meta"), images[:, :2]):
        assert not can_compile(other)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    assert not can_compile(images)


@pytest.mark.slow
def test_views_of_floats_are_those_of_bytes() -> None:
    images, draws = drawn_images(8), draw_views(keys_of(8), (3, 12, 12), EVERYTHING)
    expected = apply_draws(images, draws, EVERYTHING)
    for floats in (images.float() / 255, images.double() / 255):
        torch.testing.assert_close(apply_draws(floats, draws, EVERYTHING), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [(12, 12), (5, 7), (16, 9), (1, 1)])
def test_crops_are_resampled_as_pillow_does_with_antialiasing(size: tuple[int, int]) -> None:
    images = drawn_images(6, (12, 14))
    boxes = torch.tensor([[0, 0, 12, 14], [2, 3, 7, 4], [0, 5, 1, 1], [11, 13, 1, 1], [3, 0, 9, 14], [0, 2, 12, 5]])
    flips = torch.tensor([False, True, False, True, True, False])
    ours = resized_crops(images, boxes, flips, size)
    for place, (top, left, height, width) in enumerate(boxes.tolist()):
        picture = Image.fromarray(images[place].permute(1, 2, 0).numpy())
        picture = picture.crop((left, top, left + width, top + height)).resize(size[::-1], Image.Resampling.BILINEAR)
        expected = np.asarray(picture)[:, :: -1 if flips[place] else 1].transpose(2, 0, 1) / 255
        # Pillow rounds twice, after each axis.
        np.testing.assert_allclose(ours[place].numpy(), expected, atol=1.01 * LEVEL)
    torch.testing.assert_close(resized_crops(images.float() / 255, boxes, flips, size), ours)


def test_nothing_to_do_changes_nothing() -> None:
    images = drawn_images(5, (6, 9))
    torch.testing.assert_close(make_views(images, keys_of(5), NOTHING), images.float() / 255)
    grey = drawn_images(5, (8, 8), channels=1)
    coloured = make_views(grey.expand(-1, 3, -1, -1), keys_of(5), ViewConfig(strength=1))
    torch.testing.assert_close(make_views(grey, keys_of(5), ViewConfig(strength=1)), coloured[:, :1], atol=1e-5, rtol=0)


@pytest.mark.parametrize("compiled", [True, False])
def test_a_view_is_a_function_of_its_image_its_key_and_its_number(
    compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, keys = drawn_images(20), keys_of(20)
    monkeypatch.setattr(making, "can_compile", lambda _: compiled)
    views = make_views(images, keys, EVERYTHING)
    order = torch.from_numpy(np.random.default_rng(0).permutation(20))
    torch.testing.assert_close(make_views(images[order], keys[order], EVERYTHING), views[order], atol=1e-6, rtol=0)
    torch.testing.assert_close(make_views(images[3:4], keys[3:4], EVERYTHING), views[3:4], atol=1e-6, rtol=0)
    monkeypatch.setattr(making, "_AT_ONCE", 3 * images[0].numel())
    torch.testing.assert_close(make_views(images, keys, EVERYTHING), views, atol=1e-6, rtol=0)
    for other in (make_views(images, keys, EVERYTHING, view=1), make_views(images, keys_of(20, seed=2), EVERYTHING)):
        assert ((other - views).abs().amax((1, 2, 3)) > 0.01).all()
    state = torch.get_rng_state()
    make_views(images, keys, EVERYTHING)
    assert torch.equal(torch.get_rng_state(), state)
    # Switched on and off, one thing leaves the draws of the others as they are.
    one, two = draw_views(keys, (3, 12, 12), EVERYTHING), draw_views(keys, (3, 12, 12), replace(EVERYTHING, flip=0))
    assert torch.equal(one.boxes, two.boxes)
    assert torch.equal(one.factors, two.factors)


def test_random_numbers_are_those_of_the_house() -> None:
    keys = keys_of(7)
    expected = randomness.uniforms(keys.numpy().view(np.uint64), 9, purpose=4)
    np.testing.assert_array_equal(uniforms(keys, 9, purpose=4).numpy(), expected)
    many = normals(keys_of(400), 101).double()
    assert many.shape == (400, 101)
    assert abs(many.mean()) < 0.02
    assert abs(many.var() - 1) < 0.03
    assert abs((many**4).mean() - 3) < 0.15
    assert abs((many[:, :50] * many[:, 51:]).mean()) < 0.03


def test_draws_have_the_distributions_that_are_promised() -> None:
    config = ViewConfig(least_crop=0.25, strength=1, rotation=0.5, blur=0.5)
    draws = draw_views(keys_of(20_000), (3, 60, 60), config)
    top, left, height, width = draws.boxes.unbind(1)
    assert (draws.boxes >= 0).all()
    assert (top + height <= 60).all()
    assert (left + width <= 60).all()
    shares = height * width / 3600
    assert 0.23 < shares.min() < 0.27
    assert shares.max() > 0.97
    assert (width / height).max() <= 4 / 3 * 1.06
    assert (height / width).max() <= 4 / 3 * 1.06
    for mean, expected in (
        (draws.flips.float().mean(), 0.5),
        (draws.grey.float().mean(), 0.2),
        ((draws.factors[:, 3] != 0).float().mean(), 0.8),
        ((draws.turns == 2).float().mean(), 1 / 6),
        ((draws.widths > 0).float().mean(), 0.5),
        ((draws.order[:, 0] == 3).float().mean(), 0.25),
        (draws.factors[:, 0].mean(), 1.0),
        (draws.factors[:, 3].abs().max(), 0.2),
        ((draws.order[:, 0] < draws.order[:, 1]).float().mean(), 0.5),
    ):
        assert float(mean) == pytest.approx(expected, abs=0.02)
    # Of a long image no crop of this form fits, but in its middle.
    long = draw_views(keys_of(50), (3, 8, 90), replace(config, least_crop=0.9, rotation=0)).boxes
    assert (long == torch.tensor([0, 39, 8, 11])).all()


def test_filters_are_the_loops() -> None:
    pixels = drawn_images(4, (9, 8)).double() / 255
    widths = torch.tensor([0.1, 0.7, 1.5, 2.0])
    cuts = torch.tensor([[0, 0], [4, 4], [-1, -1], [8, 7]])
    soft, steep, cut = blurred(pixels, widths), edges(pixels), cut_out(pixels, cuts, 0.5)
    sobel = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    for image, channel, row, column in np.ndindex(4, 3, 9, 8):
        near = {
            (down, across): float(pixels[image, channel, min(max(row + down, 0), 8), min(max(column + across, 0), 7)])
            for down in (-1, 0, 1)
            for across in (-1, 0, 1)
        }
        weights = {
            place: math.exp(-(place[0] ** 2 + place[1] ** 2) / (2 * float(widths[image]) ** 2)) for place in near
        }
        mean = sum(weights[place] * near[place] for place in near) / sum(weights.values())
        assert float(soft[image, channel, row, column]) == pytest.approx(mean, abs=1e-6)
        along = [sum(kernel[1 + d, 1 + a] * near[d, a] for d, a in near) for kernel in (sobel, sobel.T)]
        assert float(steep[image, channel, row, column]) == pytest.approx(min(1, math.hypot(*along) / 4), abs=1e-6)
        top, left = (cuts[image] - 2).tolist()
        hole = image != 2 and top <= row < top + 4 and left <= column < left + 4
        assert float(cut[image, channel, row, column]) == (0.5 if hole else near[0, 0])


def test_noise_is_as_loud_as_it_was_drawn_and_turns_are_quarters() -> None:
    grey = torch.full((3, 3, 30, 30), 0.5)
    found = noisy(grey, torch.tensor([0.0, 0.02, 0.1]), keys_of(3)) - 0.5
    assert [float(one.std()) for one in found] == pytest.approx([0, 0.02, 0.1], rel=0.05)
    images = drawn_images(30)
    config = replace(NOTHING, rotation=1)
    draws = draw_views(keys_of(30), (3, 12, 12), config)
    views = apply_draws(images, draws, config)
    for image, turns, view in zip(images, draws.turns.tolist(), views, strict=True):
        np.testing.assert_allclose(view.numpy(), np.rot90(image.numpy(), turns, (1, 2)) / 255, atol=1e-6)
    assert set(draws.turns.tolist()) == {1, 2, 3}
    with pytest.raises(OptionError, match="images of 8 x 9 are not square: set it to 0"):
        draw_views(keys_of(2), (3, 8, 9), config)


@pytest.mark.parametrize("compiled", [True, False])
def test_extremes_stay_in_range(compiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "can_compile", lambda _: compiled)
    for level in (0, 255, 7):
        images = torch.full((40, 3, 5, 5), level, dtype=torch.uint8)
        views = make_views(images, keys_of(40), replace(EVERYTHING, strength=1.25))
        assert torch.isfinite(views).all()
        assert views.min() >= 0
        assert views.max() <= 1
    assert make_views(drawn_images(3)[:0], keys_of(0), EVERYTHING).shape == (0, 3, 12, 12)
