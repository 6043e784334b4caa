"""Questions as their files have them, before anybody has looked for the images."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nlprep.core.errors import FileError

if TYPE_CHECKING:
    from collections.abc import Mapping

_IMAGE_KEYS = ("image", "image_id")
_NUMBER_KEYS = ("question_id", "id")
_SHOWN = 60


@dataclass(frozen=True)
class Spot:
    """Where a question stands: a line, or an entry of a file without lines.

    Attributes:
        path: The file.
        line: The line, from 1.
        entry: What the entry is called, such as ``questions[3]``.
    """

    path: str
    line: int | None = None
    entry: str = ""

    def error(self, problem: str) -> FileError:
        """What is wrong there."""
        return FileError(f"{self.path}: {self.entry}" if self.entry else self.path, problem, line=self.line)

    def __str__(self) -> str:
        return f"line {self.line}" if self.line is not None else self.entry


@dataclass(frozen=True)
class Row:
    """One question.

    Attributes:
        spot: Where it stands.
        text: What is asked.
        image: What its image is called.
        answers: What people answered; empty where nobody was asked for any.
        question_type: As its file says, if it does.
        answer_type: Likewise.
        number: What the question is called, if its file says.
    """

    spot: Spot
    text: str
    image: str
    answers: tuple[str, ...]
    question_type: str | None = None
    answer_type: str | None = None
    number: str | None = None


@dataclass
class Rows:
    """The questions of a file.

    Attributes:
        path: The file.
        found: Its questions, in order.
    """

    path: str
    found: list[Row] = field(default_factory=list)
    _spots: dict[str, Spot] = field(default_factory=dict)

    def add(self, row: Row) -> None:
        """Take in the next.

        Raises:
            FileError: Another question is called the same.
        """
        if row.number is not None:
            earlier = self._spots.setdefault(row.number, row.spot)
            if earlier is not row.spot:
                raise row.spot.error(
                    f"is question {row.number!r}, and so is {earlier}: give each a number of its own, or leave one out"
                )
        self.found.append(row)


def parse_row(values: Mapping[str, Any], spot: Spot, *, answered: bool, image: str | None = None) -> Row:
    """A question of plain values.

    Args:
        values: ``question``; ``answer`` or ``answers``, a list of texts or of objects with an ``answer`` each;
            ``image`` or ``image_id``, a name or a number; ``question_type``, ``answer_type`` and ``question_id`` or
            ``id`` if there are any.
        spot: Where they stand.
        answered: Whether an answer is needed; else none is looked for.
        image: What the image is called, where that is known without.

    Raises:
        FileError: Something is missing, empty or no text.
    """
    text = values.get("question")
    if not isinstance(text, str):
        raise spot.error(f"expected a text in 'question', found {_seen(values, 'question')}: correct it")
    if not text.strip():
        raise spot.error("has an empty question: write one, or leave it out")
    if image is None:
        key = next((key for key in _IMAGE_KEYS if key in values), _IMAGE_KEYS[0])
        named = values.get(key)
        if isinstance(named, bool) or not isinstance(named, str | int) or str(named).strip() == "":
            raise spot.error(f"expected the name or number of an image in {key!r}, found {_seen(values, key)}: add it")
        image = str(named)
    number = next((values[key] for key in _NUMBER_KEYS if values.get(key) is not None), None)
    return Row(
        spot,
        text,
        image,
        _answers(values, spot) if answered else (),
        _kind(values, "question_type", spot),
        _kind(values, "answer_type", spot),
        None if number is None else str(number),
    )


def _answers(values: Mapping[str, Any], spot: Spot) -> tuple[str, ...]:
    key = "answers" if values.get("answers") is not None else "answer"
    given = values.get(key)
    if key == "answer":
        given = [] if given is None else [given]
    if not isinstance(given, list):
        raise spot.error(f"expected a list in 'answers', found {_seen(values, key)}: correct it")
    found = []
    for one in given:
        answer = one.get("answer") if isinstance(one, dict) else one
        if isinstance(answer, int) and not isinstance(answer, bool):
            answer = str(answer)
        if not isinstance(answer, str):
            raise spot.error(f"expected texts in {key!r}, found {answer!r:.{_SHOWN}}: correct it")
        if not answer.strip():
            raise spot.error("has an empty answer: write one, or leave it out")
        found.append(" ".join(answer.split()))
    if not found:
        raise spot.error("has no answer: add one, or leave the question out")
    return tuple(found)


def _kind(values: Mapping[str, Any], key: str, spot: Spot) -> str | None:
    found = values.get(key)
    if found is not None and not isinstance(found, str):
        raise spot.error(f"expected a text in {key!r}, found {found!r:.{_SHOWN}}: correct it")
    return found


def _seen(values: Mapping[str, Any], key: str) -> str:
    return f"{values[key]!r:.{_SHOWN}}" if key in values else f"nothing among {', '.join(map(repr, list(values)[:8]))}"
