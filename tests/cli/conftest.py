"""A small translator, made by the commands themselves, and ways to run them."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests_cli_support import COMMAND
from tests_pretrain_support import SMALL, english

from cli import pretrain
from cli.translate import main
from nlprep.demonstration import DemonstrationFiles, write_demonstration

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Made:
    """What the commands made of generated text."""

    folder: Path
    text: DemonstrationFiles
    english: Path
    french: Path
    model: Path


@pytest.fixture(scope="session")
def made(tmp_path_factory) -> Made:
    folder = tmp_path_factory.mktemp("made")
    text = write_demonstration(folder, num_sentences=8_000)
    english, french, model = folder / "vectors.en", folder / "vectors.fr.vec", folder / "en-fr"
    for path, output in ((text.english, english), (text.french, french)):
        words = ["train", str(path), "--output", str(output), "--dimension", "40", "--subsample", "1e-3", "--quiet"]
        assert main([*words, "--epochs", "10", "--threads", "1"]) == 0
    align = ["align", str(english), str(french), "--dictionary", str(text.seed_dictionary), "--output", str(model)]
    assert main([*align, "--languages", "en,fr", "--quiet"]) == 0
    return Made(folder, text, english, french, model)


@dataclass(frozen=True)
class Pretrained:
    """What ``rep-pretrain mlm`` and ``gpt`` made of generated text."""

    text: Path
    masked: Path
    causal: Path


@pytest.fixture(scope="session")
def pretrained(tmp_path_factory) -> Pretrained:
    folder = tmp_path_factory.mktemp("pretrained")
    text = folder / "text.txt"
    text.write_text(english(400), encoding="utf-8")
    masked, causal = folder / "masked", folder / "causal"
    for command, output in (("mlm", masked), ("gpt", causal)):
        assert pretrain.main([command, str(text), "--output", str(output), *SMALL, "--quiet"]) == 0
    return Pretrained(text, masked, causal)


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """The environment for commands in processes of their own."""
    return os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "100"}


@pytest.fixture
def run_command(environment, tmp_path):
    """Run the command in a process of its own, in an empty directory."""

    def run(*words: object, text: str | None = None, program: list[str] = COMMAND, **settings):
        return subprocess.run(
            [*program, *map(str, words)],
            input=text,
            capture_output=True,
            encoding="utf-8",
            env=environment,
            cwd=tmp_path,
            timeout=120,
            check=False,
            **settings,
        )

    return run


def pytest_collection_modifyitems(items):
    """What needs models that commands made waits for these, and so is slow."""
    for item in items:
        if {"made", "pretrained"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)
