"""Answers counted and compared, questions divided and controlled: each by hand or by a slow reference."""

from __future__ import annotations

import warnings
from collections import Counter, defaultdict
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from multimodal.questions.answers import (
    answer_type_of,
    main_answer,
    normalize_answer,
    question_type_of,
    soft_accuracies,
)
from multimodal.questions.collection import Questions
from multimodal.questions.configuration import AnswersConfig, DrawnQuestionsConfig
from multimodal.questions.controls import CONTROLS, NO_IMAGE, image_only, question_only, shuffle_images
from multimodal.questions.drawn.drawing import draw_questions
from multimodal.questions.image_content import image_digests
from multimodal.questions.scores import exact_matches, score_answers, soft_worths, surest_mistakes
from multimodal.questions.sources.json_lines import list_json_lines
from multimodal.questions.splits import (
    SharedImagesWarning,
    find_shared_images,
    split_questions,
    warn_of_shared_images,
)
from multimodal.questions.vocabulary import (
    UNSEEN,
    answer_indices,
    fit_answers,
    soft_ceiling,
    soft_targets,
    unseen_share,
)
from nlprep.core.errors import FileError, NlprepError, OptionError
from nlprep.evaluation.intervals import clustered_interval
from vision.images.collection import Images


def images(count, seed=0, names=None, source="images"):
    pixels = np.random.default_rng(seed).integers(0, 256, (count, 3, 4, 5)).astype(np.uint8)
    return Images(pixels, names=names, source=source)


def questions(answers, places=None, count=None, **more):
    places = list(range(len(answers))) if places is None else places
    given = [answer if isinstance(answer, tuple) else (answer,) for answer in answers]
    of = more.pop("images", None) or images(count or max(places) + 1)
    return Questions([f"what is {n} ?" for n in range(len(answers))], np.array(places), of, given, **more)


# The value


def test_what_is_no_set_of_questions_is_refused():
    with pytest.raises(NlprepError, match="1 places for 2 questions: give one for each"):
        Questions(["a ?", "b ?"], np.array([0]), images(1))
    with pytest.raises(NlprepError, match="places run from 0 to 1 and there are 1 images"):
        Questions(["a ?", "b ?"], np.array([0, 1]), images(1))
    with pytest.raises(FileError, match=r"q.jsonl:8: is an empty question"):
        Questions(["a ?", " "], np.array([0, 0]), images(1), lines=[3, 8], source="q.jsonl")
    with pytest.raises(FileError, match="questions: question 1: has no answer"):
        Questions(["a ?", "b ?"], np.array([0, 0]), images(1), [("yes",), ()])


def test_those_selected_keep_what_is_known_of_them():
    whole = questions(["a", "b", "c"], question_types=["x", "y", "z"], lines=[1, 2, 5], numbers=["7", "8", "9"])
    some = whole.select(np.array([2, 0]))
    assert (some.texts, some.answers, some.places.tolist()) == (
        ["what is 2 ?", "what is 0 ?"],
        [("c",), ("a",)],
        [2, 0],
    )
    assert (some.question_types, some.lines, some.numbers, some.answer_types) == (["z", "x"], [5, 1], ["9", "7"], None)
    assert some.images is whole.images


# Answers


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("Yes.", "yes"),
        ("a dog", "dog"),
        ("The  Dog\n", "dog"),
        ("two", "2"),
        ("None", "0"),
        ("twenty two dogs", "twenty 2 dogs"),
        ("100,978", "100978"),
        ("red, white", "red white"),
        ("3.5", "3.5"),
        ("u.s.", "us"),
        ("2:50 p.m.", "2:50 pm"),
        ("girl's", "girl's"),
        ("dont", "don't"),
        ("wont", "won't"),
        ("its", "its"),
        ("well", "well"),
        ("it's", "it's"),
        ("hot-dog", "hot dog"),
        ("garbage_bin", "garbage bin"),
        ("left/right", "left right"),
        ("what?!", "what"),
        ("a", "a"),
        ("The", "the"),
        ("?", "?"),
        ("café", "café"),
    ],
)
def test_answers_are_made_alike(given, wanted):
    assert normalize_answer(given) == wanted
    assert normalize_answer(wanted) == wanted


