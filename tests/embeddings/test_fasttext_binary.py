from __future__ import annotations

import gzip
import struct
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlprep.core.errors import FileError
from nlprep.embeddings.vector_files import VectorFileWarning, read_vectors
from nlprep.embeddings.vector_files.fasttext_binary import MAGIC
from nlprep.embeddings.word_vectors import WordVectors


@pytest.fixture(scope="module")
def fasttext_model(tmp_path_factory):
    from gensim.models import FastText
    from gensim.models.fasttext import save_facebook_model

    sentences = [["the", "cat", "mange", "été"], ["the", "dog", "naïve", "日本語"], ["cat", "dog", "the"]] * 5
    model = FastText(sentences, vector_size=6, min_count=1, bucket=50, min_n=2, max_n=4, epochs=2, seed=1, workers=1)
    path = tmp_path_factory.mktemp("fasttext") / "model.bin"
    save_facebook_model(model, str(path))
    return path


def test_fasttext_equals_gensim(fasttext_model, tmp_path):
    from gensim.models.fasttext import load_facebook_vectors

    keyed = load_facebook_vectors(str(fasttext_model))
    vectors = read_vectors(fasttext_model)
    assert vectors.words == keyed.index_to_key
    np.testing.assert_allclose(vectors.matrix, keyed.vectors, rtol=1e-5, atol=1e-8)
    assert read_vectors(fasttext_model, limit=2).words == vectors.words[:2]
    (tmp_path / "model.bin.gz").write_bytes(gzip.compress(fasttext_model.read_bytes()))
    again = read_vectors(tmp_path / "model.bin.gz")
    assert again.words == vectors.words
    np.testing.assert_array_equal(again.matrix, vectors.matrix)


def test_fasttext_irregular(fasttext_model, tmp_path):
    data = fasttext_model.read_bytes()

    def place(changed: bytes):
        (tmp_path / "changed.bin").write_bytes(changed)
        return tmp_path / "changed.bin"

    with pytest.raises(FileError, match="version 11, expected 12"):
        read_vectors(place(MAGIC + struct.pack("<i", 11) + data[8:]))
    with pytest.raises(FileError, match="supervised"):
        read_vectors(place(data[: 8 + 4 * 7] + struct.pack("<i", 3) + data[8 + 4 * 8 :]))
    with pytest.raises(FileError, match="cut short"):
        read_vectors(place(data[: len(data) // 2]))


@settings(max_examples=150, deadline=None)
@given(cut=st.floats(0, 1), at=st.floats(0, 1), byte=st.integers(0, 255))
@pytest.mark.slow
def test_damaged_fasttext_gives_vectors_or_a_file_error(fasttext_model, tmp_path_factory, cut, at, byte):
    data = bytearray(fasttext_model.read_bytes())
    data[int(at * (min(len(data), 400) - 1))] = byte
    path = tmp_path_factory.getbasetemp() / "damaged.bin"
    path.write_bytes(data[: int(cut * len(data))] if cut < 0.7 else data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VectorFileWarning)
        try:
            vectors = read_vectors(path)
        except FileError:
            return
    WordVectors(vectors.words, vectors.matrix)
