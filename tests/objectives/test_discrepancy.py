"""The maximum mean discrepancy against a double loop, and its sign."""

from __future__ import annotations

import math

import pytest
import torch

from nlprep.core.errors import OptionError
from nlprep.core.training.steps.wholeness import divided
from nlprep.objectives.discrepancy import (
    gaussian_kernel,
    inverse_multiquadric_kernel,
    squared_distances,
    squared_mmd,
)


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def slow_mmd(first, second, kernel, *, unbiased: bool) -> float:
    def within(sample) -> float:
        pairs = [
            kernel(float((x - y) @ (x - y)))
            for i, x in enumerate(sample)
            for j, y in enumerate(sample)
            if not unbiased or i != j
        ]
        return sum(pairs) / len(pairs)

    across = sum(kernel(float((x - y) @ (x - y))) for x in first for y in second) / (len(first) * len(second))
    return within(first) + within(second) - 2 * across


KERNELS = [
    (gaussian_kernel(0.7, 2.0), lambda d: math.exp(-d / (2 * 0.49)) + math.exp(-d / 8)),
    (inverse_multiquadric_kernel(1.5, 4.0), lambda d: 1.5 / (1.5 + d) + 4 / (4 + d)),
]


@pytest.mark.parametrize("unbiased", [True, False])
@pytest.mark.parametrize(("kernel", "slow"), KERNELS)
def test_it_is_the_double_loop(kernel, slow, unbiased):
    first, second = drawn(5, 3), drawn(7, 3, seed=1) + 0.5
    found = squared_mmd(first, second, kernel, unbiased=unbiased)
    assert float(found) == pytest.approx(slow_mmd(first, second, slow, unbiased=unbiased), rel=1e-9)


@pytest.mark.parametrize(("kernel", "slow"), KERNELS)
def test_descending_it_brings_samples_together(kernel, slow):
    codes, prior = (drawn(64, 2) + 3).requires_grad_(), drawn(64, 2, seed=1)
    before = squared_mmd(codes, prior, kernel)
    assert float(before.detach()) > 0
    (gradient,) = torch.autograd.grad(before, codes)
    step = codes.detach() - 5 * gradient
    assert float(squared_mmd(step, prior, kernel)) < float(before.detach())
    # Towards the prior, which lies to the left and below.
    assert bool((step.mean(0) < codes.mean(0)).all())


@pytest.mark.slow
def test_the_unbiased_one_is_nothing_in_the_mean_and_the_biased_one_more():
    unbiased, biased = [], []
    for seed in range(300):
        first, second = drawn(8, 2, seed=2 * seed), drawn(8, 2, seed=2 * seed + 1)
        unbiased.append(float(squared_mmd(first, second)))
        biased.append(float(squared_mmd(first, second, unbiased=False)))
    mean = torch.tensor(unbiased)
    assert abs(float(mean.mean())) < 3 * float(mean.std()) / math.sqrt(len(mean))
    assert min(biased) >= 0
    assert sum(biased) / len(biased) > 0.05


def test_far_from_the_origin_distances_are_kept():
    first, second = drawn(4, 2).float(), drawn(3, 2, seed=1).float()
    near, far = squared_distances(first, second), squared_distances(first + 1000, second + 1000)
    torch.testing.assert_close(far, near, atol=1e-3, rtol=1e-3)


def test_what_does_not_fit_is_refused():
    with pytest.raises(OptionError, match="expected"):
        squared_mmd(drawn(3, 2), drawn(3, 4))
    with pytest.raises(OptionError, match="no other"):
        squared_mmd(drawn(1, 2), drawn(3, 2))
    with pytest.raises(OptionError, match="all above 0"):
        gaussian_kernel(0.0)
    with divided(2), pytest.raises(OptionError, match="couples the examples"):
        squared_mmd(drawn(3, 2), drawn(3, 2))
