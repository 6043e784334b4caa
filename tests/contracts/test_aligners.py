"""What every method of alignment must satisfy, whatever its mathematics."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from nlprep.core.errors import NlprepError
from nlprep.embeddings.word_vectors import WordVectors
from nlprep.translation.alignment import METHODS, Alignment, AlignmentConfig, align
from nlprep.translation.evaluation import evaluate_translation
from nlprep.translation.index.bilingual import TranslationIndex
from nlprep.translation.lexicon import Lexicon

sys.path.insert(0, str(Path(__file__).parent))
from planted import plant

METHODS_WITH_A_DICTIONARY = [method for method in METHODS if method != "adversarial"]
EVERY = [
    pytest.param(AlignmentConfig(method=method, refine=rounds), id=f"{method}-{rounds}")
    for method in METHODS_WITH_A_DICTIONARY
    for rounds in (0, 3)
]


@pytest.fixture(scope="module")
def planted():
    return plant()


@pytest.fixture(scope="module")
def aligned(planted):
    made = {}

    def make(config):
        if config not in made:
            made[config] = align(planted.source, planted.target, planted.train, config)
        return made[config]

    return make


@pytest.mark.parametrize("config", EVERY)
def test_both_sides_meet_in_one_space(config, planted, aligned):
    alignment = aligned(config)
    source = alignment.map_source(planted.source.matrix)
    target = alignment.map_target(planted.target.matrix)
    assert source.dtype == target.dtype == np.float32
    assert source.shape == (600, target.shape[1])
    assert np.isfinite(source).all()
    assert np.isfinite(target).all()
    # A single word goes the way it goes among others.
    np.testing.assert_allclose(alignment.map_source(planted.source.matrix[5:6]), source[5:6], atol=1e-5)


@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize("config", EVERY)
def test_a_planted_rotation_is_found_both_ways(config, direction, planted, aligned):
    index = TranslationIndex.build(planted.source, planted.target, aligned(config))
    lexicon = planted.test if direction == "forward" else planted.test.inverse()
    result = evaluate_translation(index, lexicon, direction)
    assert result["coverage"] == 100.0
    assert result["csls"]["precision@1"] > 97
    assert result["cosine"]["precision@1"] > 97


@pytest.mark.parametrize("config", EVERY)
def test_saved_and_loaded_it_is_the_same(config, planted, aligned, tmp_path):
    alignment = aligned(config)
    alignment.save(tmp_path / "alignment")
    loaded = Alignment.load(tmp_path / "alignment")
    assert loaded.provenance == alignment.provenance
    for name in ("map_source", "map_target"):
        np.testing.assert_array_equal(
            getattr(loaded, name)(planted.source.matrix), getattr(alignment, name)(planted.source.matrix)
        )


@pytest.mark.parametrize("config", EVERY)
def test_it_is_the_same_every_time(config, planted, aligned):
    first = aligned(config)
    again = align(planted.source, planted.target, planted.train, config)
    alone = align(planted.source, planted.target, planted.train, config, threads=1)
    # Gradient steps round differently on another number of threads.
    tolerance = 1e-4 if config.method == "contrastive" else 0
    for side in ("source_map", "target_map"):
        np.testing.assert_array_equal(getattr(again, side), getattr(first, side))
        np.testing.assert_allclose(getattr(alone, side), getattr(first, side), rtol=0, atol=tolerance)


@pytest.mark.parametrize("config", EVERY)
def test_a_dictionary_of_other_languages_is_refused(config, planted):
    with pytest.raises(NlprepError, match=r"shares no pair of words.*'hund'.*'perro'.*'s0'.*'t"):
        align(planted.source, planted.target, Lexicon([("hund", "perro")]), config)


@pytest.mark.parametrize("config", EVERY)
def test_a_dictionary_the_wrong_way_round_is_told(config, planted):
    with pytest.raises(NlprepError, match="wrong way round"):
        align(planted.source, planted.target, planted.train.inverse(), config)


@pytest.mark.parametrize("config", EVERY)
def test_its_inputs_stay_as_they_were(config, planted):
    before = planted.source.matrix.copy(), planted.target.matrix.copy()
    align(planted.source, planted.target, planted.train, config)
    np.testing.assert_array_equal(planted.source.matrix, before[0])
    np.testing.assert_array_equal(planted.target.matrix, before[1])


@pytest.mark.parametrize("config", EVERY)
def test_vectors_of_another_dimension_are_refused_by_its_maps(config, aligned):
    with pytest.raises(NlprepError, match=r"shape \(2, 7\): this alignment takes rows of 20 values"):
        aligned(config).map_source(np.ones((2, 7), np.float32))


@pytest.mark.parametrize("method", METHODS_WITH_A_DICTIONARY)
def test_sides_of_different_dimensions_meet_or_are_refused(method, planted):
    narrow = WordVectors(planted.target.words, planted.target.matrix[:, :15])
    config = AlignmentConfig(method=method, refine=0)
    if method in ("procrustes", "rcsls"):
        with pytest.raises(NlprepError, match="found 20 and 15"):
            align(planted.source, narrow, planted.train, config)
    else:
        alignment = align(planted.source, narrow, planted.train, config)
        assert alignment.map_source(planted.source.matrix).shape == (600, 15)
        assert alignment.map_target(narrow.matrix).shape == (600, 15)
