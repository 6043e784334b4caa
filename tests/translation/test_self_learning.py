"""Learning with few pairs, with words spelled alike, and with nothing."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from nlprep.core.errors import NlprepError, OptionError
from nlprep.embeddings.word_vectors import WordVectors
from nlprep.translation.align import AlignmentWarning, align
from nlprep.translation.aligners.configuration import AlignmentConfig
from nlprep.translation.aligners.maps import make_fit, map_words, solve_roughly
from nlprep.translation.aligners.self_learning import Learner, choose_by_chance
from nlprep.translation.aligners.starts.distributions import match_distributions
from nlprep.translation.evaluation import evaluate_translation
from nlprep.translation.index.bilingual import TranslationIndex
from nlprep.translation.lexicon import Lexicon
from nlprep.translation.supervision import ENOUGH_ALIKE, choose_supervision
from nlprep.vectors.csls import find_candidates, mean_csls, mutual_pairs
from nlprep.vectors.nearest import MutualNeighbors
from nlprep.vectors.normalization import fit_normalization, scaled_to_unit

sys.path.insert(0, str(Path(__file__).parents[1] / "contracts"))
from planted import plant


def slow_csls(source, target, k):
    cosines = source.astype(np.float64) @ target.T.astype(np.float64)
    of_source = np.sort(cosines, axis=1)[:, -k:].mean(axis=1)
    of_target = np.sort(cosines, axis=0)[-k:].mean(axis=0)
    return 2 * cosines - of_source[:, None] - of_target


def precision(alignment, source, target, lexicon):
    index = TranslationIndex.build(source, target, alignment)
    return evaluate_translation(index, lexicon)["csls"]["precision@1"]


def test_candidates_equal_a_slow_reference():
    generator = np.random.default_rng(2)
    source = scaled_to_unit(generator.standard_normal((70, 8)))
    target = scaled_to_unit(generator.standard_normal((50, 8)))
    scores = slow_csls(source, target, 6)
    found = find_candidates(source, target, 3, neighborhood=6)
    np.testing.assert_array_equal(found.targets, np.argsort(-scores, axis=1)[:, :3])
    np.testing.assert_array_equal(found.sources, np.argsort(-scores, axis=0)[:3].T)
    np.testing.assert_allclose(found.target_scores, -np.sort(-scores, axis=1)[:, :3], atol=1e-5)
    np.testing.assert_allclose(found.source_scores, -np.sort(-scores, axis=0)[:3].T, atol=1e-5)
    want = [(row, scores[row].argmax()) for row in range(70) if scores[:, scores[row].argmax()].argmax() == row]
    np.testing.assert_array_equal(mutual_pairs(found), want)
    assert mean_csls(found) == pytest.approx((scores.max(axis=1).mean() + scores.max(axis=0).mean()) / 2, abs=1e-5)


def test_chance_leaves_the_best_of_what_it_keeps():
    targets = np.array([[4, 3, 2], [0, 1, 2]])
    sources = np.array([[1, 0, 1]])
    scores = np.zeros((2, 3), np.float32)
    found = MutualNeighbors(scores, targets, scores[:1], sources)
    everything = choose_by_chance(found, 1.0, np.random.default_rng(0))
    assert everything.tolist() == [[0, 4], [1, 0], [1, 0]]
    assert choose_by_chance(found, 0.0, np.random.default_rng(0)).shape == (0, 2)
    left = np.random.default_rng(3).random((2, 3)) < 0.5
    chosen = choose_by_chance(found, 0.5, np.random.default_rng(3))
    want = [(row, targets[row, left[row].argmax()]) for row in range(2) if left[row].any()]
    assert [tuple(pair) for pair in chosen[: len(want)]] == want


def test_equal_languages_have_equal_distributions():
    generator = np.random.default_rng(1)
    vectors = generator.standard_normal((300, 15)) * np.linspace(2, 0.5, 15)
    turn = np.linalg.qr(generator.standard_normal((15, 15)))[0]
    order = generator.permutation(300)
    sides = [fit_normalization(side, "iterative").apply(side) for side in (vectors, (vectors @ turn)[order])]
    pairs = match_distributions(*sides, frequent=300, neighborhood=5)
    assert pairs.shape == (600, 2)
    assert (order[pairs[:, 1]] == pairs[:, 0]).mean() > 0.99


@cache
def find_planted(supplied):
    """Planted sides, and what was found with so much; for several tests, since it takes seconds."""
    # From nothing, fewer words are too few.
    planted = plant(num_words=800 if supplied == "ten pairs" else 1500, num_train=10, noise=0.15)
    lexicon = planted.train if supplied == "ten pairs" else None
    return planted, lexicon, align(planted.source, planted.target, lexicon, AlignmentConfig(spelling=False))


@pytest.mark.parametrize("supplied", ["nothing", "ten pairs"])
@pytest.mark.slow
def test_a_planted_rotation_is_found(supplied):
    planted, lexicon, alignment = find_planted(supplied)
    assert alignment.provenance["method"] == "self-learning"
    assert precision(alignment, planted.source, planted.target, planted.test) > 97
    again = align(planted.source, planted.target, lexicon, AlignmentConfig(spelling=False))
    np.testing.assert_array_equal(again.source_map, alignment.source_map)


@pytest.mark.slow
def test_sides_of_unequal_number_and_dimension():
    planted = plant(num_words=1500, num_train=10, noise=0.1)
    generator = np.random.default_rng(0)
    wider = np.linalg.qr(generator.standard_normal((26, 26)))[0][:20]
    target = WordVectors(planted.target.words[:1100], (planted.target.matrix[:1100] @ wider).astype(np.float32))
    alignment = align(planted.source, target, planted.train, AlignmentConfig(spelling=False))
    assert precision(alignment, planted.source, target, planted.test) > 90


@pytest.mark.slow
def test_names_are_a_start_where_there_is_no_dictionary():
    planted = plant(num_words=800, num_train=10, noise=0.3)
    named = {f"t{number}": f"s{number}" for number in range(500, 700)}
    target = WordVectors([named.get(word, word) for word in planted.target.words], planted.target.matrix)
    pairs = [(source, named.get(word, word)) for source, word in planted.test]
    alignment = align(planted.source, target)
    assert alignment.provenance["supervision"] == {"kind": "spellings", "pairs": 200}
    assert "200 frequent words" in alignment.provenance["reason"]
    assert precision(alignment, planted.source, target, Lexicon(pairs)) > 90


@pytest.mark.slow
def test_languages_that_have_nothing_in_common_are_refused():
    generator = np.random.default_rng(8)
    sides = [
        WordVectors([f"{name}{number}" for number in range(800)], generator.standard_normal((800, 40), np.float32))
        for name in "st"
    ]
    with pytest.raises(NlprepError, match=r"4 attempts from different starts agree on at most .* give a small"):
        align(*sides, config=AlignmentConfig(spelling=False))


def test_too_few_words_are_refused():
    planted = plant(num_words=300)
    with pytest.raises(NlprepError, match="300 words are too few to learn from without a dictionary"):
        align(planted.source, planted.target, config=AlignmentConfig(spelling=False))
    assert align(planted.source, planted.target, planted.train).provenance["method"] == "whitened"


@pytest.mark.slow
def test_a_handful_of_pairs_is_learned_from_with_a_warning():
    planted = plant(num_words=600, num_train=10, noise=0.1)
    with pytest.warns(AlignmentWarning, match="the dictionary gives 10 words .* look at some translations"):
        alignment = align(planted.source, planted.target, planted.train, AlignmentConfig(spelling=False))
    assert len(alignment.provenance["warnings"]) == 1


@pytest.mark.slow
def test_attempts_that_succeed_agree():
    alignment = find_planted("nothing")[2]
    assert alignment.provenance["agreement"] > 0.9
    assert {entry["attempt"] for entry in alignment.provenance["rounds"]} == {1, 2}
    with_pairs = find_planted("ten pairs")[2]
    assert with_pairs.provenance["agreement"] is None


def make_learning(source, target):
    fit = make_fit(source, target)
    return Learner(source, target, rough=make_fit(source, target, solve_roughly), fit=fit)


def test_what_two_maps_translate_alike():
    generator = np.random.default_rng(2)
    words = scaled_to_unit(generator.standard_normal((600, 12)))
    learning = make_learning(words, words)
    same, half = np.eye(12), np.diag([1.0] * 8 + [-1.0] * 4)
    share, pairs = learning.compare((same, same), (same, same))
    assert share == 1
    np.testing.assert_array_equal(pairs, np.stack([np.arange(600)] * 2, 1))
    share, pairs = learning.compare((same, same), (half, same))
    assert 0.02 < share < 0.9
    assert len(pairs) < 600
    np.testing.assert_array_equal(pairs[:, 0], pairs[:, 1])


@pytest.mark.slow
def test_attempts_that_hardly_agree_are_built_upon(monkeypatch):
    planted = plant(num_words=1500, num_train=10, noise=0.15)
    sides = [fit_normalization(side.matrix).apply(side.matrix) for side in (planted.source, planted.target)]
    compare = Learner.compare

    def hardly(self, one, other):
        _, pairs = compare(self, one, other)
        return 0.2, pairs[::10]

    monkeypatch.setattr(Learner, "compare", hardly)
    learned = make_learning(*sides).learn(np.empty((0, 2), np.int64))
    assert learned.agreement == 0.2
    assert {entry.attempt for entry in learned.iterations} == {1, 2, 3}
    one, other = map_words(*sides, learned.maps)
    rows = planted.test.rows(planted.source, planted.target)
    assert np.mean((one[rows[:, 0]] @ other.T).argmax(axis=1) == rows[:, 1]) > 0.9


@pytest.mark.slow
def test_attempts_start_from_what_is_offered():
    planted = plant(num_words=700, num_train=60, noise=0.1)
    sides = [fit_normalization(side.matrix).apply(side.matrix) for side in (planted.source, planted.target)]
    pairs = planted.train.rows(planted.source, planted.target)
    fetched = []

    def offer():
        for part in (pairs[:30], pairs[30:], pairs):
            fetched.append(len(part))
            yield part

    learned = make_learning(*sides).learn(np.empty((0, 2), np.int64), offer())
    # As many as it takes.
    assert fetched == [30, 30]
    assert learned.agreement > 0.9
    with pytest.raises(NlprepError, match="no two attempts got anywhere"):
        make_learning(*sides).learn(np.empty((0, 2), np.int64), iter([pairs]))


def test_what_is_chosen_by_what_there_is():
    planted = plant()
    none = choose_supervision(planted.source, planted.target, None)
    assert (none.method, none.kind, len(none.pairs)) == ("self-learning", "none", 0)
    assert "only 0 frequent words are spelled alike" in none.reason
    alike = WordVectors(planted.source.words, planted.target.matrix)
    spelled = choose_supervision(planted.source, alike, None)
    assert (spelled.kind, len(spelled.pairs) >= ENOUGH_ALIKE) == ("spellings", True)
    assert choose_supervision(planted.source, alike, None, AlignmentConfig(spelling=False)).kind == "none"
    few = choose_supervision(planted.source, planted.target, Lexicon(planted.train.pairs[:39]))
    assert (few.method, few.kind, len(few.pairs)) == ("self-learning", "dictionary", 39)
    many = choose_supervision(planted.source, planted.target, Lexicon(planted.train.pairs[:40]))
    assert many.method == "whitened"
    adversarial = AlignmentConfig(method="adversarial")
    assert choose_supervision(planted.source, planted.target, None, adversarial).method == "adversarial"
    with pytest.raises(OptionError, match="takes no dictionary"):
        choose_supervision(planted.source, planted.target, planted.train, adversarial)
    with pytest.raises(OptionError, match="the whitened method learns from a dictionary: give one, or choose"):
        choose_supervision(planted.source, planted.target, None, AlignmentConfig(method="whitened"))
    with pytest.raises(NlprepError, match="the dictionary is empty"):
        choose_supervision(planted.source, planted.target, Lexicon([]))
