"""The contrastive losses against slow loops, closed forms and autograd."""

from __future__ import annotations

import math

import pytest
import torch

from nlprep.core.errors import OptionError
from nlprep.objectives.info_nce import info_nce, nt_xent, pair_logits


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def cosine(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return (one @ other) / (one @ one).sqrt() / (other @ other).sqrt()


def slow_info_nce(queries, keys, temperature, negatives=(), symmetric=False) -> torch.Tensor:
    """Equation by equation, a pair at a time."""
    total = torch.zeros((), dtype=torch.float64)
    for i, query in enumerate(queries):
        right = (cosine(query, keys[i]) / temperature).exp()
        total = total - (right / sum((cosine(query, key) / temperature).exp() for key in [*keys, *negatives])).log()
    if symmetric:
        return (total / len(keys) + slow_info_nce(keys, queries, temperature)) / 2
    return total / len(keys)


def slow_nt_xent(first, second, temperature) -> torch.Tensor:
    views = [*first, *second]
    total = torch.zeros((), dtype=torch.float64)
    for i, view in enumerate(views):
        other = views[(i + len(first)) % len(views)]
        rest = sum((cosine(view, views[k]) / temperature).exp() for k in range(len(views)) if k != i)
        total = total - ((cosine(view, other) / temperature).exp() / rest).log()
    return total / len(views)


@pytest.mark.parametrize("temperature", [0.05, 0.5, 3.0])
@pytest.mark.parametrize(("more", "symmetric"), [(0, False), (3, False), (0, True), (3, True)])
def test_info_nce_is_the_slow_loop_with_its_gradient(temperature: float, more: int, symmetric: bool) -> None:
    tensors = [drawn(5, 4), drawn(5, 4, seed=1), drawn(more, 4, seed=2)]
    queries, keys, negatives = (tensor.requires_grad_() for tensor in tensors)
    used = [queries, keys, negatives] if more else [queries, keys]
    ours = info_nce(queries, keys, temperature=temperature, negatives=negatives if more else None, symmetric=symmetric)
    expected = slow_info_nce(queries, keys, temperature, negatives, symmetric)
    torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-12)
    for one, other in zip(torch.autograd.grad(ours, used), torch.autograd.grad(expected, used), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("temperature", [0.05, 0.5, 3.0])
def test_nt_xent_is_the_slow_loop_with_its_gradient(temperature: float) -> None:
    first, second = drawn(4, 3).requires_grad_(), drawn(4, 3, seed=1).requires_grad_()
    ours, expected = nt_xent(first, second, temperature=temperature), slow_nt_xent(first, second, temperature)
    torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-12)
    for one, other in zip(
        torch.autograd.grad(ours, (first, second)), torch.autograd.grad(expected, (first, second)), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_gradients_are_those_of_finite_differences() -> None:
    first, second, negatives = (drawn(3, 4, seed=seed).requires_grad_() for seed in range(3))
    temperature = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda q, k, n, t: info_nce(q, k, temperature=t, negatives=n, symmetric=True),
        (first, second, negatives, temperature),
    )
    assert torch.autograd.gradcheck(lambda a, b, t: nt_xent(a, b, temperature=t), (first, second, temperature))


@pytest.mark.parametrize("number", [1, 2, 7])
def test_equal_vectors_say_how_many_there_are(number: int) -> None:
    same = torch.ones(number, 5)
    assert float(info_nce(same, 2 * same)) == pytest.approx(math.log(number), abs=1e-6)
    assert float(info_nce(same, same, negatives=torch.ones(3, 5))) == pytest.approx(math.log(number + 3), abs=1e-6)
    assert float(nt_xent(same, same)) == pytest.approx(math.log(2 * number - 1), abs=1e-6)


@pytest.mark.parametrize("temperature", [1e-8, 1e-4, 1e8])
def test_extreme_temperatures_stay_finite(temperature: float) -> None:
    first, second = drawn(6, 4).float().requires_grad_(), drawn(6, 4, seed=1).float().requires_grad_()
    for loss in (info_nce(first, second, temperature=temperature), nt_xent(first, second, temperature=temperature)):
        assert torch.isfinite(loss)
        assert all(torch.isfinite(gradient).all() for gradient in torch.autograd.grad(loss, (first, second)))
    if temperature < 1:
        # Nothing but the view itself is nearer than the right one: subtracted, the sum would have nothing left.
        first = first.detach()
        assert float(nt_xent(first, first * 2, temperature=temperature)) == pytest.approx(0, abs=1e-5)


def test_autocast_and_half_precision_lose_nothing() -> None:
    first, second = drawn(6, 4).float(), drawn(6, 4, seed=1).float()
    for loss in (info_nce, nt_xent):
        exact = loss(first, second, temperature=0.01)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(loss(first, second, temperature=0.01), exact)
        half = loss(first.bfloat16(), second.bfloat16(), temperature=0.01)
        assert half.dtype == torch.float32
        torch.testing.assert_close(half, loss(first.bfloat16().float(), second.bfloat16().float(), temperature=0.01))


def test_memory_is_one_matrix_of_similarities() -> None:
    """In a million-fold tensor of pairs and candidates this would not end."""
    first, second = torch.randn(1500, 2), torch.randn(1500, 2)
    assert pair_logits(first, second).shape == (1500, 1500)
    assert torch.isfinite(nt_xent(first, second))


def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(OptionError, match=r"pairs of shapes \[3, 4\] and \[2, 4\]"):
        info_nce(torch.ones(3, 4), torch.ones(2, 4))
    with pytest.raises(OptionError, match=r"pairs of shapes \[0, 4\]"):
        nt_xent(torch.ones(0, 4), torch.ones(0, 4))
    with pytest.raises(OptionError, match=r"negatives of shape \[3, 5\]: expected \(m, 4\)"):
        info_nce(torch.ones(3, 4), torch.ones(3, 4), negatives=torch.ones(3, 5))
    with pytest.raises(OptionError, match="temperature = 0: must be above 0"):
        info_nce(torch.ones(3, 4), torch.ones(3, 4), temperature=0)