@pytest.mark.parametrize(("agree", "worth"), [(1, 0.3), (2, 0.6), (3, 0.9), (4, 1.0), (5, 1.0), (10, 1.0)])
def test_soft_accuracy_of_ten_is_the_published_table(agree, worth):
    assert soft_accuracies(["it"] * agree + [f"other {n}" for n in range(10 - agree)])["it"] == worth


def left_out_one_by_one(given, answer):
    """The definition, slowly: over all choices of all people but one."""
    chosen = [list(one) for one in combinations(given, len(given) - 1)]
    return np.mean([min(1.0, one.count(answer) / min(3, len(one))) for one in chosen])


@pytest.mark.parametrize("given", ["aab", "ab", "abcd", "aaabbc", "aaaaabbbcd", "abcdefghij", "aa"])
def test_soft_accuracy_leaves_out_one_by_one(given):
    found = soft_accuracies(list(given))
    for answer in set(given):
        assert found[answer] == pytest.approx(left_out_one_by_one(list(given), answer))


def test_one_answer_means_exact_match():
    assert soft_accuracies(["red"]) == {"red": 1.0}


def test_kinds_of_questions_and_answers():
    assert [answer_type_of(one) for one in ("No", "yes.", "3", "1,000", "three", "3.5", "red", "3 red")] == [
        "yes/no", "yes/no", "number", "number", "number", "number", "other", "other",
    ]  # fmt: skip
    assert question_type_of("What colour is it?") == "what colour"
    assert main_answer(["b", "a", "a", "b", "c"]) == "b"


# The vocabulary


def test_the_vocabulary_is_the_most_frequent_answers_of_the_training_questions():
    train = questions(["c", "a", "b", "a", "d", "b"])
    vocabulary = fit_answers(train)
    # Equals in the order of their first coming.
    assert vocabulary.words == ["a", "b", "c", "d"]
    assert vocabulary.counts.tolist() == [2, 2, 1, 1]
    assert fit_answers(train, AnswersConfig(size=3)).words == ["a", "b", "c"]
    assert fit_answers(train, AnswersConfig(minimum=2)).words == ["a", "b"]
    # Of several people the main answer counts, once.
    assert fit_answers(questions([("x", "y", "y"), ("x",)])).words == ["y", "x"]
    with pytest.raises(NlprepError, match="no answer occurs 3 times, the most frequent 2"):
        fit_answers(train, AnswersConfig(minimum=3))


def test_unseen_answers_stay_and_count_as_wrong():
    vocabulary = fit_answers(questions(["a", "b"]))
    test = questions(["b", "z", ("z", "z", "a", "z"), "a"])
    assert answer_indices(test, vocabulary).tolist() == [1, UNSEEN, UNSEEN, 0]
    assert unseen_share(test, vocabulary) == 0.5
    best = soft_accuracies(["z", "z", "a", "z"])["a"]
    assert soft_ceiling(test, vocabulary) == pytest.approx((1 + 0 + best + 1) / 4)
    np.testing.assert_allclose(soft_targets(test, vocabulary), [[0, 1], [0, 0], [best, 0], [1, 0]])
    np.testing.assert_allclose(soft_targets(test, vocabulary, np.array([3, 0])), [[1, 0], [0, 1]])
    report = score_answers(test, ["b", "a", "a", "a"], vocabulary=vocabulary)
    assert report.whole.questions == 4
    assert (report.whole.exact.value, report.unseen) == (0.5, 0.5)
    assert report.whole.soft.value == report.ceiling == soft_ceiling(test, vocabulary)


# Scores


def test_answers_are_scored_by_kind_with_intervals_of_images():
    asked = questions(
        ["a", "b", ("a", "a", "b"), "no", "yes", "no"],
        places=[0, 0, 0, 1, 1, 2],
        question_types=["x", "x", "y", "y", "y", "y"],
        answer_types=["other"] * 3 + ["yes/no"] * 3,
    )
    given = ["a", "a", "b", "no", "yes", "yes"]
    exact = [True, False, False, True, True, False]
    assert exact_matches(asked, given).tolist() == exact
    worth = [1, 0, soft_accuracies(["a", "a", "b"])["b"], 1, 1, 0]
    np.testing.assert_allclose(soft_worths(asked, given), worth)
    report = score_answers(asked, given)
    assert report.whole.exact == clustered_interval(exact, [0, 0, 0, 1, 1, 2])
    assert report.whole.soft == clustered_interval(worth, [0, 0, 0, 1, 1, 2])
    assert [(one.name, one.questions, one.images) for one in report.question_types] == [("y", 4, 3), ("x", 2, 1)]
    assert [(one.name, one.exact.value) for one in report.answer_types] == [("other", 1 / 3), ("yes/no", 2 / 3)]
    assert report.reliability is None
    sure = score_answers(asked, given, confidences=[0.9] * 6).reliability
    assert sure.error == pytest.approx(0.4)
    assert report.to_dict()["answer_types"][1]["questions"] == 3


