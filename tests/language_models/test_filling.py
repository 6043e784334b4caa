from __future__ import annotations

import pytest
import torch
from language_model_toys import MASKED_FAMILIES, toy_masked, toy_tokenizer

from nlprep.core.errors import NlprepError, OptionError
from nlprep.language_models.generators.filling import fill


@pytest.mark.parametrize("family", MASKED_FAMILIES)
def test_blanks_are_filled_by_the_models_probabilities(family) -> None:
    model, tokenizer = toy_masked(family).eval(), toy_tokenizer()
    filled = fill(model, tokenizer, "the [MASK] is [MASK] long", top=300)
    ids = tokenizer("the [MASK] is [MASK] long", return_tensors="pt")["input_ids"]
    places = (ids[0] == tokenizer.mask_token_id).nonzero()[:, 0]
    expected = model(input_ids=ids).logits[0, places].softmax(-1)
    assert len(filled) == 2
    for blank, probabilities in zip(filled, expected, strict=True):
        assert len(blank) == 295
        assert [f.probability for f in blank] == sorted((f.probability for f in blank), reverse=True)
        for filling in blank[:10]:
            identity = tokenizer.convert_tokens_to_ids(filling.token)
            assert identity >= 5
            assert filling.probability == pytest.approx(probabilities[identity].item(), rel=1e-4)
            assert filling.text == tokenizer.decode([identity])


def test_a_trained_model_knows_the_word() -> None:
    model, tokenizer = toy_masked().train(), toy_tokenizer()
    right = tokenizer(" river", add_special_tokens=False)["input_ids"][0]
    ids = tokenizer("the[MASK]", return_tensors="pt")["input_ids"]
    labels = torch.where(ids == tokenizer.mask_token_id, right, -100)
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(30):
        optimizer.zero_grad()
        model(input_ids=ids, labels=labels).loss.backward()
        optimizer.step()
    best = fill(model.eval(), tokenizer, "the[MASK]")[0][0]
    assert best.token == tokenizer.convert_ids_to_tokens(right)
    assert best.probability > 0.5


def test_bad_input() -> None:
    model, tokenizer = toy_masked().eval(), toy_tokenizer()
    with pytest.raises(NlprepError, match="has no blank"):
        fill(model, tokenizer, "the river")
    with pytest.raises(NlprepError, match=r"the text has \d+ tokens, the model takes 32"):
        fill(model, tokenizer, "the [MASK] " * 40)
    with pytest.raises(OptionError, match="top = 0"):
        fill(model, tokenizer, "[MASK]", top=0)
