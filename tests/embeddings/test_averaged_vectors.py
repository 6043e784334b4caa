"""Texts as averages of their words: the arithmetic, the words that count, and what is refused."""

from __future__ import annotations

import doctest

import numpy as np
import pytest

from nlprep.core.artifacts import write_artifact
from nlprep.core.errors import FileError, NlprepError, OptionError
from nlprep.embeddings import averaged_vectors
from nlprep.embeddings.averaged_vectors import AveragedWordVectors, sif_weights
from nlprep.embeddings.word_vectors import WordVectors

WORDS = WordVectors(["the", "cat", "sleeps", "Paris"], np.array([[1, 0], [0, 1], [2, 2], [5, 5]], np.float32))


def test_the_mean_of_known_words_each_as_often_as_it_occurs():
    vectors = AveragedWordVectors(WORDS).encode(["The cat the quux!", "quux", "", "sleeps", "Paris"])
    np.testing.assert_allclose(vectors, [[2 / 3, 1 / 3], [0, 0], [0, 0], [2, 2], [0, 0]], atol=1e-6)


def test_letter_case_is_kept_on_request(tmp_path):
    encoder = AveragedWordVectors(WORDS, lowercase=False)
    np.testing.assert_allclose(encoder.encode(["Paris The the"]), [[3, 2.5]])
    encoder.save(tmp_path / "cased")
    np.testing.assert_allclose(AveragedWordVectors.from_directory(tmp_path / "cased").encode(["Paris"]), [[5, 5]])


def test_weights_multiply_and_do_not_divide():
    # Arora et al.: one over the number of words, not over the sum of weights.
    encoder = AveragedWordVectors(WORDS, np.array([0.5, 1, 1, 1]))
    np.testing.assert_allclose(encoder.encode(["the cat", "the"]), [[0.25, 0.5], [0.5, 0]])


def test_smooth_inverse_frequencies():
    found = sif_weights(["the", "cat", "new"], {"the": 999, "cat": 1}, smoothing=1e-3)
    np.testing.assert_allclose(found, [1e-3 / (1e-3 + 0.999), 0.5, 1], rtol=1e-6)
    with pytest.raises(OptionError, match=r"smoothing = 0: must be above 0"):
        sif_weights(["a"], {"a": 1}, smoothing=0)
    with pytest.raises(NlprepError, match="add up to nothing"):
        sif_weights(["a"], {})


def test_the_common_direction_is_the_first_singular_vector_and_is_gone():
    generator = np.random.default_rng(0)
    words = [f"w{number}" for number in range(50)]
    vectors = WordVectors(words, (generator.standard_normal((50, 6)) + np.array([3, 0, 0, 0, 0, 1])).astype(np.float32))
    texts = [" ".join(generator.choice(words, 4)) for _ in range(80)]
    plain = AveragedWordVectors(vectors)
    encoder = plain.without_common_direction(texts)
    direction = np.linalg.svd(plain.encode(texts), full_matrices=False)[2][0]
    assert abs(float(encoder.common @ direction)) == pytest.approx(1, abs=1e-5)
    expected = plain.encode(texts) - np.outer(plain.encode(texts) @ direction, direction)
    np.testing.assert_allclose(encoder.encode(texts), expected, atol=1e-5)
    # Again, it is what the vectors as they were have in common, not what is left.
    assert abs(float(encoder.without_common_direction(texts).common @ direction)) == pytest.approx(1, abs=1e-5)
    assert not encoder.encode(["nothing known"]).any()
    with pytest.raises(NlprepError, match="no text has a word"):
        plain.without_common_direction(["quux"])


def test_texts_that_are_words_already():
    encoder = AveragedWordVectors(WORDS)
    np.testing.assert_array_equal(
        encoder.encode_words([["the", "cat"], [], ["Paris"]]), [*encoder.encode(["the cat", ""]), [5, 5]]
    )
    for wrong in ("the cat", ["the", "cat"], [["the"], "cat"]):
        with pytest.raises(NlprepError, match="takes a list of lists of words"):
            encoder.encode_words(wrong)


def test_random_vectors_are_as_large_as_the_learned_ones():
    encoder = AveragedWordVectors(WORDS, np.array([0.5, 1, 1, 1]))
    other = encoder.randomized(5)
    assert other.vectors.words == WORDS.words
    np.testing.assert_allclose(np.mean(np.square(other.vectors.matrix)), np.mean(np.square(WORDS.matrix)), rtol=1e-5)
    np.testing.assert_array_equal(other.weights, encoder.weights)


def test_directories(tmp_path):
    WORDS.save(tmp_path / "words")
    opened = AveragedWordVectors.from_directory(tmp_path / "words")
    np.testing.assert_array_equal(opened.encode(["the cat"]), AveragedWordVectors(WORDS).encode(["the cat"]))
    write_artifact(tmp_path / "corpus", kind="corpus", config={}, tensors={})
    with pytest.raises(FileError, match="expected 'averaged-word-vectors'"):
        AveragedWordVectors.from_directory(tmp_path / "corpus")
    tensors = {"matrix": np.ones((2, 3), np.float32), "words": np.frombuffer(b"a\nb", np.uint8)}
    write_artifact(
        tmp_path / "short", kind="averaged-word-vectors", config={},
        tensors=tensors | {"weights": np.ones(3, np.float32)},
    )  # fmt: skip
    with pytest.raises(FileError, match="'weights' is float32"):
        AveragedWordVectors.from_directory(tmp_path / "short")
    write_artifact(
        tmp_path / "none", kind="averaged-word-vectors", config={},
        tensors=tensors | {"matrix": np.ones((0, 3), np.float32)},
    )  # fmt: skip
    with pytest.raises(FileError, match="shape"):
        AveragedWordVectors.from_directory(tmp_path / "none")


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"weights": np.ones(3)}, r"weights of shape \(3,\): give 4 finite numbers"),
        ({"weights": np.array([1, 2, np.nan, 1])}, "give 4 finite numbers"),
        ({"common": np.ones(3)}, "give 2 finite numbers"),
        ({"common": np.ones(2)}, "common has length 1.41: give a direction of length 1"),
    ],
)
def test_weights_that_do_not_fit(settings, problem):
    with pytest.raises(NlprepError, match=problem):
        AveragedWordVectors(WORDS, **settings)


def test_the_examples_say_what_comes_out():
    assert doctest.testmod(averaged_vectors) == (0, 3)
