"""The demonstration's text: grammar, company, reproducibility, and a dictionary that fits it."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from nlprep.core.errors import FileError, OptionError
from nlprep.corpus import tokenize
from nlprep.demonstration import (
    generate_sentences,
    held_out_pairs,
    read_concepts,
    seed_pairs,
    write_demonstration,
)
from nlprep.demonstration.frames import FRAMES
from nlprep.demonstration.grammar import english_phrase, french_phrase
from nlprep.demonstration.text import company

CONCEPTS = {concept.english: concept for concept in read_concepts()}


def test_no_word_belongs_to_two_concepts():
    english = Counter(concept.pairs[0][0] for concept in CONCEPTS.values())
    french = Counter(form for concept in CONCEPTS.values() for _, form in concept.pairs)
    assert [word for word, count in english.items() if count > 1] == []
    assert [word for word, count in french.items() if count > 1] == []


def test_every_word_of_the_dictionaries_is_one_token():
    for source, target in seed_pairs() + held_out_pairs():
        assert tokenize(source) == [source]
        assert tokenize(target) == [target]


def test_seed_and_held_out_share_no_word():
    seed, held_out = seed_pairs(), held_out_pairs()
    assert 60 <= len({source for source, _ in seed}) <= 100
    for side in (0, 1):
        assert not {pair[side] for pair in seed} & {pair[side] for pair in held_out}
    assert {*seed, *held_out} == {pair for concept in CONCEPTS.values() for pair in concept.pairs}


@pytest.mark.parametrize(
    ("article", "noun", "adjective", "expected"),
    [
        ("le", "cat", None, "le chat"),
        ("le", "cow", "white", "la vache blanche"),
        ("un", "house", "beautiful", "une belle maison"),
        ("un", "tree", "beautiful", "un bel arbre"),
        ("le", "man", "old", "le vieil homme"),
        ("le", "man", "red", "l'homme rouge"),
        ("le", "owl", None, "le hibou"),
        ("du", "water", None, "de l'eau"),
        ("du", "bread", "good", "du bon pain"),
        ("du", "owl", None, "du hibou"),
        ("au", "school", None, "à l'école"),
        ("au", "office", None, "au bureau"),
        ("au", "beach", None, "à la plage"),
        ("", "bird", "small", "petit oiseau"),
        ("le", "night", None, "la nuit"),
        ("dans", "school", None, "dans l'école"),
        ("dans", "beach", None, "sur la plage"),
        ("le", "whale", "enormous", "l'énorme baleine"),
    ],
)
def test_french_articles_order_and_agreement(article, noun, adjective, expected):
    phrase = french_phrase(article, CONCEPTS[noun], None if adjective is None else CONCEPTS[adjective])
    assert phrase == expected


def test_english_articles():
    assert english_phrase("a", CONCEPTS["owl"], None) == "an owl"
    assert english_phrase("a", CONCEPTS["owl"], CONCEPTS["grey"]) == "a grey owl"
    assert english_phrase("", CONCEPTS["owl"], CONCEPTS["old"]) == "old owl"
    assert english_phrase("in", CONCEPTS["forest"], None) == "in the forest"
    assert english_phrase("in", CONCEPTS["bridge"], CONCEPTS["old"]) == "on the old bridge"


def test_every_slot_draws_from_words_that_exist():
    categories = {concept.category for concept in CONCEPTS.values()}
    for frame in FRAMES:
        names = []
        for slot in frame.slots.split(", "):
            described, _, parent = slot.partition("<")
            name, _, wanted = described.partition(":")
            assert set((wanted or name).split("+")) <= categories
            assert parent in names or (not parent and not names)
            names.append(name)


def test_the_same_seed_gives_the_same_text_and_another_seed_another():
    first = list(generate_sentences("en", 200, seed=3))
    assert first == list(generate_sentences("en", 200, seed=3))
    assert first != list(generate_sentences("en", 200, seed=4))
    assert len(first) == 200
    assert all(sentence[0].isupper() and sentence.endswith(".") and "{" not in sentence for sentence in first)


def test_what_goes_together_comes_together():
    sentences = [tokenize(sentence) for sentence in generate_sentences("en", 20_000)]
    with_cow = [sentence for sentence in sentences if "cow" in sentence]
    with_whale = [sentence for sentence in sentences if "whale" in sentence]
    share = lambda word, group: sum(word in sentence for sentence in group) / len(group)  # noqa: E731
    assert share("grass", with_cow) > 5 * share("grass", with_whale)
    assert share("sea", with_whale) > 5 * share("sea", with_cow)


def test_both_languages_share_their_preferences_but_not_exactly():
    english, french = np.log(company("en") + 1e-9).ravel(), np.log(company("fr") + 1e-9).ravel()
    assert not np.allclose(english, french)
    assert np.corrcoef(english, french)[0, 1] > 0.9


def test_the_two_texts_are_not_parallel():
    number = {"en": {}, "fr": {}}
    for place, concept in enumerate(CONCEPTS.values()):
        for source, target in concept.pairs:
            number["en"][source] = number["fr"][target] = place
    texts = {
        language: [
            {number[language][word] for word in tokenize(sentence) if word in number[language]}
            for sentence in generate_sentences(language, 3000)
        ]
        for language in ("en", "fr")
    }
    same = sum(len(one & other) >= 3 for one, other in zip(texts["en"], texts["fr"], strict=True))
    assert same < 30


@pytest.mark.slow
def test_nearly_every_word_occurs_often_enough_to_be_learned():
    for side, language in enumerate(("en", "fr")):
        counts = Counter(word for s in generate_sentences(language, 35_000) for word in tokenize(s))
        words = {pair[side] for pair in seed_pairs() + held_out_pairs()}
        assert sum(counts[word] >= 5 for word in words) >= 0.99 * len(words)


def test_files(tmp_path):
    files = write_demonstration(tmp_path / "new" / "folder", num_sentences=50)
    assert len(files.english.read_text(encoding="utf-8").splitlines()) == 50
    assert len(files.french.read_text(encoding="utf-8").splitlines()) == 50
    lines = files.seed_dictionary.read_text(encoding="utf-8").splitlines()
    assert [tuple(line.split()) for line in lines] == seed_pairs()
    assert files.test_dictionary.read_text(encoding="utf-8").count("\n") == len(held_out_pairs())


def test_bad_requests(tmp_path):
    with pytest.raises(OptionError, match="'de'"):
        next(generate_sentences("de", 5))
    with pytest.raises(OptionError, match="num_sentences = 0"):
        next(generate_sentences("en", 0))
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="file, not a directory"):
        write_demonstration(tmp_path / "file" / "demo", num_sentences=1)
