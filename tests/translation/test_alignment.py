"""Alignment: settings, refinement, provenance, too little input."""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from nlprep.core.errors import FileError, NlprepError, OptionError
from nlprep.embeddings.word_vectors import WordVectors
from nlprep.translation.align import AlignmentWarning, align
from nlprep.translation.aligners.configuration import AlignmentConfig
from nlprep.translation.aligners.refinement import Refinement, induce_pairs, weigh_pairs
from nlprep.translation.alignment import Alignment
from nlprep.translation.lexicon import Lexicon
from nlprep.vectors.normalization import scaled_to_unit
from nlprep.vectors.procrustes import fit_procrustes

sys.path.insert(0, str(Path(__file__).parents[1] / "contracts"))
from planted import plant


@pytest.fixture(scope="module")
def planted():
    return plant()


def slow_csls(source, target, k):
    cosines = source.astype(np.float64) @ target.T.astype(np.float64)
    of_source = np.sort(cosines, axis=1)[:, -k:].mean(axis=1)
    of_target = np.sort(cosines, axis=0)[-k:].mean(axis=0)
    return 2 * cosines - of_source[:, None] - of_target


def test_induced_pairs_equal_a_slow_reference():
    generator = np.random.default_rng(0)
    source = scaled_to_unit(generator.standard_normal((80, 10)))
    target = scaled_to_unit(generator.standard_normal((60, 10)))
    scores = slow_csls(source, target, 4)
    targets, sources = scores.argmax(axis=1), scores.argmax(axis=0)
    mutual = [row for row in range(80) if sources[targets[row]] == row]
    found = induce_pairs(source, target, neighborhood=4)
    np.testing.assert_array_equal(found.rows, [(row, targets[row]) for row in mutual])
    np.testing.assert_allclose(found.scores, [scores[row, targets[row]] for row in mutual], atol=1e-5)
    want = (scores.max(axis=1).mean() + scores.max(axis=0).mean()) / 2
    assert found.criterion == pytest.approx(want, abs=1e-5)


def test_refinement_with_few_pairs_helps_and_keeps_the_best_round():
    few = plant(num_train=25, noise=0.35)
    rounds_of = {}
    right = {}
    for rounds in (0, 5):
        config = AlignmentConfig(method="procrustes", refine=rounds, cutoff=500)
        alignment = align(few.source, few.target, few.train, config)
        rows = few.test.rows(few.source, few.target)
        source = scaled_to_unit(alignment.map_source(few.source.matrix))
        target = scaled_to_unit(alignment.map_target(few.target.matrix))
        right[rounds] = (slow_csls(source, target, 10)[rows[:, 0]].argmax(axis=1) == rows[:, 1]).mean()
        rounds_of[rounds] = alignment.provenance["rounds"]
    assert right[5] > right[0] + 0.04
    assert rounds_of[0] == []
    criteria = [entry["criterion"] for entry in rounds_of[5]]
    chosen = [entry["round"] for entry in rounds_of[5] if entry["chosen"]]
    assert chosen == [int(np.argmax(criteria))]
    assert 2 <= len(criteria) <= 6


def make_refinement(fit, words, seed, **settings):
    """Of a language with itself."""
    return Refinement(
        sides=(words, words),
        known={(0, 1): seed},
        fit=lambda pairs: fit(pairs[0, 1].rows, pairs[0, 1].weights),
        **settings,
    )


def test_the_seed_stays_in_and_its_words_take_no_induced_pair():
    generator = np.random.default_rng(1)
    source = scaled_to_unit(generator.standard_normal((50, 6)))
    seen = []

    def fit(pairs, weights):
        seen.append((pairs.copy(), weights.copy()))
        return fit_procrustes(source[pairs[:, 0]], source[pairs[:, 1]], weights=weights), np.eye(6)

    # The identity is the truth, but the seed pairs the words 0 and 1 crosswise.
    seed = np.array([[0, 1], [1, 0], *[[row, row] for row in range(2, 20)]])
    refinement = make_refinement(fit, source, seed, cutoff=40, induced_weight=0.25)
    first = refinement.fit_to_known()
    np.testing.assert_array_equal(seen[0][0], seed)
    _, history = refinement.refine(first, {}, max_rounds=1)
    pairs, weights = seen[1]
    np.testing.assert_array_equal(pairs[: len(seed)], seed)
    fresh = pairs[len(seed) :]
    assert len(fresh)
    assert fresh.min() >= 20
    assert fresh.max() < 40
    np.testing.assert_array_equal(weights, [1.0] * len(seed) + [0.25] * len(fresh))
    assert history[0].pairs[0, 1].fitted == len(pairs)
    assert history[0].pairs[0, 1].agreement < 1


def test_refinement_stops_when_nothing_rises():
    generator = np.random.default_rng(1)
    source = scaled_to_unit(generator.standard_normal((50, 6)))
    seed = np.stack([np.arange(40)] * 2, axis=1)

    def fit(pairs, weights):
        return np.eye(6), np.eye(6)

    _, history = make_refinement(fit, source, seed).refine((np.eye(6), np.eye(6)), {}, max_rounds=9)
    assert [entry.number for entry in history] == [0, 1]
    assert [entry.chosen for entry in history] == [True, False]


