"""Divergences and densities of diagonal Gaussians against torch.distributions."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence

from nlprep.core.errors import OptionError
from nlprep.objectives.divergences import gaussian_kl, gaussian_kl_terms, gaussian_log_density


def drawn(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def independent(mean: torch.Tensor, log_scale: torch.Tensor) -> Independent:
    return Independent(Normal(mean, log_scale.exp()), 1)


def test_divergence_from_the_standard_normal():
    mean, log_scale = drawn(4, 3, seed=1), drawn(4, 3, seed=2)
    expected = kl_divergence(independent(mean, log_scale), independent(torch.zeros_like(mean), torch.zeros_like(mean)))
    torch.testing.assert_close(gaussian_kl(mean, log_scale), expected)
    assert gaussian_kl(mean, log_scale).shape == (4,)


def test_divergence_of_two_with_its_gradient():
    tensors = [drawn(4, 3, seed=seed).requires_grad_() for seed in range(4)]
    ours = gaussian_kl(*tensors).sum()
    expected = kl_divergence(independent(*tensors[:2]), independent(*tensors[2:])).sum()
    torch.testing.assert_close(ours, expected)
    for one, other in zip(torch.autograd.grad(ours, tensors), torch.autograd.grad(expected, tensors), strict=True):
        torch.testing.assert_close(one, other)


def test_terms_add_up_and_none_is_below_nothing():
    tensors = [drawn(5, 3, seed=seed) for seed in range(4)]
    terms = gaussian_kl_terms(*tensors)
    assert terms.shape == (5, 3)
    assert bool((terms >= 0).all())
    torch.testing.assert_close(terms.sum(-1), gaussian_kl(*tensors))


def test_equal_tiny_scales_neither_overflow_nor_differ():
    log_scale = torch.full((1, 2), -60.0)
    assert gaussian_kl(torch.zeros(1, 2), log_scale, torch.zeros(1, 2), log_scale).tolist() == [0.0]


def test_density():
    values, mean, log_scale = (drawn(4, 3, seed=seed) for seed in range(3))
    expected = independent(mean, log_scale).log_prob(values)
    torch.testing.assert_close(gaussian_log_density(values, mean, log_scale), expected)
    standard = independent(torch.zeros_like(mean), torch.zeros_like(mean)).log_prob(values)
    torch.testing.assert_close(gaussian_log_density(values), standard)


def test_half_precision_is_computed_in_full():
    mean = torch.tensor([[3.0, 0.1]], dtype=torch.bfloat16)
    found = gaussian_kl(mean, torch.zeros_like(mean))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, gaussian_kl(mean.float(), torch.zeros(1, 2)))


def test_scales_of_another_shape_are_refused():
    with pytest.raises(OptionError, match="give as many of both"):
        gaussian_kl(torch.zeros(2, 3), torch.zeros(2, 1))
