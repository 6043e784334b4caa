"""The record of a run: ``metrics.jsonl``, one JSON object a line, each with its ``step``."""

from __future__ import annotations

import json
import math
import os
from typing import TYPE_CHECKING, Any

from nlprep.core.errors import FileError, os_errors_named
from nlprep.core.files import atomic_file
from nlprep.core.ownership import FILE_OF_A_RUN

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Record = dict[str, Any]


class Journal:
    """Appends records to a file; with no file, only remembers them.

    A record is in the file at once, and after `sync` also on the disk: a checkpoint that counts records must not
    outlive them, and a wait for the disk at every record would cost more than a small step.

    Args:
        path: The file, or None.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.records: list[Record] = []
        self._synced = 0

    def rewind(self, step: int, count: int) -> None:
        """Forget all but the first ``count`` records up to ``step``: a resumed run records the others again.

        There may be fewer of them, where the file was lost.
        """
        if self.path is None or not self.path.exists():
            self.records = []
        else:
            self.records = [record for record in _readable_records(self.path) if record["step"] <= step][:count]
            with atomic_file(self.path, format=FILE_OF_A_RUN) as stream:
                for record in self.records:
                    stream.write(_line(record))
        self._synced = len(self.records)

    def append(self, record: Mapping[str, Any]) -> None:
        """Add a record; numbers that JSON has no name for become null."""
        kept = {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in record.items()
        }
        if self.path is not None:
            with os_errors_named(self.path), self.path.open("ab") as stream:
                stream.write(_line(kept))
        self.records.append(kept)

    def sync(self) -> None:
        """Wait until every record is on the disk."""
        if self.path is None or self._synced == len(self.records):
            return
        with os_errors_named(self.path):
            # The folder too, where the file may be new.
            for path in (self.path, self.path.parent):
                descriptor = os.open(path, os.O_RDONLY)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
        self._synced = len(self.records)


def read_metrics(path: str | os.PathLike[str]) -> list[Record]:
    """The records of a ``metrics.jsonl``; a last line that was cut short by a kill is left out.

    Raises:
        FileError: Unreadable, or another line is no JSON object with a step.
    """
    from nlprep.core.files import read_lines

    records = []
    broken = None
    for number, line in read_lines(path):
        if broken is not None:
            break
        record = _parse(line)
        if record is None:
            broken = number
        else:
            records.append(record)
    else:
        return records
    raise FileError(path, "is not a JSON object with a step: remove the line", line=broken)


def _readable_records(path: Path) -> list[Record]:
    with os_errors_named(path):
        lines = path.read_bytes().decode("utf-8", "replace").splitlines()
    return [record for record in map(_parse, lines) if record is not None]


def _parse(line: str) -> Record | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) and isinstance(record.get("step"), int) else None


def _line(record: Mapping[str, Any]) -> bytes:
    return (json.dumps(record) + "\n").encode()
