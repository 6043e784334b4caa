"""Every command does its work, for people and for programs."""

from __future__ import annotations

import io
import json
import sys
from itertools import pairwise

import numpy as np
import pytest
from tests_cli_support import asking

from cli.translate import COMMANDS, main
from nlprep.core.artifacts import read_config
from nlprep.embeddings.vector_files import read_vectors


@pytest.fixture
def answer(capsys):
    return asking(main, capsys)


def test_train_writes_what_it_says(made, tmp_path, capsys):
    output = tmp_path / "vectors"
    words = ["train", str(made.text.english), "-o", str(output), "--dimension", "8", "--epochs", "2", "--json"]
    assert main(words) == 0
    printed = capsys.readouterr()
    summary = json.loads(printed.out)
    vectors = read_vectors(output)
    assert (summary["words"], summary["dimension"]) == (len(vectors), 8)
    assert summary["held_out_loss"][-1]["loss"] < summary["held_out_loss"][0]["loss"]
    settings = read_config(output)["training"]
    assert settings["epochs"] == 2
    assert settings["text"] == [str(made.text.english)]
    assert [path.name for path in tmp_path.iterdir()] == ["vectors"]


@pytest.mark.slow
def test_train_formats_agree_bit_for_bit(made, tmp_path):
    outputs = [tmp_path / name for name in ("a", "a.vec", "a.txt", "a.bin")]
    options = ["--dimension", "6", "--epochs", "1", "--threads", "1", "--quiet"]
    for output in outputs:
        assert main(["train", str(made.text.french), "-o", str(output), *options]) == 0
    read = [read_vectors(output) for output in outputs]
    assert {tuple(vectors.words) for vectors in read} == {tuple(read[0].words)}
    for vectors in read[1:]:
        np.testing.assert_array_equal(vectors.matrix, read[0].matrix)


@pytest.mark.slow
def test_train_options_for_text(tmp_path):
    text = tmp_path / "text.txt"
    text.write_bytes(b"A-b c\n" * 60 + b"bad \xff line\n")
    common = ["train", str(text), "--dimension", "3", "--epochs", "1", "--quiet", "--encoding-errors", "skip-line"]
    expected = {
        (): {"a", "b", "c"},
        ("--no-lowercase",): {"A", "b", "c"},
        ("--tokenizer", "whitespace"): {"a-b", "c"},
        ("--tokenizer", "whitespace", "--no-lowercase"): {"A-b", "c"},
        ("--max-vocabulary", "2"): {"a", "b"},
    }
    for number, (options, words) in enumerate(expected.items()):
        output = tmp_path / f"out{number}"
        assert main([*common, "-o", str(output), *options]) == 0
        assert set(read_vectors(output).words) == words


@pytest.mark.slow
def test_train_reads_standard_input(made, run_command, tmp_path):
    text = made.text.english.read_text(encoding="utf-8")
    done = run_command("train", "-", "-o", "out", "--dimension", 4, "--epochs", 1, "--json", text=text)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["words"] == len(read_vectors(tmp_path / "out"))


@pytest.mark.slow
def test_align_reports_coverage_and_rounds(made, tmp_path, answer):
    said = answer(
        "align",
        made.english,
        made.french,
        "-d",
        made.text.seed_dictionary,
        "-o",
        tmp_path / "m",
        "--method",
        "procrustes",
    )
    assert said["coverage"]["percent"] > 90
    assert said["settings"]["method"] == "procrustes"
    assert [entry["round"] for entry in said["rounds"]] == list(range(len(said["rounds"])))
    assert sum(entry["chosen"] for entry in said["rounds"]) == 1


