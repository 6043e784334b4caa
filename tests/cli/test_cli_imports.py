"""Help and import stay light, and so does a translation from a cold start."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
PROGRAMS = {name: importlib.import_module(place.partition(":")[0]) for name, place in SCRIPTS.items()}
OURS = {"nlprep", "vision", "multimodal", "cli"}
PARSER = {"cyclopts", "attr", "attrs"}
HEAVY = [
    *(
        "numpy",
        "torch",
        "transformers",
        "gensim",
        "faiss",
        "numba",
        "llvmlite",
        "rich",
        "matplotlib",
        "scipy",
        "datasets",
    ),
    *("sklearn", "accelerate", "tokenizers", "sentence_transformers", "huggingface_hub", "zstandard"),
]
REPORT = """
import contextlib, io, json, sys
{action}
print(json.dumps(sorted({{name.partition('.')[0] for name in sys.modules}} & set({heavy!r}))))
"""
# One interpreter for all commands of a program: the first that loads something is the first of which it is said.
EVERY_HELP = """
import contextlib, io, json, sys
before, loaded = set(sys.modules), {{}}
from {module} import main
for command in {commands!r}:
    with contextlib.redirect_stdout(io.StringIO()) as told:
        status = main([*command.split(), "--help"])
    assert status == 0, status
    assert told.getvalue().startswith(" ".join(["usage: {program}", *command.split()])), told.getvalue()
    loaded[command] = sorted(set(sys.modules) - before)
print(json.dumps(loaded))
"""


def loaded_after(action: str, environment: dict[str, str]) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", REPORT.format(action=action, heavy=HEAVY)],
        capture_output=True,
        encoding="utf-8",
        env=environment,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def call(words: list[str], program: str = "translate") -> str:
    return f"""
from cli.{program} import main
with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    status = main({words!r})
assert status == 0, status
"""


def loaded_by_help(program: str, main: str, commands: list[str], environment: dict[str, str]) -> dict[str, list[str]]:
    """What each ``--help`` has loaded besides Python's own and ours, one after the other in a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", EVERY_HELP.format(module=main.partition(":")[0], program=program, commands=commands)],
        capture_output=True,
        encoding="utf-8",
        env=environment,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    loaded = {command: {name.partition(".")[0] for name in new} for command, new in json.loads(done.stdout).items()}
    return {command: sorted(tops - OURS - sys.stdlib_module_names) for command, tops in loaded.items()}


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS)
def test_help_loads_no_library_but_the_parser(program, environment):
    commands = list(PROGRAMS[program].PROGRAM.commands)
    assert commands
    loaded = loaded_by_help(program, SCRIPTS[program], ["", *commands], environment)
    assert list(loaded) == ["", *commands]
    assert {command: found for command, tops in loaded.items() if (found := set(tops) - PARSER)} == {}


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS)
def test_completion_loads_nothing_heavy(program, environment):
    module = PROGRAMS[program].__name__.rpartition(".")[2]
    assert loaded_after(call(["--print-completion", "bash"], module), environment) == []


@pytest.mark.parametrize("module", ["nlprep", "nlprep.core", "nlprep.evaluation.encoder"])
def test_importing_loads_nothing_heavy(module, environment):
    assert loaded_after(f"import {module}", environment) == []


@pytest.mark.parametrize("module", ["nlprep.corpus", "nlprep.demonstration"])
def test_importing_what_computes_loads_numpy_at_most(module, environment):
    assert set(loaded_after(f"import {module}", environment)) <= {"numpy"}


@pytest.mark.slow
def test_a_translation_loads_numpy_at_most(made, environment):
    action = call(["translate", str(made.model), "cat", "--top", "2"])
    assert loaded_after(action, environment) == ["numpy"]


@pytest.mark.slow
def test_the_checks_can_fail(environment, tmp_path):
    assert "rich" in loaded_after("import rich", environment)
    (tmp_path / "planted.py").write_text(
        "def main(words):\n    import numpy\n    print('usage: planted')\n    return 0\n"
    )
    path = f"{environment['PYTHONPATH']}{os.pathsep}{tmp_path}"
    loaded = loaded_by_help("planted", "planted:main", [""], environment | {"PYTHONPATH": path})
    assert "numpy" in loaded[""]
