"""``rep-pretrain tokenizer``."""

from __future__ import annotations

import json

import pytest
from tests_cli_support import one_line, snapshot
from tests_pretrain_support import PRETRAIN, english

from cli.pretrain import main
from nlprep.language_models.text.configuration import ALGORITHMS
from nlprep.language_models.text.tokenizers import load_tokenizer


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(english(300) + "Où est l'été? 🐘\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm(text, tmp_path, capsys, algorithm):
    output = tmp_path / "made"
    words = ["tokenizer", str(text), "--output", str(output), "--algorithm", algorithm, "--json", "--quiet"]
    assert main([*words, *(["--vocabulary-size", "300"] if algorithm != "character" else [])]) == 0
    printed = capsys.readouterr()
    said = json.loads(printed.out)
    assert printed.err == ""
    tokenizer = load_tokenizer(output)
    assert said["vocabulary_size"] == len(tokenizer)
    assert said["settings"]["algorithm"] == algorithm
    assert said["unknown_share"] == 0
    size = sum(len(line.encode()) for line in text.read_text(encoding="utf-8").splitlines())
    ids = tokenizer(text.read_text(encoding="utf-8").splitlines(), add_special_tokens=False)["input_ids"]
    assert said["bytes_per_token"] == pytest.approx(size / sum(map(len, ids)))
    assert "".join(said["splits"][0]).replace(" ", "") in text.read_text(encoding="utf-8").replace(" ", "")


def test_what_is_printed(text, tmp_path, capsys):
    assert main(["tokenizer", str(text), "--output", str(tmp_path / "made"), "--vocabulary-size", "400"]) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines()[:2] == ["tokenizer\tbyte-bpe", "vocabulary size\t400"]
    assert "|" in printed.err
    assert printed.err.splitlines()[-1] == f"tokenizer: {tmp_path / 'made'}"


@pytest.mark.slow
def test_standard_input_is_read_once(run_command, tmp_path):
    done = run_command(
        *("tokenizer", "-", "--output", "made", "--vocabulary-size", "300", "--json"),
        text=english(200),
        program=PRETRAIN,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["vocabulary_size"] == len(load_tokenizer(tmp_path / "made"))


def test_lowercase_and_a_file_of_settings(text, tmp_path, capsys):
    settings = tmp_path / "settings.toml"
    settings.write_text('[tokenizer]\nalgorithm = "wordpiece"\nvocabulary-size = 200\nlowercase = true\n')
    words = ["tokenizer", str(text), "--output", str(tmp_path / "made"), "--config", str(settings)]
    assert main([*words, "--vocabulary-size", "250", "--json", "--quiet"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["settings"]["algorithm"], said["vocabulary_size"]) == ("wordpiece", 250)
    tokenizer = load_tokenizer(tmp_path / "made")
    assert tokenizer.tokenize("THE CAT") == tokenizer.tokenize("the cat")


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (b"", [], "text.txt: no text in there"),
        (b"\n \n", [], "text.txt: no text in there"),
        (b"good\nbad \xff\n", [], "text.txt:2: byte 0xff at column 5 is not UTF-8"),
        (b"a b c\n", ["--vocabulary-size", "5000"], "vocabulary_size = 5,000: this text supports "),
        (b"a b c\n", ["--vocabulary-size", "100"], "vocabulary_size = 100: byte-bpe needs at least 261"),
        (b"a b c\n", ["--vocabulary-size", "1"], "--vocabulary-size = 1: must be at least 6"),
    ],
)
def test_bad_text(tmp_path, capsys, content, options, message):
    text = tmp_path / "text.txt"
    text.write_bytes(content)
    before = snapshot(tmp_path)
    assert main(["tokenizer", str(text), "--output", str(tmp_path / "made"), *options]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert message in one_line(printed.err)
    assert snapshot(tmp_path) == before


def test_bad_places(text, tmp_path, capsys):
    thesis = tmp_path / "thesis"
    thesis.mkdir()
    (thesis / "chapter.tex").write_text("years of work")
    before = snapshot(tmp_path)
    for path, output, message in (
        (tmp_path / "gone", tmp_path / "made", "gone: no such file or directory"),
        (text, thesis, "not ours to replace"),
        (text, tmp_path / "gone" / "made", "no such directory"),
        (text, text, "is the input"),
    ):
        assert main(["tokenizer", str(path), "--output", str(output)]) == 2
        assert message in one_line(capsys.readouterr().err)
    assert snapshot(tmp_path) == before
