"""Importance sampling of likelihoods: PPCA's closed form, the number of samples, batches, and the control variate."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from linear_gaussian import exact_log_likelihoods, linear_gaussian_vae, planted_images
from vision_toys import toy_images

from nlprep.core.errors import NlprepError, OptionError
from vision.backbones.configuration import BackboneConfig
from vision.images.collection import Images
from vision.models.configuration import VaeConfig
from vision.models.likelihood import estimate_likelihood, log_weights
from vision.models.vae import Vae


def make(**changes) -> Vae:
    return Vae((1, 8, 8), VaeConfig(dimension=3, backbone=BackboneConfig(kind="mlp", width=16)), **changes)


def test_it_is_ppcas_likelihood_within_three_standard_errors():
    vae, parts = linear_gaussian_vae(widened=0.3)
    images = planted_images(parts, 400)
    exact = float(exact_log_likelihoods(parts, images.pixels).mean())
    found = estimate_likelihood(vae, images, samples=2000, subset=100)
    assert found.standard_error > 0
    assert found.log_likelihood == pytest.approx(exact, abs=3 * found.standard_error)
    # The cheap bound alone is nowhere near it, nor is the sum over another axis.
    assert exact - found.bound > 10 * found.standard_error


def test_of_every_image_it_is_the_closed_form_image_by_image():
    vae, parts = linear_gaussian_vae(widened=0.2)
    images = planted_images(parts, 30)
    weights = log_weights(vae, images, np.arange(30), samples=4000, seed=1)
    found = weights.logsumexp(1) - math.log(4000)
    relative = (weights - weights.logsumexp(1, keepdim=True) + math.log(4000)).exp()
    error = relative.std(1) / math.sqrt(4000)
    exact = exact_log_likelihoods(parts, images.pixels).double()
    assert float(((found - exact).abs() / error).max()) < 4


def test_the_standard_error_is_that_of_the_choice_of_the_subset():
    vae, parts = linear_gaussian_vae(widened=0.5)
    images = planted_images(parts, 120)
    everything = estimate_likelihood(vae, images, samples=200, subset=None)
    assert everything.standard_error == 0
    found = [estimate_likelihood(vae, images, samples=200, subset=20, seed=seed) for seed in range(2, 42)]
    spread = float(np.std([each.log_likelihood for each in found], ddof=1))
    said = float(np.mean([each.standard_error for each in found]))
    assert said == pytest.approx(spread, rel=0.35)
    mean = float(np.mean([each.log_likelihood for each in found]))
    assert mean == pytest.approx(everything.log_likelihood, abs=4 * spread / math.sqrt(40))


def test_the_control_variate_is_tighter_than_the_plain_subset():
    vae, parts = linear_gaussian_vae(widened=0.2)
    found = estimate_likelihood(vae, planted_images(parts, 300), samples=500, subset=60, bound_samples=50)
    assert found.standard_error < found.subset_standard_error / 4


def test_a_cheap_bound_of_more_samples_leaves_less_to_the_subset_and_the_elbo_is_still_given():
    vae, parts = linear_gaussian_vae(widened=0.4)
    images = planted_images(parts, 300)
    found = [estimate_likelihood(vae, images, samples=500, subset=60, bound_samples=count) for count in (1, 20)]
    assert found[1].standard_error < found[0].standard_error / 2
    # Of few samples or many, the mean of log w is the ELBO, which is below what they are a bound by.
    exact = float(exact_log_likelihoods(parts, images.pixels).mean())
    for each in found:
        assert each.bound == pytest.approx(found[0].bound, abs=0.3)
        assert each.log_likelihood == pytest.approx(exact, abs=3 * each.standard_error)
        assert exact - each.bound > 1


@pytest.mark.parametrize("rows", [1, 7, 64, 100_000])
def test_it_is_equal_however_it_is_batched(rows: int):
    vae, images = make(), toy_images(12)
    expected = estimate_likelihood(vae, images, samples=20, subset=5, rows=100)
    found = estimate_likelihood(vae, images, samples=20, subset=5, rows=rows)
    assert found.log_likelihood == pytest.approx(expected.log_likelihood, abs=1e-4)
    assert found.standard_error == pytest.approx(expected.standard_error, abs=1e-4)
    assert found.decoded == expected.decoded


def test_an_image_has_its_own_noise():
    vae, images = make(), toy_images(12)
    whole = log_weights(vae, images, np.arange(12), samples=6, seed=1)
    torch.testing.assert_close(log_weights(vae, images, np.array([7, 3]), samples=6, seed=1), whole[[7, 3]])
    # More samples are the same ones, and others.
    torch.testing.assert_close(log_weights(vae, images, np.arange(12), samples=9, seed=1)[:, :6], whole)
    assert not torch.allclose(log_weights(vae, images, np.arange(12), samples=6, seed=2), whole)


@pytest.mark.parametrize("rows", [3, 1000])
def test_as_many_codes_are_decoded_as_said(rows: int, monkeypatch):
    vae, images, decoded = make(), toy_images(10), []
    forward = vae.decoder.forward
    monkeypatch.setattr(vae.decoder, "forward", lambda codes: decoded.append(len(codes)) or forward(codes))
    found = estimate_likelihood(vae, images, samples=13, subset=4, bound_samples=2, rows=rows)
    assert sum(decoded) == 4 * 13 + 10 * 2 == found.decoded
    assert max(decoded) <= rows
    assert (found.samples, found.subset, found.images, found.bound_samples) == (13, 4, 10, 2)


def test_more_samples_bring_it_up():
    vae, parts = linear_gaussian_vae(widened=0.6)
    images = planted_images(parts, 60)
    found = [estimate_likelihood(vae, images, samples=k, subset=None).log_likelihood for k in (1, 10, 300)]
    assert found[0] < found[1] < found[2]


def test_the_model_is_left_as_it_was_and_computes_in_fp32():
    vae, images = make(), toy_images(6)
    vae.train()
    plain = estimate_likelihood(vae, images, samples=5, subset=None)
    assert vae.training
    with torch.autocast("cpu", torch.bfloat16):
        under = estimate_likelihood(vae, images, samples=5, subset=None)
    assert under == plain
    assert plain.precision == "fp32"
    assert plain.bits_per_dimension == pytest.approx(plain.negative_log_likelihood / math.log(2) / 64)
    gaussian, parts = linear_gaussian_vae()
    assert estimate_likelihood(gaussian, planted_images(parts, 3), samples=2).bits_per_dimension is None


def test_labels_belong_to_their_images():
    vae, images = make(num_classes=2), toy_images(8)
    weights = log_weights(vae, images, np.arange(8), samples=3, seed=1)
    chosen = images.select(np.arange(8))
    turned = Images(chosen.pixels, 1 - chosen.labels, chosen.classes)
    assert not torch.allclose(log_weights(vae, turned, np.arange(8), samples=3, seed=1), weights)
    with pytest.raises(NlprepError, match="has no labels"):
        estimate_likelihood(vae, toy_images(8, labels=False), samples=3)


def test_what_cannot_be_measured_is_refused():
    vae = make()
    with pytest.raises(OptionError, match="samples = 0"):
        estimate_likelihood(vae, toy_images(), samples=0)
    with pytest.raises(OptionError, match="standard error"):
        estimate_likelihood(vae, toy_images(), subset=1)
    with pytest.raises(NlprepError, match="the model's"):
        estimate_likelihood(vae, toy_images(shape=(1, 6, 8)), samples=2)
    with pytest.raises(NlprepError, match="no images"):
        estimate_likelihood(vae, toy_images().select(np.array([], int)), samples=2)
