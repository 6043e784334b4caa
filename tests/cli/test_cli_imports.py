"""Help and import stay light, and so does a translation from a cold start."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from cli import pretrain, translate

pytestmark = pytest.mark.slow
HEAVY = [
    *("torch", "transformers", "gensim", "faiss", "numba", "llvmlite", "rich", "matplotlib", "scipy", "datasets"),
    *("sklearn", "accelerate", "tokenizers", "sentence_transformers", "huggingface_hub", "zstandard"),
]
# Forks, before anything was imported, a process for each piece of code; each says what it has loaded.
REPORT = """
import contextlib, io, json, os, sys

for number, action in enumerate(json.load(sys.stdin)):
    child = os.fork()
    if child == 0:
        status = 1
        try:
            exec(action, {"contextlib": contextlib, "io": io})
            print(json.dumps([number, sorted({name.partition('.')[0] for name in sys.modules})]), flush=True)
            status = 0
        finally:
            if status:
                sys.excepthook(*sys.exc_info())
            os._exit(status)
    os.waitpid(child, 0)
"""


def loaded_after(actions: list[str], environment: dict[str, str]) -> list[set[str]]:
    """The heavy packages that each of several pieces of code loads, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", REPORT],
        input=json.dumps(actions),
        capture_output=True,
        encoding="utf-8",
        env=environment,
        timeout=120,
        check=False,
    )
    loaded = dict(json.loads(line) for line in done.stdout.splitlines())
    assert len(loaded) == len(actions), done.stderr
    return [set(HEAVY) & set(loaded[number]) for number in range(len(actions))]


def call(words: list[str], program: str = "translate") -> str:
    return f"""
from cli.{program} import main
with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    status = main({words!r})
assert status == 0, status
"""


HELP = {
    f"{module.PROGRAM.name} {command}": call([*command.split(), "--help"], module.__name__.rpartition(".")[2])
    for module in (translate, pretrain)
    for command in ("", *module.COMMANDS)
}
LIGHT = HELP | {
    "rep-translate --print-completion": call(["--print-completion", "bash"]),
    "rep-pretrain --print-completion": call(["--print-completion", "bash"], "pretrain"),
    **{
        f"import {module}": f"import {module}"
        for module in ("nlprep", "nlprep.core", "nlprep.corpus", "nlprep.demonstration", "nlprep.evaluation.encoder")
    },
}


def test_help_completion_and_imports_load_nothing_heavy(environment):
    assert len(HELP) > 15
    loaded = loaded_after([*LIGHT.values(), "import rich"], environment)
    assert {name: found for name, found in zip(LIGHT, loaded, strict=False) if found} == {}
    # So that the check can fail.
    assert "rich" in loaded[-1]


def test_a_translation_loads_nothing_heavy(made, environment):
    action = call(["translate", str(made.model), "cat", "--top", "2"])
    assert loaded_after([action], environment) == [set()]
