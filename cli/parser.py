"""The argument parser of a program with commands, one module each."""

from __future__ import annotations

import argparse
from importlib import import_module
from typing import TYPE_CHECKING, Any

from cli.options import Parser

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

SHELLS = ("bash", "zsh", "tcsh")


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from importlib.metadata import PackageNotFoundError, version

        try:
            found = version("nlprep-toolkit")
        except PackageNotFoundError:
            found = "(not installed)"
        print(f"{parser.prog} {found}")
        parser.exit()


class _Completion(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, _namespace: Any, value: Any, *_: Any) -> None:
        import shtab

        print(shtab.complete(parser, shell=value))
        parser.exit()


def build_parser(
    program: str,
    description: str,
    epilog: str,
    commands: Mapping[str, str],
    package: str,
    wanted: Collection[str],
) -> tuple[Parser, dict[str, Parser]]:
    """Build the parser of a program.

    Args:
        program: Its name.
        description: What it is, for ``--help``.
        epilog: Examples, for ``--help``.
        commands: A line of help for each command.
        package: Where each command has a module of its name, with ``add_arguments(parser)``.
        wanted: The commands whose arguments are needed; the modules of the others are not imported.

    Returns:
        The parser and those of all commands.
    """
    parser = Parser(prog=program, description=description, epilog=epilog)
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and leave")
    parser.add_argument(
        "--print-completion",
        action=_Completion,
        choices=SHELLS,
        help="print a script that completes this command in a shell, and leave",
    )
    added = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands", parser_class=Parser)
    parsers: dict[str, Parser] = {}
    for name, summary in commands.items():
        parsers[name] = added.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        if name in wanted:
            import_module(f"{package}.{name}").add_arguments(parsers[name])
    return parser, parsers


def named_command(argv: list[str], commands: Collection[str]) -> str | None:
    """The command that a command line names: its first word that is no option."""
    first = next((word for word in argv if not word.startswith("-")), None)
    return first if first in commands else None


def named_file(argv: list[str]) -> str | None:
    """What follows ``--config`` on a command line: it is needed before the rest can be parsed."""
    for position, word in enumerate(argv):
        if word == "--":
            return None
        if word == "--config" and position + 1 < len(argv):
            return argv[position + 1]
        if word.startswith("--config="):
            return word.removeprefix("--config=")
    return None
