"""What a user of ``rep-pretrain`` can mend is one line on stderr and status 2, and nothing is lost or left behind."""

from __future__ import annotations

import json
import os
import shutil

import pytest
from tests_cli_support import failing, one_line
from tests_pretrain_support import SHAPE, SHORT, SMALL, english

from cli.pretrain import main
from nlprep.core.errors import NlprepError
from nlprep.language_models.encoders.configuration import ContrastiveConfig, EncoderConfig
from nlprep.language_models.text.configuration import TokenizerConfig
from nlprep.language_models.text.tokenizers import save_tokenizer, train_tokenizer

pytestmark = pytest.mark.slow


@pytest.fixture
def fail(capsys, tmp_path):
    return failing(main, capsys, tmp_path)


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(english(200), encoding="utf-8")
    return path


@pytest.mark.parametrize("command", ["mlm", "gpt"])
def test_text_that_will_not_do(fail, tmp_path, command):
    def attempt(content: bytes, *options: object) -> str:
        path = tmp_path / "text.txt"
        path.write_bytes(content)
        return fail(command, path, "--output", tmp_path / "run", *SMALL, *options)

    assert "text.txt: no text in there" in attempt(b"")
    assert "text.txt: no text in there" in attempt(b"\n\n")
    assert "text.txt:2: byte 0xff at column 5 is not UTF-8" in attempt(b"good\nbad \xff\n")
    few = b"a b c d e\n" * 2
    assert "fewer than one block of 64: give more text" in attempt(few, "--algorithm", "character")
    assert "vocabulary_size = 5,000: this text supports " in attempt(few, "--vocabulary-size", 5000)


@pytest.mark.parametrize("command", ["mlm", "gpt"])
def test_paths_that_will_not_do(fail, tmp_path, text, command):
    gone = tmp_path / "gone"
    assert fail(command, gone, "-o", tmp_path / "run", *SMALL).startswith(f"{gone}: no such file or directory")
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "holds no files" in fail(command, empty, "-o", tmp_path / "run", *SMALL)
    assert f"{gone}: no such file" in fail(command, text, "-o", tmp_path / "run", "--tokenizer", gone, *SHORT)
    assert "holds no tokenizer.json" in fail(command, text, "-o", tmp_path / "run", "--tokenizer", empty, *SHORT)
    assert "contradict" in fail(command, text, "-o", tmp_path / "run", "--tokenizer", empty, *SMALL)
    assert "is the input" in fail(command, text, "-o", text, *SMALL)
    assert "no such directory" in fail(command, text, "-o", gone / "run", *SMALL)
    thesis = tmp_path / "thesis"
    thesis.mkdir()
    (thesis / "chapter.tex").write_text("years of work")
    assert "not ours" in fail(command, text, "-o", thesis, *SMALL)


def test_standard_input(fail, tmp_path):
    assert "standard input" in fail("mlm", "-", "-o", tmp_path / "run", *SMALL)


@pytest.mark.parametrize("command", ["mlm", "gpt"])
def test_another_shape_in_the_same_place(fail, pretrained, tmp_path, command):
    run = tmp_path / "run"
    shutil.copytree(pretrained.masked if command == "mlm" else pretrained.causal, run)
    words = [command, pretrained.text, "-o", run, *SMALL]
    assert "made with width = 16, now 32" in fail(*words, "--width", 32)
    assert "made with size = 'small', now 'tiny'" in fail(*words, "--size", "tiny")
    assert "made with learning_rate = 0.0005, now 0.001" in fail(*words, "--learning-rate", 0.001)
    assert "is of step 6, beyond the 3 asked for" in fail(*words, "--steps", 3)
    assert "holds checkpoints up to step 6" in fail(*words, "--resume", "never")
    other = tmp_path / "other.txt"
    other.write_text(english(300, seed=9), encoding="utf-8")
    assert "began with another text: 'other.txt' was not read then" in fail(command, other, "-o", run, *SMALL)
    here = tmp_path / "here" / pretrained.text.name
    here.parent.mkdir()
    shutil.copy(pretrained.text, here)
    words[1] = here
    os.utime(here, (1, 1))
    assert "is of step 6, beyond the 3 asked for" in fail(*words, "--steps", 3)
    here.write_text(here.read_text(encoding="utf-8").replace("e", "i", 1), encoding="utf-8")
    said = fail(*words)
    assert f"began with another text: the content of '{here.name}' has changed (" in said
    assert "bytes as then)" in said
    with here.open("a", encoding="utf-8") as stream:
        stream.write("one more\n")
    assert " bytes then, " in fail(*words)


