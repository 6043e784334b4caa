"""The reference says what the docstrings say, and leaves nothing public out."""

from __future__ import annotations

import ast
import functools
import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT / "docs" / "reference"


@pytest.fixture(scope="module")
def reference():
    spec = importlib.util.spec_from_file_location("reference", ROOT / "docs" / "reference.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    # All rooms are read once, which takes seconds.
    module.write_pages = functools.cache(module.write_pages)
    return module


def public_names() -> dict[str, Path]:
    """Every public function and class, and the public methods of classes, with the module that defines it."""
    found = {}
    for package in ("nlprep", "vision", "multimodal"):
        for path in sorted((ROOT / package).rglob("*.py")):
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            if path.stem.endswith("_kernel") or any(part.startswith("_") for part in module.split(".")):
                continue
            if module == "nlprep":
                continue
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                    found[f"### `{module}.{node.name}`"] = path
                    for method in node.body if isinstance(node, ast.ClassDef) else []:
                        if isinstance(method, ast.FunctionDef) and not method.name.startswith("_"):
                            found[f"#### `{node.name}.{method.name}`"] = path
    return found


@pytest.mark.slow
def test_the_pages_say_what_the_docstrings_say(reference, capsys):
    assert reference.main(["--check"]) == 0, capsys.readouterr().out


@pytest.mark.slow
def test_nothing_public_is_left_out():
    written = {line for page in PAGES.glob("*.md") for line in page.read_text(encoding="utf-8").splitlines()}
    names = public_names()
    assert len(names) > 300
    assert {heading: path for heading, path in names.items() if heading not in written} == {}


def test_every_room_has_a_page(reference):
    rooms = {path.stem for path in PAGES.glob("*.md")} - {"README"}
    assert rooms == set(reference.rooms())
    assert {"nlprep.core", "nlprep.vectors", "nlprep.objectives", "nlprep.evaluation", "nlprep.figures"} <= rooms


@pytest.mark.slow
def test_a_page_that_is_out_of_date_is_named(reference, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(reference, "PAGES", tmp_path)
    assert reference.main([]) == 0
    page = tmp_path / "nlprep.vectors.md"
    page.write_text(page.read_text() + "more\n")
    assert reference.main(["--check"]) == 1
    assert "docs/reference/nlprep.vectors.md is not what the docstrings say" in capsys.readouterr().out
