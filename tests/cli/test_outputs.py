"""Nothing of a user's is ever lost: every command that writes, over everything that it must not replace.

Each is given as the words that make its output, quickly; whatever refuses does so before the work, so that the
table over all commands costs little. What is accepted is run once.
"""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from tests_cli_support import failing, one_line, snapshot
from tests_pretrain_support import SHAPE, SHORT, SMALL

from cli import pretrain, translate
from nlprep.core.ownership import claim_run
from nlprep.embeddings.vector_files import write_vectors
from nlprep.embeddings.vector_files.recognition import WORD2VEC_FILE
from nlprep.embeddings.word_vectors import WordVectors

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Command:
    """A command that writes.

    Attributes:
        words: With OUTPUT for the output, and names of `Place` for what is read.
        inputs: The arguments that are read, by the names of places.
        file: The ending of its output; empty for a directory.
        again: Whether its own output is replaced without being asked: False where a file cannot say whose it is.
    """

    main: object
    words: str
    inputs: tuple[str, ...]
    file: str = ""
    again: bool = True


FINETUNE = "--steps 2 --batch-size 2 --log-every 2 --precision fp32 --threads 1"
TRAIN = "--dimension 4 --epochs 1 --min-count 1 --threads 1"
COMMANDS = {
    "train": Command(translate.main, f"train TEXT -o OUTPUT {TRAIN}", ("TEXT",)),
    "train text": Command(translate.main, f"train TEXT -o OUTPUT {TRAIN}", ("TEXT",), ".vec", again=False),
    "train binary": Command(translate.main, f"train TEXT -o OUTPUT {TRAIN}", ("TEXT",), ".bin", again=False),
    "align": Command(
        translate.main, "align ENGLISH FRENCH -d DICTIONARY -o OUTPUT --threads 1", ("ENGLISH", "FRENCH", "DICTIONARY")
    ),
    "align several": Command(
        translate.main,
        "align ENGLISH FRENCH THIRD -d DICTIONARY -d OTHER --languages en,fr,xx -o OUTPUT --threads 1",
        ("ENGLISH", "FRENCH", "THIRD", "DICTIONARY", "OTHER"),
    ),
    "convert": Command(translate.main, "convert ENGLISH OUTPUT --limit 9", ("ENGLISH",)),
    "convert text": Command(translate.main, "convert ENGLISH OUTPUT --limit 9", ("ENGLISH",), ".vec", again=False),
    "convert binary": Command(translate.main, "convert ENGLISH OUTPUT --limit 9", ("ENGLISH",), ".bin", again=False),
    "plot png": Command(translate.main, "plot MODEL -d DICTIONARY -o OUTPUT --num 3", ("MODEL", "DICTIONARY"), ".png"),
    "plot svg": Command(translate.main, "plot MODEL -d DICTIONARY -o OUTPUT --num 3", ("MODEL", "DICTIONARY"), ".svg"),
    "plot pdf": Command(translate.main, "plot MODEL -d DICTIONARY -o OUTPUT --num 3", ("MODEL", "DICTIONARY"), ".pdf"),
    "demo": Command(translate.main, "demo -o OUTPUT --sentences 600 --threads 1", ()),
    "tokenizer": Command(pretrain.main, "tokenizer TEXT -o OUTPUT --vocabulary-size 300", ("TEXT",)),
    "mlm": Command(
        pretrain.main, f"mlm TEXT -o OUTPUT --tokenizer BERT {' '.join([*SHAPE, *SHORT])}", ("TEXT", "BERT")
    ),
    "gpt": Command(pretrain.main, f"gpt TEXT -o OUTPUT {' '.join(SMALL)}", ("TEXT",)),
    "finetune": Command(
        pretrain.main,
        f"finetune BERT --train LABELLED --validation LABELLED --test LABELLED -o OUTPUT {FINETUNE}",
        ("BERT", "LABELLED"),
    ),
    "finetune similarity": Command(
        pretrain.main,
        f"finetune BERT --task similarity --train TEXT --lines -o OUTPUT {FINETUNE}",
        ("BERT", "TEXT"),
    ),
    "finetune translation": Command(
        pretrain.main,
        f"finetune BERT --task translation --decoder GPT --train TEXT TEXT --longest 20 -o OUTPUT {FINETUNE}",
        ("BERT", "GPT", "TEXT"),
    ),
    "encode npy": Command(pretrain.main, "encode BERT TEXT -o OUTPUT", ("BERT", "TEXT"), ".npy", again=False),
    "encode npz": Command(pretrain.main, "encode BERT TEXT -o OUTPUT", ("BERT", "TEXT"), ".npz", again=False),
    "encode safetensors": Command(
        pretrain.main, "encode BERT TEXT -o OUTPUT", ("BERT", "TEXT"), ".safetensors", again=False
    ),
    "probe": Command(
        pretrain.main,
        "probe BERT --train LABELLED --test LABELLED --labels 100% --no-baselines --plot OUTPUT",
        ("BERT", "LABELLED"),
        ".png",
    ),
}
DIRECTORIES = [name for name, command in COMMANDS.items() if not command.file]
FILES = [name for name, command in COMMANDS.items() if command.file]


