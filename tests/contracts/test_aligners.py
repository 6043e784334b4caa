"""What every method of alignment must satisfy, whatever its mathematics."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from nlprep.core.configuration import bounds_of, settings_of
from nlprep.core.errors import NlprepError, OptionError
from nlprep.embeddings.word_vectors import WordVectors
from nlprep.translation import aligners
from nlprep.translation.align import align
from nlprep.translation.aligners import configuration
from nlprep.translation.aligners.aligner import Aligner
from nlprep.translation.aligners.configuration import METHODS, AlignmentConfig
from nlprep.translation.aligners.methods import ALIGNERS
from nlprep.translation.alignment import Alignment
from nlprep.translation.evaluation import evaluate_translation
from nlprep.translation.index.bilingual import TranslationIndex
from nlprep.translation.lexicon import Lexicon

sys.path.insert(0, str(Path(__file__).parent))
from planted import plant

METHODS_WITH_A_DICTIONARY = [aligner.name for aligner in ALIGNERS if aligner.takes_dictionary]
EVERY = [
    pytest.param(AlignmentConfig(method=method, refine=rounds), id=f"{method}-{rounds}")
    for method in METHODS_WITH_A_DICTIONARY
    for rounds in (0, 3)
]


def modules_of_aligners():
    return [
        importlib.import_module(f"{aligners.__name__}.{found.name}")
        for found in pkgutil.iter_modules(aligners.__path__)
        if not found.ispkg
    ]


def classes_in(module):
    return [kind for _, kind in inspect.getmembers(module, inspect.isclass) if kind.__module__ == module.__name__]


def test_every_module_that_is_a_method_is_listed_once():
    found = {
        kind
        for module in modules_of_aligners()
        for kind in classes_in(module)
        if kind is not Aligner and isinstance(kind, type) and hasattr(kind, "align") and hasattr(kind, "name")
    }
    assert found == {type(aligner) for aligner in ALIGNERS}
    assert tuple(aligner.name for aligner in ALIGNERS) == METHODS
    assert len(set(METHODS)) == len(METHODS)
    assert all(isinstance(aligner, Aligner) for aligner in ALIGNERS)
    # One module a method.
    assert len({type(aligner).__module__ for aligner in ALIGNERS}) == len(ALIGNERS)


def test_settings_of_a_method_stand_under_its_name():
    nested = {
        field.name: type(field.default)
        for field in dataclasses.fields(AlignmentConfig)
        if dataclasses.is_dataclass(field.default)
    }
    assert set(nested) <= {name.replace("-", "_") for name in METHODS}
    assert {*nested.values(), AlignmentConfig} == set(classes_in(configuration))
    assert all(kind.__name__ == f"{name.title().replace('_', '')}Config" for name, kind in nested.items())
    # Each of them is reached from the command line and from a file.
    names = {setting.name for setting in settings_of(AlignmentConfig)}
    for name, kind in nested.items():
        assert {f"{name}_{field.name}" for field in dataclasses.fields(kind)} <= names


@pytest.mark.parametrize("aligner", ALIGNERS, ids=METHODS)
def test_without_a_dictionary_it_says_so_or_learns(aligner, planted):
    config = AlignmentConfig(method=aligner.name)
    if aligner.needs_dictionary:
        with pytest.raises(OptionError, match=f"the {aligner.name} method learns from a dictionary"):
            align(planted.source, planted.target, None, config)
    if not aligner.takes_dictionary:
        with pytest.raises(OptionError, match=f"the {aligner.name} method takes no dictionary"):
            align(planted.source, planted.target, planted.train, config)
    assert aligner.takes_dictionary or not aligner.needs_dictionary


@pytest.mark.parametrize("method", METHODS_WITH_A_DICTIONARY)
@pytest.mark.slow
def test_a_dictionary_of_too_few_words_is_refused_warned_of_or_enough(method, planted):
    few = Lexicon(planted.train.pairs[:15])
    config = AlignmentConfig(method=method, refine=0, spelling=False)
    outcome = next(aligner for aligner in ALIGNERS if aligner.name == method).with_few_words(config)
    if outcome == "refused":
        with pytest.raises(NlprepError, match=f"15 words .* of 20 dimensions, too few for the {method} method"):
            align(planted.source, planted.target, few, config)
        return
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        alignment = align(planted.source, planted.target, few, config)
    arbitrary = [note for note in caught if "a part of the map is arbitrary" in str(note.message)]
    assert len(arbitrary) == (outcome == "arbitrary")
    assert np.isfinite(alignment.source_map).all()


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
@pytest.mark.slow
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


@pytest.mark.parametrize("swapped", [False, True], ids=["source-to-target", "target-to-source"])
@pytest.mark.parametrize("config", EVERY)
@pytest.mark.slow
def test_a_planted_rotation_is_found_both_ways(config, swapped, planted, aligned):
    index = TranslationIndex.build(planted.source, planted.target, aligned(config))
    if swapped:
        result = evaluate_translation(index.reversed(), planted.test.reversed())
    else:
        result = evaluate_translation(index, planted.test)
    assert result["coverage"] == 100.0
    assert result["csls"]["precision@1"] > 97
    assert result["cosine"]["precision@1"] > 97


@pytest.mark.parametrize("config", EVERY)
@pytest.mark.slow
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
@pytest.mark.slow
def test_it_is_the_same_every_time(config, planted, aligned):
    first = aligned(config)
    again = align(planted.source, planted.target, planted.train, config)
    alone = align(planted.source, planted.target, planted.train, config, threads=1)
    # Gradient steps round differently on another number of threads.
    tolerance = 1e-4 if config.method == "hard-negatives" else 0
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
        align(planted.source, planted.target, planted.train.reversed(), config)


@pytest.mark.parametrize("config", EVERY)
@pytest.mark.slow
def test_its_inputs_stay_as_they_were(config, planted):
    before = planted.source.matrix.copy(), planted.target.matrix.copy()
    align(planted.source, planted.target, planted.train, config)
    np.testing.assert_array_equal(planted.source.matrix, before[0])
    np.testing.assert_array_equal(planted.target.matrix, before[1])


@pytest.mark.parametrize("config", EVERY)
@pytest.mark.slow
def test_vectors_of_another_dimension_are_refused_by_its_maps(config, aligned):
    with pytest.raises(NlprepError, match=r"shape \(2, 7\): this alignment takes rows of 20 values"):
        aligned(config).map_source(np.ones((2, 7), np.float32))


@pytest.mark.parametrize("method", METHODS_WITH_A_DICTIONARY)
@pytest.mark.slow
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


def test_settings_of_a_method_say_which_methods_they_count_for():
    for field in dataclasses.fields(AlignmentConfig):
        if dataclasses.is_dataclass(field.default):
            deciding, methods = bounds_of(field).counts_for
            assert deciding == "method"
            assert set(methods) <= {"auto", *METHODS}
            assert {"procrustes", "least-squares"}.isdisjoint(methods), field.name
