"""The examples of every ``--help`` are words that the commands take."""

from __future__ import annotations

import shlex
from importlib import import_module

import pytest

from cli import pretrain, translate, vision, vqa
from cli.program import _Dash, function_name

PROGRAMS = {module.PROGRAM.name: module.PROGRAM for module in (pretrain, translate, vision, vqa)}


def examples(text):
    """The command lines in a text, by program, without what a shell does with them."""
    for line in text.replace("\\\n", " ").splitlines():
        # Prose has apostrophes, and stands at the margin.
        for command in line.split("|") if line.startswith("  ") else []:
            words = shlex.split(command.partition("#")[0].partition(" > ")[0].partition(" < ")[0])
            if words[:1] == ["torchrun"]:
                words = words[words.index("-m") + 1 :]
                words[0] = {"cli.pretrain": "rep-pretrain", "cli.vision": "rep-vision", "cli.vqa": "rep-vqa"}[words[0]]
            if words and words[0] in PROGRAMS:
                yield words[0], words[1:]


CASES = [(program.name, name) for program in PROGRAMS.values() for name in (None, *program.commands)]


@pytest.mark.slow
@pytest.mark.parametrize(("program", "name"), CASES)
def test_examples_are_understood(program, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # The one file that is read before a command begins.
    (tmp_path / "settings.toml").write_text("")
    asked = PROGRAMS[program]
    text = asked.epilog if name is None else import_module(f"{asked.package}.{function_name(name)}").EPILOG
    found = [example for example in examples(text) if example[1]]
    assert found
    for owner, words in found:
        app = PROGRAMS[owner].app([words[0]])
        # A lone dash is standard input.
        words = [_Dash(word) if word == "-" else word for word in words]
        command, bound, _ = app.parse_args(words, exit_on_error=False, print_error=False)
        assert command.__name__ == function_name(words[0])
        assert bound is not None
