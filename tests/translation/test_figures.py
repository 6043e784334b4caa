"""The choice of pairs, and pictures of two languages that are whole and reproducible."""

from __future__ import annotations

import numpy as np
import pytest

from nlprep.core.errors import FileError, NlprepError
from nlprep.embeddings.word_vectors import WordVectors
from nlprep.translation.align import align
from nlprep.translation.aligners.configuration import AlignmentConfig
from nlprep.translation.figures import draw_translations, pick_pairs
from nlprep.translation.index.bilingual import TranslationIndex
from nlprep.translation.lexicon import Lexicon


@pytest.fixture(scope="module")
def index() -> TranslationIndex:
    generator = np.random.default_rng(3)
    matrix = generator.normal(size=(60, 12)).astype(np.float32)
    rotation, _ = np.linalg.qr(generator.normal(size=(12, 12)))
    source = WordVectors([f"word{i}" for i in range(60)], matrix)
    target = WordVectors([f"mot{i}" for i in range(60)], (matrix @ rotation).astype(np.float32))
    lexicon = Lexicon([(f"word{i}", f"mot{i}") for i in range(40)])
    alignment = align(source, target, lexicon, AlignmentConfig(method="procrustes", refine=0))
    return TranslationIndex.build(source, target, alignment, source_language="en", target_language="fr")


@pytest.mark.slow
def test_svg_holds_every_word_once_and_is_reproducible(tmp_path, index):
    pairs = [("word0", "mot0"), ("word0", "mot1"), ("word2", "mot2"), ("word3", "mot3")]
    for name in ("one.svg", "two.svg"):
        draw_translations(index, pairs, tmp_path / name, title="A title")
    text = (tmp_path / "one.svg").read_text()
    assert text == (tmp_path / "two.svg").read_text()
    for words in ("word0", "mot0", "mot1", "word2", "en", "fr", "A title"):
        assert text.count(f">{words}</text>") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.svg", "two.svg"]


def test_pairs_from_the_translator(index):
    pairs = pick_pairs(index, num_pairs=12)
    assert len(pairs) == len(set(pairs)) == 12
    # The rotation is exact: every word's translation is its own number.
    assert all(source[4:] == target[3:] for source, target in pairs)
    assert pick_pairs(index, words=["word7", "word3"]) == [("word7", "mot7"), ("word3", "mot3")]


def test_pairs_from_a_lexicon(index):
    lexicon = Lexicon([(f"word{i}", f"mot{i}") for i in range(80)] + [("word1", "mot5")])
    pairs = pick_pairs(index, lexicon=lexicon, num_pairs=4)
    assert pairs == [("word0", "mot0"), ("word20", "mot20"), ("word39", "mot39"), ("word59", "mot59")]
    assert pick_pairs(index, lexicon=lexicon, words=["word1"]) == [("word1", "mot1"), ("word1", "mot5")]


def test_words_that_cannot_be_drawn(index, tmp_path):
    with pytest.raises(NlprepError, match="'qqq'"):
        pick_pairs(index, words=["word1", "qqq"])
    with pytest.raises(NlprepError, match="at least 2"):
        pick_pairs(index, words=["word1"])
    with pytest.raises(NlprepError, match="at least 2"):
        pick_pairs(index, lexicon=Lexicon([("a", "b")]))
    with pytest.raises(NlprepError, match="no fr vector for 'qqq'"):
        draw_translations(index, [("word1", "mot1"), ("word2", "qqq")], tmp_path / "f.png")
    with pytest.raises(NlprepError, match="no pair"):
        draw_translations(index, [], tmp_path / "f.png")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written(index, tmp_path):
    with pytest.raises(FileError):
        draw_translations(index, [("word1", "mot1"), ("word2", "mot2")], tmp_path / "gone" / "f.png")
