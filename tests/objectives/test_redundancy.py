"""Redundancy reduction against loops over numbers, closed forms and finite differences."""

from __future__ import annotations

import math

import pytest
import torch

from nlprep.core.errors import OptionError
from nlprep.objectives.redundancy import barlow_twins, vicreg


def drawn(seed: int, count: int = 5, numbers: int = 3) -> torch.Tensor:
    return torch.randn(count, numbers, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def covariance(one: list[float], other: list[float]) -> float:
    means = sum(one) / len(one), sum(other) / len(other)
    return sum((a - means[0]) * (b - means[1]) for a, b in zip(one, other, strict=True)) / (len(one) - 1)


def test_barlow_twins_is_the_loop() -> None:
    first, second = drawn(0), drawn(1)
    expected = 0.0
    for j, one in enumerate(first.T.tolist()):
        for k, other in enumerate(second.T.tolist()):
            found = covariance(one, other) / math.sqrt(covariance(one, one) * covariance(other, other))
            expected += (1 - found) ** 2 if j == k else 0.02 * found**2
    assert float(barlow_twins(first, second, weight=0.02)) == pytest.approx(expected, rel=1e-12)
    # Neither the scale nor the mean of a number counts.
    assert float(barlow_twins(3 * first + 7, second, weight=0.02)) == pytest.approx(expected, rel=1e-9)


def test_vicreg_is_the_loop() -> None:
    first, second = drawn(0) / 2, drawn(1)
    expected = 3.0 * sum((a - b) ** 2 for a, b in zip(first.flatten().tolist(), second.flatten().tolist(), strict=True))
    expected /= 15
    for view in (first.T.tolist(), second.T.tolist()):
        for j, one in enumerate(view):
            expected += 5.0 * max(0, 1 - math.sqrt(covariance(one, one) + 1e-4)) / 3
            expected += 0.7 * sum(covariance(one, other) ** 2 for k, other in enumerate(view) if k != j) / 3
    assert float(vicreg(first, second, invariance=3, variance=5, covariance=0.7)) == pytest.approx(expected, rel=1e-12)


def test_closed_forms() -> None:
    # Two numbers, independent and of variance 4/3: nothing is left to wish for.
    ideal = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    assert float(barlow_twins(ideal, ideal)) == pytest.approx(0, abs=1e-10)
    assert float(vicreg(ideal, ideal)) == pytest.approx(0, abs=1e-10)
    # The same number d times: every pair of them is fully correlated.
    same = ideal[:, :1].expand(-1, 5)
    assert float(barlow_twins(same, same, weight=0.5)) == pytest.approx(0.5 * 20)
    # Collapsed: d for the correlations that are missing, and the whole margin but the root of the floor.
    assert float(barlow_twins(torch.ones(4, 5), torch.ones(4, 5))) == 5
    assert float(vicreg(torch.ones(4, 5), torch.ones(4, 5))) == pytest.approx(2 * 25 * 0.99)


@pytest.mark.parametrize("loss", [barlow_twins, vicreg])
def test_gradients_are_those_of_finite_differences_and_finite(loss) -> None:
    views = drawn(0).requires_grad_(), drawn(1).requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: loss(a, b), views)
    flat = torch.ones(4, 3, requires_grad=True)
    loss(flat, flat.detach()).backward()
    assert torch.isfinite(flat.grad).all()
    half = drawn(0).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(loss(half, half.flip(0)), loss(half.float(), half.flip(0).float()))


def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(
        OptionError, match=r"views of shapes \[1, 4\] and \[1, 4\]: expected \(n, d\) twice, n at least 2"
    ):
        vicreg(torch.ones(1, 4), torch.ones(1, 4))
    with pytest.raises(OptionError, match="weight = -1: must be at least 0"):
        barlow_twins(torch.ones(2, 4), torch.ones(2, 4), weight=-1)
