"""Priors of codes: a flow's density against autograd's Jacobian, its masks, its draws, and models that have it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from linear_gaussian import DIMENSION, exact_log_likelihoods, linear_gaussian_vae, planted_images
from torch.distributions import MultivariateNormal
from vision_toys import settings, toy_images

from nlprep.core.errors import OptionError
from nlprep.core.randomness import seeded_torch
from nlprep.core.training import fit
from nlprep.objectives.divergences import gaussian_kl
from vision.backbones.configuration import BackboneConfig
from vision.images.collection import ImageExamples
from vision.images.preprocessing import Preprocessing
from vision.models.configuration import ImportanceWeightedConfig, PriorConfig, VaeConfig
from vision.models.files import SavedModel, load_model, save_model
from vision.models.importance_weighted import ImportanceWeightedAutoencoder
from vision.models.likelihood import estimate_likelihood
from vision.models.priors import FlowPrior, NormalPrior, make_prior
from vision.models.vae import Vae

pytestmark = pytest.mark.slow

FLOW = PriorConfig(kind="flow", layers=3, width=12)
MLP = BackboneConfig(kind="mlp", width=16)


def drawn_flow(dimension: int, *, layers: int = 3, spread: float = 0.5) -> FlowPrior:
    """One that is no longer the identity."""
    with seeded_torch(2):
        flow = make_prior(PriorConfig(kind="flow", layers=layers, width=12), dimension)
        assert isinstance(flow, FlowPrior)
        for parameter in flow.parameters():
            torch.nn.init.normal_(parameter, std=spread)
    return flow.double()


def test_both_begin_as_the_normal_distribution():
    codes = torch.randn(5, 4)
    wanted = MultivariateNormal(torch.zeros(4), torch.eye(4)).log_prob(codes)
    for prior in (make_prior(PriorConfig(), 4), make_prior(FLOW, 4)):
        torch.testing.assert_close(prior.log_density(codes), wanted)
        torch.testing.assert_close(prior.from_noise(codes), codes)
    assert isinstance(make_prior(PriorConfig(), 4), NormalPrior)


@pytest.mark.parametrize("dimension", [1, 2, 5])
def test_a_flow_s_density_is_the_change_of_variables_by_autograd_s_jacobian(dimension: int):
    flow = drawn_flow(dimension)
    for code in torch.randn(4, dimension, dtype=torch.float64):
        noise, _ = flow.to_noise(code)
        jacobian = torch.autograd.functional.jacobian(lambda value: flow.to_noise(value)[0], code)
        normal = MultivariateNormal(torch.zeros_like(code), torch.eye(dimension, dtype=torch.float64))
        wanted = normal.log_prob(noise) + torch.linalg.slogdet(jacobian).logabsdet
        torch.testing.assert_close(flow.log_density(code), wanted)


def test_no_number_sees_itself_or_one_that_comes_later():
    flow = drawn_flow(6, spread=1.0)
    code = torch.randn(6, dtype=torch.float64)
    for layer in flow.layers:
        found = torch.autograd.functional.jacobian(
            lambda value, layer=layer: torch.cat(layer._parameters_of(value)), code
        )
        for part in found.chunk(2):
            seen = part != 0
            before = torch.ones(6, 6, dtype=torch.bool).tril(-1)
            # And everything that may be seen is.
            assert torch.equal(seen, before.T if layer.backward else before)


def test_a_flow_s_density_integrates_to_one_and_its_draws_have_it():
    flow = drawn_flow(2)
    axis = torch.linspace(-25, 25, 801, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    with torch.no_grad():
        density = flow.log_density(grid).exp() * float(axis[1] - axis[0]) ** 2
        assert float(density.sum()) == pytest.approx(1, abs=1e-3)
        mean = (density[:, None] * grid).sum(0)
        spread = ((density[:, None] * grid.square()).sum(0) - mean.square()).sqrt()
        generator = torch.Generator().manual_seed(1)
        noise = torch.randn(20_000, 2, generator=generator, dtype=torch.float64)
        codes = flow.from_noise(noise)
        torch.testing.assert_close(flow.to_noise(codes)[0], noise)
        assert bool(((codes.mean(0) - mean).abs() < 4 * spread / math.sqrt(len(codes))).all())


def test_a_flow_of_one_scale_and_shift_has_ppcas_likelihood():
    """Codes from N(m, s^2) instead of N(0, 1): the linear-Gaussian model's likelihood is another closed form."""
    vae, parts = linear_gaussian_vae()
    shift, log_scale = torch.tensor([0.3, -0.2, 0.1]), torch.tensor([0.2, -0.3, 0.1])
    flow = FlowPrior(DIMENSION, layers=1, width=4)
    with torch.no_grad():
        # The layer takes codes to noise: (z - t) exp(l), the hyperbolic tangent undone.
        flow.layers[0].out.bias[:DIMENSION] = shift
        flow.layers[0].out.bias[DIMENSION:] = 3 * torch.atanh(-log_scale / 3)
        # The posterior that is exact for it: precisions add up.
        mean, scale = vae.to_posterior.bias[:DIMENSION].clone(), vae.to_posterior.bias[DIMENSION:].clone()
        exact, old = (-2 * scale).exp() - 1 + (-2 * log_scale).exp(), (-2 * scale).exp()
        vae.to_posterior.weight[:DIMENSION] *= (old / exact)[:, None]
        vae.to_posterior.bias[:DIMENSION] = (old * mean + (-2 * log_scale).exp() * shift) / exact
        vae.to_posterior.bias[DIMENSION:] = -exact.log() / 2
    vae.prior = flow
    images = planted_images(parts, 60)
    weights = parts.weights * log_scale.double().exp()
    moved = type(parts)(weights, parts.center + parts.weights @ shift.double(), parts.scale)
    wanted = exact_log_likelihoods(moved, images.pixels)
    estimate = estimate_likelihood(vae, images, samples=7, subset=20)
    assert estimate.log_likelihood == pytest.approx(float(wanted.mean()), abs=2e-3)
    assert estimate.bound == pytest.approx(float(wanted.mean()), abs=2e-3)


