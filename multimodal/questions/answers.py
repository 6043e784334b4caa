"""Answers as VQA v2 compares them: normalised, counted, and said to be of a kind."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

YES_OR_NO, NUMBER, OTHER = ANSWER_TYPES = ("yes/no", "number", "other")
"""The kinds of answers, by the names that VQA v2 has for them."""

_NUMBER_WORDS = {
    word: str(number)
    for number, word in enumerate("zero one two three four five six seven eight nine ten".split())  # noqa: SIM905
} | {"none": "0"}
_ARTICLES = frozenset({"a", "an", "the"})
_COMMA_IN_NUMBER = re.compile(r"(?<=\d),(?=\d)")
_PERIOD_OF_NO_NUMBER = re.compile(r"\.(?!\d)")
_PUNCTUATION = re.compile(r"[^\w\s'.:]|_")
_ENDS_IN = {
    "n't": "ai are ca could did does do had has have is might must need ought sha should was wo would were",
    "'s": "he she what where who that there how when why somebody someone something let",
    "'re": "they you what who how",
    "'ve": "they you i should could would might must who what",
    "'ll": "they you it that who what how there",
    "'d": "they you it who how there that where why",
    "'m": "i",
}
_CONTRACTIONS = {
    stem + ending.replace("'", ""): stem + ending for ending, stems in _ENDS_IN.items() for stem in stems.split()
} | {"maam": "ma'am", "oclock": "o'clock", "yall": "y'all", "twas": "'twas"}


def normalize_answer(answer: str) -> str:
    """An answer as VQA v2 compares it.

    Lower case; no period but one before a digit; number words up to ten as digits and ``none`` as 0; no articles; the
    apostrophe of a contraction where it is missing; no comma between digits; a space for all other punctuation but
    apostrophes and colons, and one space where there are several. By the words of the evaluation's page
    (visualqa.org/evaluation.html; Antol et al. 2015), not its code, which does some of this only where people disagree.
    Words that are both a contraction without its apostrophe and a word (its, well, were, wed) stay.

    >>> normalize_answer("The  two dogs dont, 1,000 at 2:50 p.m.!"), normalize_answer("t-shirt"), normalize_answer(".5")
    ("2 dogs don't 1000 at 2:50 pm", 't shirt', '.5')
    """
    plain = _PERIOD_OF_NO_NUMBER.sub("", _COMMA_IN_NUMBER.sub("", answer.lower()))
    words = (_NUMBER_WORDS.get(word, word) for word in _PUNCTUATION.sub(" ", plain).split())
    kept = [_CONTRACTIONS.get(word, word) for word in words if word not in _ARTICLES]
    # Of an answer that is an article, the letter A for one, something has to stay.
    return " ".join(kept) or " ".join(answer.lower().split())


def answer_type_of(answer: str) -> str:
    """Which of `ANSWER_TYPES` an answer is, where its file does not say.

    >>> answer_type_of("Yes"), answer_type_of("12"), answer_type_of("two"), answer_type_of("table")
    ('yes/no', 'number', 'number', 'other')
    """
    word = normalize_answer(answer)
    if word in ("yes", "no"):
        return YES_OR_NO
    return NUMBER if re.fullmatch(r"\d*\.?\d+", word) else OTHER


def question_type_of(text: str) -> str:
    """What kind a question is, where its file does not say: its first two words.

    >>> question_type_of("How many chairs are there ?")
    'how many'
    """
    return " ".join(re.findall(r"[\w']+", text.lower())[:2])


def main_answer(given: Sequence[str]) -> str:
    """The answer that most people gave; of equally many, the one that was given first.

    >>> main_answer(["red", "blue", "green", "blue", "red"])
    'red'
    """
    return Counter(given).most_common(1)[0][0]


def soft_accuracies(given: Sequence[str]) -> dict[str, float]:
    """What each answer that people gave is worth; any other is worth nothing.

    Of every choice of all people but one, an answer is worth a third for each who gave it, and one at the most; this is
    the mean over these choices (Antol et al. 2015; visualqa.org/evaluation.html). Of ten people one, two, three and
    more who agree make 0.3, 0.6, 0.9 and 1. A single answer is worth 1: the measure is then exact match. Of two people
    or three, one or two stand for three, as there are no more.

    >>> soft_accuracies(["red"] * 2 + ["pink"] * 8)
    {'red': 0.6, 'pink': 1.0}
    """
    people = len(given)
    if people == 1:
        return {given[0]: 1.0}
    enough = min(3, people - 1)
    # In whole numbers, so that 0.9 is the number that is written so.
    return {
        answer: (count * min(count - 1, enough) + (people - count) * min(count, enough)) / (people * enough)
        for answer, count in Counter(given).items()
    }
