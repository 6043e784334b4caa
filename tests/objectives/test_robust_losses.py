"""Robust losses against their closed forms, autograd, and what each promises of outliers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from nlprep.core.errors import OptionError
from nlprep.objectives.robust_losses import ROBUST_LOSSES, find_robust_loss

EVERY = [pytest.param(loss, id=name) for name, loss in ROBUST_LOSSES.items()]
# Written out once more, a number at a time.
CLOSED = {
    "squared": lambda r, c: r * r / 2,
    "absolute": lambda r, c: abs(r),
    "huber": lambda r, c: r * r / 2 if abs(r) <= c else c * (abs(r) - c / 2),
    "fair": lambda r, c: c * c * (abs(r) / c - math.log(1 + abs(r) / c)),
    "l2-l1": lambda r, c: c * c * (math.sqrt(1 + r * r / c / c) - 1),
    "cauchy": lambda r, c: c * c / 2 * math.log(1 + (r / c) ** 2),
    "geman-mcclure": lambda r, c: c * c / 2 * r * r / (c * c + r * r),
    "correntropy": lambda r, c: c * c / 2 * (1 - math.exp(-((r / c) ** 2))),
}
RESIDUALS = torch.tensor([-40.0, -3.0, -1.3, -0.7, -0.01, 0.02, 0.5, 1.1, 2.5, 30.0], dtype=torch.float64)


@pytest.mark.parametrize("loss", EVERY)
@pytest.mark.parametrize("scale", [0.6, 1.0, 2.3849])
def test_it_is_its_formula_and_the_influence_is_its_derivative(loss, scale) -> None:
    residuals = RESIDUALS.clone().requires_grad_()
    found = loss(residuals, scale)
    expected = [CLOSED[loss.name](float(r), scale) for r in RESIDUALS]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=1e-10, atol=1e-13)
    (gradient,) = torch.autograd.grad(found.sum(), residuals)
    torch.testing.assert_close(loss.influence(RESIDUALS, scale), gradient, rtol=1e-10, atol=1e-13)
    torch.testing.assert_close(loss(-RESIDUALS, scale), found)


@pytest.mark.parametrize("loss", EVERY)
def test_small_residuals_are_squared_errors_and_rounding_leaves_them(loss) -> None:
    if loss.name == "absolute":
        return
    small = torch.tensor([1e-4, -3e-4])
    torch.testing.assert_close(loss(small, 2.0), small.square() / 2, rtol=1e-2 if loss.name == "fair" else 1e-4, atol=0)
    assert float(loss(torch.zeros(1), 2.0)) == 0


def test_influence_far_away() -> None:
    far = torch.tensor([1e3, 1e4], dtype=torch.float64)
    pulls = {name: loss.influence(far, 2.0).tolist() for name, loss in ROBUST_LOSSES.items()}
    assert pulls["squared"] == [1e3, 1e4]
    assert pulls["absolute"] == [1, 1]
    assert pulls["huber"] == [2, 2]
    for name in ("fair", "l2-l1"):
        assert pulls[name] == pytest.approx([2, 2], rel=3e-3)
    assert pulls["cauchy"] == pytest.approx([4 / 1e3, 4 / 1e4], rel=1e-4)
    assert pulls["geman-mcclure"] == pytest.approx([16 / 1e9, 16 / 1e12], rel=1e-4)
    assert pulls["correntropy"] == [0, 0]


@pytest.mark.parametrize("loss", [loss for loss in EVERY if loss.values[0].efficient_scale])
def test_at_its_scale_a_location_has_95_percent_of_the_means_efficiency(loss) -> None:
    # (E psi')^2 / E psi^2 of standard normal residuals; E psi' = E r psi, by Stein's identity.
    r = torch.linspace(-12, 12, 240_001, dtype=torch.float64)
    density = torch.exp(-r.square() / 2) / math.sqrt(2 * math.pi) * 1e-4
    psi = loss.influence(r, loss.efficient_scale)
    efficiency = float((r * psi * density).sum() ** 2 / (psi.square() * density).sum())
    assert efficiency == pytest.approx(0.95, abs=2e-5)


def test_what_outliers_do_to_a_location() -> None:
    """Ten of a hundred values lie at 50: the mean goes to 5, the others stay, those that forget nearest."""
    draws = np.random.default_rng(1).standard_normal(90)
    values = torch.tensor(np.concatenate([draws, np.full(10, 50.0)]))
    clean = float(draws.mean())
    moved = {}
    for name, loss in ROBUST_LOSSES.items():
        location = values.median().clone().requires_grad_()
        optimizer = torch.optim.LBFGS([location], lr=0.5, max_iter=200, line_search_fn="strong_wolfe")

        def closure(loss=loss, optimizer=optimizer, location=location):
            optimizer.zero_grad()
            total = loss(values - location, loss.efficient_scale or 1.0).mean()
            total.backward()
            return total

        optimizer.step(closure)
        moved[name] = abs(float(location.detach()) - clean)
    assert moved["squared"] == pytest.approx(5, abs=0.2)
    assert max(moved[name] for name in moved if name != "squared") < 0.35
    assert max(moved["geman-mcclure"], moved["correntropy"], moved["cauchy"]) < 0.1
    assert moved["huber"] > moved["cauchy"]


@pytest.mark.parametrize("loss", EVERY)
def test_halves_and_huge_residuals_stay_finite(loss) -> None:
    residuals = torch.tensor([-1e15, 1e15, 0.0], requires_grad=True)
    found = loss(residuals, 0.1)
    (gradient,) = torch.autograd.grad(found.sum(), residuals)
    assert torch.isfinite(found).all()
    assert torch.isfinite(gradient).all()
    assert loss(torch.ones(2, dtype=torch.bfloat16)).dtype == torch.float32


def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(OptionError, match="scale = 0: must be above 0"):
        find_robust_loss("huber")(torch.ones(1), 0)
    with pytest.raises(OptionError, match="scale = inf"):
        find_robust_loss("huber").influence(torch.ones(1), math.inf)
    with pytest.raises(OptionError, match="robust loss 'hubert': choose from squared, absolute, huber"):
        find_robust_loss("hubert")
