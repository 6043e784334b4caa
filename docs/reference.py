"""The reference: a page for each room in ``docs/reference``, written from the docstrings.

    python docs/reference.py            write the pages
    python docs/reference.py --check    say which pages are not what the docstrings say, status 1 if any

The code is read, not imported. Names that begin with an underscore, and the compiled inner loops (``*_kernel``), which
are called by the modules beside them alone, have no place in it.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import griffe

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT / "docs" / "reference"
_QUOTES = "\"'"
_SECTIONS = {
    "parameters": "Arguments",
    "attributes": "Attributes",
    "returns": "Returns",
    "yields": "Yields",
    "raises": "Raises",
    "warns": "Warns",
}


def rooms() -> list[str]:
    """The rooms that have a page: those of nlprep, and the packages beside it."""
    inside = (path for path in (ROOT / "nlprep").iterdir() if not path.name.startswith(("_", ".")))
    found = sorted(f"nlprep.{path.stem}" for path in inside if path.suffix == ".py" or (path / "__init__.py").is_file())
    return ["nlprep", *found, "vision", "multimodal"]


def write_pages() -> dict[str, str]:
    """The text of every page, by file name."""
    # Types that numba infers are not written down, which griffe minds.
    logging.getLogger("griffe").setLevel(logging.ERROR)
    packages = {
        name: griffe.load(name, search_paths=[ROOT], allow_inspection=False, docstring_parser="google")
        for name in ("nlprep", "vision", "multimodal")
    }
    pages = {}
    for room in rooms():
        top, _, rest = room.partition(".")
        module: Any = packages[top][rest] if rest else packages[top]
        # The pages of its rooms hold the rest of nlprep.
        pages[f"{room}.md"] = "\n".join(_page(module, deep=room != "nlprep")).rstrip() + "\n"
    listed = [f"- [`{room}`]({room}.md): {_first_line(pages[f'{room}.md'])}" for room in rooms()]
    pages["README.md"] = "\n".join(
        [
            "# Reference",
            "",
            "Written from the docstrings by `python docs/reference.py`; what begins with an underscore is left out.",
            "",
            *listed,
            "",
        ]
    )
    return pages


def _first_line(page: str) -> str:
    paragraph = page.split("\n\n")[1].replace("\n", " ")
    return paragraph.partition(". ")[0].rstrip(".") + "."


def _page(room: Any, *, deep: bool) -> Iterator[str]:
    yield f"# `{room.path}`\n"
    yield from _text(room)
    if not deep:
        names = [str(name).strip("'\"") for name in room["__all__"].value.elements]
        yield "Names that `nlprep` itself hands on, each from its home:\n"
        yield from (f"- `nlprep.{name}`: `{_home(room, name)}`" for name in names)
        return
    yield from _members(room)
    for module in _modules(room):
        yield f"## `{module.path}`\n"
        yield from _text(module)
        yield from _members(module)


def _home(package: Any, name: str) -> str:
    homes = package["_HOMES"].value
    found = {
        str(key).strip("'\""): str(value).strip("'\"") for key, value in zip(homes.keys, homes.values, strict=True)
    }
    return found[name]


def _modules(room: Any) -> Iterator[Any]:
    """The public modules below a room, in order, however deep."""
    for name, module in sorted(room.modules.items()):
        if not name.startswith("_") and not name.endswith("_kernel"):
            yield module
            yield from _modules(module)


def _members(module: Any) -> Iterator[str]:
    for member in _public(module):
        if member.is_attribute and not member.docstring:
            continue
        yield f"### `{module.path}.{member.name}`\n"
        yield from _signature(member)
        yield from _text(member)
        if member.is_class:
            yield from _options(member)
            for method in _public(member):
                if method.is_function or (method.is_attribute and "property" in method.labels):
                    yield f"#### `{member.name}.{method.name}`\n"
                    yield from _signature(method)
                    yield from _text(method)


def _public(owner: Any) -> list[Any]:
    return [
        member
        for name, member in owner.members.items()
        if not name.startswith("_") and not member.is_alias and not member.is_module
    ]


def _signature(member: Any) -> Iterator[str]:
    if member.is_function:
        lines = [str(member.signature())]
        if len(lines[0]) > 100:
            lines = _one_a_line(member)
        yield "\n".join(["```python", *lines, "```", ""])
    elif member.is_attribute and member.annotation is not None:
        yield f"```python\n{member.name}: {member.annotation}\n```\n"
    elif member.is_class and member.bases:
        yield f"```python\nclass {member.name}({', '.join(map(str, member.bases))})\n```\n"


def _one_a_line(function: Any) -> list[str]:
    whole = str(function.signature())
    opening = whole.index("(") + 1
    depth, start, parts = 0, opening, []
    for position in range(opening, len(whole)):
        letter = whole[position]
        depth += (letter in "([{") - (letter in ")]}")
        if (letter == "," and depth == 0) or depth < 0:
            parts.append(whole[start:position].strip())
            start = position + 1
        if depth < 0:
            return [whole[:opening], *(f"    {part}," for part in parts), whole[position:]]
    return [whole]


def _options(owner: Any) -> Iterator[str]:
    """The fields of a configuration, from what `nlprep.core.configuration.option` is told."""
    rows = []
    for member in owner.members.values():
        value = getattr(member, "value", None)
        if isinstance(value, griffe.ExprCall) and str(value.function) == "option":
            default, described = (str(argument) for argument in value.arguments[:2])
            bounds = ", ".join(str(argument) for argument in value.arguments[2:]).replace("|", "\\|")
            kind = str(member.annotation).replace("|", "\\|")
            rows.append(f"| `{member.name}` | `{kind}` | `{default}` | {described.strip(_QUOTES)} | {bounds} |")
    if rows:
        yield "| option | type | default | what it is | range |\n| --- | --- | --- | --- | --- |"
        yield "\n".join(rows) + "\n"


def _text(member: Any) -> Iterator[str]:
    if member.docstring is None:
        return
    for section in member.docstring.parsed:
        kind = section.kind.value
        if kind == "text":
            yield section.value.replace("``", "`").replace("::\n", ":\n") + "\n"
        elif kind == "examples":
            yield (
                "\n".join(text if sort.value == "text" else f"```python\n{text}\n```" for sort, text in section.value)
                + "\n"
            )
        elif kind == "admonition":
            yield f"**{section.title}** {section.value.description}\n"
        elif kind in _SECTIONS:
            yield f"{_SECTIONS[kind]}:\n"
            for entry in section.value:
                name = getattr(entry, "name", "") or (str(entry.annotation) if kind in ("raises", "warns") else "")
                described = " ".join(entry.description.replace("``", "`").split())
                yield f"- `{name}`: {described}" if name else f"- {described}"
            yield ""


def main(words: list[str]) -> int:
    """Write the pages, or check them; return the exit status."""
    pages = write_pages()
    if words == ["--check"]:
        there = {path.name: path.read_text(encoding="utf-8") for path in PAGES.glob("*.md")}
        stale = sorted(name for name in pages.keys() | there.keys() if pages.get(name) != there.get(name))
        for name in stale:
            print(f"docs/reference/{name} is not what the docstrings say: run python docs/reference.py")
        return 1 if stale else 0
    PAGES.mkdir(exist_ok=True)
    for path in PAGES.glob("*.md"):
        if path.name not in pages:
            path.unlink()
    for name, text in pages.items():
        (PAGES / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
