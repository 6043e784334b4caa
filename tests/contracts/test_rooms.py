"""Who may import whom: the contracts name every room there is, and a module that breaks one fails them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ["nlprep", "vision", "multimodal", "cli"]
SHARED = {"nlprep.core", "nlprep.evaluation", "nlprep.figures", "nlprep.objectives", "nlprep.vectors"}


def rooms() -> set[str]:
    """The folders and modules right below nlprep."""
    found = (path for path in (ROOT / "nlprep").iterdir() if not path.name.startswith(("_", ".")))
    return {f"nlprep.{path.stem}" for path in found if path.suffix == ".py" or (path / "__init__.py").is_file()}


def contracts() -> list[dict]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]


def forbidden_to(source: set[str]) -> set[str]:
    (found,) = (
        contract["forbidden_modules"]
        for contract in contracts()
        if contract["type"] == "forbidden" and set(contract["source_modules"]) == source
    )
    return set(found)


def test_the_shared_rooms_are_there():
    assert rooms() > SHARED


def test_vision_is_forbidden_every_room_that_is_not_shared():
    assert forbidden_to({"vision"}) == (rooms() - SHARED) | {"multimodal", "cli"}


def test_the_shared_rooms_are_forbidden_every_other():
    assert forbidden_to(SHARED) == (rooms() - SHARED) | {"vision", "multimodal", "cli"}


def test_every_room_has_a_layer():
    (layers,) = (c["layers"] for c in contracts() if c["type"] == "layers" and "containers" not in c)
    placed = {name.strip() for layer in layers for name in layer.replace(":", "|").split("|")}
    assert placed == rooms() | {"vision", "multimodal", "cli"}


def test_every_folder_of_a_divided_room_has_a_layer():
    divided = {c["containers"][0]: c["layers"] for c in contracts() if "containers" in c}
    assert set(divided) == {"nlprep.core.training", "nlprep.language_models", "nlprep.translation"}
    for room, layers in divided.items():
        placed = {name.strip() for layer in layers for name in layer.split("|")}
        inside = (ROOT / room.replace(".", "/")).iterdir()
        assert placed == {
            path.stem for path in inside if not path.name.startswith("_") and (path.is_dir() or path.suffix == ".py")
        }, room


PLANTED = {
    "vision/planted.py": ["nlprep.vocabulary", "multimodal"],
    "multimodal/planted.py": ["cli"],
    "nlprep/evaluation/planted.py": ["nlprep.corpus"],
    "nlprep/core/planted.py": ["nlprep.vectors"],
    "nlprep/embeddings/planted.py": ["vision"],
    "nlprep/language_models/text/planted.py": ["nlprep.language_models.models"],
}


@pytest.fixture(scope="module")
def complaints(tmp_path_factory) -> str:
    """What the contracts say of a copy of the packages in which each module of `PLANTED` imports what it may not."""
    copy = tmp_path_factory.mktemp("planted")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    for place, imported in PLANTED.items():
        (copy / place).write_text("".join(f"import {name}\n" for name in imported))
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]
    done = subprocess.run(
        [*command, "--no-cache"],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": str(copy), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "imported"), [(place, name) for place, imported in PLANTED.items() for name in imported]
)
def test_a_module_that_imports_what_it_may_not_fails(place, imported, complaints):
    module = place.removesuffix(".py").replace("/", ".")
    assert f"{module} -> {imported} (l." in complaints