@pytest.fixture(scope="module")
def sources(pretrained, tmp_path_factory) -> dict[str, Path]:
    """What the commands read, never written to."""
    folder = tmp_path_factory.mktemp("sources")
    paths = {
        "TEXT": "text.txt", "LABELLED": "labelled.tsv", "DICTIONARY": "en-fr.txt", "OTHER": "en-xx.txt",
        "ENGLISH": "en", "FRENCH": "fr.vec",
        "THIRD": "xx.bin", "MODEL": "en-fr",
    }  # fmt: skip
    places = {name: folder / path for name, path in paths.items()}
    places["TEXT"].write_text("".join(pretrained.text.read_text(encoding="utf-8").splitlines(keepends=True)[:40]))
    places["LABELLED"].write_text("text\tlabel\n" + "A cat sleeps.\tx\nIt rains.\ty\n" * 4)
    # One language seen from three sides: which translates which is beyond doubt.
    matrix = np.random.default_rng(5).standard_normal((400, 10)).astype(np.float32)
    for name, turn, kind in (("ENGLISH", 0, "artifact"), ("FRENCH", 1, "word2vec"), ("THIRD", 2, "word2vec-binary")):
        words = [f"{name.lower()[:2]}{number}" for number in range(400)]
        write_vectors(WordVectors(words, np.roll(matrix, turn, axis=1)), places[name], format=kind)
    places["DICTIONARY"].write_text("".join(f"en{number} fr{number}\n" for number in range(0, 400, 2)))
    places["OTHER"].write_text("".join(f"en{number} th{number}\n" for number in range(0, 400, 2)))
    align = ["align", places["ENGLISH"], places["FRENCH"], "-d", places["DICTIONARY"], "-o", places["MODEL"]]
    assert translate.main([*map(str, align), "--languages", "en,fr", "--threads", "1", "--quiet"]) == 0
    return places | {"BERT": pretrained.masked, "GPT": pretrained.causal}


@pytest.fixture
def places(sources, tmp_path) -> dict[str, Path]:
    """The same, each in a folder of its own, to be endangered."""
    copies = {}
    for name, path in sources.items():
        folder = tmp_path / "inputs" / name.lower()
        folder.mkdir(parents=True)
        copies[name] = folder / path.name
        (shutil.copytree if path.is_dir() else shutil.copy2)(path, copies[name])
    return copies


def words_of(command: Command, places: dict[str, Path], output: Path, *more: str) -> list[str]:
    found = [str(output) if word == "OUTPUT" else str(places.get(word, word)) for word in command.words.split()]
    return [*found, *more]


@pytest.fixture
def refuse(capsys, tmp_path):
    """Runs a command over an output, which it must refuse, in one line, leaving everything as it stands."""

    def run(command: Command, places: dict[str, Path], output: Path, *more: str) -> str:
        return failing(command.main, capsys, tmp_path)(*words_of(command, places, output, *more))

    return run


def succeed(command: Command, places: dict[str, Path], output: Path, capsys, *more: str) -> None:
    status = command.main([*words_of(command, places, output, *more), "--quiet"])
    assert status == 0, capsys.readouterr().err


def transformers_model(folder: Path, pretrained_model: Path) -> Path:
    """A model that somebody saved with transformers: our files without our mark."""
    shutil.copytree(pretrained_model, folder)
    (folder / "nlprep.json").unlink()
    assert (folder / "model.safetensors").exists()
    return folder


