"""Questions in one JSON value: VQA v2's two files, and easy-VQA's list.

VQA v2 has ``{"questions": [{"image_id", "question", "question_id"}, ...]}`` in one file and ``{"annotations":
[{"question_id", "image_id", "answers": [{"answer"}, ...], "question_type", "answer_type"}, ...]}`` in another; a
picture is called ``COCO_train2014_000000000009.jpg``. easy-VQA has ``[[question, answer, image number], ...]``, and
``images/9.png``.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from multimodal.questions.sources.rows import Rows, Spot, parse_row
from nlprep.core.errors import FileError
from nlprep.core.files import display_name, open_binary

if TYPE_CHECKING:
    import os


def list_vqa(questions: str | os.PathLike[str], annotations: str | os.PathLike[str] | None, *, answered: bool) -> Rows:
    """The questions of VQA v2's files, in the order of the first.

    Args:
        questions: The file of questions, plain or compressed.
        annotations: The file of answers; None: there are none.
        answered: Whether answers are needed.

    Raises:
        FileError: Something is broken or missing, or the two do not belong together; with the entry.
    """
    name = display_name(questions)
    entries = _entries(questions, "questions")
    if annotations is None:
        if answered:
            raise FileError(name, "holds questions without answers: give annotations=, or answered=False to ask only")
        known = {}
    else:
        known = _annotations(annotations)
    rows = Rows(name)
    for place, values in enumerate(entries):
        spot = Spot(name, entry=f"questions[{place}]")
        number = values.get("question_id")
        if number is None:
            raise spot.error("has no question_id: add the one that its annotation has")
        found: dict[str, Any] = {}
        if annotations is not None:
            if str(number) not in known:
                raise spot.error(
                    f"question {number} has no answer in {display_name(annotations)}: give the two files that belong "
                    "together"
                )
            found = known[str(number)]
            if found.get("image_id", values.get("image_id")) != values.get("image_id"):
                raise spot.error(
                    f"question {number} is about image {values.get('image_id')}, its annotation about "
                    f"{found['image_id']}: give the two files that belong together"
                )
        rows.add(parse_row({**found, **values}, spot, answered=answered))
    unasked = set(known) - {row.number for row in rows.found if row.number is not None}
    if unasked:
        raise FileError(
            display_name(annotations or ""),
            f"has annotations of {len(unasked):,} questions that {name} does not ask, such as {min(unasked)}: give the "
            "two files that belong together",
        )
    return rows


def _annotations(path: str | os.PathLike[str]) -> dict[str, dict[str, Any]]:
    known: dict[str, dict[str, Any]] = {}
    for place, values in enumerate(_entries(path, "annotations")):
        number = str(values.get("question_id"))
        if number in known or "question_id" not in values:
            problem = "has no question_id" if "question_id" not in values else f"answers question {number} once more"
            raise Spot(display_name(path), entry=f"annotations[{place}]").error(f"{problem}: correct the file")
        known[number] = values
    return known


def list_easy_vqa(path: str | os.PathLike[str], *, answered: bool) -> Rows:
    """The questions of easy-VQA's ``questions.json``.

    Args:
        path: The file, plain or compressed.
        answered: Whether answers are needed.

    Raises:
        FileError: As `list_vqa`.
    """
    name = display_name(path)
    rows = Rows(name)
    value = read_json(path)
    if not isinstance(value, list):
        raise FileError(name, "is no list of questions: give easy-VQA's questions.json")
    for place, entry in enumerate(value):
        spot = Spot(name, entry=f"[{place}]")
        if not isinstance(entry, list) or len(entry) != 3:
            raise spot.error(f"expected [question, answer, image number], found {entry!r:.60}: correct it")
        values = dict(zip(("question", "answer", "image"), entry, strict=True))
        rows.add(parse_row(values, spot, answered=answered))
    return rows


def read_json(path: str | os.PathLike[str]) -> Any:
    """The one value of a JSON file, plain or compressed.

    Raises:
        FileError: It is broken; with the line.
    """
    with open_binary(path) as stream:
        raw = stream.read()
    try:
        return json.loads(raw)
    except json.JSONDecodeError as error:
        raise FileError(
            display_name(path), f"is not whole JSON ({error.msg} at column {error.colno:,}): copy it again",
            line=error.lineno,
        ) from None  # fmt: skip
    except UnicodeDecodeError as error:
        raise FileError(display_name(path), f"is not UTF-8 ({error.reason}): convert it") from None


def _entries(path: str | os.PathLike[str], key: str) -> list[dict[str, Any]]:
    value = read_json(path)
    entries = value.get(key) if isinstance(value, dict) else None
    if not isinstance(entries, list):
        raise FileError(display_name(path), f"has no list {key!r}: give VQA v2's file of {key}")
    for place, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise Spot(display_name(path), entry=f"{key}[{place}]").error(f"is {entry!r:.60}, no object: correct it")
    return entries
