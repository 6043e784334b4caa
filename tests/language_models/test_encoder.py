"""Vectors of texts: pooling, order, length, and the directories they come from and go to."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from language_model_toys import sentences, toy_causal, toy_masked, toy_tokenizer

from nlprep.core.errors import FileError, NlprepError, OptionError
from nlprep.language_models.encoders.configuration import POOLINGS, EncoderConfig
from nlprep.language_models.encoders.pooling import pool
from nlprep.language_models.encoders.text_encoder import TextEncoder, TruncationWarning
from nlprep.language_models.models.files import save_language_model

pytestmark = pytest.mark.slow

TEXTS = [
    "the dog sleeps in the garden",
    "a cat",
    "Ünïcode, ПРИВЕТ, 你好, مرحبا 😀 and more",
    "one two three four five",
    "  ",
]


@pytest.fixture(scope="module")
def masked(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("masked") / "model"
    save_language_model(toy_masked(context=64), toy_tokenizer(), directory)
    return directory


@pytest.fixture(scope="module")
def causal(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("causal") / "model"
    save_language_model(toy_causal(context=64), toy_tokenizer(), directory)
    return directory


@pytest.fixture(params=["masked", "causal"])
def model(request) -> Path:
    return request.getfixturevalue(request.param)


def slow_vector(states: torch.Tensor, pooling: str) -> torch.Tensor:
    """Of one text's states, without padding: (L, d) to (d,)."""
    if pooling == "weighted-mean":
        weights = [i + 1 for i in range(len(states))]
        return sum(w * row for w, row in zip(weights, states, strict=True)) / sum(weights)
    return {"mean": states.mean(0), "first": states[0], "last": states[-1], "max": states.max(0).values}[pooling]


@given(
    st.sampled_from(POOLINGS),
    st.lists(st.integers(1, 6), min_size=1, max_size=4),
    st.booleans(),
    st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_pooling_is_that_of_each_row_alone(pooling, lengths, left, seed):
    generator = torch.Generator().manual_seed(seed)
    longest = max(lengths) + 1
    states = torch.randn(len(lengths), longest, 5, generator=generator)
    mask = torch.zeros(len(lengths), longest, dtype=torch.int64)
    for row, length in enumerate(lengths):
        place = slice(longest - length, None) if left else slice(0, length)
        mask[row, place] = 1
    pooled = pool(states.masked_fill(mask[..., None] == 0, float("nan")), mask, pooling)
    for row in range(len(lengths)):
        torch.testing.assert_close(pooled[row], slow_vector(states[row][mask[row] == 1], pooling))


@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_row_without_tokens_is_zero(pooling):
    assert (pool(torch.randn(2, 3, 4), torch.zeros(2, 3), pooling) == 0).all()


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("layer", [-1, 0, 1])
def test_vectors_are_those_of_transformers_run_on_one_text_at_a_time(model, pooling, layer):
    from transformers import AutoModel, AutoTokenizer

    encoder = TextEncoder.from_directory(model, EncoderConfig(pooling=pooling, layer=layer), device="cpu")
    plain, tokenizer = AutoModel.from_pretrained(model), AutoTokenizer.from_pretrained(model)
    vectors = encoder.encode(TEXTS, 2)
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(TEXTS), encoder.dimension) == (len(TEXTS), 16)
    for row, text in enumerate(TEXTS):
        with torch.no_grad():
            output = plain(**tokenizer(text, return_tensors="pt"), output_hidden_states=True)
        expected = slow_vector(output.hidden_states[layer][0], pooling)
        np.testing.assert_allclose(vectors[row], expected.numpy(), atol=1e-5)


def test_the_default_pooling_suits_the_kind(masked, causal):
    assert TextEncoder.from_directory(masked).config.pooling == "mean"
    assert TextEncoder.from_directory(causal).config.pooling == "weighted-mean"


def test_batches_do_not_matter(model):
    encoder = TextEncoder.from_directory(model)
    texts = sentences()[:50]
    one = encoder.encode(texts, 1)
    np.testing.assert_allclose(encoder.encode(texts, 7), one, atol=1e-5)
    np.testing.assert_allclose(encoder.encode(texts[::-1], 50)[::-1], one, atol=1e-5)


def test_nothing_to_encode(model):
    encoder = TextEncoder.from_directory(model)
    assert encoder.encode([]).shape == (0, 16)
    # An encoder's special tokens make a vector of no text; a decoder has none.
    empty = encoder.encode(["", "a"])
    assert np.isfinite(empty).all()
    assert (empty[0] == 0).all() == (encoder.config.pooling == "weighted-mean")


def test_tensors_on_request(model):
    encoder = TextEncoder.from_directory(model)
    vectors = encoder.encode(TEXTS, as_tensor=True)
    assert isinstance(vectors, torch.Tensor)
    np.testing.assert_array_equal(vectors.numpy(), encoder.encode(TEXTS))