@pytest.mark.parametrize("count", [2, 3, 4])
def test_of_rounds_that_are_equal_the_first_is_chosen_for_any_number_of_languages(count):
    generator = np.random.default_rng(2)
    words = [scaled_to_unit(generator.standard_normal((50, 6))) for _ in range(count)]
    eyes = [np.eye(6)] * count
    seen = []

    def fit(pairs):
        seen.append(sorted(pairs))
        return eyes

    seed = np.stack([np.arange(10)] * 2, axis=1)
    refinement = Refinement(sides=words, known={(0, 1): seed}, fit=fit, neighborhood=5)
    # A criterion that is rounded, and compared with one that is not, would rise by that.
    maps, history = refinement.refine(eyes, {}, max_rounds=3, tolerance=0.0)
    assert [entry.chosen for entry in history] == [True, False, False, False]
    assert maps is eyes
    # Pairs are induced between every two, those included that no dictionary is of.
    assert seen == [list(itertools.combinations(range(count), 2))] * 3
    assert history[0].pairs[0, 1].fitted >= 10
    assert history[0].criterion == pytest.approx(
        np.mean([induce_pairs(x, z, neighborhood=5).criterion for x, z in itertools.combinations(words, 2)])
    )


def test_provenance_is_plain_and_tells_how(planted):
    lexicon = Lexicon([*planted.train.pairs, ("unheard", "of")])
    provenance = align(planted.source, planted.target, lexicon, AlignmentConfig(refine=2)).provenance
    assert json.loads(json.dumps(provenance)) == provenance
    assert provenance["config"]["method"] == "auto"
    assert provenance["method"] == "whitened"
    assert provenance["reason"].startswith("the dictionary gives 200 words with known translations")
    assert provenance["lexicon"]["num_pairs"] == 201
    assert provenance["lexicon"]["pairs_used"] == 200
    assert provenance["vectors"]["source"] == {"num_words": 600, "dimension": 20}
    assert provenance["warnings"] == []


@pytest.mark.parametrize("method", ["whitened", "least-squares"])
def test_fewer_pairs_than_dimensions_are_refused(method, planted):
    few = Lexicon(planted.train.pairs[:15])
    with pytest.raises(NlprepError, match=r"15 words .* of 20 dimensions, too few for the .* method: give more"):
        align(planted.source, planted.target, few, AlignmentConfig(method=method))


def test_fewer_pairs_than_dimensions_warn_where_they_can_be_used(planted):
    few = Lexicon(planted.train.pairs[:15])
    with pytest.warns(AlignmentWarning, match="a part of the map is arbitrary"):
        alignment = align(planted.source, planted.target, few, AlignmentConfig(method="procrustes"))
    assert "15 words" in alignment.provenance["warnings"][0]


def test_many_translations_of_few_words_do_not_count_as_many(planted):
    many = Lexicon((f"s{one}", f"t{other}") for one in range(5) for other in range(50))
    with pytest.raises(NlprepError, match="gives 5 words"):
        align(planted.source, planted.target, many, AlignmentConfig(method="whitened"))


@pytest.mark.parametrize(
    "values",
    [
        {"method": "magic"},
        {"normalization": "unit,centre"},
        {"refine": -1},
        {"cutoff": 0},
        {"whitened": {"ridge": 0.1}},
    ],
)
def test_settings_out_of_range_are_refused(values):
    with pytest.raises(OptionError):
        AlignmentConfig(**values)


def test_a_damaged_artifact_is_told(planted, tmp_path):
    align(planted.source, planted.target, planted.train).save(tmp_path / "a")
    config = json.loads((tmp_path / "a" / "config.json").read_text())
    config["source_steps"] = ["unit"]
    (tmp_path / "a" / "config.json").write_text(json.dumps(config))
    with pytest.raises(FileError, match="source_steps is \\['unit'\\]"):
        Alignment.load(tmp_path / "a")


def test_pairs_are_weighed_by_hand():
    pairs = np.array([[0, 0], [0, 1], [1, 1], [2, 2]])
    weights = weigh_pairs(pairs, np.array([0.5, 0.4, 0.6, -0.9]), 0.1)
    want = [1, (np.exp(-1) + np.exp(-2)) / 2, 1, 1]
    np.testing.assert_allclose(weights, want)
    assert weigh_pairs(pairs[:0], np.empty(0), 0.1).shape == (0,)


@pytest.mark.slow
def test_wrong_translations_beside_right_ones_do_little_harm(planted):
    generator = np.random.default_rng(4)
    wrong = [(source, f"t{other}") for source, _ in planted.train for other in generator.integers(0, 600, 2)]
    noisy = Lexicon([*planted.train.pairs, *wrong])
    fit = {}
    for temperature in (0.0, 0.1):
        config = AlignmentConfig(refine=0, temperature=temperature)
        alignment = align(planted.source, planted.target, noisy, config)
        rows = planted.test.rows(planted.source, planted.target)
        source = scaled_to_unit(alignment.map_source(planted.source.matrix[rows[:, 0]]))
        target = scaled_to_unit(alignment.map_target(planted.target.matrix[rows[:, 1]]))
        fit[temperature] = (source * target).sum(axis=1).mean()
    assert fit[0.1] > fit[0.0] + 0.02


def test_a_device_that_is_not_there_is_named():
    words = WordVectors([f"w{number}" for number in range(30)], np.eye(30, 8, dtype=np.float32) + 0.1)
    pairs = Lexicon((f"w{number}", f"w{number}") for number in range(30))
    with pytest.raises(OptionError, match="device = 'toaster': torch cannot use it"):
        align(words, words, pairs, AlignmentConfig(device="toaster"))
