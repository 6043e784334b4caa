"""Figures as files: whole or absent, the same bytes for the same picture, matplotlib loaded only when one is drawn."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlprep.core.errors import OptionError
from nlprep.core.files import atomic_file

if TYPE_CHECKING:
    import os

FORMATS = ("png", "svg", "pdf")


def figure_format(path: str | os.PathLike[str]) -> str:
    """The format a figure's name asks for: ``png``, ``svg`` or ``pdf``.

    Raises:
        OptionError: Another ending, or none.
    """
    suffix = Path(path).suffix.lower().removeprefix(".")
    if suffix not in FORMATS:
        raise OptionError(f"figure {str(path)!r}: end its name in .png, .svg or .pdf")
    return suffix


def write_figure(figure: Any, path: str | os.PathLike[str]) -> None:
    """Write a matplotlib ``Figure`` in the format that the file's ending asks for.

    Text stays text, and nothing says when or by what it was made.

    Raises:
        OptionError: No known ending.
        FileError: The place cannot be written.
    """
    kind = figure_format(path)
    with atomic_file(path) as stream:
        from matplotlib import rc_context

        metadata = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[kind]
        with rc_context({"pdf.fonttype": 42, "svg.fonttype": "none", "svg.hashsalt": "nlprep"}):
            figure.savefig(stream, format=kind, metadata=metadata)
