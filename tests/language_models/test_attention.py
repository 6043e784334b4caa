from __future__ import annotations

import pytest
import torch
from language_model_toys import toy_causal, toy_masked
from torch.nn import functional

from nlprep.language_models.models import attention
from nlprep.language_models.models.attention import attend, fast_attention
from nlprep.language_models.pretraining.causal import CausalLanguageModelling
from nlprep.language_models.pretraining.masked import MaskedLanguageModelling


class Layer:
    def __init__(self, is_causal: bool) -> None:
        self.is_causal = is_causal


def parts(length: int = 20, dtype=torch.bfloat16):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(3, 2, length, 8, generator=generator).to(dtype).requires_grad_() for _ in range(3)]


SAME_DOCUMENT = torch.arange(20)[:, None] // 7 == torch.arange(20) // 7
MASKS = {
    "all": (False, None),
    "causal": (True, None),
    "padding": (False, (torch.arange(20) < torch.tensor([[20], [13], [5]]))[:, None, None, :]),
    "documents": (True, (SAME_DOCUMENT & torch.ones(20, 20).tril().bool())[None, None]),
}


@pytest.mark.parametrize("name", MASKS)
def test_it_is_scaled_dot_product_attention(name) -> None:
    causal, mask = MASKS[name]
    query, key, value = parts()
    found, none = attend(Layer(causal), query, key, value, mask)
    assert none is None
    weight = torch.randn(3, 20, 2, 8, generator=torch.Generator().manual_seed(1))
    (found.float() * weight).sum().backward()
    gradients = [part.grad.float() for part in (query, key, value)]
    exact = [part.detach().double().requires_grad_() for part in (query, key, value)]
    expected = functional.scaled_dot_product_attention(*exact, attn_mask=mask, is_causal=causal and mask is None)
    (expected.transpose(1, 2) * weight).sum().backward()
    torch.testing.assert_close(found.float(), expected.transpose(1, 2).float(), rtol=0.03, atol=0.03)
    for one, other in zip(gradients, exact, strict=True):
        # To bfloat16's eight bits, relative to the whole gradient.
        error = (one - other.grad.float()).norm() / other.grad.float().norm()
        assert error < 0.02, name


def test_everything_else_is_left_to_the_library(monkeypatch) -> None:
    def refuse(*_, **__):
        raise AssertionError

    query, key, value = parts(dtype=torch.float32)
    monkeypatch.setattr(attention.torch, "bmm", refuse)
    monkeypatch.setattr(attention.torch, "baddbmm", refuse)
    found, _ = attend(Layer(True), query, key, value, None)
    expected = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
    torch.testing.assert_close(found, expected.transpose(1, 2))
    with torch.no_grad():
        attend(Layer(True), *parts(), None)
    with pytest.raises(AssertionError):
        attend(Layer(True), *parts(), None)


def test_dropped_weights_are_gone_and_the_rest_is_scaled() -> None:
    query, key, _ = parts()
    torch.manual_seed(0)
    value = torch.eye(20)[None, None].expand(3, 2, 20, 20).bfloat16()
    kept, _ = attend(Layer(False), query, key, value, None)
    dropped, _ = attend(Layer(False), query, key, value, None, dropout=0.5)
    # With the identity for values the outputs are the weights.
    gone = dropped == 0
    assert 0.4 < gone.float().mean() < 0.6
    torch.testing.assert_close(dropped[~gone], 2 * kept[~gone], rtol=0.02, atol=1e-3)


@pytest.mark.parametrize("family", ["bert", "roberta", "modernbert"])
def test_encoders_train_as_before(family) -> None:
    model = toy_masked(family).train()
    objective = MaskedLanguageModelling(model)
    batch = {
        "input_ids": torch.randint(5, 300, (4, 24), generator=torch.Generator().manual_seed(0)),
        "positions": torch.tensor([[1, 5, 9]] * 4),
        "labels": torch.tensor([[7, 8, 9]] * 4),
        "attention_mask": (torch.arange(24) < torch.tensor([[24], [24], [15], [10]])).long(),
    }
    compare(model, objective, batch)


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_decoders_train_as_before(family) -> None:
    model = toy_causal(family).train()
    ids = torch.randint(5, 300, (4, 25), generator=torch.Generator().manual_seed(0))
    batch = {"input_ids": ids[:, :-1], "labels": ids[:, 1:]}
    compare(model, CausalLanguageModelling(model), batch)
    segments = (torch.arange(24) // 10 + 1).repeat(4, 1)
    compare(model, CausalLanguageModelling(model), batch | {"segments": segments})


def compare(model, objective, batch) -> None:
    def run():
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            loss = objective(**batch)["loss"]
        loss.backward()
        return loss.item(), torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])

    loss, gradient = run()
    used = []
    original = attention._suits
    attention._suits = lambda *parts: used.append(original(*parts)) or used[-1]
    try:
        with fast_attention(model):
            fast_loss, fast_gradient = run()
    finally:
        attention._suits = original
    assert used == [True, True]
    assert model.config._attn_implementation == "sdpa"
    assert fast_loss == pytest.approx(loss, rel=1e-3)
    assert (fast_gradient - gradient).norm() / gradient.norm() < 0.03