def test_the_surest_mistakes_come_first():
    asked = questions(["a", "b", ("a", "a", "b"), "no"], places=[0, 2, 2, 1], images=images(3, names=["i", "j", "k"]))
    found = surest_mistakes(asked, ["b", "a", "b", "yes"], [0.5, 0.9, 1.0, 0.5])
    # What somebody answered is no mistake; equals keep their order.
    assert [(one.number, one.given, one.image_name, one.confidence) for one in found] == [
        (1, "a", "k", 0.9), (0, "b", "i", 0.5), (3, "yes", "j", 0.5),
    ]  # fmt: skip
    assert len(surest_mistakes(asked, ["b", "a", "b", "yes"], [0.5, 0.9, 1.0, 0.5], number=1)) == 1
    assert found[0].to_dict()["answers"] == ["b"]


def test_what_cannot_be_scored_is_refused():
    asked = questions(["a", "b"])
    with pytest.raises(NlprepError, match="1 answers for 2 questions: give one for each"):
        score_answers(asked, ["a"])
    with pytest.raises(NlprepError, match="there are no questions to measure on"):
        score_answers(asked.select(np.zeros(0, np.int64)), [])
    with pytest.raises(NlprepError, match="has no answers, which are needed to measure on"):
        score_answers(replace(asked, answers=None), ["a", "b"])
    with pytest.raises(NlprepError, match=r"confidences \(1,\) for 2 answers"):
        surest_mistakes(asked, ["a", "a"], [0.5])


# Splits


def test_questions_are_divided_by_image():
    whole = draw_questions(DrawnQuestionsConfig(images=40, cell=8)).questions
    stays, aside = split_questions(whole, 0.25, seed=3)
    assert len(stays) + len(aside) == len(whole)
    assert (len(stays.image_places), len(aside.image_places)) == (30, 10)
    assert not set(stays.places.tolist()) & set(aside.places.tolist())
    assert not find_shared_images(stays, aside)
    again = split_questions(whole, 0.25, seed=3)[1]
    assert again.places.tolist() == aside.places.tolist()
    assert split_questions(whole, 0.25, seed=4)[1].places.tolist() != aside.places.tolist()
    for share in (0.0, 1.0, -1):
        with pytest.raises(OptionError, match="must be between 0 and 1"):
            split_questions(whole, share)


def test_images_with_the_same_pixels_are_not_divided():
    of = images(6)
    of.pixels[3:] = of.pixels[:3]
    whole = questions(list("abcdef"), images=of)
    for seed in range(5):
        stays, aside = split_questions(whole, 0.34, seed=seed)
        assert sorted(aside.places.tolist())[1] == aside.places.min() + 3
        assert len(stays) == 4
    of.pixels[:] = 7
    with pytest.raises(NlprepError, match="asks about 1 image: give at least two"):
        split_questions(questions(["a", "b"], images=of), 0.5)


def test_an_image_on_both_sides_is_found_by_its_pixels_and_by_its_name():
    first = questions(list("abc"), images=images(3, seed=1, names=["x/cat.jpg", "2.jpg", "dog.jpg"]), source="train")
    theirs = images(4, seed=2, names=["y/cat.png", "2.jpg", "9.jpg", "new.jpg"])
    theirs.pixels[2] = first.images.pixels[2]
    second = questions(list("abcde"), places=[0, 1, 2, 2, 3], images=theirs, source="test")
    found = find_shared_images(first, second)
    # A mere number is no name: others' second pictures are others.
    assert (found.by_pixels.tolist(), found.by_name.tolist()) == ([[2, 2]], [[0, 0]])
    assert (found.second_images, found.second_questions, found.names) == (4, 3, ("9.jpg", "y/cat.png"))
    with pytest.warns(SharedImagesWarning, match="train and test: 2 of 4 images, with 3 questions, are on both sides"):
        warn_of_shared_images(first, second)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not warn_of_shared_images(first, second.select(np.array([1, 4])))


