from __future__ import annotations

import copy
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlprep.core.artifacts import artifact_kind, read_config, write_artifact
from nlprep.core.errors import FileError, NlprepError, OptionError
from nlprep.embeddings.word_vectors import UnknownWordError, WordVectors

WORDS = ["the", "cat", "Cat", "dog", "élan", "naïve", "chat"]


@pytest.fixture
def vectors() -> WordVectors:
    matrix = np.random.default_rng(3).standard_normal((len(WORDS), 5)).astype(np.float32)
    return WordVectors(WORDS, matrix)


def many(num_words: int = 400, dimension: int = 12) -> WordVectors:
    matrix = np.random.default_rng(7).standard_normal((num_words, dimension)).astype(np.float32)
    return WordVectors([f"w{n}" for n in range(num_words)], matrix)


def as_gensim(vectors: WordVectors):
    from gensim.models import KeyedVectors

    keyed = KeyedVectors(vectors.dimension)
    keyed.add_vectors(vectors.words, vectors.matrix.copy())
    return keyed


def test_lookup(vectors):
    assert len(vectors) == 7
    assert vectors.dimension == 5
    assert "cat" in vectors
    assert "bird" not in vectors
    assert 3 not in vectors
    assert list(vectors) == WORDS
    assert vectors.index("dog") == 3
    assert vectors.index("bird") is None
    np.testing.assert_array_equal(vectors.indices(["chat", "bird", "the"]), [6, -1, 0])
    assert vectors.indices([]).dtype == np.int64
    np.testing.assert_array_equal(vectors["cat"], vectors.matrix[1])


def test_matrix_is_shared_and_read_only():
    matrix = np.ones((2, 3), dtype=np.float32)
    vectors = WordVectors(["a", "b"], matrix)
    assert np.shares_memory(vectors.matrix, matrix)
    with pytest.raises(ValueError, match="read-only"):
        vectors.matrix[0, 0] = 2
    with pytest.raises(ValueError, match="read-only"):
        vectors["a"][0] = 2
    matrix[0, 0] = 5  # The caller's own array stays writable.


def test_unknown_word_suggests_spellings(vectors):
    with pytest.raises(UnknownWordError, match="no vector for the word 'doog': did you mean 'dog'") as caught:
        vectors["doog"]
    assert caught.value.suggestions == ("dog",)
    assert "\n" not in str(caught.value)
    assert vectors_suggest(vectors, "CAT")[:2] == ["cat", "Cat"]
    assert vectors_suggest(vectors, "caht") == ["cat", "chat"]
    assert vectors_suggest(vectors, "xyzzyx") == []
    assert isinstance(caught.value, KeyError)
    again = copy.copy(caught.value)  # By __reduce__, as on the way back from a worker process.
    assert str(again) == str(caught.value)


def vectors_suggest(vectors: WordVectors, word: str) -> list[str]:
    with pytest.raises(UnknownWordError) as caught:
        vectors.similarity("the", word)
    return list(caught.value.suggestions)


@pytest.mark.parametrize(
    ("words", "matrix", "message"),
    [
        (["a", "a"], np.ones((2, 2), np.float32), "'a' is given twice"),
        (["a"], np.ones((2, 2), np.float32), "1 words but 2 vectors"),
        (["a"], np.ones(2, np.float32), "shape"),
        ([], np.ones((0, 2), np.float32), "shape"),
        (["a"], np.ones((1, 0), np.float32), "shape"),
        (["a"], np.ones((1, 2), np.int32), "int32"),
        (["a", "b"], np.array([[1, 2], [3, np.nan]], np.float32), "row 1"),
        (["a", "b"], np.array([[np.inf, -np.inf], [3, 1]], np.float32), "row 0"),
        (["a", "b"], np.array([[1, 2], [3, 1e300]]), "row 1"),
        ("ab", np.ones((2, 2), np.float32), "single string"),
        (["a\nb"], np.ones((1, 2), np.float32), "line feed"),
        (["\ud800"], np.ones((1, 2), np.float32), "cannot be stored"),
        ([1], np.ones((1, 2), np.float32), "cannot be stored"),
    ],
)
def test_constructor_rejects(words, matrix, message):
    with pytest.raises(NlprepError, match=message):
        WordVectors(words, matrix)


