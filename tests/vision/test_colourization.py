"""Colourization: Lab against the standard's values, the loss against a loop, and weights that follow from a batch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from vision_toys import SMALL, StoppingExamples, settings, toy_images

from nlprep.core.errors import OptionError
from nlprep.core.training import fit
from vision.images.collection import ImageExamples, Images
from vision.models.colourization import Colourization
from vision.models.lab import colours_on_screen, from_lab, to_lab
from vision.models.pretext_configuration import ColourizationConfig

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

SHAPE = (3, 8, 8)
CONFIG = ColourizationConfig(grid=40, hidden=4, backbone=SMALL["convolutional"])

# Known of the standard, to two places: white, black, red, green and blue of sRGB under D65.
KNOWN = [
    ((1, 1, 1), (100, 0, 0)), ((0, 0, 0), (0, 0, 0)), ((1, 0, 0), (53.24, 80.09, 67.20)),
    ((0, 1, 0), (87.74, -86.18, 83.18)), ((0, 0, 1), (32.30, 79.20, -107.86)),
]  # fmt: skip


@pytest.mark.parametrize(("colour", "lab"), KNOWN)
def test_lab_is_that_of_the_standard(colour: tuple[float, ...], lab: tuple[float, ...]) -> None:
    found = to_lab(torch.tensor(colour, dtype=torch.float64).view(1, 3, 1, 1)).flatten()
    assert found.tolist() == pytest.approx(lab, abs=0.03)


def test_lab_goes_there_and_back_in_half_the_bits_too() -> None:
    pixels = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(1))
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(from_lab(to_lab(pixels)), pixels, atol=1e-5, rtol=0)
        greys = to_lab(torch.linspace(0, 1, 20).expand(1, 3, 1, 20))
    assert greys[:, 1:].abs().max() < 1e-3


def test_colours_are_those_that_a_screen_can_show() -> None:
    colours = colours_on_screen(10.0)
    assert len(colours) == 260
    # Squares of far greens and far blues are none that a screen shows together.
    found = {tuple(colour) for colour in colours.tolist()}
    assert (0.0, 0.0) in found
    assert (80.0, 70.0) in found
    assert (-90.0, -100.0) not in found


@torch.no_grad()
def test_the_loss_is_that_of_a_loop_over_places() -> None:
    model = Colourization(SHAPE, CONFIG)
    images = torch.from_numpy(toy_images(2, SHAPE).pixels)
    model.weigh(images)
    lab = to_lab(images.float() / 255).double()
    logits = model.predict(lab[:, :1].float()).double()
    rows, columns = model.grid
    assert logits.shape == (2, len(model.colours), rows, columns)
    total, plain = 0.0, 0.0
    for image in range(2):
        for row in range(rows):
            for column in range(columns):
                high, wide = 8 // rows, 8 // columns
                block = lab[image, 1:, row * high : (row + 1) * high, column * wide : (column + 1) * wide]
                distances = [math.dist(colour, block.mean((1, 2)).tolist()) for colour in model.colours.tolist()]
                nearest = sorted(range(len(distances)), key=distances.__getitem__)[:5]
                likelihoods = [math.exp(-((distances[place] / 20) ** 2) / 2) for place in nearest]
                said = logits[image, :, row, column].log_softmax(0)
                nats = -sum(
                    likelihood / sum(likelihoods) * float(said[place])
                    for place, likelihood in zip(nearest, likelihoods, strict=True)
                )
                plain += nats
                total += nats * float(model.weights[nearest[0]])
    found = model(images)
    assert float(found["nats"]) == pytest.approx(plain / (2 * rows * columns), rel=1e-4)
    assert float(found["loss"]) == pytest.approx(total / (2 * rows * columns), rel=1e-4)


def test_rare_colours_count_more_and_all_places_once() -> None:
    pixels = np.full((8, *SHAPE), 128, np.uint8)
    pixels[0, 0], pixels[0, 1] = 255, 0
    model = Colourization(SHAPE, CONFIG)
    model.weigh(torch.from_numpy(pixels))
    places = model.true_colours(to_lab(torch.from_numpy(pixels).float() / 255)[:, 1:])[0][..., 0]
    weights = model.weights[places]
    assert float(weights.mean()) == pytest.approx(1, rel=1e-5)
    # 1/8 against 7/8 of the places, half of it shared out evenly; smoothing takes a little.
    assert float(weights[0].mean() / weights[1].mean()) > 2


@torch.no_grad()
def test_a_code_does_not_depend_on_colours() -> None:
    model = Colourization(SHAPE, CONFIG)
    lightness = 40 + 20 * torch.rand(3, 1, 8, 8)
    coloured = from_lab(torch.cat([lightness, torch.full((3, 2, 8, 8), 10.0)], 1))
    grey = from_lab(torch.cat([lightness, torch.zeros(3, 2, 8, 8)], 1))
    assert (coloured - grey).abs().max() > 0.05
    torch.testing.assert_close(model.encode(coloured), model.encode(grey), atol=1e-4, rtol=1e-4)
    # A picture keeps its lightness, whatever colours it gets.
    made = model.reconstruct(grey)
    torch.testing.assert_close(to_lab(made)[:, :1], lightness, atol=0.5, rtol=0)


def test_a_run_that_was_stopped_has_the_weights_of_its_first_batch(tmp_path: Path) -> None:
    images = toy_images(24, SHAPE)
    config = settings(steps=5, checkpoint_every=1)
    with pytest.raises(RuntimeError, match="stopped"):
        fit(Colourization(SHAPE, CONFIG).step(), StoppingExamples(images), config=config, directory=tmp_path / "run")
    found = []
    for directory in (tmp_path / "run", None):
        model = Colourization(SHAPE, CONFIG)
        history = fit(model.step(), ImageExamples(images), config=config, directory=directory)
        assert bool(history.resumed_from) == (directory is not None)
        found.append(model.state_dict())
    assert found[0]["weights"].std() > 0
    assert all(torch.equal(value, found[1][name]) for name, value in found[0].items())


def test_parts_of_a_batch_have_the_weights_of_the_whole() -> None:
    found = []
    for size in (None, 4):
        model = Colourization(SHAPE, CONFIG)
        fit(
            model.step(), ImageExamples(toy_images(24, SHAPE)), config=settings(steps=2, micro_batch_size=size)
        )  # fmt: skip
        found.append(model.state_dict())
    for name, value in found[0].items():
        torch.testing.assert_close(found[1][name], value, rtol=1e-3, atol=2e-5)


@pytest.mark.slow
def test_the_colour_of_bright_things_is_learned() -> None:
    pixels = np.zeros((16, *SHAPE), np.uint8)
    draws = np.random.default_rng(2).random(16) < 0.5
    pixels[draws, 0], pixels[draws, 1] = 255, 60
    pixels[~draws, 2] = 200
    images = ImageExamples(Images(pixels))
    model = Colourization(SHAPE, CONFIG)
    fit(model.step(), images, config=settings(steps=30))
    made = model.reconstruct(torch.from_numpy(pixels)).detach()
    assert bool(((made[:, 0] > made[:, 2]).float().mean((1, 2)) > 0.5).eq(torch.from_numpy(draws)).all())


def test_grey_images_are_refused() -> None:
    with pytest.raises(OptionError, match="images are grey"):
        Colourization((1, 8, 8), CONFIG)
