"""Variational autoencoders: the bound against torch.distributions and PPCA, and what the models can do."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from linear_gaussian import exact_log_likelihoods, linear_gaussian_vae, planted_images
from torch.distributions import Bernoulli, Independent, Normal, kl_divergence

from nlprep.core.errors import NlprepError
from nlprep.core.training import Moment, TrainingConfig, fit
from nlprep.objectives.divergences import gaussian_kl_terms
from vision.backbones.configuration import BackboneConfig
from vision.images.collection import ImageExamples, Images
from vision.models.conditional_autoencoder import ConditionalAutoencoder
from vision.models.configuration import AutoencoderConfig, LikelihoodConfig, VaeConfig
from vision.models.latents import interpolate, interpolate_codes, traverse
from vision.models.methods import MODELS, name_of
from vision.models.vae import Vae

MLP = BackboneConfig(kind="mlp", width=16)


def make(likelihood: str = "bernoulli", *, num_classes: int = 0, shape=(1, 6, 5), **settings) -> Vae:
    config = VaeConfig(dimension=4, likelihood=LikelihoodConfig(kind=likelihood), backbone=MLP, **settings)
    return Vae(shape, config, num_classes=num_classes)


def toys(count: int = 40, shape=(1, 6, 5)) -> Images:
    generator = np.random.default_rng(1)
    labels = generator.integers(0, 3, count)
    pixels = generator.integers(0, 80, (count, *shape), dtype=np.uint8) + (80 * labels[:, None, None, None]).astype(
        np.uint8
    )
    return Images(pixels, labels, ("a", "b", "c"))


def test_the_loss_is_torch_distributions_own():
    vae = make()
    images = torch.from_numpy(toys().pixels)
    torch.manual_seed(5)
    losses = vae(images)
    torch.manual_seed(5)
    targets = (torch.rand(images.shape) < images.float() / 255).float()
    mean, log_scale = vae.posterior(targets)
    posterior = Independent(Normal(mean, log_scale.exp()), 1)
    codes = mean + log_scale.exp() * torch.randn_like(mean)
    likely = Independent(Bernoulli(logits=vae.decoder(codes)), 3).log_prob(targets)
    prior = Independent(Normal(torch.zeros_like(mean), torch.ones_like(mean)), 1)
    rate = kl_divergence(posterior, prior)
    torch.testing.assert_close(losses["distortion"], -likely.mean())
    torch.testing.assert_close(losses["rate"], rate.mean())
    torch.testing.assert_close(losses["loss"], (rate - likely).mean())


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian", "logistic"])
def test_an_image_tiled_twice_has_twice_the_distortion_and_a_batch_doubled_the_same(likelihood: str):
    vae = make(likelihood)
    pixels = vae.likelihood.targets(torch.from_numpy(toys().pixels).float() / 255)
    codes, twice = vae.encode(pixels), torch.cat([pixels, pixels], -1)
    numbers = vae.numbers(codes)
    once = vae.likelihood.log_probability(numbers, pixels)
    tiled = vae.likelihood.log_probability(torch.cat([numbers, numbers], -1), twice)
    torch.testing.assert_close(tiled, 2 * once)
    images = (torch.from_numpy(toys().pixels) > 100).to(torch.uint8) * 255
    scores = [vae.scores(batch)["bound"].mean() for batch in (images, torch.cat([images, images]))]
    torch.testing.assert_close(scores[0], scores[1])


def test_a_linear_gaussian_bound_is_ppcas_likelihood_where_the_posterior_is_exact():
    vae, parts = linear_gaussian_vae()
    images = torch.from_numpy(planted_images(parts, 200).pixels)
    exact = exact_log_likelihoods(parts, images)
    targets = images.float() / 255
    mean, log_scale = vae.posterior(targets)
    torch.manual_seed(1)
    codes = mean + log_scale.exp() * torch.randn(50, *mean.shape)
    weights = vae.log_weights(targets, codes, mean, log_scale)
    # Of the exact posterior every weight is p(x), whatever the code.
    torch.testing.assert_close(weights, exact.expand_as(weights), atol=2e-4, rtol=1e-5)
    # And the loss, whose divergence is in closed form, is that in the mean over codes.
    found = torch.stack([vae(images)["negative_elbo"] for _ in range(200)])
    error = float(found.std()) / math.sqrt(len(found))
    assert float(found.mean()) == pytest.approx(-float(exact.mean()), abs=3 * error)


def test_the_bound_of_another_posterior_is_lower():
    vae, parts = linear_gaussian_vae(widened=0.5)
    images = torch.from_numpy(planted_images(parts, 200).pixels)
    exact = float(exact_log_likelihoods(parts, images).mean())
    found = torch.stack([vae(images)["negative_elbo"] for _ in range(50)])
    assert -float(found.mean()) + 5 * float(found.std()) / math.sqrt(50) < exact


def test_beta_weighs_the_rate_and_rises():
    vae = make(beta=4.0, beta_warmup=0.5)
    images = torch.from_numpy(toys().pixels)
    step = vae.step()
    torch.manual_seed(1)
    found = [
        step.losses("model", step.players, {"images": images}, moment=Moment(number, 8)) for number in (0, 2, 4, 8)
    ]
    for beta, losses in zip((0.0, 2.0, 4.0, 4.0), found, strict=True):
        torch.testing.assert_close(losses["loss"].detach(), losses["distortion"] + beta * losses["rate"])
        torch.testing.assert_close(losses["final_loss"], losses["distortion"] + 4 * losses["rate"])
        torch.testing.assert_close(losses["negative_elbo"], losses["distortion"] + losses["rate"])
    # Early weights have a low loss because beta is low: they are not the best.
    assert step.criterion == "final_loss"
    history = fit(
        step, ImageExamples(toys()), config=TrainingConfig(steps=8, batch_size=8), validation=ImageExamples(toys())
    )
    finals = [record["validation_final_loss"] for record in history.records if "validation_final_loss" in record]
    assert history.best_loss == pytest.approx(min(finals))


def test_free_bits_are_no_charge_and_have_no_gradient():
    vae = make(free_bits=50.0)
    losses = vae(torch.from_numpy(toys().pixels))
    torch.testing.assert_close(losses["loss"].detach(), losses["distortion"] + 50.0 * 4)
    losses["loss"].backward()
    charged, free = make(), make(free_bits=1e-6)
    images = torch.from_numpy(toys().pixels)
    found = []
    for model in (charged, free):
        torch.manual_seed(1)
        found.append(float(model(images)["loss"].detach()))
    assert found[0] == pytest.approx(found[1], abs=1e-4)


def test_a_batch_in_parts_has_the_whole_ones_loss(monkeypatch):
    """Free nats are counted for each image: for the mean of a batch, parts would have another loss."""
    images = torch.from_numpy(toys().pixels)
    vae = make("gaussian", free_bits=0.02)
    terms = gaussian_kl_terms(*vae.posterior(images.float() / 255))
    assert 0.1 < float((terms < 0.02).float().mean()) < 0.9
    monkeypatch.setattr(torch, "randn", torch.zeros)
    whole, first, rest = (vae(part)["loss"].detach() for part in (images, images[:10], images[10:]))
    torch.testing.assert_close(whole, (first + 3 * rest) / 4)


@pytest.mark.slow
def test_training_learns_and_labels_are_needed_and_used():
    images = toys(120)
    vae = make("gaussian", num_classes=3)
    assert name_of(vae) == "conditional-vae"
    assert name_of(make()) == "vae"
    config = TrainingConfig(steps=60, batch_size=40, learning_rate=1e-2, log_every=1)
    history = fit(vae.step(), ImageExamples(images, labels=True), config=config)
    assert history.records[-1]["loss"] < history.records[0]["loss"] - 5
    codes = torch.zeros(3, 4)
    made = vae.decode(codes, torch.arange(3)).detach().mean((1, 2, 3))
    assert float(made[0]) < float(made[1]) < float(made[2])
    with pytest.raises(NlprepError, match="give a label"):
        vae.decode(codes)
    with pytest.raises(NlprepError, match="classes 0 to 2"):
        vae.decode(codes, torch.tensor([0, 1, 3]))
    # Unlabelled images have codes, and samples are of each class in turn.
    assert vae.encode(torch.from_numpy(images.pixels)).shape == (120, 4)
    torch.manual_seed(1)
    assert vae.sample(6).shape == (6, 1, 6, 5)


@pytest.mark.slow
def test_a_conditional_autoencoder_uses_labels():
    images = toys(120)
    model = ConditionalAutoencoder(
        (1, 6, 5), AutoencoderConfig(dimension=1, error="squared", backbone=MLP), num_classes=3
    )
    assert name_of(model) == "conditional-autoencoder"
    config = TrainingConfig(steps=80, batch_size=40, learning_rate=1e-2)
    fit(model.step(), ImageExamples(images, labels=True), config=config)
    pixels = torch.from_numpy(images.pixels[:3])
    found = [model.reconstruct(pixels, torch.full((3,), label)) for label in range(3)]
    assert not torch.allclose(found[0], found[2], atol=1e-3)
    labelled = model.scores(pixels, torch.from_numpy(images.labels[:3]))["reconstruction_error"]
    best = model.scores(pixels)["reconstruction_error"]
    assert bool((best <= labelled + 1e-5).all())
    with pytest.raises(NlprepError, match="needs classes"):
        ConditionalAutoencoder((1, 6, 5), AutoencoderConfig(backbone=MLP))


def test_what_it_can_do():
    vae, images = make(), torch.from_numpy(toys(6).pixels)
    codes = vae.encode(images)
    assert torch.equal(codes, vae.encode(images))
    made = vae.reconstruct(images)
    assert made.shape == images.shape
    assert float(made.detach().min()) >= 0
    assert float(made.detach().max()) <= 1
    torch.testing.assert_close(made, vae.decode(codes))
    way = interpolate(vae, codes[:2], codes[2:4], 5)
    assert way.shape == (2, 5, 1, 6, 5)
    torch.testing.assert_close(way[:, 0], made[:2])
    torch.testing.assert_close(way[:, -1], made[2:4])
    walked = traverse(vae, codes[:2], [0, 3], [-1.0, 0.0, 1.0])
    changed = codes[1].clone()
    changed[3] = 1.0
    assert walked.shape == (2, 2, 3, 1, 6, 5)
    torch.testing.assert_close(walked[1, 1, 2], vae.decode(changed[None])[0])
    assert set(vae.sample_pixels(3).unique().tolist()) <= {0.0, 1.0}
    scores = vae.scores(images)
    torch.testing.assert_close(scores["bound"], scores["distortion"] + scores["rate"])
    torch.testing.assert_close(scores["bound"][:2], vae.scores(images[:2])["bound"])
    with pytest.raises(NlprepError, match="dimension 4"):
        traverse(vae, codes, [4], [0.0])


def test_labels_go_with_their_images_along_a_way():
    vae = make(num_classes=3)
    codes, labels = torch.randn(2, 4), torch.tensor([0, 2])
    way = interpolate(vae, codes, codes + 1, 3, labels=labels)
    torch.testing.assert_close(way[1, 1], vae.decode(codes[1:] + 0.5, labels[1:])[0])


def test_spherical_ways_keep_the_length_and_meet_their_ends():
    first, second = torch.tensor([[2.0, 0.0], [1.0, 1.0]]), torch.tensor([[0.0, 2.0], [2.0, 2.0]])
    way = interpolate_codes(first, second, 5, spherical=True)
    torch.testing.assert_close(way[0].norm(dim=-1), torch.full((5,), 2.0))
    torch.testing.assert_close(way[0, 2], torch.tensor([math.sqrt(2), math.sqrt(2)]))
    torch.testing.assert_close(way[:, 0], first)
    torch.testing.assert_close(way[:, -1], second)


def test_the_seed_makes_the_weights():
    one, same = make().state_dict(), make().state_dict()
    other = Vae((1, 6, 5), VaeConfig(dimension=4, backbone=MLP), seed=2).state_dict()
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["to_posterior.weight"], other["to_posterior.weight"])


def test_methods_name_their_models():
    for name in ("vae", "conditional-vae", "iwae", "wae", "conditional-autoencoder"):
        method = MODELS[name]
        model = method.load()((1, 6, 5), method.config(backbone=MLP), num_classes=3 if method.labelled else 0)
        assert name_of(model) == name
