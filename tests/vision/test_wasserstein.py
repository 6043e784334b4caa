"""The Wasserstein autoencoder's penalties: their sign, their gradient in parts, and what they do to codes."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits
from vision_toys import settings, toy_images

from nlprep.core.training import Moment, fit
from nlprep.objectives.discrepancy import inverse_multiquadric_kernel, squared_mmd
from vision.backbones.configuration import BackboneConfig
from vision.images.collection import ImageExamples
from vision.models.configuration import WassersteinConfig
from vision.models.wasserstein import WassersteinAutoencoder

pytestmark = pytest.mark.slow

MLP = BackboneConfig(kind="mlp", width=16)


def make(**changes) -> WassersteinAutoencoder:
    config = WassersteinConfig(**{"dimension": 2, "backbone": MLP, "width": 16} | changes)
    return WassersteinAutoencoder((1, 8, 8), config)


def distance(codes: torch.Tensor) -> float:
    """From the prior, by many of its draws."""
    prior = torch.randn(2000, codes.shape[1], generator=torch.Generator().manual_seed(9))
    return float(squared_mmd(codes, prior, inverse_multiquadric_kernel(1.0, 4.0)))


def test_the_loss_is_the_error_and_what_is_added_of_the_discrepancy():
    model, images = make(penalty_weight=7.0), torch.from_numpy(toy_images().pixels)
    torch.manual_seed(1)
    losses = model(images)
    torch.manual_seed(1)
    codes = model.encode(images)
    made = model.decoder(codes).detach()
    prior = torch.randn_like(codes)
    kernel = inverse_multiquadric_kernel(*(4 * scale for scale in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)))
    errors = sum(float((one - two / 255).square().sum()) for one, two in zip(made, images, strict=True)) / len(images)
    assert float(losses["reconstruction"].detach()) == pytest.approx(errors, rel=1e-5)
    expected = errors + 7 * float(squared_mmd(codes, prior, kernel).detach())
    assert float(losses["loss"].detach()) == pytest.approx(expected, rel=1e-5)


def test_the_discrepancy_draws_codes_to_the_prior():
    images = toy_images(64, labels=False)
    found = []
    for weight in (0.0, 200.0):
        model = make(penalty_weight=weight)
        with torch.no_grad():
            model.to_code.bias.fill_(3.0)
        fit(model.step(), ImageExamples(images), config=settings(steps=60, batch_size=64))
        found.append(distance(model.encode(torch.from_numpy(images.pixels)).detach()))
    assert found[1] < 0.3 * found[0]


def test_the_adversary_learns_to_tell_and_the_model_to_deceive():
    model, batch = make(penalty="adversarial", penalty_weight=5.0), {"images": torch.from_numpy(toy_images().pixels)}
    step, moment = model.step(), Moment(0, 1)
    adversary = step.discriminator
    torch.manual_seed(1)
    found = step.losses("discriminator", step.players, batch, moment=moment)["loss"]
    torch.manual_seed(1)
    codes = model.encode(batch["images"])
    prior = torch.randn_like(codes)
    truths = torch.cat([torch.ones(len(codes)), torch.zeros(len(codes))])
    logits = adversary(torch.cat([prior, codes]))
    torch.testing.assert_close(found, 2 * binary_cross_entropy_with_logits(logits, truths))
    losses = step.losses("generator", step.players, batch, moment=moment)
    deception = binary_cross_entropy_with_logits(adversary(codes), torch.ones(len(codes)))
    torch.testing.assert_close(losses["deception"], deception)
    torch.testing.assert_close(losses["loss"], losses["reconstruction"] + 5 * deception)
    # The adversary's turn leaves the model no gradient, and descending the model's makes codes look like the prior.
    assert all(each.grad is None for each in model.parameters())
    found.backward()
    assert all(each.grad is None for each in model.parameters())
    (gradient,) = torch.autograd.grad(losses["deception"], model.to_code.bias)
    with torch.no_grad():
        model.to_code.bias.sub_(gradient)
    assert float(adversary(model.encode(batch["images"])).mean()) > float(adversary(codes).mean())


def test_a_batch_in_parts_is_trained_as_the_whole():
    images, weights = toy_images(32, labels=False), []
    for part in (None, 4):
        model = make()
        step = model.step()
        # Draws from the prior differ between parts and the whole: they are made a function of the image.
        forward = model.forward

        def keyed(images, *, forward=forward, **given):
            apart = dict(forward(images, apart=torch.ones(())))
            apart["prior"] = images.flatten(1)[:, :2].float() / 20 - 1
            return apart

        model.forward = keyed
        fit(step, ImageExamples(images), config=settings(steps=3, batch_size=16, micro_batch_size=part))
        weights.append(model.to_code.weight.detach().clone())
    torch.testing.assert_close(weights[0], weights[1], atol=1e-5, rtol=1e-4)


def test_the_adversary_moves_first_and_is_no_part_of_the_model():
    model = make(penalty="adversarial")
    step = model.step()
    assert list(step.turns(0)) == ["discriminator", "generator"]
    ours = {id(parameter) for parameter in model.parameters()}
    assert not ours & {id(parameter) for parameter in step.players["discriminator"].parameters()}
    history = fit(step, ImageExamples(toy_images()), config=settings(), validation=ImageExamples(toy_images()))
    assert {"generator_reconstruction", "generator_deception", "discriminator_loss"} <= history.records[0].keys()


def test_what_it_can_do():
    model, images = make(), torch.from_numpy(toy_images(5).pixels)
    assert model.encode(images).shape == (5, 2)
    torch.testing.assert_close(model.reconstruct(images), model.decode(model.encode(images)))
    made = model.sample(3)
    assert made.shape == (3, 1, 8, 8)
    assert float(made.min().detach()) >= 0
    assert model.scores(images)["latent_distance"].shape == (5,)
