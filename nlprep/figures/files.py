"""Figures as files: whole or absent, the same bytes for the same picture, matplotlib loaded only when one is drawn."""

from __future__ import annotations

import hashlib
import io
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlprep.core.errors import OptionError
from nlprep.core.files import atomic_file
from nlprep.core.ownership import FileFormat
from nlprep.figures.style import house_style

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


def write_figure(figure: Any, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Write a matplotlib ``Figure`` in the format that the file's ending asks for.

    Text stays text, and nothing says when it was made. A seal says that it was made here: a digest of the rest, in a
    text chunk (PNG) or a comment at the end (SVG, PDF), by which a figure that nobody has touched may be replaced.

    Args:
        figure: The figure.
        path: Where it goes; an older figure of ours there is replaced when this one is whole.
        overwrite: As for `nlprep.core.files.atomic_file`; a picture that is not ours is not replaced in any case.

    Raises:
        OptionError: No known ending.
        FileError: The place cannot be written, or holds something that is not ours.
    """
    kind = figure_format(path)
    with atomic_file(path, format=FIGURE, overwrite=overwrite) as stream:
        metadata = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[kind]
        drawn = io.BytesIO()
        with house_style():
            figure.savefig(drawn, format=kind, metadata=metadata)
        stream.write(_sealed(drawn.getvalue(), kind))


def _sealed(raw: bytes, kind: str) -> bytes:
    place = len(raw) - _BEHIND_SEAL[kind]
    return raw[:place] + _seal_of(raw, kind) + raw[place:]


def _seal_of(raw: bytes, kind: str) -> bytes:
    words = f"nlprep {hashlib.blake2b(raw, digest_size=16).hexdigest()}".encode()
    if kind == "svg":
        return b"<!-- " + words + b" -->\n"
    if kind == "pdf":
        return b"%" + words + b"\n"
    chunk = b"tEXtSoftware\0" + words
    return (len(chunk) - 4).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")


def _is_sealed(path: Path) -> bool:
    kind = _kind_of(path)
    if kind is None:
        return False
    content = path.read_bytes()
    end = len(content) - _BEHIND_SEAL[kind]
    start = end - len(_seal_of(b"", kind))
    return start > 0 and _seal_of(content[:start] + content[end:], kind) == content[start:end]


def _kind_of(path: Path) -> str | None:
    """The format of a picture, by how it begins."""
    with path.open("rb") as stream:
        head = stream.read(1024)
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if head.startswith(b"%PDF-"):
        return "pdf"
    return "svg" if b"<svg" in head else None


# A PNG ends with a chunk that says so, of twelve bytes.
_BEHIND_SEAL = {"png": 12, "svg": 0, "pdf": 0}
FIGURE = FileFormat("a figure", recognises=lambda path: _kind_of(path) is not None, sealed=_is_sealed)
"""Figures, which say themselves that they were made here."""
