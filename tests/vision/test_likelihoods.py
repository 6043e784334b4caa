"""Likelihoods of pixels against torch.distributions and sums over all levels."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Bernoulli as TorchBernoulli
from torch.distributions import Independent, Normal

from nlprep.core.errors import NlprepError, OptionError
from vision.models.configuration import LikelihoodConfig
from vision.models.likelihoods import Bernoulli, DiscretizedLogistic, Gaussian

EACH = [Bernoulli(), Gaussian(), Gaussian(each=True), DiscretizedLogistic(), DiscretizedLogistic(each=True)]


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def grey(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def test_bernoulli_is_torchs():
    logits, targets = 3 * drawn(4, 3, 5, 6), (grey(4, 3, 5, 6) > 0.5).float()
    expected = Independent(TorchBernoulli(logits=logits), 3).log_prob(targets)
    torch.testing.assert_close(Bernoulli().log_probability(logits, targets), expected)


def test_certain_and_wrong_logits_are_not_clamped():
    logits, targets = torch.full((1, 1, 2, 2), -500.0), torch.ones(1, 1, 2, 2)
    assert Bernoulli().log_probability(logits, targets).tolist() == [-2000.0]


def test_grey_pixels_have_no_bernoulli_likelihood():
    likelihood = Bernoulli("none")
    with pytest.raises(NlprepError, match="binarise"):
        likelihood.targets(grey(2, 1, 4, 4))
    with pytest.raises(NlprepError, match="binarise"):
        Bernoulli().log_probability(drawn(2, 1, 4, 4), grey(2, 1, 4, 4))
    binary = (grey(2, 1, 4, 4) > 0.5).float()
    assert torch.equal(likelihood.targets(binary), binary)


def test_dynamic_binarisation_is_drawn_anew_with_the_pixels_as_probabilities():
    pixels = torch.full((4000, 1, 2, 2), 0.3)
    torch.manual_seed(1)
    first, second = Bernoulli().targets(pixels), Bernoulli().targets(pixels)
    assert not torch.equal(first, second)
    assert set(first.unique().tolist()) == {0.0, 1.0}
    assert float(first.mean()) == pytest.approx(0.3, abs=4 * math.sqrt(0.21 / first.numel()))
    certain = torch.tensor([[[[0.0, 1.0]]]]).expand(1000, 1, 1, 2)
    assert torch.equal(Bernoulli().targets(certain), certain)
    assert torch.equal(Bernoulli("threshold").targets(pixels), torch.zeros_like(pixels))


def test_the_expected_bernoulli_likelihood_is_the_mean_of_draws():
    logits, pixels = drawn(1, 1, 3, 3), grey(1, 1, 3, 3)
    torch.manual_seed(2)
    many = Bernoulli().targets(pixels.expand(20_000, 1, 3, 3))
    found = Bernoulli().log_probability(logits, many)
    error = float(found.std()) / math.sqrt(len(found))
    expected = float(Bernoulli().expected_log_probability(logits, pixels))
    assert float(found.mean()) == pytest.approx(expected, abs=4 * error)


@pytest.mark.parametrize("each", [True, False])
def test_gaussian_is_torchs(each: bool):
    likelihood = Gaussian(floor=0.05, each=each)
    numbers, targets = drawn(4, 6 if each else 3, 5, 6), grey(4, 3, 5, 6)
    mean = numbers[:, :3]
    scale = 0.05 + (numbers[:, 3:] if each else likelihood.raw_scale).exp()
    expected = Independent(Normal(mean, scale.expand_as(mean)), 3).log_prob(targets)
    torch.testing.assert_close(likelihood.log_probability(numbers, targets), expected)


@pytest.mark.slow
def test_the_standard_deviation_is_learned_but_never_below_its_floor():
    likelihood = Gaussian(floor=0.05)
    optimizer = torch.optim.Adam(likelihood.parameters(), lr=0.1)
    constant, targets = torch.full((2, 1, 2, 2), 0.5), torch.full((2, 1, 2, 2), 0.5)
    for _ in range(300):
        optimizer.zero_grad()
        (-likelihood.log_probability(constant, targets).mean()).backward()
        optimizer.step()
    density = float(likelihood.log_probability(constant, targets)[0].detach()) / 4
    assert density < -math.log(0.05) - math.log(2 * math.pi) / 2
    assert density == pytest.approx(-math.log(0.05) - math.log(2 * math.pi) / 2, abs=0.02)
    noisy = 0.5 + 0.2 * drawn(500, 1, 2, 2)
    for _ in range(600):
        optimizer.zero_grad()
        (-likelihood.log_probability(torch.full_like(noisy, 0.5), noisy).mean()).backward()
        optimizer.step()
    assert float(0.05 + likelihood.raw_scale.detach().exp()) == pytest.approx(
        float((noisy - 0.5).square().mean().sqrt()), rel=0.02
    )


@pytest.mark.parametrize("mean", [-2.0, -0.5, 0.1, 0.5, 3.0])
@pytest.mark.parametrize("raw", [-12.0, -3.0, 0.0, 4.0])
def test_the_masses_of_all_levels_sum_to_one(mean: float, raw: float):
    levels = (torch.arange(256, dtype=torch.float64) / 255).view(256, 1, 1, 1)
    numbers = torch.tensor([mean, raw], dtype=torch.float64).view(1, 2, 1, 1)
    masses = DiscretizedLogistic(each=True).log_probability(numbers, levels)
    assert bool(torch.isfinite(masses).all())
    assert float(masses.exp().sum()) == pytest.approx(1, abs=1e-9)


def test_discretised_logistic_is_the_difference_of_distribution_functions():
    likelihood = DiscretizedLogistic(floor=0.01, each=True)
    # Scales of the order of the range: the differences of the reference are no sums of rounding errors then.
    numbers, levels = 1 + 0.3 * drawn(3, 4, 2, 2).double(), (grey(3, 2, 2, 2) * 255).round().double() / 255
    levels[0, 0] = torch.tensor([[0.0, 1.0], [0.0, 1.0]])
    expected = []
    for image in range(3):
        total = 0.0
        for channel in range(2):
            for row in range(2):
                for column in range(2):
                    mean = float(numbers[image, channel, row, column]) + 0.5
                    scale = 0.01 + 0.1 * math.exp(float(numbers[image, 2 + channel, row, column]))
                    x = float(levels[image, channel, row, column])
                    upper = 1.0 if x == 1 else 1 / (1 + math.exp(-(x + 1 / 510 - mean) / scale))
                    lower = 0.0 if x == 0 else 1 / (1 + math.exp(-(x - 1 / 510 - mean) / scale))
                    total += math.log(upper - lower)
        expected.append(total)
    found = likelihood.log_probability(numbers, likelihood.targets(levels))
    assert found.tolist() == pytest.approx(expected, rel=1e-6)
    # One scale of all pixels is the same as each pixel's being that one, and is learned.
    shared = DiscretizedLogistic(floor=0.01)
    torch.nn.init.constant_(shared.raw_scale, 0.7)
    same = torch.cat([numbers[:, :2], torch.full_like(numbers[:, 2:], float(shared.raw_scale.detach()))], 1)
    found = shared.log_probability(numbers[:, :2], levels)
    torch.testing.assert_close(found, likelihood.log_probability(same, levels))
    found.sum().backward()
    assert float(shared.raw_scale.grad) != 0


def test_far_from_the_mean_the_logistic_has_a_gradient_still():
    numbers = torch.tensor([-3.0, -20.0]).view(1, 2, 1, 1).requires_grad_()
    loss = -DiscretizedLogistic(each=True).log_probability(numbers, torch.full((1, 1, 1, 1), 200 / 255)).sum()
    (gradient,) = torch.autograd.grad(loss, numbers)
    assert bool(torch.isfinite(gradient).all())
    assert float(gradient[0, 0, 0, 0]) < -100


def test_values_between_levels_are_refused():
    with pytest.raises(NlprepError, match="256 levels"):
        DiscretizedLogistic().targets(torch.full((1, 1, 2, 2), 0.5))


@pytest.mark.parametrize("likelihood", EACH)
def test_images_and_draws_are_images(likelihood):
    numbers = 2 * drawn(3, likelihood.multiple * 3, 4, 4)
    torch.manual_seed(3)
    for made in (likelihood.images(numbers), likelihood.draw(numbers)):
        assert made.shape == (3, 3, 4, 4)
        assert float(made.min().detach()) >= 0
        assert float(made.max().detach()) <= 1
    # What is drawn has the likelihood that is measured of it.
    targets = likelihood.targets(likelihood.draw(numbers).detach())
    assert likelihood.log_probability(numbers, targets).shape == (3,)


def test_leading_axes_are_samples():
    numbers, targets = drawn(5, 4, 1, 3, 3), (grey(4, 1, 3, 3) > 0.5).float()
    found = Bernoulli().log_probability(numbers, targets)
    expected = torch.stack([Bernoulli().log_probability(each, targets) for each in numbers])
    torch.testing.assert_close(found, expected)


def test_grey_images_are_made_binary_and_colours_are_levels_unless_told_otherwise():
    assert [LikelihoodConfig().settled(channels).kind for channels in (1, 3)] == ["bernoulli", "logistic"]
    asked = LikelihoodConfig(kind="bernoulli", binarization="threshold")
    assert asked.settled(3) is asked
    assert LikelihoodConfig(floor=0.1).settled(3) == LikelihoodConfig(kind="logistic", floor=0.1)
    with pytest.raises(OptionError, match=r"binarization = 'threshold' is not for the logistic .*kind = 'bernoulli'"):
        LikelihoodConfig(binarization="threshold").settled(3)
    with pytest.raises(OptionError, match=r"floor = 0\.1 is not for the bernoulli likelihood, which grey images"):
        LikelihoodConfig(floor=0.1).settled(1)
