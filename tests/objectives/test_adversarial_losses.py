"""Losses of two players: their formulas, their gradients, and the penalty on a discriminator's gradient."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from nlprep.core.errors import OptionError
from nlprep.objectives.adversarial import discriminator_loss, generator_loss, gradient_penalty

REAL = torch.tensor([2.0, -1.0, 0.3, 40.0, -40.0])
MADE = torch.tensor([-0.5, 1.5, 30.0])


def test_non_saturating_losses_are_cross_entropies_by_a_slow_sum() -> None:
    def softplus(value: float) -> float:
        return max(value, 0.0) + math.log1p(math.exp(-abs(value)))

    slow = sum(softplus(-x) for x in REAL.tolist()) / 5 + sum(softplus(y) for y in MADE.tolist()) / 3
    assert float(discriminator_loss(REAL, MADE)) == pytest.approx(slow, rel=1e-6)
    slow = sum(softplus(-y) for y in MADE.tolist()) / 3
    assert float(generator_loss(MADE)) == pytest.approx(slow, rel=1e-6)
    torch.testing.assert_close(
        discriminator_loss(REAL, MADE),
        binary_cross_entropy_with_logits(REAL, torch.ones(5)) + binary_cross_entropy_with_logits(MADE, torch.zeros(3)),
    )
    torch.testing.assert_close(generator_loss(MADE), binary_cross_entropy_with_logits(MADE, torch.ones(3)))


def test_the_generator_learns_most_where_it_is_worst() -> None:
    made = torch.tensor([-30.0, 0.0, 30.0], requires_grad=True)
    (gradient,) = torch.autograd.grad(generator_loss(made), made)
    torch.testing.assert_close(gradient, torch.tensor([-1.0, -0.5, 0.0]) / 3, atol=1e-6, rtol=0)


def test_hinge_losses_by_a_slow_sum() -> None:
    slow = sum(max(0.0, 1 - x) for x in REAL.tolist()) / 5 + sum(max(0.0, 1 + y) for y in MADE.tolist()) / 3
    assert float(discriminator_loss(REAL, MADE, "hinge")) == pytest.approx(slow, rel=1e-6)
    assert float(generator_loss(MADE, "hinge")) == pytest.approx(-31.0 / 3, rel=1e-6)
    with pytest.raises(OptionError, match="kind = 'least'"):
        discriminator_loss(REAL, MADE, "least")
    with pytest.raises(OptionError, match="choose from non-saturating, hinge"):
        generator_loss(MADE, "least")


def test_the_penalty_of_a_linear_discriminator_is_the_square_of_its_weights() -> None:
    weights = torch.tensor([1.0, -2.0, 0.5], requires_grad=True)
    examples = torch.randn(7, 3, generator=torch.Generator().manual_seed(1), requires_grad=True)
    penalty = gradient_penalty(examples @ weights + 3, examples)
    torch.testing.assert_close(penalty, weights.square().sum())
    # Minimising it is by d |w|^2 / dw = 2 w, whatever the examples and however many.
    (gradient,) = torch.autograd.grad(penalty, weights)
    torch.testing.assert_close(gradient, 2 * weights.detach())


def test_the_penalty_of_a_curved_one_is_a_mean_over_examples() -> None:
    scale = torch.tensor(1.5, requires_grad=True)
    examples = torch.randn(4, 1, 2, 3, generator=torch.Generator().manual_seed(2), requires_grad=True)
    # D(x) = a sum sin(x): dD/dx = a cos(x).
    penalty = gradient_penalty(scale * examples.sin().flatten(1).sum(1), examples)
    expected = sum(float((1.5 * one.cos()).square().sum()) for one in examples.detach()) / 4
    assert float(penalty.detach()) == pytest.approx(expected, rel=1e-5)
    (gradient,) = torch.autograd.grad(penalty, scale)
    assert float(gradient) == pytest.approx(2 * expected / 1.5, rel=1e-5)
