"""Scores of images in files: a row for each, with its name, its score, whether it is odd, and its label if any."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlprep.core.errors import OptionError
from nlprep.core.files import atomic_file
from nlprep.core.ownership import FileFormat, check_replaceable
from vision.encoders.parquet_files import PARQUET_FILE, require_pyarrow

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray

    from vision.images.collection import Images

COLUMNS = ("image", "score", "odd")
"""``label`` follows where there are labels."""
_START = 64


def _is_csv(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(_START).startswith(",".join(COLUMNS).encode())


def _is_lines(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(_START).startswith(b'{"image": ')


_FORMATS = {
    ".csv": FileFormat("a table of scores", recognises=_is_csv),
    ".jsonl": FileFormat("a table of scores", recognises=_is_lines),
    ".parquet": PARQUET_FILE,
}


def check_score_file(
    path: str | os.PathLike[str], *, inputs: Iterable[str | os.PathLike[str]] = (), overwrite: bool = False
) -> None:
    """Fail before the work if scores cannot be written.

    Args:
        path: The file.
        inputs: What is read, to which the file must do no harm.
        overwrite: Whether a file of scores there may be replaced.

    Raises:
        OptionError: No known ending.
        FileError: Something else is there, or the place cannot be written.
        NlprepError: Parquet is asked for, and pyarrow is not installed.
    """
    known = _format_of(path)
    if known is PARQUET_FILE:
        require_pyarrow()
    check_replaceable(path, known, inputs=inputs, overwrite=overwrite)


def write_scores(
    images: Images,
    scores: NDArray[np.float64],
    odd: NDArray[np.bool_],
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
) -> None:
    """Write the scores of images, in their order, as the ending of the file asks: CSV, JSON lines or parquet.

    Args:
        images: n of them.
        scores: (n,).
        odd: (n,) whether each is above the line.
        path: The file.
        overwrite: Whether a file of scores there may be replaced.

    Raises:
        OptionError: No known ending.
        FileError: Something else is there, or the place cannot be written.
        NlprepError: Parquet is asked for, and pyarrow is not installed.
    """
    known = _format_of(path)
    columns: dict[str, list[Any]] = {
        "image": [images.name(row) for row in range(len(images))],
        "score": scores.tolist(),
        "odd": odd.tolist(),
    }
    if images.labels is not None:
        columns["label"] = [images.classes[label] for label in images.labels.tolist()]
    if known is PARQUET_FILE:
        require_pyarrow()
        import pyarrow as pa
        import pyarrow.parquet as pq

        with atomic_file(path, format=known, overwrite=overwrite) as stream:
            pq.write_table(pa.table(columns), stream)
        return
    text = io.StringIO()
    rows = zip(*columns.values(), strict=True)
    if Path(path).suffix == ".csv":
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows((name, score, str(is_odd).lower(), *label) for name, score, is_odd, *label in rows)
    else:
        for row in rows:
            text.write(json.dumps(dict(zip(columns, row, strict=True)), ensure_ascii=False) + "\n")
    with atomic_file(path, format=known, overwrite=overwrite) as stream:
        stream.write(text.getvalue().encode())


def _format_of(path: str | os.PathLike[str]) -> FileFormat:
    known = _FORMATS.get(Path(path).suffix)
    if known is None:
        raise OptionError(f"output {str(path)!r}: end it in .csv, .jsonl or .parquet")
    return known
