from __future__ import annotations

import numpy as np
import pytest
import torch
from language_model_toys import MASKED_FAMILIES, toy_masked, toy_tokenizer
from torch.nn import functional

from nlprep.language_models.pretraining.configuration import MaskingConfig
from nlprep.language_models.pretraining.masked import MaskedLanguageModelling, find_head, flops_per_token, masked_step
from nlprep.language_models.pretraining.masking import Masking
from nlprep.objectives.labels import IGNORED


def masked_batch(length: int = 24, padded: int = 6):
    ids = np.random.default_rng(0).integers(5, 300, (4, length))
    ids[:, 0], ids[0, -padded:] = 2, 0
    inputs, positions, labels = Masking(toy_tokenizer(), MaskingConfig(masking_rate=0.3)).apply(
        ids, np.arange(4, dtype=np.uint64)
    )
    mask = (ids != 0).astype(np.int64)
    return {
        name: torch.from_numpy(array)
        for name, array in (
            ("input_ids", inputs), ("positions", positions), ("labels", labels), ("attention_mask", mask)
        )
    }  # fmt: skip


@pytest.mark.parametrize("family", MASKED_FAMILIES)
def test_loss_and_gradients_are_the_models_own(family) -> None:
    model = toy_masked(family).train()
    batch = masked_batch()
    loss = MaskedLanguageModelling(model)(**batch)["loss"]
    loss.backward()
    found = {name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None}
    model.zero_grad()
    everywhere = torch.full_like(batch["input_ids"], IGNORED)
    for row, (places, labels) in enumerate(zip(batch["positions"], batch["labels"], strict=True)):
        real = labels != IGNORED
        everywhere[row, places[real]] = labels[real]
    own = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], labels=everywhere).loss
    own.backward()
    torch.testing.assert_close(loss, own)
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(found[name], parameter.grad, rtol=1e-4, atol=1e-6, msg=name)


def test_the_head_is_found_where_it_is_known() -> None:
    for family in ("bert", "roberta", "modernbert"):
        assert find_head(toy_masked(family)) is not None
    assert find_head(toy_masked("distilbert")) is None


def test_nothing_masked_gives_no_loss_and_no_gradient() -> None:
    model = toy_masked()
    batch = masked_batch()
    batch["labels"] = torch.full_like(batch["labels"], IGNORED)
    losses = MaskedLanguageModelling(model)(**batch)
    losses["loss"].backward()
    assert losses["loss"].item() == 0
    assert losses["accuracy"].item() == 0
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert gradients
    assert all((gradient == 0).all() for gradient in gradients)


def test_accuracy_counts_the_right_ones() -> None:
    model = toy_masked().eval()
    batch = masked_batch()
    objective = MaskedLanguageModelling(model)
    logits = objective.logits(batch["input_ids"], batch["positions"], batch["attention_mask"])
    real = batch["labels"] != IGNORED
    batch["labels"] = torch.where(real, logits.argmax(-1), IGNORED)
    assert objective(**batch)["accuracy"].item() == 1
    expected = functional.cross_entropy(logits[real], batch["labels"][real])
    torch.testing.assert_close(objective(**batch)["loss"], expected)


def test_padding_changes_nothing() -> None:
    model = toy_masked().eval()
    batch = masked_batch(padded=1)
    longer = dict(batch)
    longer["input_ids"] = functional.pad(batch["input_ids"], (0, 5), value=7)
    longer["attention_mask"] = functional.pad(batch["attention_mask"], (0, 5), value=0)
    objective = MaskedLanguageModelling(model)
    torch.testing.assert_close(objective(**longer)["loss"], objective(**batch)["loss"])


def test_a_step_counts_what_is_read_and_what_is_predicted() -> None:
    step = masked_step(toy_masked(), block_length=24, masking_rate=0.15)
    batch = masked_batch()
    assert step.weight(batch) == int((batch["labels"] != IGNORED).sum())
    assert step.num_units(batch) == int(batch["attention_mask"].sum()) == 4 * 24 - 6
    # The objective's parameters are the model's, each once.
    assert {id(p) for p in step.module.parameters()} == {id(p) for p in step.module.model.parameters()}


def test_operations_of_a_known_model() -> None:
    model = toy_masked()
    width, layers, vocabulary = 16, 2, 300
    block = 4 * width * width + 2 * width * 4 * width
    expected = 6 * (layers * block + width * width + int(0.15 * vocabulary * width)) + 12 * layers * width * 24
    # The pooler, which this model has not, and token types aside.
    assert flops_per_token(model, 24, output_share=0.15) == pytest.approx(expected, rel=0.01)
