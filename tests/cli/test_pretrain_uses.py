"""What ``rep-pretrain`` does with models that are there: fill, generate, encode, evaluate, probe, finetune."""

from __future__ import annotations

import io
import json
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file
from tests_cli_support import asking

from cli.pretrain import COMMANDS, main
from nlprep.core.errors import NlprepError
from nlprep.demonstration import generate_sentences
from nlprep.language_models.encoders.text_encoder import TextEncoder
from nlprep.language_models.generators.filling import fill
from nlprep.language_models.generators.perplexity import measure_perplexity
from nlprep.language_models.models.files import load_language_model
from nlprep.language_models.sequence_to_sequence.decoding import translate_sentences
from nlprep.language_models.sequence_to_sequence.model import load_translation_model

QUICK = ["--threads", "1", "--precision", "fp32"]


@pytest.fixture
def answer(capsys):
    return asking(main, capsys)


@pytest.fixture
def piped(monkeypatch):
    """Gives a command text on standard input."""

    def pipe(text: str) -> None:
        monkeypatch.setattr(
            sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(text.encode())), encoding="utf-8")
        )

    return pipe


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """Sentences in English and French, labelled with their language."""
    folder = tmp_path_factory.mktemp("labelled")
    files = {}
    for name, number, seed in (("train", 80, 1), ("test", 40, 2)):
        rows = ["text\tlabel"]
        for english, french in zip(
            generate_sentences("en", number, seed=seed), generate_sentences("fr", number, seed=seed), strict=True
        ):
            rows += [f"{english}\ten", f"{french}\tfr"]
        files[name] = folder / f"{name}.tsv"
        files[name].write_text("\n".join(rows) + "\n", encoding="utf-8")
    return files


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    path = tmp_path_factory.mktemp("pairs") / "pairs.tsv"
    rows = [f"{one}\t{one.lower()}" for one in dict.fromkeys(generate_sentences("en", 60))]
    path.write_text("one\tother\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return path


def test_fill(pretrained, answer):
    said = answer("fill", pretrained.masked, "The [MASK] sees a [MASK].", "A [MASK].", "--top", 3)
    assert [entry["text"] for entry in said] == ["The [MASK] sees a [MASK].", "A [MASK]."]
    assert [len(entry["blanks"]) for entry in said] == [2, 1]
    expected = fill(*load_language_model(pretrained.masked, "masked"), "A [MASK].", top=3)[0]
    assert [found["token"] for found in said[1]["blanks"][0]] == [one.token for one in expected]


@pytest.mark.slow
def test_fill_reads_standard_input(pretrained, warm_python, environment):
    words = ["fill", pretrained.masked, "--top", 1]
    text = "A [MASK].\n\nThe [MASK] is.\n"
    done = warm_python.run("-m", "cli.pretrain", *words, text=text, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert lines[0] == ["text", "blank", "filling", "probability"]
    assert [line[0] for line in lines[1:]] == ["A [MASK].", "The [MASK] is."]


def test_generate(pretrained, answer, capsys):
    words = ["generate", pretrained.causal, "The cat", "--max-tokens", 8, "--seed", 3]
    said = answer(*words, "--num-samples", 2)
    assert len(said["samples"]) == 2
    assert answer(*words)["samples"] == said["samples"][:1]
    # What is streamed is what is returned.
    assert main([*map(str, words), "--num-samples", "2"]) == 0
    shown = [f"The cat{sample}" for sample in said["samples"]]
    assert capsys.readouterr().out == f"{shown[0]}\n----\n{shown[1]}\n"


@pytest.mark.slow
def test_generate_from_nothing_and_from_standard_input(pretrained, piped, answer):
    assert answer("generate", pretrained.causal, "--max-tokens", 4)["prompt"] == ""
    piped("The\ndog")
    assert answer("generate", pretrained.causal, "-", "--max-tokens", 4)["prompt"] == "The\ndog"


@pytest.mark.parametrize("ending", ["npy", "npz", "safetensors"])
def test_encode(pretrained, tmp_path, answer, ending):
    texts = ["The cat sleeps.", "", "A dog."]
    source, output = tmp_path / "texts.txt", tmp_path / f"v.{ending}"
    source.write_text("\n".join(texts) + "\n", encoding="utf-8")
    said = answer("encode", pretrained.masked, source, "--output", output, "--pooling", "max")
    assert (said["texts"], said["dimension"], said["pooling"]) == (3, 16, "max")
    opened = load_file(output) if ending == "safetensors" else np.load(output)
    vectors = opened if ending == "npy" else opened["vectors"]
    from nlprep.language_models.encoders.configuration import EncoderConfig

    expected = TextEncoder.from_directory(pretrained.masked, EncoderConfig(pooling="max")).encode(texts)
    np.testing.assert_allclose(vectors, expected, rtol=1e-5, atol=1e-6)
    if ending == "npz":
        assert opened["texts"].tolist() == texts


def test_similarity(pretrained, answer):
    assert answer("encode", pretrained.causal, "--similarity", "A cat.", "A cat.")["cosine"] == pytest.approx(1, 1e-5)


def test_evaluate_both_kinds(pretrained, tmp_path, answer):
    text = tmp_path / "text.txt"
    text.write_text("The cat sleeps.\nThe dog eats.\nA horse.\n")
    said = answer("evaluate", pretrained.causal, text)
    expected = measure_perplexity(*load_language_model(pretrained.causal, "causal"), text.read_text().splitlines())
    assert said["kind"] == "causal"
    assert said["bits_per_byte"] == pytest.approx(expected.bits_per_byte)
    assert said["documents"] == 3
    said = answer("evaluate", pretrained.masked, text, "--limit", 2)
    assert (said["kind"], said["documents"]) == ("masked", 2)
    assert said["pseudo_perplexity"] == pytest.approx(np.exp(said["loss"]))


def test_evaluate_a_task(pretrained, tmp_path, answer, capsys):
    task = tmp_path / "task.jsonl"
    rows = [{"description": "?", "choices": ["a", "b"]}, *({"input": f"{n}", "output": "ab"[n % 2]} for n in range(4))]
    task.write_text("".join(json.dumps(row) + "\n" for row in rows))
    said = answer("evaluate", pretrained.causal, "--task", task, "--shots", "0,2")
    assert [one["shots"] for one in said["results"]] == [0, 2]
    assert all(0 <= one["accuracy"] <= 1 and one["questions"] == 4 for one in said["results"])
    assert main(["evaluate", str(pretrained.causal), "--task", str(task), "--shots", "1"]) == 0
    assert capsys.readouterr().out.splitlines()[0].split("\t")[:2] == ["examples", "accuracy"]


@pytest.mark.slow
def test_probe(pretrained, labelled, tmp_path, answer, capsys):
    words = ["probe", pretrained.masked, "--train", labelled["train"], "--test", labelled["test"], "--labels", "8,100%"]
    said = answer(*words, "--repeats", 2, "--plot", tmp_path / "probe.png")
    names = [curve["name"] for curve in said["curves"]]
    assert names == [str(pretrained.masked), "random weights", "bag of words"]
    assert [[point["num_labels"] for point in curve["points"]] for curve in said["curves"]] == [[8, 160]] * 3
    # English and French are told apart by any features, given enough labels.
    assert all(curve["points"][-1]["accuracy"] > 0.8 for curve in said["curves"])
    assert (tmp_path / "probe.png").read_bytes().startswith(b"\x89PNG")
    assert main([*map(str, words), "--no-baselines", "--repeats", "1"]) == 0
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert rows[0][:4] == ["features", "labels", "accuracy", "95% interval"]
    assert len(rows) == 3
    few = [*words[:-1], "1/class,4/class", "--classifier", "neighbors", "--no-baselines", "--repeats", 2]
    (curve,) = answer(*few)["curves"]
    assert [(point["num_labels"], point["per_class"]) for point in curve["points"]] == [(2, 1), (8, 4)]
    assert all(point["interval"]["low"] <= point["accuracy"] <= point["interval"]["high"] for point in curve["points"])


@pytest.mark.slow
def test_finetune_a_classifier(pretrained, labelled, tmp_path, answer):
    words = ["finetune", pretrained.masked, "--train", labelled["train"], "--test", labelled["test"], *QUICK]
    said = answer(*words, "--output", tmp_path / "run", "--epochs", 6, "--learning-rate", 0.01, "--batch-size", 8)
    assert said["labels"] == ["en", "fr"]
    assert said["test"]["examples"] == 80
    assert said["test"]["accuracy"] > 0.8
    assert said["settings"]["training"]["schedule"] == "linear"
    assert (tmp_path / "run" / "model" / "config.json").is_file()
    head = answer(*words, "--output", tmp_path / "head", "--parts", "head", "--epochs", 1)
    assert head["trained_parameters"] < said["trained_parameters"]
    assert answer(*words, "--output", tmp_path / "head", "--parts", "head", "--epochs", 1)["resumed_from"]


@pytest.mark.slow
def test_finetune_a_sentence_encoder(pretrained, pairs, tmp_path, answer):
    words = ["finetune", pretrained.masked, "--task", "similarity", *QUICK, "--batch-size", 8, "--epochs", 1]
    said = answer(*words, "--train", pairs, "--test", pairs, "--output", tmp_path / "run", "--temperature", 0.1)
    assert 0 <= said["test"]["retrieval_accuracy"] <= 1
    assert said["settings"]["contrast"]["temperature"] == 0.1
    assert answer("encode", tmp_path / "run", "--similarity", "A cat.", "A cat.")["cosine"] == pytest.approx(1, 1e-5)
    lines = tmp_path / "lines.txt"
    lines.write_text("\n".join(dict.fromkeys(generate_sentences("en", 30))) + "\n")
    said = answer(*words, "--train", lines, "--lines", "--output", tmp_path / "unpaired")
    assert said["steps"] >= 1


@pytest.mark.slow
def test_finetune_a_translator(pretrained, tmp_path, answer, piped, capsys):
    sides = [tmp_path / "train.en", tmp_path / "train.fr"]
    for path, language in zip(sides, ("en", "fr"), strict=True):
        path.write_text("".join(f"{one}\n" for one in generate_sentences(language, 20)), encoding="utf-8")
    words = ["finetune", pretrained.masked, "--task", "translation", "--decoder", pretrained.causal, *QUICK]
    words += ["--train", *sides, "--test", *sides, "--longest", 8, "--steps", 2, "--output", tmp_path / "run"]
    said = answer(*words, "--parts", "cross-attention")
    assert said["examples"] == 20
    assert 0 <= said["test"]["bleu"] <= 100
    assert (tmp_path / "run" / "model" / "source_tokenizer").is_dir()
    sentences = ["The cat sleeps.", "A dog."]
    found = translate_sentences(*load_translation_model(tmp_path / "run"), sentences, beams=2)
    one = answer("generate", tmp_path / "run", sentences[0], "--beams", 2)
    assert one == [{"source": sentences[0], "translation": found[0]}]
    piped("\n".join(sentences))
    assert main(["generate", str(tmp_path / "run"), "-", "--beams", "2"]) == 0
    printed = capsys.readouterr()
    assert (printed.out.splitlines(), printed.err) == (found, "")


def test_finetune_tables(pretrained, labelled, tmp_path, capsys):
    words = ["finetune", pretrained.masked, "--train", labelled["train"], "--test", labelled["test"], *QUICK]
    assert main([*map(str, words), "--steps", "2", "--output", str(tmp_path / "run")]) == 0
    rows = dict(line.split("\t") for line in capsys.readouterr().out.splitlines())
    assert {"classification", "steps", "validation accuracy", "test accuracy", "test macro f1"} <= rows.keys()


def test_help_has_examples_and_defaults(capsys):
    for command in COMMANDS:
        assert main([command, "--help"]) == 0
        text = capsys.readouterr().out
        assert f"rep-pretrain {command}" in text.split("examples:")[1]
    main(["mlm", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "[default: byte-bpe]" in text
    assert main([]) == 0
    assert "an encoder, and what it has learned" in capsys.readouterr().out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.slow
def test_completion(capsys, shell):
    assert main(["--print-completion", shell]) == 0
    script = capsys.readouterr().out
    assert all(command in script for command in COMMANDS)


def test_shares_of_labels_that_nobody_asked_for_are_left_out_where_they_are_too_few(tmp_path, monkeypatch, capsys):
    from nlprep.language_models.encoders import probing

    rows = "".join(f"some words\t{'abc'[number % 3]}\n" for number in range(40))
    (tmp_path / "few.tsv").write_text(f"text\tlabel\n{rows}")
    asked = []

    def probe(*given, **_):
        asked.append(given[3].labels)
        raise NlprepError("seen")

    monkeypatch.setattr(probing, "probe", probe)
    words = ["probe", "model", "--train", str(tmp_path / "few.tsv"), "--test", str(tmp_path / "few.tsv")]
    assert main(words) == 2
    assert "labels: 10%,100% of 40; less is not one of each class" in capsys.readouterr().err
    assert main([*words, "--labels", "1%,50%"]) == 2
    assert asked == ["10%,100%", "1%,50%"]
