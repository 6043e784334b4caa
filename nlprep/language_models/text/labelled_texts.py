"""Texts with labels, from CSV, TSV or JSON lines.

The first row of a CSV or TSV file names its columns; a JSON line is an object. ``text`` and ``label`` are looked for,
and ``text_pair`` where a label belongs to two texts; other names may be given. Fields of a TSV file are taken as they
are, quotation marks included; those of a CSV file may be quoted, and then hold commas and line breaks.
"""

from __future__ import annotations

import csv
import json
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal

from nlprep.core.errors import FileError
from nlprep.core.files import display_name, read_lines
from nlprep.evaluation.labelled import Labelled

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence

    from nlprep.core.files import EncodingErrors

Row = tuple[int, dict[str, Any]]
_JSON_ENDINGS = (".jsonl", ".ndjson", ".json")
_COMPRESSIONS = (".gz", ".xz", ".zst", ".bz2")


class LabelledTexts(Labelled[str]):
    """Texts, or pairs of texts, with a label each (see `nlprep.evaluation.labelled.Labelled`)."""

    @property
    def texts(self) -> Sequence[str]:
        """The texts: ``items`` by their own name."""
        return self.items


def read_labelled_texts(
    path: str | os.PathLike[str],
    *,
    text: str = "text",
    label: str = "label",
    text_pair: str | None = None,
    encoding_errors: EncodingErrors = "strict",
) -> LabelledTexts:
    """Read texts with labels.

    Args:
        path: CSV, TSV or JSON lines, by its ending (``.csv``, ``.tsv``, ``.jsonl``) or else its first line; plain or
            compressed; ``-`` is standard input.
        text: The column of the text.
        label: The column of the label.
        text_pair: The column of a second text; by default ``text_pair`` where there is one.
        encoding_errors: What to do with bytes that are not UTF-8.

    Raises:
        FileError: Unreadable or empty, a missing column or field, an empty label; with the line.
    """
    name = display_name(path)
    texts: list[str] = []
    labels: list[str] = []
    pairs: list[str] = []
    lines: list[int] = []
    second: str | None = text_pair
    for line, row in read_rows(path, encoding_errors=encoding_errors):
        if not lines:
            if text_pair is None and "text_pair" in row:
                second = "text_pair"
            _check_columns(name, line, row, [text, label, *([second] if second else [])])
        texts.append(_field(name, line, row, text))
        labels.append(_label(name, line, row, label))
        if second:
            pairs.append(_field(name, line, row, second))
        lines.append(line)
    if not lines:
        raise FileError(name, "holds no examples: give a file with a row for each text and its label")
    return LabelledTexts(texts, labels, pairs if second else None, name, lines)


def read_rows(path: str | os.PathLike[str], *, encoding_errors: EncodingErrors = "strict") -> Iterator[Row]:
    """Stream the rows of a CSV, TSV or JSON-lines file as ``(line number, values by column)``; blank lines are skipped.

    Raises:
        FileError: Unreadable, or a row that does not fit its format; with the line.
    """
    name = display_name(path)
    lines = read_lines(path, encoding_errors=encoding_errors)
    first = next(lines, None)
    if first is None:
        return
    kind = _format(name, first[1])
    rows = chain((first,), lines)
    if kind == "json":
        yield from _json_rows(name, rows)
    elif kind == "tsv":
        yield from _tsv_rows(name, rows)
    else:
        yield from _csv_rows(name, rows)


def _format(name: str, first: str) -> Literal["csv", "tsv", "json"]:
    ending = name.lower()
    for compression in _COMPRESSIONS:
        ending = ending.removesuffix(compression)
    if ending.endswith(_JSON_ENDINGS):
        return "json"
    if ending.endswith(".tsv"):
        return "tsv"
    if ending.endswith(".csv"):
        return "csv"
    if first.lstrip().startswith("{"):
        return "json"
    return "tsv" if "\t" in first else "csv"


def _json_rows(name: str, lines: Iterator[tuple[int, str]]) -> Iterator[Row]:
    for line, raw in lines:
        if not raw.strip():
            continue
        try:
            row = json.loads(raw)
        except ValueError as error:
            raise FileError(name, f"is not JSON ({error}): write one object a line", line=line) from None
        if not isinstance(row, dict):
            raise FileError(name, f"expected a JSON object, found {raw.strip()[:40]!r}: write one a line", line=line)
        yield line, row


def _tsv_rows(name: str, lines: Iterator[tuple[int, str]]) -> Iterator[Row]:
    columns: list[str] | None = None
    for line, raw in lines:
        if not raw.strip():
            continue
        fields = raw.split("\t")
        if columns is None:
            columns = [field.strip() for field in fields]
        else:
            _check_width(name, line, columns, fields, "a tab")
            yield line, dict(zip(columns, fields, strict=True))


def _csv_rows(name: str, lines: Iterator[tuple[int, str]]) -> Iterator[Row]:
    at = 0

    def count() -> Iterator[str]:
        nonlocal at
        for number, raw in lines:
            at = number
            yield raw + "\n"

    reader = csv.reader(count(), strict=True)
    columns: list[str] | None = None
    while True:
        begins = at + 1
        try:
            fields = next(reader, None)
        except csv.Error as error:
            raise FileError(name, f"is not CSV ({error}): quote the field, or use JSON lines", line=begins) from None
        if fields is None:
            return
        if not fields:
            continue
        if columns is None:
            columns = [field.strip() for field in fields]
        else:
            _check_width(name, begins, columns, fields, "a comma")
            yield begins, dict(zip(columns, fields, strict=True))


def _check_width(name: str, line: int, columns: Sequence[str], fields: Sequence[str], separator: str) -> None:
    if len(fields) != len(columns):
        raise FileError(
            name,
            f"expected {len(columns)} fields ({', '.join(columns[:6])}), found {len(fields)}: is there {separator} "
            "in a text, or is the first line no header?",
            line=line,
        )


def _check_columns(name: str, line: int, row: dict[str, Any], wanted: Sequence[str]) -> None:
    for column in wanted:
        if column not in row:
            found = ", ".join(map(repr, list(row)[:8]))
            raise FileError(
                name, f"has no column {column!r}, but {found}: rename it in the file or name the right one", line=line
            )


def _field(name: str, line: int, row: dict[str, Any], column: str) -> str:
    value = row.get(column)
    if not isinstance(value, str):
        seen = "nothing" if column not in row else repr(value)[:40]
        raise FileError(name, f"expected a text in {column!r}, found {seen}: correct the line", line=line)
    return value


def _label(name: str, line: int, row: dict[str, Any], column: str) -> str:
    value = row.get(column)
    if isinstance(value, bool):
        value = str(value).lower()
    if isinstance(value, int):
        value = str(value)
    if not isinstance(value, str) or not value.strip():
        seen = "nothing" if value is None or value == "" else repr(value)[:40]
        raise FileError(name, f"expected a label in {column!r}, found {seen}: correct the line", line=line)
    return value.strip()