@pytest.mark.parametrize("overwrite", [(), ("--overwrite",)])
@pytest.mark.parametrize("name", COMMANDS)
def test_nothing_of_somebody_elses(name, overwrite, refuse, places, tmp_path) -> None:
    command = COMMANDS[name]
    project = tmp_path / f"project{command.file}"
    project.mkdir()
    (project / "config.json").write_text("{}")
    (project / "thesis.txt").write_text("years of work")
    foreign = transformers_model(tmp_path / f"foreign{command.file}", places["BERT"] / "model")
    for output in (project, foreign):
        message = refuse(command, places, output, *overwrite)
        assert message.startswith(f"{output}: ")
        assert ("is a directory: name a file" if command.file else "no mark of nlprep") in message
    letter = tmp_path / f"letter{command.file}"
    letter.write_text("12 years of work\nand a letter\n")
    message = refuse(command, places, letter, *overwrite)
    assert ("so it is not ours to replace" if command.file else "is a file: name a directory") in message


@pytest.mark.parametrize("name", COMMANDS)
def test_standard_output_is_for_results(name, refuse, sources, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    message = refuse(COMMANDS[name], sources, Path("-"), "--overwrite")
    if name.startswith(("plot", "probe", "encode")):
        # What tells these what to write is the end of the name.
        assert re.search(r"'-': end it(s name)? in \.\w+, ", message)
    else:
        assert message == "-: is standard output, on which only results are written: name a file or a directory"


@pytest.mark.parametrize("name", [name for name, command in COMMANDS.items() if command.inputs])
def test_no_input(name, refuse, places, tmp_path) -> None:
    command = COMMANDS[name]
    for given in command.inputs:
        path = places[given]
        if not command.file or path.suffix == command.file:
            message = refuse(command, places, path, "--overwrite")
            assert f"is the input '{path}'" in message
        # The name of an input in other words; to it by a link; and by a hard one.
        link = tmp_path / f"link-{given}{command.file}"
        link.symlink_to(path)
        assert "is the input" in refuse(command, places, link, "--overwrite")
        if path.is_file():
            hard = tmp_path / f"hard-{given}{command.file}"
            hard.hardlink_to(path)
            assert "is the input" in refuse(command, places, hard, "--overwrite")
        else:
            inside = path / f"out{command.file}"
            assert f"lies in the input '{path}'" in refuse(command, places, inside, "--overwrite")
        if not command.file:
            assert f"contains the input '{path}'" in refuse(command, places, path.parent, "--overwrite")
    settings = tmp_path / f"settings{command.file or '.toml'}"
    settings.write_text("quiet = true\n")
    assert "is the input" in refuse(command, places, settings, "--config", str(settings), "--overwrite")


@pytest.mark.parametrize("name", DIRECTORIES)
def test_another_kind_of_ours_has_to_be_asked_for(name, refuse, sources, tmp_path, capsys) -> None:
    command, output = COMMANDS[name], tmp_path / "out"
    if name in ("convert", "train"):
        claim_run(output, "some-run", ["model"])
    else:
        WordVectors(["a"], np.ones((1, 2), np.float32)).save(output)
    found = json.loads((output / "nlprep.json").read_bytes())["kind"]
    assert f"holds '{found}', not '" in (message := refuse(command, sources, output))
    assert "--overwrite" in message
    if not name.startswith("finetune"):
        succeed(command, sources, output, capsys, "--overwrite")
        mark = json.loads((output / "nlprep.json").read_bytes())
        assert mark["kind"] != found
        # Its own kind is replaced, or gone on with, without a word; but not once somebody's work is in it.
        succeed(command, sources, output, capsys)
        if "entries" not in mark:
            (output / "thesis.txt").write_text("years of work")
            assert "holds 'thesis.txt', which nlprep did not write" in refuse(command, sources, output, "--overwrite")
    assert {path.name for path in tmp_path.iterdir()} == {"out"}


@pytest.mark.parametrize("name", ["finetune", "finetune similarity", "finetune translation"])
def test_finetune_over_another_kind_and_again(name, sources, tmp_path, capsys) -> None:
    command, output = COMMANDS[name], tmp_path / "out"
    claim_run(output, "some-run", ["model"])
    succeed(command, sources, output, capsys, "--overwrite")
    succeed(command, sources, output, capsys)
    (output / "notes.txt").write_text("mine")
    (output / "model" / "config.json").write_text("{}")
    before = snapshot(tmp_path)
    assert command.main(words_of(command, sources, output, "--quiet", "--overwrite")) == 2
    assert f"{output / 'model'}: 'config.json' in it was changed" in one_line(capsys.readouterr().err)
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("name", FILES)
def test_a_file_again(name, refuse, sources, tmp_path, capsys) -> None:
    command = COMMANDS[name]
    output = tmp_path / f"out{command.file}"
    succeed(command, sources, output, capsys)
    if command.again:
        succeed(command, sources, output, capsys)
        raw = output.read_bytes()
        # Somebody has worked on the figure.
        output.write_bytes(raw.replace(b"nlprep ", b"nlprep  ", 1) if command.file != ".png" else raw + b"\0")
        assert "was not written by nlprep, or was changed since" in refuse(command, sources, output, "--overwrite")
        return
    message = refuse(command, sources, output)
    assert "cannot say who wrote it: give --overwrite to replace it" in message
    succeed(command, sources, output, capsys, "--overwrite")


def test_a_demonstration_that_was_changed(refuse, tmp_path, capsys) -> None:
    command, output = COMMANDS["demo"], tmp_path / "demo"
    succeed(command, {}, output, capsys)
    for name in ("text.en.txt", "dictionary.test.txt"):
        raw = (output / name).read_bytes()
        (output / name).write_bytes(raw + b"mine\n")
        assert f"{output / name}: " in refuse(command, {}, output, "--overwrite")
        (output / name).write_bytes(raw)
    (output / "en-fr" / "mine").touch()
    assert f"{output / 'en-fr'}: holds 'mine'" in refuse(command, {}, output, "--overwrite")
    (output / "en-fr" / "mine").unlink()
    # What lies beside is nobody's business.
    (output / "notes.txt").write_text("mine")
    succeed(command, {}, output, capsys, "--seed", "2")
    assert (output / "notes.txt").read_text() == "mine"


def test_the_state_of_training_keeps_what_is_not_its_own(refuse, sources, tmp_path, capsys) -> None:
    command, output = COMMANDS["train"], tmp_path / "out"
    state = tmp_path / "out.state"
    state.mkdir()
    (state / "run.json").write_text("{}")
    for more in ((), ("--fresh",), ("--resume",), ("--fresh", "--overwrite")):
        assert f"{state}: holds 'run.json' and no mark of nlprep" in refuse(command, sources, output, *more)
    shutil.rmtree(state)
    claim_run(state, "skipgram-run", ["run.json", "corpus", "training"])
    (state / "run.json").write_text("{}")
    (state / "notes.txt").write_text("mine")
    assert "holds 'notes.txt', which nlprep did not write" in refuse(command, sources, output, "--fresh")
    (state / "notes.txt").unlink()
    succeed(command, sources, output, capsys, "--fresh")
    assert {path.name for path in tmp_path.iterdir()} == {"out"}


def test_vectors_are_recognised_and_texts_are_not(tmp_path) -> None:
    path = tmp_path / "file"
    generator = np.random.default_rng(3)
    for number, dimension in ((1, 1), (3, 2), (4000, 30)):
        words = [f"word{place}" for place in range(number)]
        vectors = WordVectors(words, generator.standard_normal((number, dimension), np.float32))
        for kind in ("word2vec", "word2vec-binary"):
            write_vectors(vectors, path, format=kind)
            assert WORD2VEC_FILE.recognises(path)
            write_vectors(vectors, path, format=kind, overwrite=True)
            raw = path.read_bytes()
            path.write_bytes(raw[: len(raw) // 3])
            assert not WORD2VEC_FILE.recognises(path)
            if kind == "word2vec":
                path.write_bytes(raw + b"and a note\n")
                assert not WORD2VEC_FILE.recognises(path)
            path.unlink()
    for text in (b"the cat sat\n" * 9, b"12 3\nthe cat sat\non the mat\n", b"2024 12\n", b"3 1\n1\n2\n3\n", b"0 0\n"):
        path.write_bytes(text)
        assert not WORD2VEC_FILE.recognises(path)
