import json

import numpy as np
import pytest

from nlprep.core.errors import FileError, NlprepError, OptionError
from nlprep.embeddings.word_vectors import WordVectors
from nlprep.translation.aligners.configuration import AlignmentConfig
from nlprep.translation.evaluation import evaluate_translation
from nlprep.translation.index.bilingual import TranslationIndex
from nlprep.translation.index.multilingual import MultilingualIndex, open_translator
from nlprep.translation.lexicon import Lexicon, detect_languages
from nlprep.translation.multilingual import align_languages

NAMES = ("en", "fr", "de", "el")
COUNT = 500
CONFIG = AlignmentConfig(refine=2, spelling=False)


def plant(noise=0.35, dimension=16, seed=4):
    """``en7``, ``fr7``... mean the same; each language is turned, shifted and noisy, rare words more so."""
    generator = np.random.default_rng(seed)
    meanings = generator.standard_normal((COUNT, dimension)) * np.linspace(1.5, 0.6, dimension)
    vectors = {}
    for number, name in enumerate(NAMES):
        turn = np.linalg.qr(generator.standard_normal((dimension, dimension)))[0]
        matrix = (meanings + noise * generator.standard_normal(meanings.shape)) @ turn + 0.2 * number
        vectors[name] = WordVectors([f"{name}{word}" for word in range(COUNT)], matrix.astype(np.float32))
    return vectors


def pairs_of(source, target, words):
    return Lexicon((f"{source}{word}", f"{target}{word}") for word in words)


@pytest.fixture(scope="module")
def vectors():
    return plant()


@pytest.fixture(scope="module")
def lexicons():
    """English with French, German with English, Greek with German alone."""
    return {
        ("en", "fr"): pairs_of("en", "fr", range(100)),
        ("de", "en"): pairs_of("de", "en", range(100)),
        ("el", "de"): pairs_of("el", "de", range(100)),
    }


@pytest.fixture(scope="module")
def alignment(vectors, lexicons):
    return align_languages(vectors, lexicons, CONFIG)


@pytest.fixture(scope="module")
def index(vectors, alignment):
    return MultilingualIndex.build(vectors, alignment)


def precision(index, source, target):
    translator = index.between(source, target)
    test = pairs_of(source, target, range(200, COUNT))
    return evaluate_translation(translator, test)["csls"]["precision@1"]


@pytest.mark.parametrize(("source", "target"), [("en", "fr"), ("fr", "de"), ("de", "fr"), ("fr", "el"), ("el", "en")])
def test_any_two_languages_translate_with_or_without_a_dictionary(index, source, target):
    assert precision(index, source, target) > 90


def test_languages_come_in_by_the_dictionaries_there_are(alignment):
    assert [link["languages"] for link in alignment.provenance["links"]] == [["en", "fr"], ["en", "de"], ["de", "el"]]
    assert {link["supervision"]["kind"] for link in alignment.provenance["links"]} == {"dictionary"}
    assert alignment.provenance["pivot"] == "en"
    json.dumps(dict(alignment.provenance), allow_nan=False)


@pytest.mark.slow
def test_another_pivot_changes_who_is_first_and_hardly_the_result(vectors, lexicons, index):
    turned = align_languages(vectors, lexicons, CONFIG, pivot="el")
    assert turned.provenance["links"][0]["languages"] == ["de", "el"]
    assert precision(MultilingualIndex.build(vectors, turned), "fr", "el") == pytest.approx(
        precision(index, "fr", "el"), abs=3
    )


@pytest.mark.slow
def test_refinement_together_helps_those_without_a_dictionary():
    noisy = plant(noise=0.9)
    dictionaries = {("en", name): pairs_of("en", name, range(150)) for name in ("fr", "de", "el")}
    found = {}
    for rounds in (0, 3):
        aligned = align_languages(noisy, dictionaries, AlignmentConfig(refine=rounds, spelling=False))
        found[rounds] = np.mean(
            [precision(MultilingualIndex.build(noisy, aligned), *pair) for pair in (("fr", "de"), ("de", "el"))]
        )
    assert found[3] > found[0]


def test_the_round_of_the_highest_criterion_is_kept(alignment):
    rounds = alignment.provenance["rounds"]
    chosen = [entry for entry in rounds if entry["chosen"]]
    assert len(chosen) == 1
    assert chosen[0]["criterion"] == max(entry["criterion"] for entry in rounds)
    assert set(rounds[0]["pairs"]) == {"en-fr", "en-de", "en-el", "fr-de", "fr-el", "de-el"}


def test_two_languages_of_several_are_an_alignment_like_any_other(vectors, alignment, index):
    rebuilt = TranslationIndex.build(vectors["fr"], vectors["de"], alignment.between("fr", "de"))
    kept = index.between("fr", "de")
    np.testing.assert_allclose(rebuilt.source.matrix, kept.source.matrix, atol=1e-6)
    np.testing.assert_allclose(rebuilt.target.means, kept.target.means, atol=1e-5)


