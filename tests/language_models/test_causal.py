from __future__ import annotations

import numpy as np
import pytest
import torch
from language_model_toys import CAUSAL_FAMILIES, toy_causal, toy_tokenizer
from torch.nn import functional

from nlprep.language_models.pretraining.causal import CausalBlocks, CausalLanguageModelling, causal_step
from nlprep.language_models.text.packing import TokenBlocks
from nlprep.language_models.text.token_files import tokenize_documents
from nlprep.objectives.labels import IGNORED


@pytest.fixture
def blocks(tmp_path):
    texts = ["the river is long", "a", "honest people sing of the sea and of the river " * 3, "yesterday"]
    train, _ = tokenize_documents(texts, toy_tokenizer(), tmp_path / "tokens")
    return TokenBlocks(train, 24, causal=True, separator=3, padding=3)


def fetch(blocks, **settings):
    return CausalBlocks(blocks, **settings).batch(np.arange(len(blocks)), np.zeros(len(blocks), np.uint64))


@pytest.mark.parametrize("family", CAUSAL_FAMILIES)
def test_loss_and_gradients_are_plain_cross_entropy(family, blocks) -> None:
    model = toy_causal(family).train()
    batch = fetch(blocks)
    loss = CausalLanguageModelling(model)(**batch)["loss"]
    loss.backward()
    found = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    model.zero_grad()
    logits = model(input_ids=batch["input_ids"]).logits
    real = batch["labels"] != IGNORED
    expected = functional.cross_entropy(logits[real], batch["labels"][real])
    expected.backward()
    torch.testing.assert_close(loss, expected)
    for one, other in zip(found, [p.grad for p in model.parameters() if p.grad is not None], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("family", CAUSAL_FAMILIES)
def test_separate_documents_are_each_alone(family, blocks) -> None:
    """Documents that share a block are predicted as if each had a block to itself."""
    model = toy_causal(family).eval()
    batch = fetch(blocks, separate_documents=True)
    together = CausalLanguageModelling(model)(**batch)["loss"].item()
    nats, count = 0.0, 0
    for inputs, labels, segments in zip(*(batch[n] for n in ("input_ids", "labels", "segments")), strict=True):
        for segment in range(1, int(segments.max()) + 1):
            own = segments == segment
            logits = model(input_ids=inputs[own][None]).logits[0]
            nats += functional.cross_entropy(logits, labels[own], reduction="sum").item()
            count += int(own.sum())
    assert together == pytest.approx(nats / count, rel=1e-5)
    shared = CausalLanguageModelling(model)(**fetch(blocks))["loss"].item()
    assert shared != pytest.approx(together, rel=2e-5)


def test_nothing_to_predict_gives_no_loss(blocks) -> None:
    model = toy_causal()
    batch = fetch(blocks)
    batch["labels"] = torch.full_like(batch["labels"], IGNORED)
    loss = CausalLanguageModelling(model)(**batch)["loss"]
    loss.backward()
    assert loss.item() == 0
    assert all((p.grad == 0).all() for p in model.parameters() if p.grad is not None)


def test_a_step_counts_what_is_predicted(blocks) -> None:
    step = causal_step(toy_causal(), block_length=24)
    batch = fetch(blocks)
    assert step.weight(batch) == step.num_units(batch) == int((batch["labels"] != IGNORED).sum())
    assert step.weight(batch) == blocks.tokens.num_tokens + blocks.tokens.num_documents
