"""Counted words: the formula, what is kept, what is refused."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from language_model_toys import sentences

from nlprep.core.artifacts import write_artifact
from nlprep.core.errors import FileError, NlprepError, OptionError
from nlprep.corpus import tokenize
from nlprep.evaluation.encoder import SparseEncoder
from nlprep.language_models.encoders.tf_idf import TfIdfEncoder


def slow_vectors(train, texts, words):
    """The formula of the class, word by word."""
    result = np.zeros((len(texts), len(words)))
    for row, text in enumerate(texts):
        for word, count in Counter(tokenize(text)).items():
            if word in words:
                holders = sum(word in tokenize(other) for other in train)
                result[row, words.index(word)] = count * (1 + np.log((1 + len(train)) / (1 + holders)))
        result[row] /= np.linalg.norm(result[row]) or 1
    return result


def test_the_numbers_are_those_of_the_formula():
    train, test = sentences()[:100], [*sentences()[100:130], "quux unknown", "", "The the THE dog"]
    encoder = TfIdfEncoder.fit(train)
    assert encoder.words == sorted({word for text in train for word in tokenize(text)})
    np.testing.assert_allclose(encoder.encode(test), slow_vectors(train, test, encoder.words), atol=1e-6)
    assert encoder.dimension == len(encoder.words)


def test_sparse_and_dense_are_the_same_numbers():
    encoder = TfIdfEncoder.fit(sentences()[:50])
    assert isinstance(encoder, SparseEncoder)
    # More texts than are counted at once.
    texts = sentences() * 11
    sparse = encoder.encode_sparse(texts)
    assert sparse.dtype == np.float32
    np.testing.assert_array_equal(sparse.toarray(), encoder.encode(texts))
    assert encoder.encode_sparse([]).shape == (0, encoder.dimension)
    with pytest.raises(NlprepError, match="got one text"):
        encoder.encode_sparse("a text")


def test_words_are_the_house_tokenizers():
    encoder = TfIdfEncoder.fit(["Straße हिन्दी été", "e\u0301te\u0301"])
    assert encoder.words == sorted(["straße", "हिन्दी", "été"])


def test_the_most_frequent_words_are_kept():
    assert TfIdfEncoder.fit(["b a a", "b c", "b d a"], max_words=2).words == ["a", "b"]
    with pytest.raises(OptionError, match="max_words = 0"):
        TfIdfEncoder.fit(["a"], max_words=0)


def test_random_weights_are_the_same_ones_dealt_out_anew():
    encoder = TfIdfEncoder.fit(sentences()[:50])
    other = encoder.randomized(2)
    assert sorted(other.weights) == sorted(encoder.weights)
    assert (other.weights != encoder.weights).any()
    assert other.words == encoder.words


def test_no_words():
    for texts in (["", "..."], []):
        with pytest.raises(NlprepError, match="no words"):
            TfIdfEncoder.fit(texts)
    with pytest.raises(NlprepError, match="got one text"):
        TfIdfEncoder.fit("one text")


def test_damaged_directories(tmp_path):
    encoder = TfIdfEncoder.fit(["a b", "b"])
    encoder.save(tmp_path / "good")
    assert not [path for path in (tmp_path / "good").iterdir() if path.suffix not in (".json", ".safetensors")]
    for name, words, weights in (("twice", b"a\na", [1.0, 2.0]), ("nan", b"a\nb", [1.0, np.nan])):
        tensors = {"words": np.frombuffer(words, np.uint8), "weights": np.array(weights)}
        write_artifact(tmp_path / name, kind="tf-idf", config={}, tensors=tensors)
        with pytest.raises(FileError, match="words twice, none, or weights"):
            TfIdfEncoder.from_directory(tmp_path / name)
    write_artifact(tmp_path / "other", kind="corpus", config={}, tensors={})
    with pytest.raises(FileError, match="expected 'tf-idf'"):
        TfIdfEncoder.from_directory(tmp_path / "other")
