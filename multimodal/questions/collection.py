"""Questions about images, with what is known of their answers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from multimodal.questions.answers import main_answer
from nlprep.core.errors import FileError, NlprepError
from nlprep.core.wording import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from vision.images.collection import Images

Value = TypeVar("Value")


@dataclass(frozen=True)
class ImageGroups:
    """Questions put together by image, for those who look at an image once.

    Attributes:
        places: (m,) int64, the images that are asked about, ascending.
        order: (n,) int64, the questions, those of each image together and in their order.
        ends: (m + 1,) int64: the questions of the k-th image are ``order[ends[k] : ends[k + 1]]``.
    """

    places: NDArray[np.int64]
    order: NDArray[np.int64]
    ends: NDArray[np.int64]


@dataclass(frozen=True)
class Questions:
    """n questions about images.

    Attributes:
        texts: What is asked.
        places: (n,) int64, the place of each question's image in `images`.
        images: The images; some may have no question.
        answers: Of each question what people answered, one answer or several; None where nobody has answered.
        question_types: Of each question what kind it is, as its file says.
        answer_types: Of each question what kind its answer is.
        numbers: What each question is called where its file says that.
        lines: Where in its file each stands, where that has lines.
        source: Where they come from, for errors and records.

    Raises:
        NlprepError: Numbers that differ, a place where no image is, an empty question or one without an answer.
    """

    texts: Sequence[str]
    places: NDArray[np.int64]
    images: Images
    answers: Sequence[tuple[str, ...]] | None = None
    question_types: Sequence[str] | None = None
    answer_types: Sequence[str] | None = None
    numbers: Sequence[str] | None = None
    lines: Sequence[int] | None = None
    source: str = "questions"

    def __post_init__(self) -> None:
        known = {name: getattr(self, name) for name in ("answers", *_BESIDE)}
        for name, values in {"places": self.places, **known}.items():
            if values is not None and len(values) != len(self.texts):
                raise NlprepError(
                    f"{self.source}: {len(values):,} {name.replace('_', ' ')} for {len(self.texts):,} questions: give "
                    "one for each"
                )
        if len(self.places) and not 0 <= int(self.places.min()) <= int(self.places.max()) < len(self.images):
            raise NlprepError(
                f"{self.source}: places run from {self.places.min()} to {self.places.max()} and there are "
                f"{len(self.images):,} images: give the places of images that are there"
            )
        for number, text in enumerate(self.texts):
            if not text.strip():
                raise self.error(number, "is an empty question: write one, or leave it out")
        if self.answers is not None:
            for number, given in enumerate(self.answers):
                if not given or not all(answer.strip() for answer in given):
                    raise self.error(number, "has no answer: write one, or leave the question out")

    def __repr__(self) -> str:
        """One line with counts: of the questions there may be millions."""
        asked, about = counted(len(self), "question"), counted(len(self.images), "image")
        return f"Questions({self.source!r}: {asked} about {about})"

    def __len__(self) -> int:
        return len(self.texts)

    def error(self, number: int, problem: str) -> FileError:
        """What is wrong with a question, with the place where it stands in its file."""
        if self.lines is not None:
            return FileError(self.source, problem, line=self.lines[number])
        return FileError(f"{self.source}: question {number}", problem)

    @cached_property
    def main_answers(self) -> tuple[str, ...]:
        """Of each question the answer that most people gave (`multimodal.questions.answers.main_answer`).

        Raises:
            NlprepError: Nobody has answered.
        """
        return tuple(main_answer(given) for given in self.required_answers("to count them"))

    def required_answers(self, use: str) -> Sequence[tuple[str, ...]]:
        """The answers, where a use needs some.

        Args:
            use: What for, such as ``to train``.

        Raises:
            NlprepError: There are none.
        """
        if self.answers is None:
            raise NlprepError(f"{self.source}: has no answers, which are needed {use}: give questions that have some")
        return self.answers

    @property
    def image_places(self) -> NDArray[np.int64]:
        """(m,) the images that are asked about, ascending."""
        return np.unique(self.places)

    def image_name(self, number: int) -> str:
        """What a question's image is called."""
        return self.images.name(int(self.places[number]))

    def by_image(self) -> ImageGroups:
        """The questions of each image together."""
        order = np.argsort(self.places, kind="stable")
        places, counts = np.unique(self.places, return_counts=True)
        return ImageGroups(places, order, np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))

    def select(self, indices: NDArray[np.int64]) -> Questions:
        """Those of the given indices, in that order; the images stay as they are."""
        chosen = indices.tolist()
        return replace(
            self,
            texts=[self.texts[index] for index in chosen],
            places=self.places[indices],
            answers=None if self.answers is None else [self.answers[index] for index in chosen],
            question_types=_chosen(self.question_types, chosen),
            answer_types=_chosen(self.answer_types, chosen),
            numbers=_chosen(self.numbers, chosen),
            lines=_chosen(self.lines, chosen),
        )


_BESIDE = ("question_types", "answer_types", "numbers", "lines")


def _chosen(values: Sequence[Value] | None, indices: list[int]) -> list[Value] | None:
    return None if values is None else [values[index] for index in indices]
