"""How good given answers are: exactly and softly, by kind of question and of answer, and the surest mistakes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from multimodal.questions.answers import soft_accuracies
from multimodal.questions.vocabulary import soft_ceiling, unseen_share
from nlprep.core.errors import NlprepError
from nlprep.evaluation.calibration import Reliability, measure_reliability
from nlprep.evaluation.intervals import Interval, clustered_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from multimodal.questions.collection import Questions
    from nlprep.vocabulary import Vocabulary


@dataclass(frozen=True)
class AnswerScore:
    """How good the answers to some questions are.

    Attributes:
        name: What the questions are called.
        questions: How many they are.
        images: How many images they are about.
        exact: The share whose given answer is the main one.
        soft: The mean of what given answers are worth.
    """

    name: str
    questions: int
    images: int
    exact: Interval
    soft: Interval

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON."""
        return {
            "name": self.name,
            "questions": self.questions,
            "images": self.images,
            "exact": self.exact.to_dict(),
            "soft": self.soft.to_dict(),
        }


@dataclass(frozen=True)
class AnswerReport:
    """How good answers are. Intervals take images, not questions, to be independent draws.

    Attributes:
        whole: Of all questions.
        question_types: Of each type of question, the most frequent first; empty where they are not known.
        answer_types: Of each type of answer, likewise.
        unseen: The share of questions whose main answer the vocabulary has not, which count as wrong; None where no
            vocabulary was given.
        ceiling: The soft accuracy that the vocabulary allows; likewise.
        reliability: Confidence against exactness; None where no confidence was given.
    """

    whole: AnswerScore
    question_types: tuple[AnswerScore, ...]
    answer_types: tuple[AnswerScore, ...]
    unseen: float | None = None
    ceiling: float | None = None
    reliability: Reliability | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON."""
        return {
            **self.whole.to_dict(),
            "unseen": self.unseen,
            "ceiling": self.ceiling,
            "question_types": [score.to_dict() for score in self.question_types],
            "answer_types": [score.to_dict() for score in self.answer_types],
            "reliability": None if self.reliability is None else self.reliability.to_dict(),
        }


@dataclass(frozen=True)
class Mistake:
    """An answer that nobody gave.

    Attributes:
        number: Of the question.
        text: What was asked.
        image: The place of its image.
        image_name: What that is called.
        given: The answer.
        answers: What people answered.
        confidence: How sure the answer was.
    """

    number: int
    text: str
    image: int
    image_name: str
    given: str
    answers: tuple[str, ...]
    confidence: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON."""
        return {**vars(self), "answers": list(self.answers)}


def exact_matches(questions: Questions, given: Sequence[str]) -> NDArray[np.bool_]:
    """(n,) whether each given answer is the question's main answer.

    Raises:
        NlprepError: There are no answers to compare with, or not as many given as questions.
    """
    _check(questions, given)
    return np.array([one == main for one, main in zip(given, questions.main_answers, strict=True)], bool)


def soft_worths(questions: Questions, given: Sequence[str]) -> NDArray[np.float64]:
    """(n,) what each given answer is worth (`multimodal.questions.answers.soft_accuracies`).

    Raises:
        NlprepError: As `exact_matches`.
    """
    _check(questions, given)
    answers = questions.required_answers("to measure on")
    return np.array([soft_accuracies(by).get(one, 0.0) for one, by in zip(given, answers, strict=True)], np.float64)


def score_answers(
    questions: Questions,
    given: Sequence[str],
    *,
    confidences: ArrayLike | None = None,
    vocabulary: Vocabulary | None = None,
    level: float = 0.95,
) -> AnswerReport:
    """Measure answers.

    Args:
        questions: n questions with answers.
        given: n answers, spelled as the questions' are.
        confidences: (n,) the probability of each given answer, in [0, 1].
        vocabulary: Of the answers that could be given.
        level: Of the intervals.

    Raises:
        NlprepError: There are no questions, no answers to compare with, or not as many given as questions.
    """
    if not len(questions):
        raise NlprepError(f"{questions.source}: there are no questions to measure on: give some")
    exact, soft = exact_matches(questions, given), soft_worths(questions, given)

    def score(name: str, chosen: NDArray[np.bool_]) -> AnswerScore:
        images = questions.places[chosen]
        exactly, softly = (clustered_interval(values[chosen], images, level=level) for values in (exact, soft))
        return AnswerScore(name, int(chosen.sum()), len(np.unique(images)), exactly, softly)

    def by_type(types: Sequence[str] | None) -> tuple[AnswerScore, ...]:
        names, which = np.unique(np.array([] if types is None else types, dtype=object), return_inverse=True)
        found = (score(str(name), which.reshape(-1) == place) for place, name in enumerate(names))
        return tuple(sorted(found, key=lambda one: (-one.questions, one.name)))

    return AnswerReport(
        score("all", np.ones(len(questions), bool)),
        by_type(questions.question_types),
        by_type(questions.answer_types),
        None if vocabulary is None else unseen_share(questions, vocabulary),
        None if vocabulary is None else soft_ceiling(questions, vocabulary),
        None if confidences is None else measure_reliability(confidences, exact),
    )


def surest_mistakes(
    questions: Questions, given: Sequence[str], confidences: ArrayLike, *, number: int = 20
) -> list[Mistake]:
    """The answers that nobody gave and that were given most surely: what to look at first.

    Args:
        questions: n questions with answers.
        given: n answers.
        confidences: (n,) the probability of each.
        number: How many, at the most.

    Returns:
        The surest first; equals in the order of the questions.

    Raises:
        NlprepError: As `score_answers`.
    """
    worth = soft_worths(questions, given)
    sure = np.asarray(confidences, np.float64)
    if sure.shape != worth.shape:
        raise NlprepError(f"confidences {sure.shape} for {len(worth):,} answers: give one for each")
    wrong = np.flatnonzero(worth == 0)
    order = wrong[np.argsort(-sure[wrong], kind="stable")][:number]
    answers = questions.required_answers("to measure on")
    return [
        Mistake(
            place,
            questions.texts[place],
            int(questions.places[place]),
            questions.image_name(place),
            given[place],
            tuple(answers[place]),
            float(sure[place]),
        )
        for place in order.tolist()
    ]


def _check(questions: Questions, given: Sequence[str]) -> None:
    questions.required_answers("to measure on")
    if len(given) != len(questions):
        raise NlprepError(
            f"{questions.source}: {len(given):,} answers for {len(questions):,} questions: give one for each"
        )
