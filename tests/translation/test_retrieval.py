"""TranslationIndex against a slow CSLS, across directions, saved and loaded."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nlprep.core.errors import FileError, NlprepError, OptionError
from nlprep.translation.align import align
from nlprep.translation.aligners.configuration import AlignmentConfig
from nlprep.translation.index.bilingual import TranslationIndex

sys.path.insert(0, str(Path(__file__).parents[1] / "contracts"))
from planted import plant


@pytest.fixture(scope="module")
def index():
    planted = plant(noise=0.6)
    alignment = align(planted.source, planted.target, planted.train, AlignmentConfig(refine=0, spelling=False))
    return TranslationIndex.build(planted.source, planted.target, alignment, source_language="en", target_language="fr")


@pytest.fixture(params=["source-to-target", "target-to-source"])
def turned(request, index):
    """The translator, in either direction."""
    return index if request.param == "source-to-target" else index.reversed()


def slow_scores(index, method):
    cosines = index.source.matrix.astype(np.float64) @ index.target.matrix.T.astype(np.float64)
    if method == "cosine":
        return cosines
    of_rows = np.sort(cosines, axis=1)[:, -10:].mean(axis=1)
    of_columns = np.sort(cosines, axis=0)[-10:].mean(axis=0)
    return 2 * cosines - of_rows[:, None] - of_columns


@pytest.mark.parametrize("method", ["csls", "cosine"])
def test_translations_equal_a_slow_reference(method, turned):
    words = turned.source.words[:200:7]
    scores = slow_scores(turned, method)
    for word, candidates in zip(words, turned.translate(words, 5, method=method), strict=True):
        row = scores[turned.source.words.index(word)]
        order = np.argsort(-row)[:5]
        assert [candidate.word for candidate in candidates] == [turned.target.words[place] for place in order]
        np.testing.assert_allclose([candidate.score for candidate in candidates], row[order], atol=1e-5)


def test_csls_and_cosine_differ_so_that_the_above_means_something(index):
    by_csls = index.translate(index.source.words, 1)
    by_cosine = index.translate(index.source.words, 1, method="cosine")
    assert sum(one[0].word != other[0].word for one, other in zip(by_csls, by_cosine, strict=True)) > 10


@pytest.mark.parametrize("method", ["csls", "cosine"])
def test_ranks_equal_a_slow_reference(method, turned):
    scores = slow_scores(turned, method)
    pairs = np.random.default_rng(0).integers(0, 600, size=(80, 2))
    want = [1 + (scores[row] > scores[row, key]).sum() for row, key in pairs]
    np.testing.assert_array_equal(turned.ranks(pairs, method=method), want)


def test_unknown_words_give_nothing_and_are_listed(index):
    assert index.translate(["s1", "nonsense"], 1)[1] == []
    assert index.translate(["nonsense"]) == [[]]
    assert index.translate([]) == []
    assert index.unknown(["s1", "nonsense", "t1"]) == ["nonsense", "t1"]
    assert index.reversed().unknown(["s1", "t1"]) == ["s1"]


def test_more_candidates_than_words_are_all_words(index):
    assert len(index.translate(["s1"], 10_000)[0]) == 600


def test_saved_and_loaded_it_answers_the_same(index, tmp_path):
    index.save(tmp_path / "model")
    loaded = TranslationIndex.load(tmp_path / "model")
    assert (loaded.source_language, loaded.target_language) == ("en", "fr")
    assert loaded.provenance == index.provenance
    for opened, made in ((loaded, index), (loaded.reversed(), index.reversed())):
        words = made.source.words[:20]
        assert opened.translate(words) == made.translate(words)
    with pytest.raises(ValueError, match="read-only"):
        loaded.source.matrix[0] = 0
    vectors = loaded.source.vectors()
    assert vectors.words == index.source.words
    np.testing.assert_array_equal(vectors.matrix, index.source.matrix)


def test_damage_is_told(index, tmp_path):
    path = tmp_path / "model"
    index.save(path)
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps({**config, "alignment": 3}))
    with pytest.raises(FileError, match="lacks the settings of its alignment"):
        TranslationIndex.load(path)
    (path / "config.json").write_text(json.dumps({**config, "format_version": 99}))
    with pytest.raises(FileError, match="upgrade"):
        TranslationIndex.load(path)
    (path / "config.json").write_text(json.dumps(config))
    tensors = path / "tensors.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:-5])
    with pytest.raises(FileError, match="cut short"):
        TranslationIndex.load(path)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"method": "magic"}, OptionError),
        ({"top": 0}, OptionError),
        ({"words": "chat"}, NlprepError),
    ],
)
def test_misuse_is_named(arguments, error, index):
    with pytest.raises(error, match=r"magic|top = 0|single string"):
        index.translate(**{"words": ["s1"], **arguments})


def test_reversed_twice_it_is_as_it_was_and_copies_nothing(index):
    swapped = index.reversed()
    assert (swapped.source_language, swapped.target_language) == ("fr", "en")
    assert swapped.source is index.target
    assert swapped.target is index.source
    assert swapped.alignment.source_map is index.alignment.target_map
    again = swapped.reversed()
    assert again.translate(["s1"], 3) == index.translate(["s1"], 3)
    np.testing.assert_array_equal(again.alignment.map_source(np.eye(20)), index.alignment.map_source(np.eye(20)))


@pytest.mark.slow
def test_a_question_loads_nothing_heavy(index, tmp_path):
    index.save(tmp_path / "model")
    program = (
        "import sys; from nlprep.translation.index.bilingual import TranslationIndex;"
        f"print(TranslationIndex.load({str(tmp_path / 'model')!r}).translate(['s1'], 1)[0][0].word);"
        "print(sorted({'torch', 'numba', 'gensim', 'scipy', 'faiss', 'rich'} & set(sys.modules)))"
    )
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert finished.stdout.splitlines()[1] == "[]"
