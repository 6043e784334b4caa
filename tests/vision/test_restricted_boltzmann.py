"""The restricted Boltzmann machine against enumeration, on 4 x 4 bars and stripes."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
import torch
from vision_toys import settings

from nlprep.core.errors import OptionError
from nlprep.core.randomness import seeded_torch
from nlprep.core.training import fit
from vision.images.collection import ImageExamples, Images
from vision.models.configuration import RestrictedBoltzmannConfig
from vision.models.restricted_boltzmann import RestrictedBoltzmann

pytestmark = pytest.mark.slow


def bars_and_stripes() -> Images:
    """The 30 different ones (MacKay 2003, section 43)."""
    rows = np.array(list(product([0, 1], repeat=4)))
    whole = np.concatenate([np.repeat(rows[:, :, None], 4, 2), np.repeat(rows[:, None, :], 4, 1)])
    return Images((np.unique(whole, axis=0) * 255).astype(np.uint8)[:, None])


def with_weights(dimension: int = 5, scale: float = 0.5, **changes) -> RestrictedBoltzmann:
    model = RestrictedBoltzmann((1, 4, 4), RestrictedBoltzmannConfig(dimension=dimension, **changes))
    with torch.no_grad(), seeded_torch(3):
        for parameter in model.parameters():
            parameter.copy_(scale * torch.randn_like(parameter))
    return model


def test_likelihoods_sum_to_one_and_the_free_energy_is_the_marginal() -> None:
    model = with_weights()
    states = torch.tensor(list(product([0.0, 1.0], repeat=16)))
    log_partition = model.enumerated_log_partition()
    images = states.view(-1, 1, 4, 4)
    assert float(model.log_likelihoods(images, log_partition).double().exp().sum()) == pytest.approx(1, abs=1e-4)
    hidden = torch.tensor(list(product([0.0, 1.0], repeat=5)))
    v = states[12345]
    energies = v @ model.visible_bias + (hidden @ model.hidden_bias) + (v @ model.weights) @ hidden.T
    assert float(model.free_energy(v[None]).detach()) == pytest.approx(-float(energies.logsumexp(0).detach()), rel=1e-5)


@pytest.mark.parametrize("dimension", [5, 18])
def test_annealing_agrees_with_enumeration(dimension: int) -> None:
    model = with_weights(dimension)
    exact = model.enumerated_log_partition()
    before = torch.get_rng_state()
    found, error = model.annealed_log_partition(chains=200, temperatures=200)
    assert torch.equal(torch.get_rng_state(), before)
    assert 0 < error < 0.2
    assert found == pytest.approx(exact, abs=4 * error)
    # Without steps between, nothing is left to chance but the first draw: importance sampling from uniform pixels.
    assert model.annealed_log_partition(chains=20, temperatures=1)[1] > error


@pytest.mark.parametrize("chains", [0, 7])
def test_the_gradient_is_a_difference_of_correlations(chains: int) -> None:
    model = with_weights(chains=chains, gibbs_steps=2)
    images = torch.from_numpy(bars_and_stripes().pixels)
    v = images.flatten(1).float() / 255
    start = model.chains.clone() if chains else v
    with seeded_torch(0):
        samples = model.gibbs(start, 2).detach()
    with seeded_torch(0):
        loss = model(images)["loss"]
    gradient = torch.autograd.grad(loss, (model.weights, model.visible_bias, model.hidden_bias))

    def correlation(v):
        h = (v @ model.weights + model.hidden_bias).sigmoid().detach()
        return v.T @ h / len(v), v.mean(0), h.mean(0)

    for found, data, drawn in zip(gradient, correlation(v), correlation(samples), strict=True):
        torch.testing.assert_close(found, drawn - data, atol=1e-5, rtol=1e-4)
    if chains:
        assert torch.equal(model.chains, samples)
        model.eval()
        model(images)
        assert torch.equal(model.chains, samples)


@pytest.mark.parametrize("chains", [0, 60])
def test_it_learns_bars_and_stripes(chains: int, tmp_path) -> None:
    images = bars_and_stripes()
    assert len(images) == 30
    model = RestrictedBoltzmann((1, 4, 4), RestrictedBoltzmannConfig(dimension=14, chains=chains, gibbs_steps=2))
    config = settings(
        steps=700, batch_size=30, learning_rate=2e-2, weight_decay=0.0, clip_norm=None, final_learning_rate=0
    )
    fit(model.step(), ImageExamples(images), config=config, directory=tmp_path)
    shown = torch.from_numpy(images.pixels)
    found = float(model.log_likelihoods(shown, model.enumerated_log_partition()).mean())
    # Independent pixels, half of them white, have -11.09; nothing has more than -3.40.
    assert -6.5 < found < -math.log(30)
    log_partition, error = model.annealed_log_partition(chains=100, temperatures=500)
    assert log_partition == pytest.approx(model.enumerated_log_partition(), abs=max(4 * error, 0.05))
    spoiled = shown.clone()
    spoiled[:, :, 1, 2] = 255 - spoiled[:, :, 1, 2]
    assert (model.scores(shown)["free_energy"] < model.scores(spoiled)["free_energy"]).float().mean() > 0.9


def test_samples_and_reconstructions_are_probabilities() -> None:
    model = with_weights()
    with seeded_torch(1):
        samples = model.sample(3)
    assert samples.shape == (3, 1, 4, 4)
    for made in (samples, model.reconstruct(samples), model.encode(samples)):
        assert (made >= 0).all()
        assert (made <= 1).all()


def test_what_cannot_be_enumerated_is_said() -> None:
    model = RestrictedBoltzmann((1, 5, 5), RestrictedBoltzmannConfig(dimension=21))
    with pytest.raises(OptionError, match="25 pixels and 21 hidden units cannot be enumerated"):
        model.enumerated_log_partition()
    with pytest.raises(OptionError, match="chains = 1"):
        model.annealed_log_partition(chains=1)