def test_large_finite_values_are_accepted():
    matrix = np.full((2, 4), 3e38, dtype=np.float32)
    matrix[1] = 1e-40
    vectors = WordVectors(["big", "small"], matrix)
    np.testing.assert_allclose(vectors.normalized(), np.full((2, 4), 0.5), rtol=1e-4)
    assert vectors.similarity("big", "small") == pytest.approx(1, rel=1e-4)


def test_doubles_are_converted():
    assert WordVectors(["a"], np.ones((1, 3))).matrix.dtype == np.float32
    assert WordVectors(["a"], np.ones((3, 2), np.float32).T[:1]).matrix.flags.c_contiguous


def test_normalized_keeps_zero_rows_and_the_original():
    matrix = np.array([[3, 4], [0, 0], [-5, 0]], dtype=np.float32)
    vectors = WordVectors(["a", "zero", "b"], matrix)
    np.testing.assert_allclose(vectors.normalized(), [[0.6, 0.8], [0, 0], [-1, 0]], rtol=1e-6)
    np.testing.assert_array_equal(vectors.matrix, matrix)
    assert vectors.similarity("a", "zero") == 0
    assert vectors.similarity("a", "b") == pytest.approx(-0.6)
    assert dict(vectors.neighbors("a", top=2)) == {"zero": 0.0, "b": pytest.approx(-0.6)}


def test_limit(vectors):
    two = vectors.limit(2)
    assert two.words == ["the", "cat"]
    assert np.shares_memory(two.matrix, vectors.matrix)
    assert "dog" not in two
    assert len(vectors.limit(100)) == 7
    with pytest.raises(OptionError, match="at least 1"):
        vectors.limit(0)


def test_neighbors_equal_gensim():
    vectors = many()
    keyed = as_gensim(vectors)
    for word in ("w0", "w17", "w399"):
        ours, theirs = vectors.neighbors(word, top=15), keyed.most_similar(word, topn=15)
        assert [w for w, _ in ours] == [w for w, _ in theirs]
        np.testing.assert_allclose([s for _, s in ours], [s for _, s in theirs], atol=1e-5)
        assert vectors.similarity(word, "w5") == pytest.approx(keyed.similarity(word, "w5"), abs=1e-5)


def test_neighbors_of_a_vector_and_exclusion():
    vectors = many(50)
    found = vectors.neighbors(vectors["w3"] * 10, top=3)
    assert found[0] == ("w3", pytest.approx(1, abs=1e-5))
    without = vectors.neighbors(vectors["w3"], top=2, exclude=["w3", "not there"])
    assert [word for word, _ in without] == [word for word, _ in found[1:]]
    assert len(vectors.neighbors("w3", top=1000)) == 49
    with pytest.raises(NlprepError, match="shape"):
        vectors.neighbors([1.0, 2.0])
    with pytest.raises(NlprepError, match="NaN"):
        vectors.neighbors(np.full(12, np.nan))
    with pytest.raises(OptionError, match="at least 1"):
        vectors.neighbors("w3", top=0)


def test_analogy_equals_gensim():
    vectors = many()
    keyed = as_gensim(vectors)
    for a, b, c in (("w0", "w1", "w2"), ("w9", "w300", "w41")):
        ours = vectors.analogy(a, b, c, top=12)
        theirs = keyed.most_similar(positive=[b, c], negative=[a], topn=12)
        assert [w for w, _ in ours] == [w for w, _ in theirs]
        np.testing.assert_allclose([s for _, s in ours], [s for _, s in theirs], atol=1e-5)
        ours = vectors.analogy(a, b, c, top=12, method="3cosmul")
        theirs = keyed.most_similar_cosmul(positive=[b, c], negative=[a], topn=12)
        # gensim divides by s + 1e-6 where the paper has 1e-3.
        shared = {w for w, _ in ours} & {w for w, _ in theirs}
        assert len(shared) >= 11
        np.testing.assert_allclose([dict(ours)[w] for w in shared], [dict(theirs)[w] for w in shared], rtol=2e-2)


