"""The diffusion model, against slow sums and against Gaussian data, of which everything is known."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from gaussian_diffusion import SHAPE, bound_gap, gaussian_model, spreads
from torch.distributions import Normal, kl_divergence
from vision_toys import settings, toy_images

from nlprep.core.errors import NlprepError, OptionError
from nlprep.core.randomness import seeded_torch
from nlprep.core.training import fit
from vision.backbones.configuration import UNetConfig
from vision.images.collection import ImageExamples
from vision.models.configuration import DiffusionConfig
from vision.models.diffusion import Diffusion, byte_log_probabilities, scaled
from vision.models.latents import interpolate_latents
from vision.models.noising import NoisingProcess, make_betas

pytestmark = pytest.mark.slow

BOTH = pytest.mark.parametrize("prediction", ["v", "epsilon"])
PIXELS = torch.from_numpy(toy_images(6, SHAPE).pixels)


def make(**changes: Any) -> Diffusion:
    """A small model whose network says something."""
    given = {"levels": 6, "sampling_steps": 3, "network": UNetConfig(width=4, depth=1)} | changes
    model = Diffusion(SHAPE, DiffusionConfig(**given))
    with torch.no_grad(), seeded_torch(3):
        model.network.last.weight.normal_(std=0.2)
    return model


# The noising process


def test_the_linear_schedule_is_the_published_one() -> None:
    betas = make_betas("linear", 1000)
    torch.testing.assert_close(betas[[0, 999]], torch.tensor([1e-4, 0.02]).double(), atol=1e-8, rtol=0)
    torch.testing.assert_close(betas[1:] - betas[:-1], torch.full((999,), 0.0199 / 999).double(), atol=1e-12, rtol=0)
    # As noisy at the end with fewer levels.
    ends = [float((1 - make_betas("linear", levels)).prod()) for levels in (1000, 200)]
    assert ends[0] == pytest.approx(4.04e-5, rel=0.01)
    assert ends[1] == pytest.approx(ends[0], rel=0.3)


def test_the_cosine_schedule_is_the_published_one() -> None:
    process = NoisingProcess("cosine", 40, prediction="v", variance="beta")
    first = math.cos(math.pi / 2 * 0.008 / 1.008) ** 2
    for level in range(40):
        wanted = math.cos(math.pi / 2 * (level / 40 + 0.008) / 1.008) ** 2 / first
        assert float(process.signal[level]) ** 2 == pytest.approx(wanted, rel=1e-5)
    assert float(process.beta[40]) == pytest.approx(0.999)


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_numbers_of_a_schedule_by_a_slow_product(schedule: str) -> None:
    process = NoisingProcess(schedule, 50, prediction="v", variance="posterior")
    kept, left = 1.0, 0.0
    for level, beta in enumerate(make_betas(schedule, 50).tolist(), 1):
        before = left
        kept, left = kept * (1 - beta), left * (1 - beta) + beta
        assert float(process.signal[level]) == pytest.approx(math.sqrt(kept), rel=1e-5)
        assert float(process.noise[level]) == pytest.approx(math.sqrt(left), rel=1e-6)
        if level > 1:
            # Bayes' rule, of a prior N(., before) and an observation of noise beta.
            precision = 1 / before + (1 - beta) / beta
            assert float(process.posterior[level]) == pytest.approx(1 / precision, rel=1e-5)
            clean, noisy = torch.tensor([[0.7]]).double(), torch.tensor([[-0.4]]).double()
            mean = math.sqrt(kept / (1 - beta)) * 0.7 / before + math.sqrt(1 - beta) * -0.4 / beta
            found = process.posterior_mean(clean, noisy, torch.tensor([level]))
            assert float(found) == pytest.approx(mean / precision, rel=1e-4)
    assert not process.state_dict()


@BOTH
def test_image_and_noise_follow_of_what_ought_to_be_said(prediction: str) -> None:
    process = NoisingProcess("linear", 20, prediction=prediction, variance="beta").double()
    with seeded_torch(1):
        clean, noise = 2 * torch.rand(20, 1, 3, 3).double() - 1, torch.randn(20, 1, 3, 3).double()
    levels = torch.arange(1, 21)
    noisy = process.diffuse(clean, noise, levels)
    said = process.target(clean, noise, levels)
    found = process.clean_and_noise(noisy, said, levels, clip=False)
    torch.testing.assert_close(found, (clean, noise), atol=1e-4, rtol=1e-4)
    # Clipped, what image and noise there are still makes up what was seen.
    image, rest = process.clean_and_noise(noisy, said + 3, levels, clip=True)
    assert float(image.abs().max()) <= 1
    torch.testing.assert_close(process.diffuse(image, rest, levels), noisy, atol=1e-6, rtol=1e-6)


# Training


@BOTH
def test_the_loss_is_a_slow_sum(prediction: str) -> None:
    model = make(prediction=prediction)
    with seeded_torch(5):
        loss = model(PIXELS)["loss"]
    with seeded_torch(5):
        levels, noise = torch.randint(1, 7, (6,)), torch.randn(6, *SHAPE)
    total = 0.0
    for image, level, e in zip(PIXELS / 127.5 - 1, levels.tolist(), noise, strict=True):
        a, s = float(model.process.signal[level]), float(model.process.noise[level])
        wanted = e if prediction == "epsilon" else a * e - s * image
        said = model.network((a * image + s * e)[None], torch.tensor([1000 / 6 * level]))[0].detach()
        total += float((said - wanted).square().sum())
    assert float(loss.detach()) == pytest.approx(total / 6, rel=1e-5)
    torch.testing.assert_close(model(PIXELS.float() / 255)["loss"].shape, torch.Size([]))


def test_an_untrained_network_says_nothing_and_a_trained_one_more() -> None:
    images = toy_images(32)
    model = Diffusion((1, 8, 8), DiffusionConfig(levels=50, prediction="epsilon", network=UNetConfig(width=8, depth=1)))
    pixels = torch.from_numpy(images.pixels).repeat(8, 1, 1, 1)
    with seeded_torch(1):
        # The noise's own length.
        assert float(model(pixels)["loss"].detach()) == pytest.approx(64, rel=0.05)
    fit(model.step(), ImageExamples(images), config=settings(steps=60, batch_size=32, average=0.9))
    with seeded_torch(1):
        assert float(model(pixels)["loss"].detach()) < 30


def test_codes_are_means_of_the_middle_at_a_level_without_noise() -> None:
    model = make(levels=10, code_level=0.5)
    codes = model.encode(PIXELS)
    assert codes.shape == (6, model.dimension) == (6, 8)
    a = float(model.process.signal[5])
    maps = model.network.middle_maps(a * (PIXELS / 127.5 - 1), torch.full((6,), 500.0))
    torch.testing.assert_close(codes, maps.mean((2, 3)))
    assert not torch.allclose(codes, make(levels=10, code_level=1.0).encode(PIXELS))


# Samples and latents, of Gaussian data


def gains(model: Diffusion, scale: torch.Tensor, steps: int) -> list[torch.Tensor]:
    """By what each step of DDIM multiplies the distance from the mean."""
    process, variances = model.process, spreads(model, scale)
    levels = process.chosen_levels(steps)
    return [
        (process.signal[one] * process.signal[two] * scale.square() + process.noise[one] * process.noise[two])
        / variances[two]
        for one, two in itertools.pairwise(levels)
    ]


@BOTH
@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_samples_are_the_latents_times_what_the_steps_come_to(prediction: str, schedule: str) -> None:
    model, mean, scale = gaussian_model(1000, prediction=prediction, schedule=schedule)
    with seeded_torch(1):
        latents = model.draw_latents(5).double()
    for steps in (1, 7, 1000):
        found = model.descend(latents, steps=steps, clip=False)
        factor = torch.stack(gains(model, scale, steps)).prod(0)
        wanted = mean + factor * (latents - model.process.signal[-1] * mean)
        torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)
        # The more steps, the nearer to the data's deviation.
        away = float((factor / scale - 1).abs().max())
        assert away < 0.05 if steps == 1000 else away > 0.5


@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
def test_samples_have_the_moments_of_the_data(eta: float) -> None:
    model, mean, scale = gaussian_model(500, schedule="linear")
    process, variances = model.process, spreads(model, scale)
    with seeded_torch(2):
        samples = model.descend(model.draw_latents(2000).double(), steps=500, eta=eta, clip=False)
    error = scale / math.sqrt(2000)
    assert bool(((samples.mean(0) - mean).abs() < 5 * error + 2e-3).all())
    # Variances by recursion: each step multiplies by a gain and adds what it draws.
    variance = torch.ones_like(scale)
    for level in range(500, 0, -1):
        signal, noise = process.signal[level], process.noise[level]
        below, spread = process.signal[level - 1], process.noise[level - 1]
        drawn = eta**2 * spread**2 / noise**2 * (1 - (signal / below) ** 2)
        gain = (below * signal * scale.square() + (spread**2 - drawn).clamp(min=0).sqrt() * noise) / variances[level]
        variance = gain.square() * variance + drawn
    ratio = samples.var(0) / variance
    assert bool(((ratio - 1).abs() < 5 * math.sqrt(2 / 2000)).all())
    # Near the data's own; the posterior's variance (eta = 1) is less than what is open there.
    assert float((variance.sqrt() / scale - 1).abs().max()) < 0.12


@BOTH
def test_an_inversion_finds_the_latent_and_comes_back(prediction: str) -> None:
    model, mean, scale = gaussian_model(prediction=prediction, schedule="linear")
    with seeded_torch(3):
        clean = mean + scale * torch.randn(8, *SHAPE).double()
    steps = 50
    wanted = (clean - mean) / torch.stack(gains(model, scale, steps)).prod(0) + model.process.signal[-1] * mean
    errors, residuals = [], []
    for iterations in (1, 5, 40):
        found = model.ascend(clean, steps=steps, iterations=iterations)
        again = model.descend(found.latents, steps=steps, clip=False)
        errors.append(float((again - clean).abs().max()))
        residuals.append(float(found.residual.max()))
        assert found.residual.shape == (8,)
    torch.testing.assert_close(found.latents, wanted, atol=1e-4, rtol=1e-4)
    assert errors[0] > errors[1] > errors[2]
    assert residuals[0] > residuals[1] > residuals[2]
    assert errors[2] < 1e-5
    assert residuals[2] < 1e-5
    # A latent is about as long as a draw, whatever the image.
    assert 0.5 < float(found.latents.square().mean()) < 2


def test_an_inversion_of_bytes_is_of_them_in_the_networks_range() -> None:
    model = make()
    found = model.invert(PIXELS, iterations=2)
    wanted = model.ascend(PIXELS / 127.5 - 1, steps=3, iterations=2)
    torch.testing.assert_close(found.latents, wanted.latents)


def test_images_are_clipped_and_sampling_is_as_set() -> None:
    model = make()
    with seeded_torch(1):
        images = model.sample(3)
    with seeded_torch(1):
        latents = model.draw_latents(3)
    torch.testing.assert_close(images, model.generate(latents, steps=3))
    torch.testing.assert_close(images, ((model.descend(latents) + 1) / 2).clamp(0, 1))
    assert float(model.descend(latents).abs().max()) <= 1
    assert float(model.descend(5 * latents, clip=False).abs().max()) > 1
    way = interpolate_latents(model, latents[:1], latents[1:2], 4)
    assert way.shape == (1, 4, *SHAPE)
    torch.testing.assert_close(way[0, [0, -1]], images[:2])


# The likelihood bound


def test_bytes_have_the_masses_of_a_gaussian_and_they_sum_to_one() -> None:
    levels = torch.arange(256).double() / 127.5 - 1
    for mean, scale in ((0.1, 0.3), (-1.4, 0.2), (0.99, 0.004), (0.0, 2.0)):
        means = torch.full_like(levels, mean)
        found = byte_log_probabilities(levels, means, torch.tensor(scale)).double()
        assert float(found.exp().sum()) == pytest.approx(1, abs=1e-5)
        normal = Normal(means, scale, validate_args=False)
        upper, lower = levels + 1 / 255, levels - 1 / 255
        upper[255], lower[0] = torch.inf, -torch.inf
        mass = normal.cdf(upper) - normal.cdf(lower)
        clear = mass > 1e-9
        assert int(clear.sum()) > 3
        torch.testing.assert_close(found[clear], mass[clear].log(), atol=1e-5, rtol=1e-5)
    # Finite, and about the square of the distance, where the mass is none in double precision.
    far = byte_log_probabilities(torch.tensor([-0.5, 0.5]), torch.tensor([0.5, -0.5]), torch.tensor(0.004))
    torch.testing.assert_close(far[0], far[1], rtol=1e-2, atol=0)
    assert float(far[0]) == pytest.approx(-((1 - 1 / 255) ** 2) / (2 * 0.004**2), rel=0.01)


@BOTH
@pytest.mark.parametrize("variance", ["posterior", "beta"])
def test_the_bound_is_a_slow_sum_of_divergences(prediction: str, variance: str) -> None:
    model = make(prediction=prediction, variance=variance, schedule="linear")
    with seeded_torch(4):
        bound = model.likelihood_bound(PIXELS, clip=False)
    with seeded_torch(4):
        noise = [torch.randn(6, *SHAPE) for _ in range(6)]
    process = model.process
    a, s, beta = (values.double().tolist() for values in (process.signal, process.noise, process.beta))
    for number, image in enumerate((PIXELS / 127.5 - 1).double()):
        terms = [float(kl_divergence(Normal(a[6] * image, s[6]), Normal(0.0, 1.0)).sum())]
        for t in range(1, 7):
            x = a[t] * image + s[t] * noise[t - 1][number].double()
            said = model.network(x[None].float(), torch.tensor([1000 / 6 * t]))[0].detach().double()
            clean = (x - s[t] * said) / a[t] if prediction == "epsilon" else a[t] * x - s[t] * said

            def reverse(of: torch.Tensor, x: torch.Tensor = x, t: int = t) -> torch.Tensor:
                one = a[t - 1] * beta[t] / s[t] ** 2
                return one * of + math.sqrt(1 - beta[t]) * s[t - 1] ** 2 / s[t] ** 2 * x

            smallest = [0.0, 0.0, *(beta[u] * s[u - 1] ** 2 / s[u] ** 2 for u in range(2, 7))]
            width = beta[t] if variance == "beta" else smallest[max(t, 2)]
            p = Normal(reverse(clean), math.sqrt(width))
            if t > 1:
                q = Normal(reverse(image), math.sqrt(smallest[t]))
                terms.append(float(kl_divergence(q, p).sum()))
                continue
            upper = torch.where(image > 1 - 1 / 255, torch.inf, image + 1 / 255)
            lower = torch.where(image < -1 + 1 / 255, -torch.inf, image - 1 / 255)
            terms.append(-float((p.cdf(upper) - p.cdf(lower)).log().sum()))
        torch.testing.assert_close(bound.terms[number].double(), torch.tensor(terms).double(), rtol=2e-4, atol=1e-3)
    torch.testing.assert_close(bound.nats, bound.terms.sum(1))
    torch.testing.assert_close(bound.bits_per_dimension, bound.nats / 16 / math.log(2))


@BOTH
@pytest.mark.parametrize("variance", ["posterior", "beta"])
def test_the_bound_of_gaussian_data_is_short_of_the_likelihood_by_what_it_must_be(
    prediction: str, variance: str
) -> None:
    model, mean, scale = gaussian_model(50, prediction=prediction, schedule="linear", variance=variance)
    with seeded_torch(6):
        drawn = mean + scale * torch.randn(600, *SHAPE).double()
        images = ((drawn + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        bound = model.likelihood_bound(images.double() / 255, clip=False)
    true = -byte_log_probabilities(scaled(images).double(), mean.expand(600, *SHAPE), scale).flatten(1).sum(1)
    excess = bound.nats - true
    error = float(excess.std()) / math.sqrt(600)
    gap = bound_gap(model, mean, scale)
    assert gap > 5 * error
    # The data are rounded to bytes, by which the last step's Gaussian is a little wider than its scale.
    assert float(excess.mean()) == pytest.approx(gap, abs=4 * error + 0.01 * gap)
    bits = float(bound.bits_per_dimension.mean())
    entropy = float((scale.log() + 0.5 * math.log(2 * math.pi * math.e) - math.log(2 / 255)).sum()) / 16 / math.log(2)
    assert entropy < bits < entropy + 1.3 * gap / 16 / math.log(2)


def test_more_levels_bring_the_bound_nearer() -> None:
    found = []
    for levels in (20, 100, 1000):
        model, mean, scale = gaussian_model(levels, schedule="linear", variance="beta")
        found.append(bound_gap(model, mean, scale))
    assert found[0] > 2 * found[1] > 4 * found[2]


# What is refused


def test_what_cannot_be_is_said() -> None:
    model = make()
    latents = model.draw_latents(1)
    with pytest.raises(OptionError, match="sampling_steps = 7: there are 6 levels"):
        DiffusionConfig(levels=6, sampling_steps=7)
    for steps in (0, 7):
        with pytest.raises(OptionError, match=f"steps = {steps}: give from 1 to 6"):
            model.generate(latents, steps=steps)
        with pytest.raises(OptionError, match=f"steps = {steps}: give from 1 to 6"):
            model.invert(PIXELS, steps=steps)
    with pytest.raises(OptionError, match=r"eta = 1\.5"):
        model.generate(latents, eta=1.5)
    with pytest.raises(OptionError, match="iterations = 0"):
        model.invert(PIXELS, iterations=0)
    with pytest.raises(NlprepError, match="between the 256 levels"):
        model.likelihood_bound(PIXELS / 255 * 0.997)
    with pytest.raises(OptionError, match="num_classes = 2"):
        Diffusion(SHAPE, DiffusionConfig(), num_classes=2)
    with pytest.raises(OptionError, match="width = 6: give a multiple of 4"):
        UNetConfig(width=6)
