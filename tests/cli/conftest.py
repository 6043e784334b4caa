"""A small translator, made by the commands themselves, and ways to run them."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests_cli_support import COMMAND

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
    assert main([*align, "--source-language", "en", "--target-language", "fr", "--quiet"]) == 0
    return Made(folder, text, english, french, model)


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """The environment for commands in processes of their own."""
    return os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "100"}


@pytest.fixture
def run_command(environment, tmp_path):
    """Run the command in a process of its own, in an empty directory."""

    def run(*words: object, text: str | None = None, **settings):
        return subprocess.run(
            [*COMMAND, *map(str, words)],
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
