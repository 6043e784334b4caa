"""The interface as a list: a change of any option, its type, default, range or choices shows in review.

Where the change is meant, write the list anew::

    PYTHONPATH=. python tests/cli/test_cli_interface.py > tests/cli/options.txt
"""

from __future__ import annotations

import functools
import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest

from cli import pretrain, translate, vision, vqa
from cli.help import command_help
from cli.program import function_name
from cli.vision_commands.train import EPILOG

LIST = Path(__file__).with_name("options.txt")
PROGRAMS = {module.PROGRAM.name: module.PROGRAM for module in (translate, pretrain, vision, vqa)}


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


def chapters_of(program):
    """The commands of a program whose help is in chapters, and how."""
    modules = {
        name: import_module(f"{PROGRAMS[program].package}.{function_name(name)}") for name in PROGRAMS[program].commands
    }
    return {name: module.CHAPTERS for name, module in modules.items() if hasattr(module, "CHAPTERS")}


@pytest.mark.slow
@pytest.mark.parametrize("columns", [80, 100, 200])
@pytest.mark.parametrize("program", PROGRAMS)
def test_help_fits_the_terminal_and_is_no_wider_than_can_be_read(program, columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    asked = [(command, None) for command in (None, *PROGRAMS[program].commands)]
    longest = {command: max(chapters.summaries, key=len) for command, chapters in chapters_of(program).items()}
    for command, word in [*asked, *longest.items()]:
        text = PROGRAMS[program].help(command, word)
        assert text.endswith("\n")
        assert not text.endswith("\n\n")
        wide = [line for line in text.splitlines() if len(line) > min(columns, 100)]
        assert not wide, (command, word, wide)


@pytest.mark.slow
def test_a_long_help_is_in_chapters_that_can_be_read_and_hold_every_option(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    assert [(name, list(chapters_of(name))) for name in PROGRAMS if chapters_of(name)] == [("rep-vision", ["train"])]
    program, parted = PROGRAMS["rep-vision"], chapters_of("rep-vision")["train"]
    app = program.app(["train"])
    with app.app_stack(["train"]):
        arguments = app["train"].assemble_argument_collection()
    said, *texts = (
        command_help("rep-vision train", "Learn a model of images, without labels.", arguments, EPILOG, chapters=parted,
                     word=word)
        for word in (None, *parted.summaries)
    )  # fmt: skip
    chapters = dict(zip(parted.summaries, texts, strict=True))
    assert max(len(text.splitlines()) for text in (said, *texts)) <= 160
    shown = {word for text in (said, *texts) for word in re.split(r"[\s,]+", text) if word.startswith("--")}
    assert {name for one in arguments for name in one.names if name.startswith("--")} <= shown
    # What is of one model is in its chapter alone, and what is of all before them.
    assert [word for word, text in chapters.items() if "--vae-beta " in text] == ["vae", "conditional-vae"]
    assert [word for word, text in chapters.items() if "--steps " in text] == []
    assert "--steps " in said
    assert "--vae-beta " not in said
    assert all(f"\n  {word} " in said or f"\n  {word}\n" in said for word in chapters)
    for words, text in (
        (["train", "vae", "photos", "-h"], chapters["vae"]),
        (["train", "photos", "--help"], said),
    ):
        assert program.main(words) == 0
        assert capsys.readouterr().out == text


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