def test_digests_tell_images_by_content_alone():
    some = images(5)
    digests = image_digests(some)
    assert len(set(digests.tolist())) == 5
    order = np.array([3, 1, 4, 0, 2])
    moved = Images(some.pixels[order], names=list("abcde"))
    assert (image_digests(moved) == digests[order]).all()
    assert (image_digests(some, order) == digests[order]).all()
    # However they lie in memory.
    last = np.ascontiguousarray(some.pixels.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    assert (image_digests(Images(last)) == digests).all()
    changed = some.pixels.copy()
    changed[2, 1, 3, 4] ^= 1
    assert (image_digests(Images(changed)) != digests).tolist() == [False, False, True, False, False]
    # The same bytes in another form are another image.
    assert (image_digests(Images(some.pixels.reshape(5, 3, 5, 4))) != digests).all()


# Controls


def test_shuffled_images_are_others_and_each_is_used_once():
    whole = draw_questions(DrawnQuestionsConfig(images=30, cell=8)).questions.select(np.arange(20, 150))
    shuffled = shuffle_images(whole, seed=2)
    assert (shuffled.places != whole.places).all()
    assert shuffled.image_places.tolist() == whole.image_places.tolist()
    given = {}
    for old, new in zip(whole.places.tolist(), shuffled.places.tolist(), strict=True):
        assert given.setdefault(old, new) == new
    assert (shuffled.texts, shuffled.answers) == (whole.texts, whole.answers)
    assert shuffled.images is whole.images
    assert shuffle_images(whole, seed=2).places.tolist() == shuffled.places.tolist()
    assert shuffle_images(whole, seed=3).places.tolist() != shuffled.places.tolist()
    with pytest.raises(NlprepError, match="asks about one image"):
        shuffle_images(whole.select(np.array([0, 1])))


def test_one_side_is_taken_away_and_the_rest_is_as_it_was():
    whole = questions(list("abc"), places=[2, 0, 2], count=1_000)
    blind = question_only(whole)
    assert (blind.images.pixels[blind.places] == NO_IMAGE).all()
    assert (blind.texts, blind.answers, blind.places.tolist()) == (whole.texts, whole.answers, [2, 0, 2])
    assert blind.images.shape == whole.images.shape
    assert blind.images.pixels.base.nbytes == 1
    mute = image_only(whole)
    assert len(set(mute.texts)) == 1
    assert (mute.images, mute.answers) == (whole.images, whole.answers)
    for name, control in CONTROLS.items():
        assert len(control(whole)) == 3, name


# Real data


def test_daquar_s_floor_and_unseen_answers(shared_data):
    """The most frequent answer to each question: 17.6, with 9.7% of test questions whose answer is never learned."""
    sides = {}
    for split in ("train", "test"):
        rows = list_json_lines(shared_data / f"vqa/daquar_{split}.jsonl", answered=True).found
        names = sorted({row.image for row in rows})
        known = {name: place for place, name in enumerate(names)}
        places = np.array([known[row.image] for row in rows])
        blank = Images(np.zeros((len(names), 1, 1, 1), np.uint8))
        sides[split] = Questions([row.text for row in rows], places, blank, [row.answers for row in rows])
    votes = defaultdict(Counter)
    for text, answer in zip(sides["train"].texts, sides["train"].main_answers, strict=True):
        votes[text][answer] += 1
    usual = Counter(sides["train"].main_answers)
    given = [(votes.get(text) or usual).most_common(1)[0][0] for text in sides["test"].texts]
    report = score_answers(sides["test"], given, vocabulary=fit_answers(sides["train"]))
    assert (report.whole.questions, report.whole.images) == (5_673, 653)
    assert 100 * report.whole.exact.value == pytest.approx(17.6, abs=0.05)
    assert 100 * report.unseen == pytest.approx(9.7, abs=0.05)
    assert report.ceiling == pytest.approx(1 - report.unseen)
