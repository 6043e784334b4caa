"""MUSE's convention on a case small enough to count by hand, and sentences."""

from __future__ import annotations

import json

import numpy as np
import pytest

from nlprep.core.errors import NlprepError
from nlprep.embeddings.word_vectors import WordVectors
from nlprep.evaluation.retrieval import evaluate_retrieval
from nlprep.translation.alignment import Alignment
from nlprep.translation.evaluation import evaluate_translation, precision_figures
from nlprep.translation.index.bilingual import TranslationIndex
from nlprep.translation.lexicon import Lexicon
from nlprep.translation.sentences import (
    embed_sentences,
    evaluate_sentence_retrieval,
    inverse_document_frequencies,
)
from nlprep.vectors.normalization import Normalization


def identity_index(source, target):
    """An index whose shared space is the given one."""
    dimension = next(iter(source.values())).__len__()
    sides = [WordVectors(list(side), np.array(list(side.values()), np.float32)) for side in (source, target)]
    nothing = Normalization((), np.empty((0, dimension), np.float32))
    eye = np.eye(dimension, dtype=np.float32)
    return TranslationIndex.build(*sides, Alignment(nothing, nothing, eye, eye, {}), neighborhood=1)


@pytest.fixture(scope="module")
def index():
    angles = {"zero": 0, "ten": 10, "forty": 40, "ninety": 90, "taxi": 60}
    answers = {"null": 2, "zehn": 13, "vierzig": 21, "neunzig": 88, "taxi": 61}
    planes = [
        {word: [np.cos(np.radians(a)), np.sin(np.radians(a))] for word, a in side.items()} for side in (angles, answers)
    ]
    return identity_index(*planes)


# By angle, the cosine ranks are: zero -> null 1; ten -> zehn 1; forty -> vierzig 1 (19 away; taxi 21);
# ninety -> neunzig 1; taxi -> taxi 1.
LEXICON = Lexicon(
    [
        ("zero", "null"),  # 1
        ("zero", "absent"),
        ("ten", "null"),  # 8 away; zehn 3 away: place 2
        ("forty", "neunzig"),  # 48 away: after vierzig 19, taxi 21, zehn 27, null 38: place 5
        ("forty", "taxi"),  # place 2
        ("taxi", "taxi"),  # 1
        ("ninety", "unheard"),  # known, without a known translation
        ("eleven", "zehn"),  # unknown
    ]
)


def test_counts_as_counted_by_hand(index):
    result = evaluate_translation(index, LEXICON)
    assert json.loads(json.dumps(result)) == result
    # Of six distinct source words four can be asked.
    assert result["coverage"] == pytest.approx(66.67)
    assert result["cosine"] == {
        "precision@1": 50.0,
        "precision@5": 100.0,
        "precision@10": 100.0,
        "mrr": pytest.approx(100 * (1 + 0.5 + 0.5 + 1) / 4),
    }
    assert result["whole_dictionary"]["cosine"]["precision@1"] == pytest.approx(100 * 2 / 6, abs=0.01)
    assert result["whole_dictionary"]["cosine"]["mrr"] == pytest.approx(100 * 3 / 6)
    assert result["lexicon"]["source_words_found"] == 5
    breakdown = result["breakdown"]
    assert breakdown["spelling"]["identical"]["words"] == 1
    assert breakdown["spelling"]["identical"]["cosine"]["precision@1"] == 100.0
    assert breakdown["spelling"]["different"]["cosine"]["precision@1"] == pytest.approx(33.33)
    assert breakdown["known_translations"]["1"]["words"] == 3
    assert breakdown["known_translations"]["2"]["words"] == 1
    assert breakdown["frequency_rank"] == {"1-1000": {"words": 4, "cosine": result["cosine"], "csls": result["csls"]}}


def test_csls_places_equal_the_order_of_translate(index):
    result = evaluate_translation(index, LEXICON)
    right = 0
    for word, translations in LEXICON.translations().items():
        candidates = index.translate([word], 1)[0]
        right += bool(candidates) and candidates[0].word in translations
    assert result["csls"]["precision@1"] == 100 * right / 4


def test_reversed_it_asks_the_other_side(index):
    result = evaluate_translation(index.reversed(), Lexicon([("null", "zero"), ("zehn", "ten")]))
    assert (result["source_language"], result["target_language"]) == (index.target_language, index.source_language)
    assert result["cosine"]["precision@1"] == 100.0


