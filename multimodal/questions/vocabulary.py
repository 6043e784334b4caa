"""Which answers there are to give: a function of the training questions alone."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from multimodal.questions.answers import soft_accuracies
from multimodal.questions.configuration import AnswersConfig
from nlprep.core.errors import NlprepError
from nlprep.vocabulary import Vocabulary

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from multimodal.questions.collection import Questions

UNSEEN = -1
"""Stands for an answer that is not in the vocabulary. To give another is then wrong; no question is left out."""

_AS_GIVEN = AnswersConfig()


def fit_answers(questions: Questions, config: AnswersConfig = _AS_GIVEN) -> Vocabulary:
    """The most frequent answers of the training questions, each question's main answer counted once.

    Args:
        questions: To train on, and no others: what is measured on must not decide which answers there are.
        config: How many, and how often one has to occur.

    Returns:
        By falling count; equal counts in the order in which the answers first come in the questions, so that the first
        of equals are kept where not all are.

    Raises:
        NlprepError: There are no answers, or none is frequent enough.
    """
    counted = Counter(questions.main_answers)
    # `most_common` keeps equals in the order of their first coming.
    kept = [(answer, count) for answer, count in counted.most_common(config.size) if count >= config.minimum]
    if not kept:
        most = max(counted.values(), default=0)
        raise NlprepError(
            f"{questions.source}: no answer occurs {config.minimum:,} times, the most frequent {most:,}: ask for fewer"
        )
    return Vocabulary([answer for answer, _ in kept], [count for _, count in kept])


def answer_indices(questions: Questions, vocabulary: Vocabulary) -> NDArray[np.int64]:
    """(n,) the place of each question's main answer in the vocabulary, or `UNSEEN`.

    Raises:
        NlprepError: There are no answers.
    """
    found = map(vocabulary.index, questions.main_answers)
    return np.array([UNSEEN if place is None else place for place in found], np.int64)


def soft_targets(
    questions: Questions, vocabulary: Vocabulary, indices: NDArray[np.int64] | None = None
) -> NDArray[np.float32]:
    """What every answer of the vocabulary is worth (`multimodal.questions.answers.soft_accuracies`).

    Args:
        questions: n questions.
        vocabulary: Of v answers.
        indices: (m,) of which questions; None: of all, which for many is much.

    Returns:
        (m, v), mostly 0.

    Raises:
        NlprepError: There are no answers.
    """
    answers = questions.required_answers("as targets")
    chosen = range(len(questions)) if indices is None else indices.tolist()
    targets = np.zeros((len(chosen), len(vocabulary)), np.float32)
    for row, number in enumerate(chosen):
        for answer, worth in soft_accuracies(answers[number]).items():
            place = vocabulary.index(answer)
            if place is not None:
                targets[row, place] = worth
    return targets


def unseen_share(questions: Questions, vocabulary: Vocabulary) -> float:
    """The share of questions whose main answer the vocabulary has not, so that whatever is given is wrong.

    Raises:
        NlprepError: There are no answers, or no questions.
    """
    if not len(questions):
        raise NlprepError(f"{questions.source}: there are no questions to measure on: give some")
    return float((answer_indices(questions, vocabulary) == UNSEEN).mean())


def soft_ceiling(questions: Questions, vocabulary: Vocabulary) -> float:
    """The soft accuracy of who always gives the best answer that the vocabulary has.

    Raises:
        NlprepError: As `unseen_share`.
    """
    if not len(questions):
        raise NlprepError(f"{questions.source}: there are no questions to measure on: give some")
    best = [
        max((worth for answer, worth in soft_accuracies(given).items() if answer in vocabulary), default=0.0)
        for given in questions.required_answers("to measure on")
    ]
    return float(np.mean(best))
