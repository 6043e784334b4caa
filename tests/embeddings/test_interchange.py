from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nlprep.core.errors import NlprepError
from nlprep.corpus import tokenize
from nlprep.embeddings.interchange import (
    from_gensim,
    from_sentence_transformer,
    to_gensim,
    to_sentence_transformer,
)
from nlprep.embeddings.word_vectors import WordVectors

WORDS = ["the", "cat", "été", "a", "b", "42", "don", "t", "new_york", "हिन्दी", "odd word"]


@pytest.fixture(scope="module")
def vectors() -> WordVectors:
    return WordVectors(WORDS, np.random.default_rng(2).standard_normal((len(WORDS), 6)).astype(np.float32))


@pytest.fixture(scope="module")
def model(vectors):
    return to_sentence_transformer(vectors)


def mean_of(vectors: WordVectors, text: str) -> np.ndarray:
    rows = [vectors[word] for word in tokenize(text) if word in vectors]
    return np.mean(rows, axis=0) if rows else np.zeros(vectors.dimension, np.float32)


def test_gensim_and_back(vectors):
    keyed = to_gensim(vectors)
    assert keyed.index_to_key == WORDS
    np.testing.assert_array_equal(keyed["été"], vectors["été"])
    assert keyed.similarity("the", "cat") == pytest.approx(vectors.similarity("the", "cat"), abs=1e-6)
    keyed.vectors[0] = 9  # gensim's copy, not ours.
    assert vectors.matrix[0, 0] != 9
    again = from_gensim(to_gensim(vectors))
    assert again.words == WORDS
    np.testing.assert_array_equal(again.matrix, vectors.matrix)


def test_from_a_gensim_model():
    from gensim.models import Word2Vec

    model = Word2Vec([["a", "b", "c"]] * 3, vector_size=4, min_count=1, workers=1)
    vectors = from_gensim(model)
    assert vectors.words == model.wv.index_to_key
    np.testing.assert_array_equal(vectors["b"], model.wv["b"])
    model.wv.vectors[:] = 0
    assert vectors.matrix.any()


def test_from_gensim_rejects():
    from gensim.models import KeyedVectors

    with pytest.raises(NlprepError, match="got dict"):
        from_gensim({"a": [1.0]})
    keyed = KeyedVectors(2)
    with pytest.raises(NlprepError, match="shape"):
        from_gensim(keyed)
    keyed.add_vectors([1, 2], np.ones((2, 2), np.float32))
    with pytest.raises(NlprepError, match="cannot be stored"):
        from_gensim(keyed)


TEXTS = [
    "the cat",
    "The CAT, the unknown: été!",
    "e\u0301te\u0301 l'ETE\u0301",
    "abba ab a",
    "don't 42² new_york हिन्दी",
    "nothing known here",
    "",
    "odd word",
]


def test_encodings_are_means_of_word_vectors(model, vectors):
    expected = np.stack([mean_of(vectors, text) for text in TEXTS])
    np.testing.assert_allclose(model.encode(TEXTS), expected, atol=1e-6)
    np.testing.assert_allclose(model.encode("the cat"), (vectors["the"] + vectors["cat"]) / 2, atol=1e-6)
    # Unknown words neither lengthen the mean nor are taken to pieces that are words.
    np.testing.assert_array_equal(model.encode("abba"), np.zeros(6))
    assert not model.encode(["", "nothing"]).any()


def test_encodings_survive_saving(model, tmp_path):
    from sentence_transformers import SentenceTransformer

    model.save_pretrained(str(tmp_path / "model"))
    again = SentenceTransformer(str(tmp_path / "model"), device="cpu")
    np.testing.assert_array_equal(again.encode(TEXTS), model.encode(TEXTS))
    vectors = from_sentence_transformer(again)
    assert vectors.words == WORDS


def test_sentence_transformer_and_back(model, vectors):
    again = from_sentence_transformer(model)
    assert again.words == vectors.words
    np.testing.assert_array_equal(again.matrix, vectors.matrix)


def test_from_another_static_embedding(model):
    from sentence_transformers import SentenceTransformer
    from tokenizers import Tokenizer, models

    tokenizer = Tokenizer(models.WordPiece({"[UNK]": 0, "play": 1, "##ing": 2}, unk_token="[UNK]"))
    weights = np.arange(6, dtype=np.float32).reshape(3, 2)
    static = type(model[0])
    other = SentenceTransformer(modules=[static(tokenizer, embedding_weights=weights)], device="cpu")
    assert from_sentence_transformer(other).words == ["[UNK]", "play", "##ing"]
    other = SentenceTransformer(modules=[static(tokenizer, embedding_weights=weights[:2])], device="cpu")
    with pytest.raises(NlprepError, match="3 entries for 2 vectors"):
        from_sentence_transformer(other)


def test_from_a_model_without_word_vectors():
    import torch

    with pytest.raises(NlprepError, match="first module is Linear"):
        from_sentence_transformer(torch.nn.Sequential(torch.nn.Linear(1, 1)))


def words_of(model, text: str) -> list[str]:
    tokenizer = model[0].tokenizer
    split = tokenizer.pre_tokenizer.pre_tokenize_str(tokenizer.normalizer.normalize_str(text))
    return [piece.removeprefix("\u2581") for piece, _ in split]


@settings(max_examples=300, deadline=None)
@given(text=st.text(st.characters(exclude_characters="Σ\u2581", exclude_categories=["Cs", "Cn"]), max_size=30))
@example(text="½ Ⅷ x² ‿_ naïve İstanbul ﬁn Straße")
@example(text="مُحَمَّد नमस्ते می‌خواهم")
@pytest.mark.slow
def test_text_becomes_the_same_words(model, text):
    assert words_of(model, text) == tokenize(text)
