from __future__ import annotations

import pytest
import torch
from language_model_toys import CAUSAL_FAMILIES, MASKED_FAMILIES, toy_causal, toy_masked, toy_tokenizer

from nlprep.core.errors import OptionError
from nlprep.language_models.models.architectures import SIZES, build_language_model


@pytest.mark.parametrize("family", MASKED_FAMILIES)
def test_encoders_have_the_shape_and_the_ids_asked_for(family) -> None:
    tokenizer = toy_tokenizer()
    model = toy_masked(family)
    config = model.config
    assert (config.num_hidden_layers, config.hidden_size, config.num_attention_heads) == (2, 16, 2)
    assert config.vocab_size == len(tokenizer)
    assert config.pad_token_id == tokenizer.pad_token_id
    ids = torch.randint(5, 300, (2, 32))
    # As long as the context, and no longer than the table of positions.
    assert model(input_ids=ids).logits.shape == (2, 32, 300)


@pytest.mark.parametrize("family", CAUSAL_FAMILIES)
def test_decoders_have_the_ids_asked_for(family) -> None:
    tokenizer = toy_tokenizer()
    model = toy_causal(family)
    assert model.config.eos_token_id == model.generation_config.eos_token_id == tokenizer.eos_token_id
    assert model.config.bos_token_id == tokenizer.bos_token_id
    assert model(input_ids=torch.randint(5, 300, (2, 32))).logits.shape == (2, 32, 300)


def test_named_sizes_are_the_published_ones() -> None:
    tokenizer = toy_tokenizer()
    with torch.device("meta"):
        base = build_language_model(tokenizer, "causal", size="base", context=1024)
        large = build_language_model(tokenizer, "masked", size="large", context=512)
    # Without the vocabulary: GPT-2 has 124.4M parameters of which 50,257 x 768 are its vocabulary's.
    assert base.num_parameters() - 300 * 768 == 124_439_808 - 50_257 * 768
    assert (large.config.num_hidden_layers, large.config.hidden_size) == (24, 1024)
    assert list(SIZES) == ["tiny", "mini", "small", "medium", "base", "large"]


def test_the_activation_is_the_same_function() -> None:
    model = toy_causal()
    assert model.config.activation_function == "gelu_pytorch_tanh"
    ids = torch.randint(5, 300, (1, 8))
    ours = model(input_ids=ids).logits
    from transformers.activations import ACT2FN

    for block in model.transformer.h:
        block.mlp.act = ACT2FN["gelu_new"]
    torch.testing.assert_close(model(input_ids=ids).logits, ours, rtol=1e-4, atol=1e-5)


def test_dropout_is_everywhere_or_nowhere() -> None:
    for family in MASKED_FAMILIES:
        for dropout in (0.0, 0.3):
            probabilities = {
                m.p for m in toy_masked(family, dropout=dropout).modules() if isinstance(m, torch.nn.Dropout)
            }
            assert probabilities == {dropout}, family


def test_weights_are_a_function_of_the_seed() -> None:
    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    one, same, other = (toy_masked(seed=seed).get_input_embeddings().weight for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": "huge"}, "size = 'huge'"),
        ({"kind": "reversed"}, "kind = 'reversed': choose from masked, causal"),
        ({"family": "gtp2"}, "family = 'gtp2'"),
        ({"family": "vit"}, "family = 'vit'"),
        ({"width": 30, "heads": 4}, "width = 30, heads = 4"),
        ({"width": 12, "heads": 4}, "even number"),
    ],
)
@pytest.mark.slow
def test_bad_settings_are_one_line(settings, message) -> None:
    with pytest.raises(OptionError, match=message) as caught:
        build_language_model(toy_tokenizer(), **{"kind": "causal", "context": 32} | settings)
    assert "\n" not in str(caught.value)