def test_another_tokenizer_in_the_same_place(fail, pretrained, tmp_path):
    run, other = tmp_path / "run", tmp_path / "tokenizer"
    shutil.copytree(pretrained.masked, run)
    save_tokenizer(train_tokenizer([english(300)], TokenizerConfig(vocabulary_size=400)), other)
    words = ["mlm", pretrained.text, "-o", run, "--tokenizer", other, *SHAPE, *SHORT]
    assert "the text or the tokenizer has changed" in fail(*words)


def test_nothing_to_resume(fail, text, tmp_path):
    assert "no checkpoint to resume from" in fail("mlm", text, "-o", tmp_path / "run", *SMALL, "--resume", "must")


def test_models_that_are_none(fail, pretrained, text, tmp_path):
    gone, empty = tmp_path / "gone", tmp_path / "empty"
    empty.mkdir()
    uses = {
        "fill": ["A [MASK]."],
        "generate": ["A"],
        "encode": ["--similarity", "a", "b"],
        "evaluate": [text],
        "probe": ["--train", text, "--test", text],
        "finetune": ["--train", text, "-o", tmp_path / "run"],
    }
    labelled = tmp_path / "labelled.tsv"
    labelled.write_text("text\tlabel\na\tx\nb\ty\nc\tx\nd\ty\n")
    for command in ("probe", "finetune"):
        uses[command] = [labelled if word == text else word for word in uses[command]]
    for command, words in uses.items():
        more = ["--labels", "100%"] if command == "probe" else []
        assert fail(command, gone, *words, *more).startswith(f"{gone}: no such file or directory"), command
        assert "holds no model" in fail(command, empty, *words, *more), command


def test_models_of_the_wrong_kind(fail, pretrained, tmp_path):
    assert "not a masked language model" in fail("fill", pretrained.causal, "A [MASK].")
    assert "not a causal language model" in fail("generate", pretrained.masked, "A")
    assert "no translation model" in fail("generate", pretrained.causal, "A", "--beams", 2)
    task = tmp_path / "task.jsonl"
    task.write_text('{"input": "a", "output": "b"}\n')
    assert "not a causal language model" in fail("evaluate", pretrained.masked, "--task", task, "--shots", "0")


def test_a_tokenizer_that_does_not_match(fail, pretrained, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(pretrained.masked / "model", model)
    file = tmp_path / "text.txt"
    file.write_text(english(300))
    assert main(["tokenizer", str(file), "-o", str(tmp_path / "larger"), "--vocabulary-size", "400", "--quiet"]) == 0
    for path in (tmp_path / "larger").iterdir():
        shutil.copy(path, model)
    assert "the tokenizer has 400 tokens and the model 300" in fail("fill", model, "A [MASK].")


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.99])
def test_a_truncated_model(fail, pretrained, tmp_path, kept):
    model = tmp_path / "model"
    shutil.copytree(pretrained.causal / "model", model)
    tensors = model / "model.safetensors"
    os.truncate(tensors, int(tensors.stat().st_size * kept))
    assert "cannot be loaded" in fail("generate", model, "A")
    (model / "config.json").write_text("{")
    assert "not valid JSON" in fail("generate", model, "A")


def test_prompts_and_texts(fail, pretrained, tmp_path):
    assert "give a shorter prompt" in fail("generate", pretrained.causal, "The cat. " * 200)
    assert "give a shorter one" in fail("fill", pretrained.masked, "The cat. " * 200 + "[MASK]")
    assert "has no blank" in fail("fill", pretrained.masked, "The cat.")
    assert "either text" in fail("evaluate", pretrained.causal)
    assert "either texts" in fail("encode", pretrained.masked)
    assert "--output" in fail("encode", pretrained.masked, "texts")
    assert ".npy" in fail("encode", pretrained.masked, "texts", "-o", tmp_path / "v.csv")
    empty = tmp_path / "empty.txt"
    empty.write_text("")
    assert "is empty" in fail("encode", pretrained.masked, empty, "-o", tmp_path / "v.npy")
    assert "no text in there" in fail("evaluate", pretrained.causal, empty)
    assert "device" in fail("fill", pretrained.masked, "A [MASK].", "--device", "abacus")
    bad = tmp_path / "bad.txt"
    bad.write_bytes(b"good\n\xff\n")
    assert f"{bad}:2: byte 0xff" in fail("encode", pretrained.masked, bad, "-o", tmp_path / "v.npy")
    assert f"{bad}:2: byte 0xff" in fail("evaluate", pretrained.causal, bad)


