"""The hierarchical VAE: one group is the plain one, divergences of z, the bound, how it is batched, and samples."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence
from vision_toys import SMALL, toy_images

from nlprep.core.errors import OptionError
from nlprep.objectives.divergences import gaussian_kl_terms, gaussian_log_density
from vision.models.configuration import HierarchicalVaeConfig, VaeConfig
from vision.models.hierarchical_vae import HierarchicalVae
from vision.models.likelihood import estimate_likelihood, log_weights
from vision.models.vae import Vae

SHAPE = (1, 8, 8)
BACKBONE = SMALL["patch"]


def make(groups: int = 3, *, stirred: bool = True, **changes) -> HierarchicalVae:
    """A small model, whose posteriors of further groups are no longer the priors if it is stirred."""
    config = HierarchicalVaeConfig(dimension=3, numbers=2, groups=groups, backbone=BACKBONE, **changes)
    model = HierarchicalVae(SHAPE, config)
    if stirred:
        torch.manual_seed(7)
        with torch.no_grad():
            for parameter in model.decoder.rungs.parameters():
                parameter += 0.12 * torch.randn_like(parameter)
    return model


def pixels_of(count: int = 6) -> torch.Tensor:
    return (torch.from_numpy(toy_images(count).pixels) > 100).float()


def test_with_one_group_it_is_the_plain_one_to_the_bit():
    images = torch.from_numpy(toy_images(10).pixels)
    found = []
    for model in (make(1), Vae(SHAPE, VaeConfig(dimension=3, backbone=BACKBONE))):
        torch.manual_seed(3)
        losses = model(images)
        losses["loss"].backward()
        gradient = torch.cat([parameter.grad.flatten() for parameter in model.parameters()])
        found.append((*losses.values(), gradient, model.encode(images), model.sample(4)))
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


def test_at_the_beginning_further_groups_cost_nothing_and_change_nothing():
    images = torch.from_numpy(toy_images(10).pixels)
    deep, plain = make(3, stirred=False), make(1)
    mean, log_scale = deep.posterior(pixels_of())
    assert mean.shape == (6, 3 + 2 * 2 * 2 * 2)
    assert not mean[:, 3:].any()
    assert not log_scale[:, 3:].any()
    torch.testing.assert_close(deep.scores(images)["rate"], plain.scores(images)["rate"])


def test_divergences_are_those_of_z_whose_prior_the_groups_above_say():
    model, pixels = make(), pixels_of()
    codes, mean, log_scale = model.draw(pixels, torch.randn(6, model.dimension))
    firsts, groups = model.decoder.split(codes)
    split = [model.decoder.split(part)[1] for part in (mean, log_scale)]
    maps, expected = model.decoder.begin(firsts), torch.zeros(6)
    for number, rung in enumerate(model.decoder.rungs):
        context = rung.above(maps)
        center, log_unit = rung.prior(context)
        assert float(log_unit.detach().abs().max()) > 0.1
        prior = Normal(center, log_unit.exp())
        a, log_b = split[0][number], split[1][number]
        posterior = Normal(center + log_unit.exp() * a, log_unit.exp() * log_b.exp())
        expected += kl_divergence(posterior, prior).sum((1, 2, 3))
        maps = rung.descend(context, groups[number])
    found = gaussian_kl_terms(mean, log_scale)
    assert float(expected.min()) > 0.1
    torch.testing.assert_close(found[:, 3:].sum(1), expected, rtol=1e-4, atol=1e-4)
    # What the way down makes of the same codes is what the way down with an image made.
    torch.testing.assert_close(model.decoder.patches.layers(maps), model.numbers(codes))


def test_the_rate_is_in_the_mean_the_difference_of_log_densities():
    model, pixels = make(), pixels_of(3)
    codes, mean, log_scale = model.draw(pixels, torch.randn(4000, 3, model.dimension))
    sampled = gaussian_log_density(codes, mean, log_scale) - gaussian_log_density(codes)
    closed = gaussian_kl_terms(mean, log_scale).sum(-1)
    error = (sampled - closed).std(0) / 4000**0.5
    assert float(((sampled.mean(0) - closed.mean(0)).abs() / error).max()) < 4


@pytest.mark.slow
def test_the_bound_is_below_the_likelihood_and_both_are_equal_however_batched():
    model, images = make(), toy_images(8)
    expected = estimate_likelihood(model, images, samples=60, subset=None, bound_samples=40)
    assert expected.bound < expected.log_likelihood - 0.1
    found = estimate_likelihood(model, images, samples=60, subset=None, bound_samples=40, rows=7)
    assert found.log_likelihood == pytest.approx(expected.log_likelihood, abs=1e-4)
    torch.manual_seed(1)
    tiled = torch.from_numpy(np.repeat(images.pixels, 40, 0))
    weights = log_weights(model, images, np.arange(8), samples=60, seed=1)
    assert float(-model(tiled)["negative_elbo"]) == pytest.approx(float(weights.mean()), abs=1.0)


def test_noise_of_more_samples_belongs_to_its_image():
    model, pixels = make(), pixels_of()
    noise = torch.randn(5, 6, model.dimension)
    together = model.draw(pixels, noise)
    for number in range(5):
        for whole, one in zip(together, model.draw(pixels, noise[number]), strict=True):
            torch.testing.assert_close(whole[number], one)


def test_all_groups_are_learned_from_the_first_step_on_and_draw_binary_pixels():
    model = make(3, stirred=False)
    model(torch.from_numpy(toy_images(16).pixels))["loss"].backward()
    assert all(float(rung.to_posterior[-1].weight.grad.abs().max()) > 1e-4 for rung in model.decoder.rungs)
    assert all(float(rung.to_prior.weight.grad.abs().max()) > 1e-4 for rung in model.decoder.rungs)
    drawn = model.sample_pixels(5)
    assert drawn.shape == (5, *SHAPE)
    assert set(drawn.unique().tolist()) <= {0.0, 1.0}


def test_what_it_cannot_be_is_refused():
    with pytest.raises(OptionError, match="choose patch"):
        HierarchicalVaeConfig(backbone=SMALL["mlp"])
    with pytest.raises(OptionError, match="sees no labels"):
        HierarchicalVae(SHAPE, HierarchicalVaeConfig(), num_classes=2)