@pytest.mark.slow
def test_spelling_counts_between_those_who_share_it(tmp_path):
    """French is spelled as English is, Greek in letters of its own."""
    generator = np.random.default_rng(8)
    planted = plant(noise=1.0)
    spelled = ["".join(generator.choice(list("abcdefghij"), 7)) for _ in range(COUNT)]
    greek = ["".join(generator.choice(list("αβγδεζηθικ"), 7)) for _ in range(COUNT)]
    words = {"en": spelled, "fr": spelled, "el": greek}
    vectors = {name: WordVectors(words[name], np.array(planted[name].matrix)) for name in words}
    dictionaries = {
        ("en", name): Lexicon(zip(words["en"][:150], words[name][:150], strict=True)) for name in ("fr", "el")
    }
    aligned = align_languages(vectors, dictionaries, AlignmentConfig(refine=1))
    assert aligned.spelling_weight("fr", "en") == aligned.spelling_weight("en", "fr") > 0.1
    assert aligned.spelling_weight("en", "el") == aligned.spelling_weight("el", "fr") == 0
    index = MultilingualIndex.build(vectors, aligned)
    test = Lexicon(zip(spelled[200:], spelled[200:], strict=True))
    alone = align_languages(vectors, dictionaries, AlignmentConfig(refine=1, spelling=False))
    with_spelling, without = (
        evaluate_translation(built.between("fr", "en"), test)["csls"]["precision@1"]
        for built in (index, MultilingualIndex.build(vectors, alone))
    )
    assert with_spelling > without + 10
    index.save(tmp_path / "model")
    loaded = open_translator(tmp_path / "model", "fr", "en")
    assert loaded.source.matrix.shape[1] > open_translator(tmp_path / "model", "en", "el").source.matrix.shape[1]
    assert loaded.translate(spelled[300:310], 3) == index.between("fr", "en").translate(spelled[300:310], 3)


def test_saved_and_opened_it_answers_alike(index, tmp_path):
    index.save(tmp_path / "model")
    loaded = MultilingualIndex.load(tmp_path / "model")
    assert loaded.languages == list(NAMES)
    assert loaded.alignment.provenance == index.alignment.provenance
    words = [f"fr{word}" for word in range(250, 260)]
    for method in ("csls", "cosine"):
        assert loaded.between("fr", "el").translate(words, 4, method=method) == index.between("fr", "el").translate(
            words, 4, method=method
        )
    again = loaded.alignment.between("fr", "el")
    np.testing.assert_array_equal(again.source_map, index.alignment.maps["fr"])


def test_what_does_not_fit_is_refused(vectors, lexicons, alignment, index, tmp_path):
    with pytest.raises(OptionError, match="two or more"):
        align_languages({"en": vectors["en"]})
    with pytest.raises(OptionError, match="pivot 'it'"):
        align_languages(vectors, lexicons, pivot="it")
    with pytest.raises(OptionError, match="'it' is not in the model"):
        align_languages(vectors, {("en", "it"): lexicons["en", "fr"]})
    with pytest.raises(OptionError, match="two dictionaries"):
        align_languages(vectors, lexicons | {("fr", "en"): lexicons["en", "fr"].reversed()})
    with pytest.raises(NlprepError, match="en and fr: the dictionary"):
        align_languages(vectors, {("en", "fr"): Lexicon([("cat", "chat")])})
    with pytest.raises(OptionError, match="this alignment is of"):
        MultilingualIndex.build({name: vectors[name] for name in ("en", "fr")}, alignment)
    narrow = vectors | {"fr": WordVectors(vectors["fr"].words, vectors["fr"].matrix[:, :9])}
    with pytest.raises(NlprepError, match=r"fr vectors of shape \(500, 9\): this alignment takes rows of 16"):
        MultilingualIndex.build(narrow, alignment)
    for source, target, problem in (("en", "it", "'it' is not"), ("en", "en", "two different")):
        with pytest.raises(OptionError, match=problem):
            index.between(source, target)
    index.save(tmp_path / "model")
    with pytest.raises(OptionError, match="choose two of them"):
        open_translator(tmp_path / "model", "fr")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("languages", ["en", "fr", "de"]),
        ("languages", ["en", "en", "de", "el"]),
        ("steps", [["unit"]] * 3),
        ("steps", [["unit", "turn"]] * 4),
        ("spelling_weights", [["en", "fr", -1.0]]),
        ("spelling_weights", []),
        ("neighborhood", None),
        ("provenance", 3),
    ],
)
def test_a_damaged_model_is_named(index, tmp_path, key, value):
    index.save(tmp_path / "model")
    path = tmp_path / "model" / "config.json"
    config = json.loads(path.read_text()) | {key: value}
    path.write_text(json.dumps(config))
    with pytest.raises(FileError, match="damaged"):
        MultilingualIndex.load(tmp_path / "model")


def test_a_translator_of_two_is_opened_from_either_side(vectors, alignment, tmp_path):
    pair = TranslationIndex.build(
        vectors["en"], vectors["fr"], alignment.between("en", "fr"), source_language="en", target_language="fr"
    )
    pair.save(tmp_path / "en-fr")
    for named in (("fr", "en"), ("fr", None), (None, "en")):
        opened = open_translator(tmp_path / "en-fr", *named)
        assert (opened.source_language, opened.target_language) == ("fr", "en")
        assert opened.translate(["fr7"], 3) == pair.reversed().translate(["fr7"], 3)
    assert open_translator(tmp_path / "en-fr").source_language == "en"
    for named, problem in ((("de", None), "between en and fr"), (("en", "en"), "two different")):
        with pytest.raises(OptionError, match=problem):
            open_translator(tmp_path / "en-fr", *named)


def test_the_languages_of_a_dictionary_are_found_out(vectors):
    assert detect_languages(pairs_of("de", "fr", range(5)), vectors) == ("de", "fr")
    with pytest.raises(NlprepError, match="no pair of words"):
        detect_languages(Lexicon([("cat", "chat")]), vectors)
