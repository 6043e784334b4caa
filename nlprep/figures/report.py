"""A report as one HTML file: words, tables, figures and settings, that opens anywhere, offline, for years.

Figures are inside the file as data URIs. There are no links to elsewhere and nothing that says when or where it was
written; whatever comes from data is escaped, and a content security policy forbids the rest. A page with an `ItemMap`
has that map's one script, which the policy knows by its digest; any other page runs nothing. The same parts give the
same bytes.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, is_dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlprep.core.configuration import to_mapping
from nlprep.core.errors import FileError, NlprepError, OptionError, os_errors_named
from nlprep.core.files import atomic_file
from nlprep.core.ownership import FileFormat
from nlprep.figures.cells import format_cell, is_numeric
from nlprep.figures.item_map import SCRIPT, STYLE, ItemMap, format_item_map, script_source

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

_TYPES = {".png": "image/png", ".svg": "image/svg+xml", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}
_POLICY = "default-src 'none'; {scripts}img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_STYLE = """\
body { margin: 2.5rem auto; max-width: 62rem; padding: 0 1.25rem; background: #fff; color: #222;
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 1.2rem; }
h2 { font-size: 1.2rem; margin: 2.4rem 0 .6rem; padding-bottom: .25rem; border-bottom: 1px solid #ddd; }
.wide { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: .93rem; }
caption, figcaption { text-align: left; color: #555; font-size: .93rem; padding: .3rem 0; }
th, td { padding: .28rem .9rem .28rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid #e6e6e6; }
thead th { border-bottom: 2px solid #bbb; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
figure { margin: 1.2rem 0; }
img { max-width: 100%; height: auto; }
code { font: .9em ui-monospace, "DejaVu Sans Mono", monospace; }
@media print { body { margin: 0; max-width: none; } figure, tr { break-inside: avoid; } }
"""


@dataclass(frozen=True)
class Heading:
    """The name of a section."""

    text: str


@dataclass(frozen=True)
class Paragraph:
    """Plain words."""

    text: str


@dataclass(frozen=True)
class Table:
    """Rows under a header; numbers stand to the right.

    Attributes:
        header: Names of the columns.
        rows: Each as long as the header. Whole numbers get thousands separators, others four digits that count, an
            `Interval` its ends too, and None a dash; anything else is written as it is.
        caption: A line above it.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[object]]
    caption: str = ""


@dataclass(frozen=True)
class Picture:
    """A figure.

    Attributes:
        path: A ``.png``, ``.svg`` or ``.jpg`` file, which is copied into the report.
        caption: A line below it.
        description: What it shows, for who cannot see it; the caption by default.
    """

    path: str | os.PathLike[str]
    caption: str = ""
    description: str = ""


@dataclass(frozen=True)
class Settings:
    """Names and values, such as a configuration: a mapping or a dataclass; nested ones are named with dots."""

    values: object
    caption: str = "settings"


Part = Heading | Paragraph | Table | Picture | Settings | ItemMap


def write_report(
    title: str,
    parts: Sequence[Part],
    path: str | os.PathLike[str],
    *,
    language: str = "en",
    overwrite: bool = False,
) -> None:
    """Write a report, with a comment at its end that says that it was made here: a digest of the rest.

    Args:
        title: Its name.
        parts: What it says, in order.
        path: A name that ends in ``.html``; an older report of ours there is replaced when this one is whole.
        language: Of its words, as in HTML's ``lang``.
        overwrite: As for `nlprep.core.files.atomic_file`; a page that is not ours is not replaced in any case.

    Raises:
        OptionError: Another ending.
        FileError: A picture that cannot be read or is of another format, or a place that cannot be written or holds
            something that is not ours.
        NlprepError: A table with rows that are not as long as its header, settings that have no names, or a map whose
            parts are not as many as its points.
    """
    if Path(path).suffix.lower() not in (".html", ".htm"):
        raise OptionError(f"report {str(path)!r}: end its name in .html")
    document = format_report(title, parts, language=language).encode("utf-8")
    with atomic_file(path, format=REPORT, overwrite=overwrite) as stream:
        stream.write(document + _seal_of(document))


def format_report(title: str, parts: Sequence[Part], *, language: str = "en") -> str:
    """The HTML that `write_report` writes.

    Raises:
        FileError: As `write_report`.
        NlprepError: As `write_report`.
    """
    sections, maps = [], 0
    for part in parts:
        sections.append(_format_part(part, maps))
        maps += isinstance(part, ItemMap)
    body = "\n".join(sections)
    policy = _POLICY.format(scripts=f"script-src {script_source()}; " if maps else "")
    return (
        "<!DOCTYPE html>\n"
        f'<html lang="{escape(language)}">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{_STYLE}{STYLE if maps else ''}</style>\n</head>\n<body>\n"
        f"<h1>{escape(title)}</h1>\n{body}\n{f'<script>{SCRIPT}</script>' if maps else ''}</body>\n</html>\n"
    )


def _seal_of(document: bytes) -> bytes:
    return f"<!-- nlprep {hashlib.blake2b(document, digest_size=16).hexdigest()} -->\n".encode()


def _is_report(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(15).lower() == b"<!doctype html>"


def _is_sealed(path: Path) -> bool:
    content = path.read_bytes()
    start = len(content) - len(_seal_of(b""))
    return start > 0 and _seal_of(content[:start]) == content[start:]


REPORT = FileFormat("a report", recognises=_is_report, sealed=_is_sealed)
"""Reports, which say themselves that they were made here."""


def _format_part(part: Part, maps: int) -> str:
    if isinstance(part, Heading):
        return f"<h2>{escape(part.text)}</h2>"
    if isinstance(part, Paragraph):
        return f"<p>{escape(part.text)}</p>"
    if isinstance(part, Table):
        return _format_table(part)
    if isinstance(part, Picture):
        return _format_picture(part)
    if isinstance(part, ItemMap):
        return format_item_map(part, maps)
    return _format_settings(part)


def _format_table(table: Table) -> str:
    for number, row in enumerate(table.rows, start=1):
        if len(row) != len(table.header):
            raise NlprepError(
                f"row {number} of the table has {len(row)} cells under {len(table.header)} names: give one for each"
            )
    numeric = [is_numeric([row[column] for row in table.rows]) for column in range(len(table.header))]
    kinds = [' class="number"' if right else "" for right in numeric]
    lines = [f"<caption>{escape(table.caption)}</caption>"] if table.caption else []
    cells = "".join(
        f'<th scope="col"{kind}>{escape(name)}</th>' for name, kind in zip(table.header, kinds, strict=True)
    )
    lines += ["<thead>", f"<tr>{cells}</tr>", "</thead>", "<tbody>"]
    for row in table.rows:
        cells = "".join(f"<td{kind}>{escape(format_cell(cell))}</td>" for cell, kind in zip(row, kinds, strict=True))
        lines.append(f"<tr>{cells}</tr>")
    return "\n".join(['<div class="wide"><table>', *lines, "</tbody>", "</table></div>"])


def _format_picture(picture: Picture) -> str:
    path = Path(picture.path)
    kind = _TYPES.get(path.suffix.lower())
    if kind is None:
        raise FileError(path, f"is no picture that a report can hold: give one of {', '.join(_TYPES)}")
    with os_errors_named(path):
        content = base64.b64encode(path.read_bytes()).decode("ascii")
    caption = f"<figcaption>{escape(picture.caption)}</figcaption>" if picture.caption else ""
    described = escape(picture.description or picture.caption)
    return f'<figure><img src="data:{kind};base64,{content}" alt="{described}">{caption}</figure>'


def _format_settings(settings: Settings) -> str:
    values = settings.values
    if is_dataclass(values) and not isinstance(values, type):
        values = to_mapping(values)
    if not isinstance(values, Mapping):
        raise NlprepError(f"settings of type {type(values).__name__}: give a mapping or a configuration")
    rows = "\n".join(
        f'<tr><th scope="row"><code>{escape(name)}</code></th><td><code>{escape(str(value))}</code></td></tr>'
        for name, value in _flattened(values)
    )
    caption = f"<caption>{escape(settings.caption)}</caption>"
    return f'<div class="wide"><table>{caption}\n<tbody>\n{rows}\n</tbody></table></div>'


def _flattened(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in values.items():
        found += _flattened(value, f"{prefix}{name}.") if isinstance(value, Mapping) else [(f"{prefix}{name}", value)]
    return found
