"""Three languages in one space: English, French, and a third that is French in another spelling, turned and noisy."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from tests_cli_support import asking, failing

from cli.translate import main
from nlprep.embeddings.vector_files import read_vectors, write_vectors
from nlprep.embeddings.word_vectors import WordVectors


@pytest.fixture
def answer(capsys):
    return asking(main, capsys)


@pytest.fixture
def fail(capsys, tmp_path):
    return failing(main, capsys, tmp_path)


@pytest.fixture(scope="module")
def three(made, tmp_path_factory):
    folder = tmp_path_factory.mktemp("three")
    french = read_vectors(made.french)
    generator = np.random.default_rng(1)
    turn = np.linalg.qr(generator.standard_normal((french.dimension, french.dimension)))[0]
    noise = 0.1 * french.matrix.std() * generator.standard_normal(french.matrix.shape)
    third = WordVectors([f"x{word}" for word in french.words], (french.matrix @ turn + noise).astype(np.float32))
    write_vectors(third, folder / "third.vec")
    (folder / "fr-x.txt").write_text("".join(f"{word} x{word}\n" for word in french.words[:150]))
    arguments = [made.english, made.french, folder / "third.vec", "--languages", "en,fr,x", "--no-spelling"]
    given = ["-d", made.text.seed_dictionary, "-d", folder / "fr-x.txt"]
    words = ["align", *arguments, *given, "--output", folder / "all", "--refine", "1", "--quiet"]
    assert main([str(word) for word in words]) == 0
    return SimpleNamespace(folder=folder, arguments=arguments, given=given, model=folder / "all")


def test_translation_without_a_dictionary_of_the_two(three, answer):
    found = answer("translate", three.model, "horse", "bread", "--from", "en", "--to", "x", "--top", 5)
    assert "xcheval" in [candidate["word"] for candidate in found[0]["candidates"]]
    back = answer("translate", three.model, "xcheval", "--from", "x", "--to", "en", "--top", 5)
    assert "horse" in [candidate["word"] for candidate in back[0]["candidates"]]


@pytest.mark.slow
def test_evaluate_and_plot_take_two_of_them(three, made, answer):
    figures = answer("evaluate", three.model, three.folder / "fr-x.txt", "--from", "fr", "--to", "x")
    assert (figures["source_language"], figures["target_language"]) == ("fr", "x")
    assert figures["csls"]["precision@1"] > 95
    drawn = answer("plot", three.model, "--from", "en", "--to", "x", "--num", 6, "-o", three.folder / "figure.png")
    assert len(drawn["pairs"]) == 6
    assert (three.folder / "figure.png").stat().st_size > 10_000


@pytest.mark.slow
def test_align_says_how_languages_came_in(three, answer, tmp_path, capsys):
    told = answer("align", *three.arguments, *three.given, "-o", tmp_path / "all", "--refine", 0)
    assert told["languages"] == ["en", "fr", "x"]
    assert [link["languages"] for link in told["links"]] == [["en", "fr"], ["fr", "x"]]
    assert set(told["spelling_weights"]) == {"en-fr", "en-x", "fr-x"}
    words = ["align", *three.arguments, *three.given, "-o", tmp_path / "all", "--refine", "0"]
    assert main([str(word) for word in words]) == 0
    said = capsys.readouterr()
    assert "fr to x" in said.err
    assert "mutual pairs" in said.out
    assert "whitened" in said.out


def test_bad_input_of_several(three, made, fail, tmp_path):
    output = ["-o", tmp_path / "out"]
    third = three.folder / "third.vec"
    assert "two or more languages" in fail("align", made.english, *output)
    assert "--languages en,fr,de" in fail("align", made.english, made.french, third, *output)
    assert "3 different names" in fail("align", made.english, made.french, third, "--languages", "en,fr", *output)
    assert "2 different names" in fail("align", made.english, made.french, "--languages", "en,en", *output)
    assert "choose from en, fr, x" in fail("align", *three.arguments, "--pivot", "de", *output)
    assert "no pivot" in fail("align", made.english, made.french, "--pivot", "source", *output)
    seed = made.text.seed_dictionary
    assert "one dictionary" in fail("align", made.english, made.french, "-d", seed, "-d", seed, *output)
    assert "a second dictionary" in fail("align", *three.arguments, "-d", seed, "-d", seed, *output)
    foreign = tmp_path / "foreign.txt"
    foreign.write_text("zzz yyy\n")
    assert "any two of en, fr, x" in fail("align", *three.arguments, "-d", foreign, *output)
    for command in (["translate", three.model, "horse"], ["plot", three.model, "-o", tmp_path / "f.png"]):
        assert "--from" in fail(*command)
    assert "'de' is not in the model" in fail("translate", three.model, "horse", "--from", "en", "--to", "de")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_dictionaries_from_a_settings_file(three, made, answer, fail, tmp_path):
    file = tmp_path / "project.toml"
    seed, other = str(made.text.seed_dictionary), str(three.folder / "fr-x.txt")
    align = ["align", *three.arguments, "-o", tmp_path / "all", "--refine", 0, "--config", file]
    file.write_text(f'dictionary = ["{seed}", "{other}"]\n')
    assert [link["languages"] for link in answer(*align)["links"]] == [["en", "fr"], ["fr", "x"]]
    # The command line replaces the list of the file, and may give one of its own.
    assert "a second dictionary" in fail(*align, "-d", seed, "-d", seed)
    two = ["align", made.english, made.french, "--refine", 0, "--no-spelling", "-o", tmp_path / "two", "--config", file]
    assert "one dictionary" in fail(*two)
    assert answer(*two, "--dictionary", seed)["method"] == "whitened"
    file.write_text(f'dictionary = "{seed}"\n')
    assert answer(*two)["method"] == "whitened"
    file.write_text("dictionary = 3\n")
    assert fail(*two).startswith("3: no such file")
