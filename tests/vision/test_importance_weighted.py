"""The importance-weighted bound against a loop, its doubly reparameterised gradient against the plain one's mean."""

from __future__ import annotations

import math

import pytest
import torch
from linear_gaussian import exact_log_likelihoods, linear_gaussian_vae, planted_images

from nlprep.core.training import TrainingConfig, fit
from vision.backbones.configuration import BackboneConfig
from vision.images.collection import ImageExamples
from vision.models.configuration import ImportanceWeightedConfig, LikelihoodConfig
from vision.models.importance_weighted import ImportanceWeightedAutoencoder

pytestmark = pytest.mark.slow

SHAPE = (1, 3, 3)
MLP = BackboneConfig(kind="mlp", width=5, depth=1)
ENCODER, DECODER = "to_posterior.weight", "decoder.layers.0.weight"


def make(gradient: str, samples: int = 8) -> ImportanceWeightedAutoencoder:
    config = ImportanceWeightedConfig(
        dimension=2, samples=samples, gradient=gradient, backbone=MLP,
        likelihood=LikelihoodConfig(binarization="none"),
    )  # fmt: skip
    model = ImportanceWeightedAutoencoder(SHAPE, config)
    with torch.no_grad():
        # A decoder that codes matter to, or there is nothing to be learned about.
        model.decoder.layers[-1].weight.mul_(6)
        model.decoder.layers[0].weight.mul_(2)
    return model


def image() -> torch.Tensor:
    return (torch.rand(1, *SHAPE, generator=torch.Generator().manual_seed(2)) > 0.5).float()


def gradients(gradient: str, repeats: int, *, groups: int) -> dict[str, torch.Tensor]:
    """(groups, ...) gradients, each the mean over many draws for one image."""
    model = make(gradient)
    found: dict[str, list[torch.Tensor]] = {ENCODER: [], DECODER: []}
    for group in range(groups):
        torch.manual_seed(group)
        model.zero_grad()
        model(image().expand(repeats, *SHAPE))["loss"].backward()
        for name, rows in found.items():
            rows.append(model.get_parameter(name).grad.clone())
    return {name: torch.stack(rows) for name, rows in found.items()}


def test_the_bound_is_the_loop_over_codes_of_one_image():
    model = make("plain", samples=4)
    images = torch.cat([image(), 1 - image(), torch.ones(1, *SHAPE)])
    torch.manual_seed(3)
    losses = model(images)
    torch.manual_seed(3)
    noise = torch.randn(4, 3, 2)
    total = 0.0
    for place, one in enumerate(images):
        mean, log_scale = (each[0].double().detach() for each in model.posterior(one[None]))
        weights = []
        for e in noise[:, place].double():
            code = mean + log_scale.exp() * e
            logits = model.decoder(code.float()[None])[0].double().detach()
            likely = float((one * logits.sigmoid().log() + (1 - one) * (1 - logits.sigmoid()).log()).sum())
            prior = float((-(code**2) / 2 - math.log(2 * math.pi) / 2).sum())
            posterior = float((-(e**2) / 2 - math.log(2 * math.pi) / 2 - log_scale).sum())
            weights.append(math.exp(likely + prior - posterior))
        total += math.log(sum(weights) / 4)
    assert float(losses["loss"].detach()) == pytest.approx(-total / 3, rel=1e-4)


def test_the_double_gradient_is_the_plain_ones_in_expectation():
    plain, double = (gradients(kind, 400, groups=60) for kind in ("plain", "double"))
    difference = plain[ENCODER].mean(0) - double[ENCODER].mean(0)
    error = ((plain[ENCODER].var(0) + double[ENCODER].var(0)) / 60).sqrt()
    assert float((difference / error).abs().max()) < 4
    # It is not small against the error: a gradient of nothing, or without the second share, would be seen.
    assert float((plain[ENCODER].mean(0) / error).abs().max()) > 20
    torch.testing.assert_close(plain[DECODER], double[DECODER])


def test_at_the_exact_posterior_the_double_gradient_has_no_noise_at_all():
    found = {}
    for gradient in ("plain", "double"):
        vae, parts = linear_gaussian_vae(samples=8, gradient=gradient)
        torch.manual_seed(1)
        vae(torch.from_numpy(planted_images(parts, 20).pixels))["loss"].backward()
        found[gradient] = float(vae.to_posterior.bias.grad.norm())
    assert found["double"] < 1e-3 < 1e-2 < found["plain"]


def test_of_one_sample_both_are_bounds_of_the_variational_kind():
    losses = []
    for kind in ("plain", "double"):
        torch.manual_seed(1)
        found = make(kind, samples=1)(image())
        losses.append(float(found["loss"].detach()))
        torch.testing.assert_close(found["loss"].detach(), found["negative_elbo"])
    assert losses[0] == losses[1]


def test_the_bound_rises_to_the_likelihood_with_its_samples():
    gaps = []
    for samples in (1, 5, 50):
        vae, parts = linear_gaussian_vae(samples=samples, widened=0.4)
        images = torch.from_numpy(planted_images(parts, 100).pixels)
        torch.manual_seed(1)
        exact = float(exact_log_likelihoods(parts, images).mean())
        gaps.append(exact + float(torch.stack([vae(images)["loss"].detach() for _ in range(20)]).mean()))
    assert gaps[0] > 2 * gaps[1] > 4 * gaps[2] > -0.1


@pytest.mark.parametrize("gradient", ["plain", "double"])
def test_training_learns(gradient: str):
    _, parts = linear_gaussian_vae()
    images = planted_images(parts, 200)
    config = ImportanceWeightedConfig(
        dimension=3, samples=4, gradient=gradient, backbone=BackboneConfig(kind="mlp", width=16),
        likelihood=LikelihoodConfig(kind="gaussian"),
    )  # fmt: skip
    model = ImportanceWeightedAutoencoder((1, 3, 4), config)
    settings = TrainingConfig(steps=100, batch_size=50, learning_rate=1e-2, log_every=1)
    history = fit(model.step(), ImageExamples(images), config=settings, validation=ImageExamples(images))
    exact = float(exact_log_likelihoods(parts, images.pixels).mean())
    assert history.records[0]["loss"] > -exact + 10
    assert history.last("validation_loss") < -exact + 4