def test_the_rate_of_a_flow_is_the_divergence_in_expectation():
    config = VaeConfig(dimension=4, backbone=MLP, prior=FLOW)
    vae = Vae((1, 6, 5), config)
    mean, log_scale = 0.5 * torch.randn(3, 4), 0.3 * torch.randn(3, 4)
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(4000, 3, 4, generator=generator)
    with torch.no_grad():
        # A flow that is the identity: the closed form of the normal prior.
        found = torch.stack([vae.rates(mean + log_scale.exp() * each, mean, log_scale) for each in noise])
    error = found.std(0) / math.sqrt(len(found))
    assert bool(((found.mean(0) - gaussian_kl(mean, log_scale)).abs() < 4 * error).all())


@pytest.mark.parametrize("weighted", [False, True])
def test_models_with_a_flow_learn_sample_score_and_come_back_from_disk(tmp_path, weighted: bool):
    images = toy_images(40)
    config: VaeConfig | ImportanceWeightedConfig = VaeConfig(dimension=4, backbone=MLP, prior=FLOW)
    model = Vae((1, 8, 8), config)
    if weighted:
        config = ImportanceWeightedConfig(dimension=4, samples=3, backbone=MLP, prior=FLOW)
        model = ImportanceWeightedAutoencoder((1, 8, 8), config)
    before = [parameter.detach().clone() for parameter in model.prior.parameters()]
    history = fit(model.step(), ImageExamples(images), config=settings(steps=40))
    assert history.records[-1]["loss"] < history.records[0]["loss"] - 5
    assert all(not torch.equal(old, new) for old, new in zip(before, model.prior.parameters(), strict=True))
    torch.manual_seed(1)
    drawn = model.sample(6).detach()
    assert drawn.shape == (6, 1, 8, 8)
    batch = torch.from_numpy(images.pixels[:3])
    scores = model.scores(batch)
    torch.testing.assert_close(scores["bound"], model.scores(batch)["bound"])
    preprocessing = Preprocessing(channels=1, height=8, width=8)
    save_model(SavedModel(model=model, config=config, preprocessing=preprocessing), tmp_path / "model")
    again = load_model(tmp_path / "model").model
    assert isinstance(again, Vae)
    torch.testing.assert_close(again.scores(batch)["bound"], scores["bound"])
    torch.manual_seed(1)
    torch.testing.assert_close(again.sample(6), drawn)


def test_the_estimate_with_a_flow_is_equal_however_it_is_batched():
    model = Vae((1, 8, 8), VaeConfig(dimension=4, backbone=MLP, prior=FLOW))
    model.prior.load_state_dict(drawn_flow(4).float().state_dict())
    images = toy_images(12)
    found = [estimate_likelihood(model, images, samples=50, subset=6, rows=rows).log_likelihood for rows in (7, 5000)]
    assert np.isclose(*found, atol=1e-4)


def test_free_bits_of_a_flow_are_refused():
    with pytest.raises(OptionError, match=r"free_bits = 0\.1: the divergence from a flow is not a sum"):
        VaeConfig(free_bits=0.1, prior=FLOW)
