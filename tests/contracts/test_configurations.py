"""A configuration stands in the `configuration.py` of its room, which costs nothing to import."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ["nlprep", "vision", "multimodal", "cli"]
SOURCES = [path.relative_to(ROOT) for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
REPORT = """
import importlib, json, sys
before, ours = set(sys.modules), set({packages!r})
for name in {modules!r}:
    importlib.import_module(name)
    loaded = {{loaded.partition(".")[0] for loaded in set(sys.modules) - before}} - ours - sys.stdlib_module_names
    print(json.dumps([name, sorted(loaded)]))
"""


def configurations(source: str) -> list[str]:
    """The classes of a module that have a field made by `option`."""
    return [
        kind.name
        for kind in ast.walk(ast.parse(source))
        if isinstance(kind, ast.ClassDef)
        and any(
            isinstance(line, ast.AnnAssign)
            and isinstance(line.value, ast.Call)
            and ast.unparse(line.value.func).rpartition(".")[2] == "option"
            for line in kind.body
        )
    ]


def loaded_by(modules: list[str]) -> dict[str, list[str]]:
    """What has been loaded besides Python's own and ours when each was imported, one after the other."""
    code = REPORT.format(packages=PACKAGES, modules=modules)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return dict(map(json.loads, done.stdout.splitlines()))


@pytest.mark.slow
def test_every_configuration_stands_in_the_configuration_of_its_room():
    found = {path: names for path in SOURCES if (names := configurations((ROOT / path).read_text(encoding="utf-8")))}
    assert len(found) > 5
    assert {str(path): names for path, names in found.items() if not path.name.endswith("configuration.py")} == {}


def test_configurations_load_no_library():
    modules = [".".join(path.with_suffix("").parts) for path in SOURCES if path.name.endswith("configuration.py")]
    assert "nlprep.vectors.configuration" in modules
    assert loaded_by(modules) == {name: [] for name in modules}


def test_the_checks_can_fail():
    assert configurations("class A:\n    size: int = option(3, 'how large')\n    name: str = 'b'\n") == ["A"]
    assert loaded_by(["nlprep.vectors.whitening"]) == {"nlprep.vectors.whitening": ["numpy"]}