def test_unit_length(model):
    plain = TextEncoder.from_directory(model).encode(TEXTS)
    unit = TextEncoder.from_directory(model, EncoderConfig(normalize=True)).encode(TEXTS)
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(plain / np.linalg.norm(plain, axis=1, keepdims=True), unit, atol=1e-6)


def test_long_texts_are_cut_and_counted(model):
    encoder = TextEncoder.from_directory(model, EncoderConfig(max_length=6))
    texts = ["the dog and the cat and the dog", "a", "the cat and the dog and the cat"]
    with pytest.warns(TruncationWarning, match=r"2 of 3 texts are longer than 6 tokens"):
        encoder.encode(texts)
    assert max(map(len, encoder.token_ids(texts))) == 6
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encoder.encode(["a"])
    with pytest.warns(TruncationWarning, match="64 tokens"):
        TextEncoder.from_directory(model).encode(["word " * 200])


def test_bf16_is_near(model):
    exact = TextEncoder.from_directory(model).encode(TEXTS)
    low = TextEncoder.from_directory(model, EncoderConfig(precision="bf16")).encode(TEXTS)
    assert low.dtype == np.float32
    assert (low != exact).any()
    np.testing.assert_allclose(low, exact, atol=0.05)


def test_features_are_differentiable_and_equal_what_encode_gives(model):
    encoder = TextEncoder.from_directory(model)
    features = encoder.module(**encoder.tokenize(TEXTS))
    np.testing.assert_allclose(features.detach().numpy(), encoder.encode(TEXTS), atol=1e-5)
    features.square().sum().backward()
    assert all(p.grad is not None for name, p in encoder.module.named_parameters() if "pooler" not in name)


def test_encoding_leaves_the_mode_of_the_module_as_it_was(model):
    encoder = TextEncoder.from_directory(model)
    encoder.module.train()
    encoder.encode(["a"])
    assert encoder.module.training


def test_random_weights_are_of_the_same_shape_and_reproducible(model):
    encoder = TextEncoder.from_directory(model)
    random = encoder.randomized(seed=3)
    assert random.encode(TEXTS).shape == encoder.encode(TEXTS).shape
    assert np.abs(random.encode(TEXTS) - encoder.encode(TEXTS)).max() > 0.1
    np.testing.assert_array_equal(random.encode(TEXTS), encoder.randomized(seed=3).encode(TEXTS))
    assert (random.encode(TEXTS) != encoder.randomized(seed=4).encode(TEXTS)).any()


@pytest.mark.parametrize(
    "config",
    [
        EncoderConfig(),
        EncoderConfig(pooling="first", normalize=True, max_length=8),
        EncoderConfig(pooling="last", layer=1),
        EncoderConfig(pooling="max", layer=-2),
        EncoderConfig(pooling="weighted-mean", layer=0),
    ],
)
def test_sentence_transformers_opens_what_is_written(model, config, tmp_path):
    from sentence_transformers import SentenceTransformer

    encoder = TextEncoder.from_directory(model, config)
    encoder.save(tmp_path / "st")
    opened = SentenceTransformer(str(tmp_path / "st"), device="cpu", local_files_only=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TruncationWarning)
        vectors = encoder.encode(TEXTS)
        again = TextEncoder.from_directory(tmp_path / "st")
        assert again.dimension == encoder.dimension
        np.testing.assert_allclose(again.encode(TEXTS, 2), vectors, atol=1e-6)
    np.testing.assert_allclose(opened.encode(TEXTS), vectors, atol=1e-6)
    assert not list((tmp_path / "st").rglob("*.bin"))
    # Written again, from what was read.
    again.save(tmp_path / "again")
    np.testing.assert_allclose(
        SentenceTransformer(str(tmp_path / "again"), device="cpu").encode(TEXTS), vectors, atol=1e-6
    )


def test_a_sentence_transformer_keeps_its_own_modules(masked, tmp_path):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import modules as models

    torch.manual_seed(0)
    parts = [models.Transformer(str(masked)), models.Pooling(16, "max"), models.Dense(16, 5)]
    own = SentenceTransformer(modules=parts, device="cpu", prompts={"plain": "dog: "}, default_prompt_name="plain")
    own.save(str(tmp_path / "st"), create_model_card=False)
    encoder = TextEncoder.from_directory(tmp_path / "st")
    assert encoder.dimension == 5
    np.testing.assert_allclose(encoder.encode(TEXTS), own.encode(TEXTS), atol=1e-6)
    random = encoder.randomized()
    assert np.abs(random.encode(TEXTS) - encoder.encode(TEXTS)).max() > 0.01
    with pytest.raises(OptionError, match="pooling of its own"):
        TextEncoder.from_directory(tmp_path / "st", EncoderConfig(pooling="mean"))
    unit = TextEncoder.from_directory(tmp_path / "st", EncoderConfig(normalize=True))
    np.testing.assert_allclose(np.linalg.norm(unit.encode(TEXTS), axis=1), 1, atol=1e-6)
    unit.save(tmp_path / "unit")
    opened = SentenceTransformer(str(tmp_path / "unit"), device="cpu")
    np.testing.assert_allclose(opened.encode(TEXTS), unit.encode(TEXTS), atol=1e-6)