def test_kinds_of_vocabulary(index):
    kinds = {"zero": "numbers", "ten": "numbers", "taxi": "vehicles"}
    table = evaluate_translation(index, LEXICON, kinds=kinds)["breakdown"]["kind"]
    assert {name: entry["words"] for name, entry in table.items()} == {
        "numbers": 2,
        "vehicles": 1,
        "other": 1,
    }


def test_nothing_to_ask_is_told(index):
    with pytest.raises(NlprepError, match="wrong way round"):
        evaluate_translation(index, Lexicon([("null", "zero")]))
    with pytest.raises(NlprepError, match="shares no pair of words with the model: it has 'hund' -> 'perro'"):
        evaluate_translation(index, Lexicon([("hund", "perro")]))


def test_summary_counts_missing_questions_as_wrong():
    assert precision_figures(np.array([1, 2, 8, 50]), 8) == {
        "precision@1": 12.5,
        "precision@5": 25.0,
        "precision@10": 37.5,
        "mrr": pytest.approx(100 * (1 + 1 / 2 + 1 / 8 + 1 / 50) / 8, abs=0.01),
    }


def test_figures_are_rounded_as_they_are_said():
    # Halves of a hundredth of a per cent, which another order of the same arithmetic rounds otherwise.
    for right, total in ((1674, 2880), (1, 800), (57, 160)):
        places = np.where(np.arange(total) < right, 1, 11)
        figures = precision_figures(places, total)
        assert figures["precision@1"] == figures["precision@10"] == round(100.0 * right / total, 2)
        assert figures["mrr"] == round(100.0 * float((1.0 / places).sum()) / total, 2)


def test_figures_are_those_of_any_retrieval():
    generator = np.random.default_rng(3)
    vectors = {
        name: {f"{name}{number}": row for number, row in enumerate(generator.standard_normal((count, 4)))}
        for name, count in (("s", 40), ("t", 60))
    }
    index = identity_index(vectors["s"], vectors["t"])
    relevant = [generator.choice(60, generator.integers(1, 4), replace=False) for _ in range(40)]
    pairs = [(f"s{number}", f"t{key}") for number, keys in enumerate(relevant) for key in keys]
    found = evaluate_retrieval(*(list(side.values()) for side in vectors.values()), relevant)
    expected = {f"precision@{k}": round(100 * share, 2) for k, share in found.hits.items()}
    expected["mrr"] = round(100 * found.mean_reciprocal_rank, 2)
    assert 0 < expected["precision@1"] < expected["precision@10"] < 100
    assert evaluate_translation(index, Lexicon(pairs))["cosine"] == expected


def test_inverse_document_frequencies_count_sentences_not_words():
    found = inverse_document_frequencies([["a", "a", "b"], ["a"], ["c", "a"], ["b"]])
    assert found == pytest.approx({"a": np.log(4 / 3), "b": np.log(2), "c": np.log(4)})


def test_a_sentence_is_the_weighted_sum_of_its_words(index):
    frequencies = {"zero": 2.0, "ninety": 1.0}
    vectors = embed_sentences([["zero", "ninety", "ninety", "unheard"], ["unheard"], []], index.source, frequencies)
    np.testing.assert_allclose(vectors[0], np.array([2.0, 2.0]) / np.sqrt(8), atol=1e-6)
    np.testing.assert_array_equal(vectors[1:], 0)


def test_sentences_find_their_translations():
    generator = np.random.default_rng(0)
    meanings = generator.standard_normal((60, 16))
    index = identity_index(
        {f"s{number}": row for number, row in enumerate(meanings)},
        {f"t{number}": row for number, row in enumerate(meanings)},
    )
    sentences = [generator.integers(0, 60, 8) for _ in range(40)]
    source = [[f"s{number}" for number in sentence] for sentence in sentences]
    target = [[f"t{number}" for number in sentence[::-1]] for sentence in sentences]
    result = evaluate_sentence_retrieval(index, source, target)
    assert result["sentences"] == 40
    for direction in ("source-to-target", "target-to-source"):
        for method in ("cosine", "csls"):
            assert result[direction][method]["precision@1"] == 100.0
    shifted = evaluate_sentence_retrieval(index, source, target[1:] + target[:1])
    assert shifted["source-to-target"]["cosine"]["precision@1"] == 0.0
    with pytest.raises(NlprepError, match="line by line"):
        evaluate_sentence_retrieval(index, source, target[1:])
