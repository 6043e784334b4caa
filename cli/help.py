"""The text of ``--help``, from what cyclopts knows of a command.

cyclopts would draw it with rich: on a command of forty options that takes longer than all the rest of ``--help``.
"""

from __future__ import annotations

import shutil
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, get_args, get_origin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from cyclopts import Argument, ArgumentCollection

_WIDEST = 100
_COLUMN = 26
_KINDS = {int: "N", float: "X", Path: "PATH"}


@dataclass(frozen=True)
class Chapters:
    """How a command of very many options parts its help: what counts for one word alone has a chapter of its own.

    ``PROGRAM COMMAND --help`` lists the words and leaves out what is in chapters, which ``PROGRAM COMMAND WORD --help``
    shows. Nothing else depends on this: every option is parsed whether or not its chapter's word is there.

    Attributes:
        title: What the words are, as a heading.
        word: What stands for one.
        summaries: A line on each word.
        usage: The words of the command, as they are typed, with WORD for the word and with none.
        headings: The headings in the chapter of a word, each with those nested in it.
        apart: Those that are in chapters alone, likewise.
    """

    title: str
    word: str
    summaries: Mapping[str, str]
    usage: tuple[str, str]
    headings: Callable[[str], tuple[str, ...]]
    apart: tuple[str, ...]

    def shows(self, heading: str, word: str | None) -> bool:
        """Whether a heading is in the chapter of a word, or, for None, before all chapters."""
        wanted = self.apart if word is None else self.headings(word)
        inside = any(heading == one or heading.startswith((f"{one} ", f"{one}: ")) for one in wanted)
        return inside if word is not None else not inside


def program_help(name: str, description: str, commands: Mapping[str, str], epilog: str) -> str:
    """What ``PROGRAM --help`` says: a line for each command."""
    options = {
        "--help, -h": "show this, or what COMMAND takes",
        "--version": "show the version and leave",
        "--print-completion SHELL": "print a script that completes this command in bash, zsh or fish, and leave",
    }
    parts = [f"usage: {name} COMMAND ...", _filled(description), _section("commands", commands.items())]
    return "\n\n".join([*parts, _section("options", options.items()), _epilog(epilog)])


def command_help(
    name: str,
    description: str,
    arguments: ArgumentCollection,
    epilog: str,
    *,
    chapters: Chapters | None = None,
    word: str | None = None,
) -> str:
    """What ``PROGRAM COMMAND --help`` says: its options under their headings, in the order of these.

    Args:
        name: Of the program and the command.
        description: What the command does.
        arguments: What it takes.
        epilog: Examples and remarks.
        chapters: How its help is parted, if it is.
        word: Whose chapter is asked for.
    """
    words = [one for one in arguments if one.field_info.is_positional]
    needed = [one for one in arguments if one.required and one not in words]
    usage = " ".join([f"usage: {name} [options]", *map(_spelled, needed), *map(_spelled, words)])
    if chapters is not None:
        usage = f"usage: {name} {chapters.usage[word is None].replace('WORD', word or '')}"
    sections = []
    for group in sorted(arguments.groups, key=lambda group: group.sort_key):
        if chapters is None or chapters.shows(group.name, word):
            entries = [(_spelled(one), _explained(one)) for one in arguments.filter_by(group=group)]
            sections.append(_section(group.name, entries))
    if chapters is not None and word is None:
        title = f"{chapters.title} ({name} {chapters.word} --help has the options of one)"
        sections.insert(1, _section(title, chapters.summaries.items()))
    if chapters is not None and word is not None:
        description = f"{word}: {chapters.summaries[word]}"
        epilog = f"What all {chapters.title} take, with examples: {name} --help"
    return "\n\n".join(
        [textwrap.fill(usage, _width(), subsequent_indent="  "), _filled(description), *sections, _epilog(epilog)]
    )


def _section(title: str, entries: Iterable[tuple[str, str]]) -> str:
    lines = [f"{title}:"]
    width = _width() - _COLUMN
    for name, text in entries:
        described = textwrap.wrap(text, width, break_on_hyphens=False) or [""]
        if len(name) > _COLUMN - 4:
            lines += _listed(name)
        else:
            described[0] = f"  {name}".ljust(_COLUMN) + described[0]
        first = len(name) <= _COLUMN - 4
        lines += [line if first and not place else " " * _COLUMN + line for place, line in enumerate(described)]
    return "\n".join(lines)


def _listed(name: str) -> list[str]:
    """A name on lines of its own, broken between its choices if there are too many of them."""
    if len(name) + 2 <= _width():
        return [f"  {name}"]
    parted = name.replace(", ", ",").replace(",", ", ")
    return textwrap.wrap(parted, _width(), initial_indent="  ", subsequent_indent=" " * 6, break_on_hyphens=False)


def _spelled(argument: Argument) -> str:
    """An option with what it takes, or a word."""
    positional = argument.field_info.is_positional
    # An option that may be repeated takes one value each time.
    many = "..." if argument.token_count()[1] and (positional or argument.parameter.consume_multiple) else ""
    if positional:
        name = f"{argument.name}{many}"
        return name if argument.required else f"[{name}]"
    if argument.hint is bool:
        return ", ".join(argument.names)
    return f"{', '.join(argument.names)} {_taken(argument)}{many}"


def _taken(argument: Argument) -> str:
    if choices := argument.get_choices():
        return f"{{{','.join(choices)}}}"
    members = [one for one in get_args(argument.hint) or [argument.hint] if one not in (type(None), Ellipsis)]
    if get_origin(argument.hint) not in (tuple, list) and members and get_args(members[0]):
        members = [one for one in get_args(members[0]) if one is not Ellipsis]
    return " ".join(_KINDS.get(one, "TEXT") for one in members)


def _explained(argument: Argument) -> str:
    default, show = argument.field_info.default, argument.show_default
    shown = show(default) if callable(show) else str(default)
    if argument.required or not show or (not callable(show) and default in (None, "", False)):
        shown = ""
    elif default is True and not callable(show):
        shown = "yes"
    if argument.field_info.kind is argument.field_info.VAR_POSITIONAL:
        shown = ""
    after = f" [default: {shown}]" if shown else " [needed]" if argument.required else ""
    return _phrase(argument.parameter.help or "") + after


def _phrase(text: str) -> str:
    """The sentence of a docstring as the help of a setting is written: small, without a full stop."""
    first = text.partition(" ")[0]
    small = not any(letter.isupper() for letter in first[1:])
    return f"{text[:1].lower() if small else text[:1]}{text[1:]}".removesuffix(".")


def _epilog(text: str) -> str:
    """Examples as they are, each other paragraph filled to the width."""
    parts = text.strip().split("\n\n")
    return "\n\n".join(part if "\n  " in part else _filled(part) for part in parts) + "\n"


def _filled(text: str) -> str:
    return textwrap.fill(" ".join(text.split()), _width())


def _width() -> int:
    return min(shutil.get_terminal_size().columns, _WIDEST)