def test_foreign_code_and_pickled_weights_are_refused(masked, tmp_path):
    TextEncoder.from_directory(masked).save(tmp_path / "st")
    path = tmp_path / "st" / "modules.json"
    entries = json.loads(path.read_text())
    path.write_text(json.dumps([entries[0] | {"type": "evil.Module"}]))
    with pytest.raises(FileError, match=r"evil\.Module"):
        TextEncoder.from_directory(tmp_path / "st")
    path.write_text("{")
    with pytest.raises(FileError, match="cannot be read"):
        TextEncoder.from_directory(tmp_path / "st")
    path.write_text(json.dumps(entries))
    (tmp_path / "st" / "1_Pooling" / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(FileError, match="pickled"):
        TextEncoder.from_directory(tmp_path / "st")


def test_run_directories_and_sequence_to_sequence_models(masked, tmp_path):
    from transformers import BartConfig, BartForConditionalGeneration

    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "model").symlink_to(masked)
    np.testing.assert_array_equal(
        TextEncoder.from_directory(tmp_path / "run").encode(TEXTS), TextEncoder.from_directory(masked).encode(TEXTS)
    )
    tokenizer = toy_tokenizer()
    torch.manual_seed(0)
    bart = BartForConditionalGeneration(
        BartConfig(
            vocab_size=len(tokenizer), d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
            decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16, max_position_embeddings=64,
            pad_token_id=0, bos_token_id=2, eos_token_id=3, decoder_start_token_id=2, forced_eos_token_id=3,
        )
    ).eval()  # fmt: skip
    save_language_model(bart, tokenizer, tmp_path / "bart")
    encoder = TextEncoder.from_directory(tmp_path / "bart")
    tokens = encoder.tokenize(TEXTS[:1])
    with torch.no_grad():
        states = bart.get_encoder()(**tokens).last_hidden_state[0]
    np.testing.assert_allclose(encoder.encode(TEXTS[:1])[0], states.mean(0).numpy(), atol=1e-5)
    with pytest.raises(OptionError, match="sequence-to-sequence"):
        encoder.save(tmp_path / "st")
    assert not (tmp_path / "st").exists()


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        (EncoderConfig(layer=3), "layers -3 to 2"),
        (EncoderConfig(layer=-4), "layers -3 to 2"),
        (EncoderConfig(max_length=65), "at most 64"),
    ],
)
def test_settings_that_do_not_suit(model, config, problem):
    with pytest.raises(OptionError, match=problem):
        TextEncoder.from_directory(model, config)


def test_other_mistakes(masked, tmp_path):
    with pytest.raises(OptionError, match="no room"):
        TextEncoder.from_directory(masked, EncoderConfig(max_length=2))
    with pytest.raises(OptionError, match="choose from mean"):
        EncoderConfig(pooling="median")
    with pytest.raises(OptionError, match="torch cannot use it"):
        TextEncoder.from_directory(masked, device="abacus")
    with pytest.raises(FileError, match="no such file"):
        TextEncoder.from_directory(tmp_path / "gone")
    encoder = TextEncoder.from_directory(masked)
    with pytest.raises(NlprepError, match="got one text: put it in a list"):
        encoder.encode("a text")
    with pytest.raises(OptionError, match="at least 1"):
        encoder.encode(["a"], 0)


def test_a_tokenizer_without_padding(tmp_path):
    from copy import deepcopy

    tokenizer = deepcopy(toy_tokenizer())
    tokenizer.pad_token = None
    encoder = TextEncoder(toy_causal(), tokenizer)
    usual = TextEncoder(toy_causal(), toy_tokenizer())
    np.testing.assert_allclose(encoder.encode(TEXTS[:2]), usual.encode(TEXTS[:2]), atol=1e-6)
    assert tokenizer.pad_token is None


def test_settings_are_light_to_import():
    code = (
        "import sys, nlprep.language_models.encoders.text_encoder, nlprep.language_models.classifiers.training, "
        "nlprep.language_models.encoders.training, nlprep.language_models.encoders.probing, nlprep.figures.curves, "
        "nlprep.language_models.text.labelled_texts, nlprep.language_models.encoders.tf_idf, "
        "nlprep.evaluation.label_curves, nlprep.evaluation.labelled, nlprep.embeddings.averaged_vectors; "
        "print([m for m in ('torch', 'transformers', 'sentence_transformers', 'sklearn', 'matplotlib', 'scipy') "
        "if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
