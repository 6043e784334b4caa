from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from nlprep.objectives.labels import IGNORED
from nlprep.objectives.token_cross_entropy import token_cross_entropy


def made(dtype, rows: int = 700, vocabulary: int = 1000):
    generator = torch.Generator().manual_seed(0)
    logits = (3 * torch.randn(rows, vocabulary, generator=generator)).to(dtype).requires_grad_()
    labels = torch.randint(0, vocabulary, (rows,), generator=generator)
    labels[::7] = IGNORED
    return logits, labels


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("share", [1.0, 0.25])
def test_value_and_gradient_are_the_librarys(dtype, smoothing, share) -> None:
    logits, labels = made(dtype)
    before = logits.detach().clone()
    loss = share * token_cross_entropy(logits.view(7, 100, 1000), labels.view(7, 100), label_smoothing=smoothing)
    loss.backward()
    found, logits.grad = logits.grad, None
    expected = functional.cross_entropy(
        logits.double(), labels, ignore_index=IGNORED, reduction="sum", label_smoothing=smoothing
    )
    expected = share * expected / 600
    expected.backward()
    torch.testing.assert_close(loss.double(), expected, rtol=1e-6, atol=0)
    tolerance = {"rtol": 1e-4, "atol": 1e-8} if dtype == torch.float32 else {"rtol": 2e-2, "atol": 1e-6}
    torch.testing.assert_close(found, logits.grad, **tolerance)
    assert torch.equal(logits.detach(), before)
    assert (found[::7] == 0).all()


def test_extreme_logits_do_not_overflow() -> None:
    logits = torch.tensor([[1e4, -1e4, 0.0], [-1e30, 1e30, 0.0]], requires_grad=True)
    loss = token_cross_entropy(logits, torch.tensor([0, 0]))
    loss.backward()
    assert loss.item() == pytest.approx(1e30)
    assert torch.isfinite(logits.grad).all()


def test_not_finite_stays_so() -> None:
    logits, labels = made(torch.float32)
    spoiled = logits.detach().clone()
    spoiled[1, 3] = float("nan")
    assert token_cross_entropy(spoiled, labels).isnan()


def test_gradient_by_finite_differences() -> None:
    logits = torch.randn(4, 9, dtype=torch.float32, generator=torch.Generator().manual_seed(1)).requires_grad_()
    labels = torch.tensor([0, IGNORED, 8, 3])
    loss = token_cross_entropy(logits, labels)
    loss.backward()
    shift = torch.randn(4, 9, generator=torch.Generator().manual_seed(2))
    step = 1e-2
    ahead, behind = (token_cross_entropy(logits.detach() + sign * step * shift, labels) for sign in (1, -1))
    assert ((ahead - behind) / (2 * step)).item() == pytest.approx((logits.grad * shift).sum().item(), rel=1e-3)


def test_all_ignored_is_zero() -> None:
    logits = torch.randn(3, 5, requires_grad=True)
    loss = token_cross_entropy(logits, torch.full((3,), IGNORED))
    loss.backward()
    assert loss.item() == 0
    assert (logits.grad == 0).all()
