from __future__ import annotations

import pytest
import torch
from language_model_toys import CAUSAL_FAMILIES, sentences, toy_causal, toy_tokenizer

from nlprep.core.errors import NlprepError, OptionError
from nlprep.language_models.generators.configuration import GenerationConfig
from nlprep.language_models.generators.generation import generate
from nlprep.language_models.text.tokenizers import causal_form


@pytest.fixture(scope="module")
def tokenizer():
    return causal_form(toy_tokenizer())


@pytest.mark.parametrize("family", CAUSAL_FAMILIES)
def test_greedy_takes_the_likeliest_token_each_time(family, tokenizer) -> None:
    model = toy_causal(family).eval()
    ids = tokenizer("the river")["input_ids"]
    start = len(ids)
    for _ in range(10):
        best = model(input_ids=torch.tensor([ids])).logits[0, -1].argmax().item()
        if best == tokenizer.eos_token_id:
            break
        ids.append(best)
    expected = tokenizer.decode(ids[start:], skip_special_tokens=True)
    assert generate(model, tokenizer, "the river", GenerationConfig(max_tokens=10, temperature=0.0)) == [expected]


def test_sampling_is_a_function_of_the_seed(tokenizer) -> None:
    model = toy_causal().eval()
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    config = GenerationConfig(max_tokens=8, num_samples=3, temperature=1.0, seed=5)
    texts = generate(model, tokenizer, "the", config)
    assert generate(model, tokenizer, "the", config) == texts
    assert len(set(texts)) == 3
    assert generate(model, tokenizer, "the", GenerationConfig(max_tokens=8, temperature=1.0, seed=6))[0] == texts[1]
    assert torch.equal(torch.random.get_rng_state(), before)


def test_limits_on_sampling(tokenizer) -> None:
    model = toy_causal().eval()
    greedy = generate(model, tokenizer, "the", GenerationConfig(max_tokens=6, temperature=0.0))
    for limit in ({"top_k": 1}, {"top_p": 1e-6}):
        assert generate(model, tokenizer, "the", GenerationConfig(max_tokens=6, temperature=1.0, **limit)) == greedy


def test_pieces_are_the_text_and_whole_characters(tokenizer) -> None:
    model = toy_causal().eval()
    # One character of three bytes, over and over.
    wanted = tokenizer("東" * 4)["input_ids"]
    assert len(wanted) > 4
    script = iter(wanted)

    class Scripted(torch.nn.Module):
        def forward(self, input_ids, **_):
            return None

    def step(input_ids, scores):
        scores[:] = -1e9
        scores[0, next(script)] = 0
        return scores

    original = model.generate
    model.generate = lambda *args, **settings: original(*args, logits_processor=[step], **settings)
    pieces: list[str] = []
    config = GenerationConfig(max_tokens=len(wanted), temperature=0.0)
    assert generate(model, tokenizer, "the", config, on_text=pieces.append) == ["東" * 4]
    assert "".join(pieces) == "東" * 4
    assert len(pieces) == 4


def test_a_stop_string_ends_a_text_and_is_not_shown(tokenizer) -> None:
    model = toy_causal().eval()
    whole = generate(model, tokenizer, "the", GenerationConfig(max_tokens=25, temperature=0.0))[0]
    stop = whole[4:7]
    pieces: list[str] = []
    config = GenerationConfig(max_tokens=25, temperature=0.0, stop=stop)
    expected = whole[: whole.index(stop)]
    assert generate(model, tokenizer, "the", config, on_text=pieces.append) == [expected]
    assert "".join(pieces) == expected


@pytest.mark.slow
def test_a_text_outgrows_the_context(tokenizer) -> None:
    """Token by token: the whole text while it fits, then from the last half of the context on, which fills again."""
    model = toy_causal().eval()
    context, wanted = 32, 70
    window = tokenizer("the river is long")["input_ids"]
    made: list[int] = []
    while len(made) < wanted:
        if len(window) == context:
            window = window[-context // 2 :]
        logits = model(input_ids=torch.tensor([window])).logits[0, -1]
        made.append(int(logits.argmax()))
        assert made[-1] != tokenizer.eos_token_id
        window = [*window, made[-1]]
    pieces: list[str] = []
    config = GenerationConfig(max_tokens=wanted, temperature=0.0)
    texts = generate(model, tokenizer, "the river is long", config, on_text=pieces.append)
    assert texts == [tokenizer.decode(made, skip_special_tokens=True)] == ["".join(pieces)]
    stop = texts[0][-3:]
    stopped = generate(
        model, tokenizer, "the river is long", GenerationConfig(max_tokens=500, temperature=0.0, stop=stop)
    )
    assert stopped == [texts[0][: texts[0].index(stop)]]


def test_no_prompt_begins_a_document(tokenizer) -> None:
    assert isinstance(generate(toy_causal().eval(), tokenizer, "", GenerationConfig(max_tokens=3))[0], str)


def test_bad_input(tokenizer) -> None:
    model = toy_causal().eval()
    with pytest.raises(NlprepError, match=r"the prompt has \d+ tokens and the model's context holds 32"):
        generate(model, tokenizer, " ".join(sentences()[:5]))
    for wrong in ({"temperature": -1.0}, {"top_p": 0.0}, {"top_k": 0}, {"max_tokens": 0}):
        with pytest.raises(OptionError):
            GenerationConfig(**wrong)