@pytest.mark.slow
def test_align_warns_in_one_line_when_pairs_are_few(made, tmp_path, capsys):
    few = tmp_path / "few.txt"
    few.write_text("".join(made.text.seed_dictionary.read_text().splitlines(keepends=True)[:30]))
    words = ["align", str(made.english), str(made.french), "-d", str(few), "-o", str(tmp_path / "m")]
    assert main([*words, "--method", "procrustes", "--quiet"]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("rep-translate: warning: the dictionary gives ")


@pytest.mark.slow
def test_align_without_a_dictionary(made, tmp_path, answer, capsys):
    model = tmp_path / "m"
    said = answer("align", made.english, made.french, "-o", model, "--no-spelling")
    assert said["method"] == "self-learning"
    assert said["reason"].startswith("there is no dictionary, and spelling is not to be used")
    assert said["agreement"] > 0.4
    assert "coverage" not in said
    assert answer("evaluate", model, made.text.test_dictionary)["csls"]["precision@1"] > 40
    words = ["align", str(made.english), str(made.french), "-o", str(model)]
    assert main(words) == 0
    out, err = capsys.readouterr()
    assert "confidence: attempts from different starts translate" in err
    assert "spelling: likeness counts" in err
    header, first, *_ = (line.split("\t") for line in out.splitlines())
    assert header[:3] == ["attempt", "words", "candidates kept"]
    assert first[0] == "1"


def test_translate_both_ways(made, answer):
    translated = answer("translate", made.model, "horse", "bread", "--top", 3)
    assert [entry["word"] for entry in translated] == ["horse", "bread"]
    assert all(entry["known"] and len(entry["candidates"]) == 3 for entry in translated)
    assert "cheval" in [candidate["word"] for candidate in translated[0]["candidates"]]
    for options in (["--reverse"], ["--from", "fr"], ["--to", "en"], ["--from", "fr", "--to", "en"]):
        back = answer("translate", made.model, *options, "cheval", "--top", 3)
        assert "horse" in [candidate["word"] for candidate in back[0]["candidates"]]


def test_translate_options_may_stand_among_the_words(made, answer):
    mixed = answer("translate", "--top", 2, made.model, "horse", "--method", "cosine", "bread")
    assert mixed == answer("translate", made.model, "horse", "bread", "--top", 2, "--method", "cosine")
    assert mixed[0]["candidates"][0]["score"] <= 1
    assert mixed != answer("translate", made.model, "horse", "bread", "--top", 2)


def test_translate_reads_standard_input_and_is_plain_when_piped(made, run_command):
    done = run_command("translate", made.model, "--top", 1, text="horse\n\n  bread \n")
    assert (done.returncode, done.stderr) == (0, "")
    header, *lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert header == ["word", "translation", "csls"]
    assert [line[0] for line in lines] == ["horse", "bread"]
    assert all(np.isfinite(float(line[2])) for line in lines)


@pytest.mark.slow
def test_unknown_words_do_not_stop_the_others(made, run_command):
    done = run_command("translate", made.model, "horse", "hors", "bread", "--top", 1)
    assert done.returncode == 2
    assert [line.split("\t")[0] for line in done.stdout.splitlines()[1:]] == ["horse", "bread"]
    assert done.stderr == "rep-translate: error: no vector for the word 'hors': did you mean 'horse' or 'hours'?\n"
    done = run_command("translate", made.model, "qqq", "horse", "zzz", "--json")
    assert done.returncode == 2
    assert [entry["known"] for entry in json.loads(done.stdout)] == [False, True, False]
    assert done.stderr.startswith("rep-translate: error: no en vectors for 2 words ('qqq', 'zzz'): ")
    done = run_command("translate", made.model, "cheval")
    assert "--from fr" in done.stderr


def test_the_prompt_goes_on_after_an_unknown_word(made, monkeypatch, capsys):
    typed = iter(["horse", "", "hors", "cheval", "bread water"])

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    def read(prompt):
        assert prompt == "en> "
        try:
            return next(typed)
        except StopIteration:
            raise EOFError from None

    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr("builtins.input", read)
    assert main(["translate", str(made.model), "--top", "4"]) == 0
    printed = capsys.readouterr()
    lines = [line.strip() for line in printed.out.splitlines()]
    assert "cheval" in lines[0]
    assert lines[1].startswith("no vector for the word 'hors': did you mean 'horse'")
    assert "--from fr" in lines[2]
    assert lines[3].startswith("bread: ")
    assert lines[4].startswith("water: ")
    assert "Ctrl-D leaves" in printed.err


def test_evaluate_prints_one_object(made, answer):
    result = answer("evaluate", made.model, made.text.test_dictionary)
    assert set(result) >= {"coverage", "cosine", "csls"}
    for method in ("cosine", "csls"):
        figures = [result[method][name] for name in ("precision@1", "precision@5", "precision@10")]
        assert 0 <= figures[0] <= figures[1] <= figures[2] <= 100
        assert figures[0] <= result[method]["mrr"] <= 100
    # Chance is a fiftieth of this.
    assert result["csls"]["precision@10"] > 15
    assert (result["source_language"], result["target_language"]) == ("en", "fr")


def test_evaluate_finds_the_direction(made, tmp_path, answer):
    inverted = tmp_path / "inverted.txt"
    pairs = [line.split() for line in made.text.test_dictionary.read_text(encoding="utf-8").splitlines()]
    inverted.write_text("".join(f"{target}\t{source}\n" for source, target in pairs), encoding="utf-8")
    found = answer("evaluate", made.model, inverted)
    assert (found["source_language"], found["target_language"]) == ("fr", "en")
    assert answer("evaluate", made.model, made.text.test_dictionary, "--reverse") == found


def test_evaluate_tables_and_kinds(made, tmp_path, capsys):
    kinds = tmp_path / "kinds.txt"
    kinds.write_text("horse animal\ncow animal\n")
    assert main(["evaluate", str(made.model), str(made.text.test_dictionary), "--kinds", str(kinds)]) == 0
    printed = capsys.readouterr()
    rows = [line.split("\t") for line in printed.out.splitlines()]
    assert rows[0] == ["words", "ranking", "precision@1", "precision@5", "precision@10", "mrr"]
    assert [row[:2] for row in rows[1:5]] == [
        ["found", "cosine"],
        ["found", "csls"],
        ["whole dictionary", "cosine"],
        ["whole dictionary", "csls"],
    ]
    assert ["by kind", "animal", "2"] in [row[:3] for row in rows]
    assert "coverage" in printed.err


def test_evaluate_sentences(made, tmp_path, answer):
    source, target = tmp_path / "s.en", tmp_path / "s.fr"
    source.write_text("The horse eats hay.\nThe bread is in the kitchen.\n\n", encoding="utf-8")
    target.write_text("Le cheval mange le foin.\nLe pain est dans la cuisine.\n\n", encoding="utf-8")
    result = answer("evaluate", made.model, "--sentences", source, target)
    assert result["sentences"] == 3
    assert result["source-to-target"]["csls"]["precision@10"] == 100.0


def test_neighbors_and_analogy(made, answer):
    near = answer("neighbors", made.english, "horse", "cow", "--top", 4)
    assert [entry["word"] for entry in near] == ["horse", "cow"]
    cosines = [neighbor["cosine"] for neighbor in near[0]["neighbors"]]
    assert cosines == sorted(cosines, reverse=True)
    assert len(cosines) == 4
    for method in ("3cosadd", "3cosmul"):
        said = answer("analogy", made.english, "cow", "milk", "hen", "--method", method, "--top", 3)
        expected = read_vectors(made.english).analogy("cow", "milk", "hen", top=3, method=method)
        assert [(found["word"], found["score"]) for found in said["answers"]] == expected


def test_neighbors_reads_only_so_many_words(made, answer):
    words = read_vectors(made.english).words[:20]
    near = answer("neighbors", made.english, words[5], "--limit", 20, "--top", 50)
    assert {neighbor["word"] for neighbor in near[0]["neighbors"]} == set(words) - {words[5]}


def test_convert_keeps_every_bit(made, tmp_path, answer):
    steps = [made.english, tmp_path / "a.vec", tmp_path / "b.bin", tmp_path / "c"]
    for before, after in pairwise(steps):
        said = answer("convert", before, after)
        assert said["format"] == {".vec": "word2vec", ".bin": "word2vec-binary", "": "artifact"}[after.suffix]
    np.testing.assert_array_equal(read_vectors(steps[0]).matrix, read_vectors(steps[-1]).matrix)
    answer("convert", made.english, tmp_path / "named.bin", "--to-format", "word2vec", "--limit", 7)
    assert len(read_vectors(tmp_path / "named.bin", format="word2vec")) == 7


@pytest.mark.parametrize(("name", "magic"), [("f.png", b"\x89PNG"), ("f.svg", b"<?xml"), ("f.pdf", b"%PDF")])
@pytest.mark.slow
def test_plot(made, tmp_path, answer, name, magic):
    said = answer("plot", made.model, "-o", tmp_path / name, "--num", 10)
    assert (tmp_path / name).read_bytes().startswith(magic)
    assert len(said["pairs"]) == 10
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.slow
def test_plot_of_chosen_words_and_of_a_dictionary(made, tmp_path, answer):
    figure = tmp_path / "f.svg"
    said = answer("plot", made.model, "-o", figure, "--words", "horse", "bread", "cow")
    assert [pair[0] for pair in said["pairs"]] == ["horse", "bread", "cow"]
    said = answer("plot", made.model, "-o", figure, "-d", made.text.test_dictionary, "--num", 12)
    pairs = {tuple(line.split()) for line in made.text.test_dictionary.read_text(encoding="utf-8").splitlines()}
    assert len(said["pairs"]) == 12
    assert {tuple(pair) for pair in said["pairs"]} <= pairs


@pytest.mark.slow
def test_demo(tmp_path, capsys):
    assert main(["demo", "--output", str(tmp_path / "demo"), "--json", "--quiet"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["generated_text"] is True
    # Held-out words, some 600 candidates: this is the quality, not only the plumbing.
    for direction in ("en to fr", "fr to en"):
        assert said["results"][direction]["coverage"] > 98
        assert said["results"][direction]["csls"]["precision@1"] > 75
    assert (tmp_path / "demo" / "figure.png").read_bytes().startswith(b"\x89PNG")
    assert main(["translate", str(tmp_path / "demo" / "en-fr"), "elephant", "--top", "1"]) == 0
    assert "éléphant" in capsys.readouterr().out


@pytest.mark.slow
def test_demo_says_that_its_text_is_generated(tmp_path, capsys):
    assert main(["demo", "--output", str(tmp_path), "--sentences", "600"]) == 0
    printed = capsys.readouterr()
    assert "generated" in printed.err.splitlines()[0]
    assert "rep-translate translate" in printed.err
    assert printed.out.startswith("held-out words\t")


def test_help_has_examples_and_defaults(capsys):
    for command in COMMANDS:
        assert main([command, "--help"]) == 0
        text = capsys.readouterr().out
        assert f"rep-translate {command}" in text.split("examples:")[1]
    main(["train", "--help"])
    assert "[default: 300]" in capsys.readouterr().out


def test_no_command_prints_help(capsys):
    assert main([]) == 0
    assert "the main job, in four commands" in capsys.readouterr().out
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("rep-translate ")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.slow
def test_completion(capsys, shell):
    assert main(["--print-completion", shell]) == 0
    script = capsys.readouterr().out
    assert all(command in script for command in COMMANDS)
    for name in ("negative-exponent", "whitened-reweighting", "procrustes"):
        assert name in script
    assert main([f"--print-completion={shell}"]) == 0
    assert capsys.readouterr().out == script
    assert main(["--print-completion", "tcsh"]) == 2


@pytest.mark.slow
def test_a_reader_that_leaves_is_no_error(made, environment):
    import subprocess

    words = [sys.executable, "-m", "cli.translate", "translate", str(made.model), "--top", "500"]
    words += read_vectors(made.english).words[:300]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(timeout=60) == 141


def test_many_words_from_standard_input_are_one_table(made, run_command):
    done = run_command("translate", made.model, "--top", 1, text="horse\nbread\n" * 700)
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert len(lines) == 1 + 1400
    assert lines.count("word\ttranslation\tcsls") == 1