def test_tasks_and_labels(fail, pretrained, tmp_path):
    task = tmp_path / "task.jsonl"
    task.write_text('{"input": "a", "output": "b"}\nnonsense\n')
    assert f"{task}:2: is not valid JSON" in fail("evaluate", pretrained.causal, "--task", task)
    task.write_text(json.dumps({"input": "a", "output": "b"}))
    assert "8 examples wanted" in fail("evaluate", pretrained.causal, "--task", task)
    assert "shots = 'many'" in fail("evaluate", pretrained.causal, "--task", task, "--shots", "many")
    labelled, strange = tmp_path / "labelled.tsv", tmp_path / "strange.tsv"
    labelled.write_text("text\tlabel\n" + "a\tx\nb\ty\n" * 10)
    strange.write_text("text\tlabel\na\tx\nb\tz\n")
    for command, more in (("probe", ["--labels", "100%"]), ("finetune", ["-o", tmp_path / "run"])):
        words = [command, pretrained.masked, "--train", labelled, "--test", strange, *more]
        assert f"{strange}:3: label 'z' was not seen in training" in fail(*words)
        assert "has no column 'words'" in fail(*words, "--text-column", "words")
    assert ".png" in fail("probe", pretrained.masked, "--train", labelled, "--test", labelled, "--plot", "f.gif")


def test_settings_reach_the_configuration_they_belong_to(tmp_path, monkeypatch):
    def take(*_, **settings):
        seen.update(settings)
        raise NlprepError("enough seen")

    seen = {}
    monkeypatch.setattr("nlprep.language_models.encoders.training.train_sentence_encoder", take)
    pairs = tmp_path / "pairs.tsv"
    pairs.write_text("one\tother\na\tb\n")
    words = ["finetune", tmp_path / "model", "--task", "similarity", "--train", pairs, "-o", tmp_path / "run"]
    words += ["--precision", "bf16", "--seed", 3, "--pooling", "max", "--dropout", 0.2, "--batch-size", 7]
    assert main([str(word) for word in words]) == 2
    assert seen["training"].precision == "bf16"
    assert (seen["training"].seed, seen["training"].batch_size) == (3, 7)
    # The encoder has a precision too: it is for encoding, and was not asked for.
    assert seen["encoder_config"] == EncoderConfig(pooling="max")
    assert seen["config"] == ContrastiveConfig(dropout=0.2)


def test_contradictions_of_finetune(fail, pretrained, tmp_path):
    words = ["finetune", pretrained.masked, "--train", tmp_path / "train", "-o", tmp_path / "run"]
    assert "translation needs --decoder" in fail(*words, "--task", "translation")
    assert "--decoder is for translation" in fail(*words, "--decoder", pretrained.causal)
    assert "--parts head" in fail(*words, "--task", "similarity", "--parts", "head")
    assert "--lines is for similarity" in fail(*words, "--lines")
    assert "--temperature is for similarity" in fail(*words, "--temperature", 1)
    assert "--translation-dropout is for translation, not for clas" in fail(*words, "--translation-dropout", 0)
    assert "--pooling is for similarity" in fail(*words, "--pooling", "max")
    assert "names 2 files" in fail(*words, "--test", "a", "b")
    assert "--train: expected a value" in fail("finetune", pretrained.masked, "-o", tmp_path / "run", "--train")


@pytest.mark.parametrize(
    "words",
    [
        ["mlm"],
        ["mlm", "text"],
        ["mlm", "text", "-o", "run", "--size", "huge"],
        ["gpt", "text", "-o", "run", "--resume", "maybe"],
        ["gpt", "text", "-o", "run", "--steps", "few"],
        ["fill"],
        ["probe", "model"],
        ["finetune", "model", "--task", "cooking"],
        ["finetune", "model", "--train", "-o", "run"],
        ["generate", "model", "--threads", "0"],
        ["nonsense"],
    ],
)
def test_a_command_line_that_makes_no_sense(words, capsys):
    assert main(words) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "error: " in one_line(printed.err)


def test_settings_out_of_range(fail, text, tmp_path):
    words = ["mlm", text, "-o", tmp_path / "run", *SMALL]
    assert "--masking-rate = 1.5: must be at most 0.9" in fail(*words, "--masking-rate", 1.5)
    assert "must be a multiple of the heads" in fail(*words, "--heads", 3)
    assert "family = 'abacus'" in fail(*words, "--family", "abacus")