def test_cosmul_closed_form():
    vectors = many(60)
    unit = vectors.normalized().astype(np.float64)
    shifted = (1 + unit @ unit.T) / 2
    scores = shifted[2] * shifted[3] / (shifted[1] + 1e-3)
    scores[[1, 2, 3]] = -np.inf
    order = np.argsort(-scores)[:5]
    found = vectors.analogy("w1", "w2", "w3", top=5, method="3cosmul")
    assert [w for w, _ in found] == [f"w{row}" for row in order]
    np.testing.assert_allclose([s for _, s in found], scores[order], rtol=1e-4)


def test_analogy_rejects(vectors):
    with pytest.raises(UnknownWordError):
        vectors.analogy("the", "cat", "bird")
    with pytest.raises(OptionError, match="3cosadd or 3cosmul"):
        vectors.analogy("the", "cat", "dog", method="4cos")


def test_artifact_round_trip(tmp_path, vectors):
    path = tmp_path / "v"
    vectors.save(path, config={"training": {"epochs": 5}})
    assert artifact_kind(path) == "word-vectors"
    assert read_config(path)["training"] == {"epochs": 5}
    assert read_config(path)["num_words"] == 7
    again = WordVectors.load(path)
    assert again.words == WORDS
    np.testing.assert_array_equal(again.matrix, vectors.matrix)
    assert not again.matrix.flags.writeable
    again.limit(3).save(path)  # Over the files that are mapped right now.
    assert WordVectors.load(path).words == WORDS[:3]
    np.testing.assert_array_equal(again.matrix, vectors.matrix)


def test_artifact_is_mapped(tmp_path, vectors):
    from nlprep.embeddings.word_vectors import _is_mapped

    vectors.save(tmp_path / "v")
    again = WordVectors.load(tmp_path / "v")
    assert _is_mapped(again.matrix)
    assert _is_mapped(WordVectors(again.words, again.matrix).matrix)
    assert not _is_mapped(vectors.matrix)


def test_load_rejects(tmp_path, vectors):
    with pytest.raises(FileError, match="no such file"):
        WordVectors.load(tmp_path / "absent")
    write_artifact(tmp_path / "other", kind="translator", config={}, tensors={})
    with pytest.raises(FileError, match="holds 'translator', expected 'word-vectors'"):
        WordVectors.load(tmp_path / "other")
    write_artifact(
        tmp_path / "empty",
        kind="word-vectors",
        config={},
        tensors={"matrix": np.empty((0, 3), np.float32), "words": np.empty(0, np.uint8)},
    )
    with pytest.raises(FileError, match="shape"):
        WordVectors.load(tmp_path / "empty")
    vectors.save(tmp_path / "cut")
    data = tmp_path / "cut" / "tensors.safetensors"
    data.write_bytes(data.read_bytes()[:-1])
    with pytest.raises(FileError, match="cut short"):
        WordVectors.load(tmp_path / "cut")


@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=300), config=st.binary(max_size=120))
def test_load_of_arbitrary_bytes(tmp_path_factory, data, config):
    directory = tmp_path_factory.mktemp("artifact")
    (directory / "config.json").write_bytes(config)
    (directory / "tensors.safetensors").write_bytes(data)
    with pytest.raises(FileError):
        WordVectors.load(directory)


@settings(max_examples=60, deadline=None)
@given(header=st.binary(max_size=200), body=st.binary(max_size=64))
def test_load_of_arbitrary_headers(tmp_path_factory, header, body):
    directory = tmp_path_factory.mktemp("artifact")
    (directory / "config.json").write_text('{"kind": "word-vectors", "format_version": 1}')
    (directory / "tensors.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + body)
    with pytest.raises(FileError):
        WordVectors.load(directory)


def test_import_is_light():
    code = (
        "import sys, nlprep.embeddings.word_vectors, nlprep.embeddings.vector_files;"
        "import nlprep.embeddings.interchange;"
        "heavy = {'torch', 'numba', 'gensim', 'transformers', 'scipy', 'rich'} & set(sys.modules);"
        "sys.exit(repr(heavy) if heavy else 0)"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
