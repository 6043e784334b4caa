"""Spelling: pairs spelled alike, spellings as vectors, and how much they count."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from nlprep.embeddings.word_vectors import WordVectors
from nlprep.translation.align import align
from nlprep.translation.aligners.configuration import AlignmentConfig
from nlprep.translation.alignment import Alignment
from nlprep.translation.evaluation import evaluate_translation
from nlprep.translation.index.bilingual import TranslationIndex
from nlprep.translation.lexicon import Lexicon
from nlprep.translation.spelling import (
    HEAVIEST,
    Spellings,
    _fit_logistic,
    embed_spellings,
    pair_spelled_alike,
    weigh_spellings,
)
from nlprep.vectors.normalization import scaled_to_unit

LETTERS = list("abcdefghijklmnopqrstuvwxyz")


@pytest.fixture
def generator():
    return np.random.default_rng(5)


def make_words(generator, count):
    made: dict[str, None] = {}
    while len(made) < count:
        made["".join(generator.choice(LETTERS, generator.integers(5, 10)))] = None
    return list(made)


def misspell(generator, word):
    place = int(generator.integers(len(word)))
    return word[:place] + str(generator.choice(LETTERS)) + word[place + 1 :]


def test_only_frequent_words_of_four_letters_or_more_that_nothing_is_known_of() -> None:
    source = ["the", "or", "paris", "table", "1995", "rare", "train"]
    target = ["or", "train", "le", "1995", "table", "paris", "rare"]
    assert pair_spelled_alike(source, target).tolist() == [[2, 5], [3, 4], [4, 3], [5, 6], [6, 1]]
    assert pair_spelled_alike(source, target, cutoff=5).tolist() == [[3, 4], [4, 3]]
    left = pair_spelled_alike(source, target, excluded_source={2}, excluded_target={4})
    assert left.tolist() == [[4, 3], [5, 6], [6, 1]]
    assert pair_spelled_alike(["a"], ["b"]).shape == (0, 2)


@pytest.mark.slow
def test_spellings_are_near_where_words_share_letters(generator):
    words = make_words(generator, 400)
    source, target = embed_spellings([*words, "Naïve"], [*(misspell(generator, word) for word in words), "naive"])
    assert source.dtype == target.dtype == np.float32
    assert source.shape[1] == target.shape[1] <= 200
    np.testing.assert_allclose(np.linalg.norm(source, axis=1), 1, atol=1e-5)
    cosines = source @ target.T
    # Capitals and accents are one and the same.
    assert cosines[-1, -1] == pytest.approx(1, abs=1e-5)
    assert (cosines[:400, :400].argmax(axis=1) == np.arange(400)).mean() > 0.95


def test_all_directions_give_the_cosine_of_the_n_grams():
    # Every n-gram is in two words, so that all weigh alike; with all directions and singular values to the power of
    # a half, cosines are those of the square root of the words' Gram matrix.
    words = ["abcd", "efgh"]
    source, target = embed_spellings(words, words, dimension=50)
    np.testing.assert_allclose(source @ target.T, np.eye(2), atol=1e-5)


def test_vowel_signs_are_letters_and_not_accents():
    source, _ = embed_spellings(["कि", "के", "किताब", "केला"], ["कि", "के", "किताब", "केला"])
    assert source[0] @ source[1] < 0.99


@pytest.mark.slow
def test_languages_without_a_common_letter_have_nothing_in_common(generator):
    words = make_words(generator, 300)
    foreign = ["".join(chr(ord(letter) + 0x390) for letter in word) for word in make_words(generator, 300)]
    source, target = embed_spellings(words, foreign)
    # Not zero, because the directions that are left out would make up for the rest.
    assert np.abs(source @ target.T).max() < 0.2
    vectors = scaled_to_unit(generator.standard_normal((300, 20)))
    assert weigh_spellings(vectors, vectors, source, target) < 0.05


def test_words_of_no_letters_in_common_at_all_and_no_words():
    source, target = embed_spellings(["a"], [])
    assert source.shape[0] == 1
    assert target.shape == (0, source.shape[1])
    assert weigh_spellings(np.ones((1, 2), np.float32), np.ones((1, 2), np.float32), source, source) == 0


@pytest.mark.slow
def test_they_are_the_same_in_every_process():
    program = (
        "from nlprep.translation.spelling import embed_spellings; import hashlib;"
        "words = [f'{n:x}{n * 7919:o}' for n in range(300)];"
        "print(hashlib.sha256(embed_spellings(words, words[::-1])[0].tobytes()).hexdigest())"
    )
    found = {
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    }
    assert len(found) == 1


def test_joined_rows_have_the_weighted_mean_of_both_cosines(generator):
    one, other, u, v = (scaled_to_unit(generator.standard_normal((9, 5))) for _ in range(4))
    joined = Spellings(u, v, 0.25).join(one[:7], other)
    np.testing.assert_allclose(joined[0] @ joined[1].T, (one[:7] @ other.T + 0.25 * u[:7] @ v.T) / 1.25, atol=1e-6)
    np.testing.assert_array_equal(Spellings(u, v, 0.0).join(one, other)[0], one)


@pytest.mark.parametrize(("related", "noise"), [(True, 0.9), (False, 0.9)])
@pytest.mark.slow
def test_spelling_weighs_what_it_is_worth(related, noise, generator):
    count = 1500
    words = make_words(generator, count)
    spelled = [misspell(generator, word) if place % 4 else word for place, word in enumerate(words)]
    if not related:
        spelled = [spelled[place] for place in generator.permutation(count)]
    vectors = generator.standard_normal((count, 40))
    one = scaled_to_unit(vectors)
    other = scaled_to_unit(vectors + noise * generator.standard_normal((count, 40)))
    weight = weigh_spellings(one, other, *embed_spellings(words, spelled))
    if related:
        assert 0.05 < weight <= HEAVIEST
    else:
        assert weight < 0.01


def test_the_logistic_slope_equals_a_library_and_its_error_the_spread_of_repeats(generator):
    from sklearn.linear_model import LogisticRegression

    found = []
    for _ in range(200):
        positives, negatives = generator.normal(0.5, 1, 300), generator.normal(0, 1, 900)
        slope, error = _fit_logistic(positives, negatives)
        found.append((slope, error))
    values = np.concatenate([positives, negatives])[:, None]
    model = LogisticRegression(C=1e8, class_weight="balanced").fit(values, np.repeat([1, 0], [300, 900]))
    assert slope == pytest.approx(model.coef_[0, 0], rel=1e-2)
    slopes, errors = np.array(found).T
    assert errors.mean() == pytest.approx(slopes.std(), rel=0.2)


@pytest.mark.slow
def test_spelling_finds_what_poor_vectors_do_not(generator, tmp_path):
    count = 800
    words = make_words(generator, count)
    vectors = generator.standard_normal((count, 20))
    rotation = np.linalg.qr(generator.standard_normal((20, 20)))[0]
    noisy = vectors @ rotation + 1.0 * generator.standard_normal((count, 20))
    source = WordVectors(words, vectors.astype(np.float32))
    target = WordVectors([misspell(generator, word) for word in words], noisy.astype(np.float32))
    pairs = list(zip(source.words, target.words, strict=True))
    right = {}
    for spelling in (True, False):
        alignment = align(source, target, Lexicon(pairs[:100]), AlignmentConfig(spelling=spelling))
        index = TranslationIndex.build(source, target, alignment)
        right[spelling] = evaluate_translation(index, Lexicon(pairs[100:]))["csls"]["precision@1"]
        assert (alignment.spelling_weight > 0) is spelling
        index.save(tmp_path / str(spelling))
        again = TranslationIndex.load(tmp_path / str(spelling))
        assert again.translate(words[:5]) == index.translate(words[:5])
        alignment.save(tmp_path / f"{spelling}.alignment")
        assert Alignment.load(tmp_path / f"{spelling}.alignment").spelling_weight == alignment.spelling_weight
    assert right[True] > right[False] + 10
