"""Losses of correlation against linear algebra in NumPy, closed forms, finite differences, and hard views."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nlprep.core.errors import OptionError
from nlprep.core.training.steps.wholeness import divided
from nlprep.objectives.correlation import (
    canonical_correlations,
    check_batch,
    correlation_loss,
    generalized_correlation_loss,
    soft_decorrelation_loss,
    squared_correlation_loss,
    standardised_covariances,
)
from nlprep.vectors.canonical_correlation import fit_canonical_correlation


def drawn(seed: int, count: int = 60, numbers: int = 4, shared: int = 2) -> torch.Tensor:
    """A view; all have the first ``shared`` directions in common, turned by seeds of their own."""
    common = torch.randn(count, shared, dtype=torch.float64, generator=torch.Generator().manual_seed(99))
    own = torch.Generator().manual_seed(seed)
    turned = common @ torch.randn(shared, numbers, dtype=torch.float64, generator=own)
    return turned + 0.5 * torch.randn(count, numbers, dtype=torch.float64, generator=own) + 3


@pytest.mark.parametrize("ridge", [1e-8, 1e-2])
def test_the_correlations_are_those_of_linear_cca(ridge: float) -> None:
    one, other = drawn(0), drawn(1, numbers=3)
    expected = fit_canonical_correlation([one.numpy(), other.numpy()], ridge=ridge).correlations
    np.testing.assert_allclose(canonical_correlations(one, other, ridge=ridge).numpy(), expected, atol=1e-7)
    assert float(correlation_loss(one, other, ridge=ridge)) == pytest.approx(-expected.sum(), abs=1e-6)
    # Another objective than the root of it, and than the sum.
    assert float(squared_correlation_loss(one, other, ridge=ridge)) == pytest.approx(-(expected**2).sum(), abs=1e-6)
    assert abs(expected.sum() - (expected**2).sum()) > 0.1


def test_the_largest_correlations_count_and_not_the_smallest() -> None:
    one, other = drawn(0), drawn(1)
    found = canonical_correlations(one, other)
    assert found[1] > 0.7 > 0.4 > found[2]
    assert float(correlation_loss(one, other, num_directions=2)) == pytest.approx(-float(found[:2].sum()), rel=1e-6)
    assert float(squared_correlation_loss(one, other, num_directions=1)) == pytest.approx(-float(found[0] ** 2))


def test_several_views_are_the_projections_of_the_paper() -> None:
    views = [drawn(0), drawn(1, numbers=3), drawn(2, numbers=5)]
    total = torch.zeros(60, 60, dtype=torch.float64)
    for view in views:
        centred = view - view.mean(0)
        total += centred @ torch.linalg.pinv(centred)
    largest = torch.linalg.eigvalsh(total)[-2:]
    expected = -(float(largest.sum()) - 2) / 2
    assert float(generalized_correlation_loss(views, num_directions=2, ridge=1e-8)) == pytest.approx(expected, rel=1e-6)
    # The paper's |G - X_j U_j|^2, by least squares.
    shared = torch.linalg.eigh(total)[1][:, -2:]
    left = 0.0
    for view in views:
        centred = view - view.mean(0)
        left += float((shared - centred @ (torch.linalg.pinv(centred) @ shared)).square().sum())
    assert left == pytest.approx(2 * 3 - float(largest.sum()), rel=1e-6)


def test_two_views_by_the_way_of_several_are_the_sum_of_correlations() -> None:
    one, other = drawn(0), drawn(1, numbers=3)
    assert float(generalized_correlation_loss([one, other], ridge=1e-8)) == pytest.approx(
        float(correlation_loss(one, other, ridge=1e-8)), abs=1e-6
    )


def slow_soft_decorrelation(views: list[torch.Tensor], weight: float) -> float:
    """A pair and a number at a time."""
    standardised = [(view - view.mean(0)) / view.std(0, correction=0) for view in views]
    apart, pairs, decorrelated = 0.0, 0, 0.0
    for i, one in enumerate(standardised):
        for other in standardised[i + 1 :]:
            pairs += 1
            for row, twin in zip(one.tolist(), other.tolist(), strict=True):
                apart += sum((a - b) ** 2 for a, b in zip(row, twin, strict=True)) / len(one)
        for k in range(one.shape[1]):
            decorrelated += sum(abs(float((one[:, k] * one[:, m]).mean())) for m in range(one.shape[1]) if m != k)
    return apart / pairs + weight * decorrelated / len(views)


def test_soft_decorrelation_is_the_slow_loop() -> None:
    views = [drawn(seed, count=7) for seed in range(3)]
    assert float(soft_decorrelation_loss(views, weight=0.3)) == pytest.approx(slow_soft_decorrelation(views, 0.3))
    # The past is known better than a batch: with all of its weight, the batch's own covariances hardly count.
    past = torch.eye(4, dtype=torch.float64).expand(3, 4, 4)
    kept = soft_decorrelation_loss(views, weight=0.3, past=past, memory=0.75)
    assert float(kept) == pytest.approx(
        slow_soft_decorrelation(views, 0) * 0.75 + slow_soft_decorrelation(views, 0.3) * 0.25
    )
    np.testing.assert_allclose(standardised_covariances(views)[0].numpy(), np.corrcoef(views[0].numpy().T), atol=1e-12)


LOSSES = {
    "sum": lambda one, other: correlation_loss(one, other, ridge=1e-3),
    "largest": lambda one, other: correlation_loss(one, other, ridge=1e-3, num_directions=2),
    "squares": lambda one, other: squared_correlation_loss(one, other, ridge=1e-3),
    "generalized": lambda one, other: generalized_correlation_loss([one, other, one.flip(0)], ridge=1e-3),
    "soft": lambda one, other: soft_decorrelation_loss([one, other]),
}
each = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())


@each
def test_gradients_are_those_of_finite_differences(loss) -> None:
    views = drawn(0, count=9, numbers=3).requires_grad_(), drawn(1, count=9, numbers=3).requires_grad_()
    assert torch.autograd.gradcheck(loss, views)


def white(count: int, numbers: int) -> torch.Tensor:
    """Columns that are exactly uncorrelated and of variance one: all eigenvalues are the same."""
    columns = [1.0 - 2.0 * ((torch.arange(count) >> bit) % 2) for bit in range(numbers)]
    return torch.stack(columns, dim=1).double()


HARD = {
    "white": (white(64, 3), white(64, 6)[:, 3:]),
    "identical": (drawn(0), drawn(0)),
    "identical and white": (white(64, 3), white(64, 3)),
    "dead unit": (drawn(0) * torch.tensor([1.0, 0.0, 1.0, 1.0]), drawn(1)),
    "dead": (torch.zeros(60, 4, dtype=torch.float64), drawn(1)),
    "both dead": (torch.zeros(60, 4, dtype=torch.float64), torch.zeros(60, 4, dtype=torch.float64)),
    "constant": (torch.full((60, 4), 0.1, dtype=torch.float64), drawn(1)),
    "duplicate": (drawn(0)[:, [0, 0, 1, 1]], drawn(1)),
    "tiny": (drawn(0) * 1e-4, drawn(1) * 1e-4),
    "one tiny": (drawn(0) * 1e-4, drawn(1)),
    "huge": (drawn(0) * 1e15, drawn(1)),
}


@each
@pytest.mark.parametrize("views", HARD.values(), ids=HARD.keys())
@pytest.mark.parametrize("kind", [torch.float32, torch.float64], ids=["fp32", "fp64"])
def test_hard_views_have_finite_losses_and_gradients(views, loss, kind) -> None:
    one, other = (view.detach().clone().to(kind).requires_grad_() for view in views)
    found = loss(one, other)
    found.backward()
    assert found.dtype == kind
    assert torch.isfinite(found)
    assert torch.isfinite(one.grad).all()
    assert torch.isfinite(other.grad).all()


def test_hard_views_have_the_right_losses() -> None:
    found = {name: float(correlation_loss(*views)) for name, views in HARD.items()}
    assert found["white"] == pytest.approx(0, abs=1e-12)
    assert found["identical and white"] == pytest.approx(-3 / (1 + 1e-4))
    assert [found[name] for name in ("dead", "constant", "both dead")] == [0, 0, 0]
    # Without a unit, and with a unit twice, there is less to correlate, and no other number.
    assert found["dead unit"] == pytest.approx(float(correlation_loss(drawn(0)[:, [0, 2, 3]], drawn(1))), abs=1e-3)
    assert found["duplicate"] == pytest.approx(float(correlation_loss(drawn(0)[:, :2], drawn(1))), abs=1e-3)
    # Whatever the scale: the ridge is relative to the variance.
    plain = float(correlation_loss(drawn(0), drawn(1)))
    assert [found["tiny"], found["one tiny"], found["huge"]] == pytest.approx([plain] * 3, rel=1e-9)


@each
def test_what_does_not_vary_has_a_gradient_of_nothing(loss) -> None:
    flat = torch.full((60, 4), 0.1, requires_grad=True)
    other = drawn(1).float()
    loss(flat, other).backward()
    assert flat.grad.abs().max() < 1e-3


@each
def test_half_precision_and_autocast_lose_nothing(loss) -> None:
    one, other = drawn(0).bfloat16(), drawn(1).bfloat16()
    exact = loss(one.float(), other.float())
    assert loss(one, other).dtype == torch.float32
    assert torch.equal(loss(one, other), exact)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(loss(one, other), exact)


@pytest.mark.parametrize("name", ["sum", "squares", "generalized"])
def test_a_batch_no_larger_than_the_codes_is_refused_with_the_numbers(name: str) -> None:
    for count in (3, 4, 5):
        with pytest.raises(OptionError, match=rf"a batch of {count} examples for codes of 4 numbers: any views of at"):
            LOSSES[name](drawn(0, count=count), drawn(1, count=count))
    # Rightly so: whatever the views, they correlate fully there, and only there.
    one, other = torch.randn(5, 4, dtype=torch.float64), torch.randn(5, 4, dtype=torch.float64)
    assert fit_canonical_correlation([one.numpy(), other.numpy()]).correlations.min() > 1 - 1e-6
    assert torch.isfinite(LOSSES[name](drawn(0, count=6), drawn(1, count=6)))
    check_batch(6, [4, 3])


def test_what_does_not_fit_is_said() -> None:
    one, other = drawn(0), drawn(1)
    with pytest.raises(OptionError, match=r"views of shapes \[\[60, 4\], \[59, 4\]\]: give two or more, \(n, d\) of"):
        correlation_loss(one, other[1:])
    with pytest.raises(OptionError, match="give two or more"):
        generalized_correlation_loss([one])
    with pytest.raises(OptionError, match="num_directions = 5: must be from 1 to 4"):
        correlation_loss(one, other, num_directions=5)
    with pytest.raises(OptionError, match=r"ridge = 0: must be at least 1e-08"):
        correlation_loss(one, other, ridge=0)
    with pytest.raises(OptionError, match="codes must be equally long"):
        soft_decorrelation_loss([one, other[:, 1:]])
    with pytest.raises(OptionError, match=r"past of shape \[1\]: expected \[2, 4, 4\]"):
        soft_decorrelation_loss([one, other], past=torch.ones(1))
    with divided(2), pytest.raises(OptionError, match="a correlation couples the examples of a batch"):
        correlation_loss(one, other)


@each
def test_what_is_no_number_is_left_to_the_loop_to_tell(loss) -> None:
    lost = drawn(0)
    lost[3, 1] = torch.nan
    lost.requires_grad_()
    found = loss(lost, drawn(1))
    found.backward()
    assert torch.isnan(found)
    assert not torch.isfinite(lost.grad).all()
