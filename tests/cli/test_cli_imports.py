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
REPORT = """
import contextlib, io, json, sys
{action}
print(json.dumps(sorted({{name.partition('.')[0] for name in sys.modules}} & set({heavy!r}))))
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


@pytest.mark.parametrize(
    ("program", "command"),
    [(module.__name__.rpartition(".")[2], name) for module in (translate, pretrain) for name in ("", *module.COMMANDS)],
)
def test_help_loads_nothing_heavy(program, command, environment):
    assert loaded_after(call([*command.split(), "--help"], program), environment) == []


@pytest.mark.parametrize("program", ["translate", "pretrain"])
def test_completion_loads_nothing_heavy(program, environment):
    assert loaded_after(call(["--print-completion", "bash"], program), environment) == []


@pytest.mark.parametrize(
    "module", ["nlprep", "nlprep.core", "nlprep.corpus", "nlprep.demonstration", "nlprep.evaluation.encoder"]
)
def test_importing_loads_nothing_heavy(module, environment):
    assert loaded_after(f"import {module}", environment) == []


def test_a_translation_loads_nothing_heavy(made, environment):
    action = call(["translate", str(made.model), "cat", "--top", "2"])
    assert loaded_after(action, environment) == []


def test_the_check_can_fail(environment):
    assert "rich" in loaded_after("import rich", environment)
