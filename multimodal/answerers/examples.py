"""Images with all of their questions, as the loop's examples."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from multimodal.answerers.words import PADDING
from multimodal.questions.answers import soft_accuracies

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    import torch
    from numpy.typing import NDArray

    from multimodal.answerers.words import QuestionWords
    from multimodal.questions.collection import Questions
    from multimodal.questions.features import ImageFeatures
    from nlprep.core.randomness import Seeds
    from nlprep.vocabulary import Vocabulary

Value = TypeVar("Value", bound="Hashable")


class AskedImages:
    """An example is an image that is asked about, with all that is asked of it.

    A batch has ``images`` (b, ...): bytes, or what an encoder made of them; and for each, padded to the most that one
    of them has, ``words`` (b, questions, longest), and ``answers``, ``shares`` and ``worths`` (b, questions, k), as
    `multimodal.answerers.network.AnswererNetwork.forward` takes them.

    Args:
        questions: With answers.
        words: What numbers their words.
        vocabulary: The answers that there are to give.
        features: Of the images, where an encoder made some.
        gridded: Whether of these grids are wanted, or vectors.
        blind: Whether images do not count: then there are none in a batch, but a row of nothing for each.
    """

    def __init__(
        self,
        questions: Questions,
        words: QuestionWords,
        vocabulary: Vocabulary,
        *,
        features: ImageFeatures | None = None,
        gridded: bool = False,
        blind: bool = False,
    ) -> None:
        answers = questions.required_answers("to learn from")
        self.questions, self.features, self.gridded, self.blind = questions, features, gridded, blind
        self.groups = questions.by_image()
        # Texts are few beside questions, and so are sets of answers.
        texts, self._text = _distinct(questions.texts)
        self._words = words.numbers(texts)
        self._lengths = (self._words != PADDING).sum(1)
        given, self._given = _distinct([tuple(people) for people in answers])
        self._answers, self._shares, self._worths = _tables(given, vocabulary)

    def __len__(self) -> int:
        return len(self.groups.places)

    def batch(self, indices: NDArray[np.int64], seeds: Seeds) -> dict[str, torch.Tensor]:  # noqa: ARG002
        """Fetch images with their questions (see `nlprep.core.training.data.examples.Examples`)."""
        import torch

        ends, order = self.groups.ends, self.groups.order
        counts = ends[indices + 1] - ends[indices]
        # Which question stands where; -1 behind the last of an image.
        steps = np.arange(counts.max(initial=0))
        there = steps < counts[:, None]
        numbers = order[np.where(there, ends[indices][:, None] + steps, 0)]
        text, given = self._text[numbers], self._given[numbers]
        longest = int(self._lengths[text[there]].max(initial=1))
        found = {
            "images": self._images(self.groups.places[indices]),
            "words": np.where(there[..., None], self._words[text, :longest], PADDING),
            "answers": np.where(there[..., None], self._answers[given], -1),
            "shares": self._shares[given] * there[..., None],
            "worths": self._worths[given] * there[..., None],
        }
        return {name: torch.from_numpy(np.ascontiguousarray(values)) for name, values in found.items()}

    def _images(self, places: NDArray[np.int64]) -> NDArray[np.generic]:
        if self.blind:
            return np.zeros((len(places), 1), np.float32)
        if self.features is None:
            return self.questions.images.pixels[places]
        return (self.features.grids_of if self.gridded else self.features.vectors_of)(places).astype(np.float32)


def _distinct(values: Sequence[Value]) -> tuple[list[Value], NDArray[np.int64]]:
    """The different ones in the order of their first coming, and of each value which it is."""
    known: dict[Value, int] = {}
    which = np.array([known.setdefault(value, len(known)) for value in values], np.int64)
    return list(known), which


def _tables(
    given: list[tuple[str, ...]], vocabulary: Vocabulary
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
    """(m, k) of each set of answers: their places in the vocabulary, the shares of people, and what they are worth."""
    rows: list[list[tuple[int, float, float]]] = []
    for people in given:
        counted, worth = Counter(people), soft_accuracies(people)
        known = ((vocabulary.index(answer), answer) for answer in counted)
        rows.append(
            [(place, counted[answer] / len(people), worth[answer]) for place, answer in known if place is not None]
        )
    longest = max(map(len, rows), default=0) or 1
    answers = np.full((len(rows), longest), -1, np.int64)
    shares, worths = np.zeros((2, len(rows), longest), np.float32)
    for number, row in enumerate(rows):
        for column, known_answer in enumerate(row):
            answers[number, column], shares[number, column], worths[number, column] = known_answer
    return answers, shares, worths
