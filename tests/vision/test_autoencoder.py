"""The plain autoencoder's losses and what it can do."""

from __future__ import annotations

import math

import pytest
import torch
from vision_toys import SMALL, toy_images

from vision.models.autoencoder import Autoencoder, reconstruction_errors
from vision.models.configuration import AutoencoderConfig
from vision.models.model import CanDecode, CanReconstruct, CanScore, ImageModel


def toy(error="squared", backbone="mlp", **changes) -> Autoencoder:
    return Autoencoder((1, 8, 8), AutoencoderConfig(dimension=3, error=error, backbone=SMALL[backbone], **changes))


@pytest.mark.parametrize("error", ["squared", "absolute", "bce"])
def test_errors_are_sums_over_numbers_in_the_mean_over_images(error):
    images = torch.from_numpy(toy_images(6).pixels)
    model = toy(error)
    made = model.decoder(model.encode(images))
    total = 0.0
    for image, one in zip(images.double() / 255, made.double(), strict=True):
        for x, y in zip(image.flatten().tolist(), one.flatten().tolist(), strict=True):
            if error == "squared":
                total += (x - y) ** 2
            elif error == "absolute":
                total += abs(x - y)
            else:
                chance = 1 / (1 + math.exp(-y))
                total -= x * math.log(chance) + (1 - x) * math.log(1 - chance)
    loss = model(images=images)["loss"]
    assert loss.item() == pytest.approx(total / 6, rel=1e-5)
    torch.testing.assert_close(model.scores(images)["reconstruction_error"].mean(), loss)
    # Twice the image has twice the error; twice the images have the same.
    pixels = images.float() / 255
    doubled = reconstruction_errors(made.repeat(1, 1, 1, 2), pixels.repeat(1, 1, 1, 2), error)
    torch.testing.assert_close(doubled, 2 * reconstruction_errors(made, pixels, error))
    torch.testing.assert_close(model(images=images.repeat(2, 1, 1, 1))["loss"], loss)
    # Logits of any size have a finite error.
    assert reconstruction_errors(1e4 * made.sign(), pixels, error).isfinite().all()


@pytest.mark.parametrize("error", ["squared", "absolute", "bce"])
@pytest.mark.parametrize("backbone", SMALL)
def test_it_encodes_decodes_and_reconstructs_in_range(backbone, error):
    model = toy(error, backbone)
    images = torch.from_numpy(toy_images(4).pixels)
    assert isinstance(model, ImageModel | CanDecode | CanReconstruct | CanScore)
    codes = model.encode(images)
    assert codes.shape == (4, 3)
    torch.testing.assert_close(codes, model.encode(images.float() / 255))
    made = model.reconstruct(images)
    torch.testing.assert_close(made, model.decode(codes))
    assert made.shape == images.shape
    assert made.dtype == torch.float32
    assert made.min() >= 0
    assert made.max() <= 1
    model(images=images)["loss"].backward()
    assert all(part.grad is not None for part in model.parameters())


def test_weights_are_a_function_of_the_seed():
    one, same, other = (
        Autoencoder((1, 8, 8), AutoencoderConfig(backbone=SMALL["mlp"]), seed=seed).state_dict() for seed in (1, 1, 2)
    )
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)
