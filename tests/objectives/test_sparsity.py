"""Sparsity penalties against closed forms and torch's divergences."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import Bernoulli, kl_divergence

from nlprep.core.errors import OptionError
from nlprep.core.training.steps.wholeness import divided
from nlprep.objectives.sparsity import keep_largest, kl_penalty, l1_penalty


def test_l1_is_a_sum_over_units_and_a_mean_over_examples() -> None:
    codes = torch.randn(5, 7, generator=torch.Generator().manual_seed(0))
    assert float(l1_penalty(codes)) == pytest.approx(sum(abs(float(v)) for v in codes.flatten()) / 5, rel=1e-5)
    torch.testing.assert_close(l1_penalty(codes.repeat(2, 1)), l1_penalty(codes))
    torch.testing.assert_close(l1_penalty(codes.repeat(1, 2)), 2 * l1_penalty(codes))


@pytest.mark.parametrize("target", [0.05, 0.5])
def test_kl_is_that_of_bernoulli_variables(target: float) -> None:
    activities = torch.rand(6, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    expected = kl_divergence(Bernoulli(torch.tensor(target)), Bernoulli(activities.mean(0))).sum()
    found = kl_penalty(activities, target)
    torch.testing.assert_close(found, expected)
    for one, other in zip(
        torch.autograd.grad(found, activities), torch.autograd.grad(expected, activities), strict=True
    ):
        torch.testing.assert_close(one, other)


def test_saturated_units_have_a_gradient_that_leads_out() -> None:
    activities = torch.tensor([[0.0, 1.0]]).requires_grad_()
    found = kl_penalty(activities, 0.1)
    (gradient,) = torch.autograd.grad(found, activities)
    assert torch.isfinite(found)
    assert gradient[0, 0] < 0 < gradient[0, 1]


def test_kl_of_a_part_of_a_batch_is_refused() -> None:
    with divided(2), pytest.raises(OptionError, match="the mean activity of a unit couples"):
        kl_penalty(torch.rand(2, 2), 0.1)


@pytest.mark.parametrize("target", [0.0, 1.0, -1.0])
def test_other_targets_are_refused(target: float) -> None:
    with pytest.raises(OptionError, match=f"target = {target}: must be between 0 and 1"):
        kl_penalty(torch.rand(2, 2), target)


def test_the_largest_are_kept_with_their_gradients() -> None:
    codes = torch.randn(5, 7, generator=torch.Generator().manual_seed(0)).requires_grad_()
    kept = keep_largest(codes, 3)
    for row, before in zip(kept.tolist(), codes.tolist(), strict=True):
        least = sorted(before)[-3]
        assert row == [value if value >= least else 0.0 for value in before]
    (gradient,) = torch.autograd.grad(kept.sum(), codes)
    assert torch.equal(gradient, (kept != 0).float())
    assert torch.equal(keep_largest(torch.ones(2, 4), 2).count_nonzero(1), torch.tensor([2, 2]))
    for number in (0, 8):
        with pytest.raises(OptionError, match=f"{number} units are to stay active of 7: give from 1 to 7"):
            keep_largest(codes, number)
