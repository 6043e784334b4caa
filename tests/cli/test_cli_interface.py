"""The interface as a list: a change of any option, its type, default, range or choices shows in review.

Where the change is meant, write the list anew::

    PYTHONPATH=. python tests/cli/test_cli_interface.py > tests/cli/options.txt
"""

from __future__ import annotations

import functools
import inspect
from pathlib import Path

import pytest

from cli import pretrain, translate, vision

LIST = Path(__file__).with_name("options.txt")
PROGRAMS = {module.PROGRAM.name: module.PROGRAM for module in (translate, pretrain, vision)}


def describe(argument) -> str:
    """One option: its names, its type, its default, and what it takes."""
    hint = str(argument.hint) if "[" in str(argument.hint) else getattr(argument.hint, "__name__", str(argument.hint))
    hint = "str" if "Literal" in hint else hint.replace("pathlib._local.", "").replace("pathlib.", "")
    default = argument.field_info.default
    default = "none" if default is inspect.Parameter.empty else default
    value = "required" if argument.required else f"= {default if isinstance(default, str | Path) else repr(default)}"
    converter = argument.parameter.converter
    taken = []
    if isinstance(converter, functools.partial):
        bounds = converter.args[2]
        ranges = {"at least": bounds.minimum, "at most": bounds.maximum, "above": bounds.above}
        taken = [f"{name} {bound:g}" for name, bound in ranges.items() if bound is not None]
    if choices := argument.get_choices():
        taken.append(f"one of {', '.join(choices)}")
    return "; ".join([f"{' '.join(argument.names)}: {hint} {value}", *taken])


def interface() -> list[str]:
    lines = []
    for program in PROGRAMS.values():
        app = program.app(program.commands)
        for name in program.commands:
            lines.append(f"{program.name} {name}")
            with app.app_stack([name]):
                lines += [f"  {describe(one)}" for one in app[name].assemble_argument_collection()]
    return lines


@pytest.mark.slow
def test_the_interface_is_the_list():
    assert interface() == LIST.read_text(encoding="utf-8").splitlines(), __doc__


@pytest.mark.slow
@pytest.mark.parametrize("columns", [80, 100, 200])
@pytest.mark.parametrize("program", PROGRAMS)
def test_help_fits_the_terminal_and_is_no_wider_than_can_be_read(program, columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    for command in (None, *PROGRAMS[program].commands):
        text = PROGRAMS[program].help(command)
        assert text.endswith("\n")
        assert not text.endswith("\n\n")
        wide = [line for line in text.splitlines() if len(line) > min(columns, 100)]
        assert not wide, (command, wide)


@pytest.mark.parametrize(
    ("program", "command"), [(name, command) for name, program in PROGRAMS.items() for command in program.commands]
)
def test_numbers_are_strict_and_every_option_is_explained(program, command):
    for argument in PROGRAMS[program].app([command])[command].assemble_argument_collection():
        assert argument.parameter.help, argument.names
        plain = str(argument.hint).replace("<class '", "").replace("'>", "")
        if plain.partition(" ")[0] in ("int", "float"):
            # cyclopts' own converter makes 2 of 1.5.
            assert argument.parameter.converter is not None, argument.names


@pytest.mark.parametrize("program", PROGRAMS)
def test_an_unknown_command_is_told_the_known_ones(program, capsys):
    assert PROGRAMS[program].main(["trian", "text.txt"]) == 2
    printed = capsys.readouterr()
    known = ", ".join(PROGRAMS[program].commands)
    expected = f"{program}: error: unknown command 'trian': choose from {known} (see {program} --help)\n"
    assert (printed.out, printed.err) == ("", expected)


if __name__ == "__main__":
    print("\n".join(interface()))  # noqa: T201
