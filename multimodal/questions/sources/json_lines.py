"""Questions as JSON lines, or as a table with a header.

::

    {"question": "what is the colour of the square ?", "answer": "red", "image": "0001.png"}
    {"question": "is it small ?", "answers": ["yes", "no", "yes"], "image": 17, "question_type": "is it"}
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from multimodal.questions.sources.rows import Rows, Spot, parse_row
from nlprep.core.files import display_name
from nlprep.language_models.text.labelled_texts import read_rows

if TYPE_CHECKING:
    import os

    from nlprep.core.files import EncodingErrors


def list_json_lines(
    path: str | os.PathLike[str], *, answered: bool, encoding_errors: EncodingErrors = "strict"
) -> Rows:
    """The questions of a file of JSON lines, or of a CSV or TSV file with such columns; plain or compressed.

    Args:
        path: The file (see `nlprep.language_models.text.labelled_texts.read_rows`).
        answered: Whether every question needs an answer.
        encoding_errors: What to do with bytes that are not UTF-8.

    Raises:
        FileError: A line that is broken, or lacks something; with its number.
    """
    name = display_name(path)
    rows = Rows(name)
    for line, values in read_rows(path, encoding_errors=encoding_errors):
        rows.add(parse_row(values, Spot(name, line), answered=answered))
    return rows
