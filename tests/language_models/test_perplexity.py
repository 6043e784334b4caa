from __future__ import annotations

import math
from copy import deepcopy

import pytest
import torch
from language_model_toys import CAUSAL_FAMILIES, sentences, toy_causal, toy_masked, toy_tokenizer

from nlprep.core.errors import NlprepError, OptionError
from nlprep.language_models.generators.perplexity import measure_perplexity, measure_pseudo_perplexity
from nlprep.language_models.text.tokenizers import causal_form


def slow_nats(model, ids: list[int], context: int, stride: int) -> float:
    """Each token by itself: which tokens it sees follows from the definition of the windows."""
    nats = 0.0
    for target in range(1, len(ids)):
        if target <= context:
            start = 0
        else:
            # The window that predicts it ends at the next multiple of the stride behind the first one.
            end = min(len(ids) - 1, context + -(-(target - context) // stride) * stride)
            start = end - context
        logits = model(input_ids=torch.tensor([ids[start:target]])).logits[0, -1].double()
        nats -= logits.log_softmax(-1)[ids[target]].item()
    return nats


@pytest.mark.parametrize("family", CAUSAL_FAMILIES)
@pytest.mark.parametrize("stride", [None, 1, 5, 32])
@pytest.mark.slow
def test_windows_predict_each_token_once(family, stride) -> None:
    model, tokenizer = toy_causal(family).eval(), causal_form(toy_tokenizer())
    documents = ["the river", " ".join(sentences()[:3]), "a [SEP] spelled out"]
    found = measure_perplexity(model, tokenizer, documents, stride=stride, batch_size=3)
    nats, tokens = 0.0, 0
    with torch.inference_mode():
        for document in documents:
            ids = tokenizer(document, split_special_tokens=True)["input_ids"]
            nats += slow_nats(model, [3, *ids, 3], 32, stride or 16)
            tokens += len(ids) + 1
    assert found.tokens == tokens > 64
    assert found.documents == 3
    assert found.nats == pytest.approx(nats, rel=1e-5)
    assert found.bytes == sum(len(document.encode()) + 1 for document in documents)
    assert found.perplexity == pytest.approx(math.exp(nats / tokens), rel=1e-5)
    assert found.to_dict()["bits_per_byte"] == pytest.approx(nats / math.log(2) / found.bytes, rel=1e-5)


def test_a_uniform_model_has_the_vocabulary_as_its_perplexity() -> None:
    model = toy_causal().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    found = measure_perplexity(model, causal_form(toy_tokenizer()), sentences()[:5])
    assert found.perplexity == pytest.approx(300, rel=1e-4)


def test_pseudo_perplexity_masks_one_token_at_a_time() -> None:
    model, tokenizer = toy_masked().eval(), toy_tokenizer()
    documents = ["the river is long", "yesterday"]
    found = measure_pseudo_perplexity(model, tokenizer, documents, batch_size=4)
    nats = tokens = correct = 0
    for document in documents:
        ids = tokenizer(document)["input_ids"]
        for place in range(1, len(ids) - 1):
            masked = torch.tensor([[*ids[:place], tokenizer.mask_token_id, *ids[place + 1 :]]])
            logits = model(input_ids=masked).logits[0, place].double()
            nats -= logits.log_softmax(-1)[ids[place]].item()
            correct += int(logits.argmax() == ids[place])
            tokens += 1
    assert (found.tokens, found.documents) == (tokens, 2)
    assert found.nats == pytest.approx(nats, rel=1e-5)
    assert found.accuracy == correct / tokens
    assert found.to_dict()["pseudo_perplexity"] == pytest.approx(math.exp(nats / tokens), rel=1e-5)


def test_long_texts_are_read_in_pieces() -> None:
    text = " ".join(sentences()[:5])
    found = measure_pseudo_perplexity(toy_masked().eval(), toy_tokenizer(), [text])
    assert found.tokens == len(toy_tokenizer()(text, add_special_tokens=False)["input_ids"]) > 60


def test_bad_input() -> None:
    model, tokenizer = toy_causal().eval(), causal_form(toy_tokenizer())
    with pytest.raises(OptionError, match="stride = 33"):
        measure_perplexity(model, tokenizer, ["a"], stride=33)
    with pytest.raises(NlprepError, match="no documents"):
        measure_perplexity(model, tokenizer, [])
    with pytest.raises(NlprepError, match="no tokens"):
        measure_pseudo_perplexity(toy_masked().eval(), toy_tokenizer(), [])
    unmasked = deepcopy(toy_tokenizer())
    unmasked.mask_token = None
    with pytest.raises(OptionError, match="has no mask token"):
        measure_pseudo_perplexity(toy_masked().eval(), unmasked, ["a"])
    # Which would be as many documents as it has characters.
    with pytest.raises(NlprepError, match="put it in a list"):
        measure_perplexity(model, tokenizer, "a text")
    with pytest.raises(NlprepError, match="put it in a list"):
        measure_pseudo_perplexity(toy_masked().eval(), toy_tokenizer(), "a text")
