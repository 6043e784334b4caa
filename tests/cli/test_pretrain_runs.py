"""``rep-pretrain mlm`` and ``gpt``: what they make, and that stopping them costs nothing."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from tests_cli_support import one_line, run_twofold, snapshot, start
from tests_pretrain_support import SHORT, SMALL, english

from cli.pretrain import main
from nlprep.core.artifacts import read_tensors
from nlprep.language_models.text.tokenizers import load_tokenizer

pytestmark = pytest.mark.slow

COMMANDS = ("mlm", "gpt")
# Far more steps than are made before the signal, each saved; one thread, as every bit is compared.
LONG = ["--layers", "1", "--width", "16", "--heads", "2", "--block-length", "16", "--vocabulary-size", "300"]
# Byte-level BPE is trained alike in every process; the library's WordPiece breaks ties as its hashes fall.
LONG += [
    "--algorithm",
    "byte-bpe",
    "--batch-size",
    "4",
    "--log-every",
    "2",
    "--checkpoint-every",
    "3",
    "--dropout",
    "0.1",
    "--threads",
    "1",
]


def weights(run):
    return read_tensors(run / "model" / "model.safetensors")


def losses(run):
    """The training losses of a run, in order."""
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [record["loss"] for record in records if "loss" in record]


def assert_same_weights(one, other):
    left, right = weights(one), weights(other)
    assert left.keys() == right.keys()
    for name, tensor in left.items():
        np.testing.assert_array_equal(tensor, right[name], err_msg=name)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_run_and_its_summary(pretrained, tmp_path, capsys, command):
    output = tmp_path / "run"
    assert main([command, str(pretrained.text), "--output", str(output), *SMALL, "--json", "--quiet"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    said = json.loads(printed.out)
    assert (said["steps"], said["resumed_from"]) == (6, None)
    assert said["settings"]["model"]["width"] == 16
    assert said["settings"]["training"]["batch_size"] == 4
    assert 0 < said["tokens_seen"] <= 6 * 4 * 64
    assert said["validation"]["perplexity"] == pytest.approx(np.exp(said["validation"]["loss"]))
    assert ("bits_per_byte" in said["validation"]) == (command == "gpt")
    assert {path.name for path in output.iterdir()} == {
        *("checkpoints", "metrics.jsonl", "model", "nlprep.json", "run.json", "tokenizer", "tokens")
    }
    # Again: nothing is left to do, and nothing changes.
    before = snapshot(output / "model")
    assert main([command, str(pretrained.text), "--output", str(output), *SMALL, "--json", "--quiet"]) == 0
    assert json.loads(capsys.readouterr().out)["resumed_from"] == 6
    assert snapshot(output / "model") == before


def test_transformers_alone_opens_them(pretrained, environment, tmp_path):
    program = """
import sys
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer
for auto, path in ((AutoModelForMaskedLM, sys.argv[1]), (AutoModelForCausalLM, sys.argv[2])):
    tokens = AutoTokenizer.from_pretrained(path)("The cat sleeps.", return_tensors="pt")
    print(tuple(auto.from_pretrained(path)(**tokens).logits.shape)[-1])
assert not [name for name in sys.modules if name.startswith("nlprep")]
"""
    paths = [str(run / "model") for run in (pretrained.masked, pretrained.causal)]
    done = subprocess.run(
        [sys.executable, "-c", program, *paths], capture_output=True, encoding="utf-8", env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "300\n300\n"


def test_what_is_printed(pretrained, tmp_path, capsys):
    output = tmp_path / "run"
    assert main(["mlm", str(pretrained.text), "--output", str(output), *SMALL]) == 0
    printed = capsys.readouterr()
    note = one_line(printed.err)
    assert note == f"no --tokenizer given: a byte-bpe one is trained on this text, into {output / 'tokenizer'}"
    rows = dict(line.split("\t") for line in printed.out.splitlines())
    assert rows["pretraining"] == str(output / "model")
    assert rows["steps"] == "6"
    assert float(rows["validation loss"]) > 0


@pytest.mark.parametrize("command", COMMANDS)
def test_a_tokenizer_of_ones_own(pretrained, tmp_path, capsys, command):
    output = tmp_path / "run"
    options = ["--layers", "1", "--width", "16", "--heads", "2", "--block-length", "16", *SHORT]
    # From a run: its tokenizer is found.
    words = [command, str(pretrained.text), "--output", str(output), "--tokenizer", str(pretrained.masked), *options]
    assert main([*words, "--quiet"]) == 0
    assert not (output / "tokenizer").exists()
    ours, theirs = load_tokenizer(output / "model"), load_tokenizer(pretrained.masked / "tokenizer")
    assert ours.get_vocab() == theirs.get_vocab()


def test_settings_from_a_file(pretrained, tmp_path, capsys):
    file = tmp_path / "project.toml"
    file.write_text(
        "threads = 1\nsteps = 3\n[mlm]\nfamily = 'roberta'\nwidth = 16\nheads = 2\nlayers = 1\nblock-length = 16\n"
        "masking-rate = 0.3\nbatch-size = 2\nvocabulary-size = 290\nalgorithm = 'byte-bpe'\nresume = 'never'\n"
        "[gpt]\nsteps = 5\n"
    )
    words = ["mlm", str(pretrained.text), "-o", str(tmp_path / "run"), "--config", str(file), "--json", "--quiet"]
    assert main([*words, "--masking-rate", "0.2"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["steps"] == 3
    assert said["settings"]["masking"]["masking_rate"] == 0.2
    assert said["settings"]["model"]["family"] == "roberta"
    assert len(load_tokenizer(tmp_path / "run")) == 290
    assert main(words) == 2
    assert "holds checkpoints up to step 3" in one_line(capsys.readouterr().err)


def wait_for_checkpoint(process, run, step):
    limit = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < limit:
        if any(
            int("".join(filter(str.isdigit, path.name)) or 0) >= step for path in (run / "checkpoints").glob("[!.]*")
        ):
            return
        time.sleep(0.005)
    raise AssertionError((process.returncode, process.stderr.read() if process.poll() is not None else "no checkpoint"))


@pytest.mark.parametrize(("command", "workers"), [("mlm", 0), ("gpt", 2)])
def test_killed_and_resumed_to_the_very_same_weights(
    pretrained, tmp_path, environment, warm_python, capsys, command, workers
):
    words = [command, str(pretrained.text), *LONG, "--workers", str(workers), "--steps", "60", "--quiet"]
    assert main([*words, "--output", str(tmp_path / "whole")]) == 0
    process = start("pretrain", *words, "--output", "parts", environment=environment, cwd=tmp_path, python=warm_python)
    wait_for_checkpoint(process, tmp_path / "parts", 12)
    process.kill()
    assert process.wait(timeout=60) == -signal.SIGKILL
    assert not (tmp_path / "parts" / "model").exists()
    capsys.readouterr()
    assert main([*words, "--output", str(tmp_path / "parts"), "--json"]) == 0
    assert 12 <= json.loads(capsys.readouterr().out)["resumed_from"] < 60
    assert_same_weights(tmp_path / "whole", tmp_path / "parts")
    assert losses(tmp_path / "whole") == losses(tmp_path / "parts")


def test_ctrl_c_saves_and_says_how_to_go_on(pretrained, tmp_path, environment, warm_python, monkeypatch, capsys):
    words = ["mlm", str(pretrained.text), *LONG, "--quiet", "--output", "run"]
    process = start("pretrain", *words, "--steps", "100000", environment=environment, cwd=tmp_path, python=warm_python)
    wait_for_checkpoint(process, tmp_path / "run", 3)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    line = one_line(err)
    assert line.startswith("rep-pretrain: interrupted: stopped at step ")
    assert line.endswith("saved in run; the same command goes on from there")
    step = int(line.split("step ")[1].split(" of")[0].replace(",", ""))
    monkeypatch.chdir(tmp_path)
    assert main([*words, "--steps", str(step + 2), "--json", "--resume", "must"]) == 0
    assert json.loads(capsys.readouterr().out)["resumed_from"] == step


@pytest.mark.parametrize("seconds", [0.0, 1.5])
def test_ctrl_c_at_some_moment(pretrained, tmp_path, environment, warm_python, seconds):
    process = start(
        "pretrain",
        *("mlm", pretrained.text, *LONG, "--steps", "100000", "--output", "run", "--quiet"),
        environment=environment,
        cwd=tmp_path,
        python=warm_python,
    )
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, ""), err
    assert one_line(err).startswith("rep-pretrain: interrupted")
    assert not list(tmp_path.rglob("*.tmp"))


def test_two_processes_speak_once(pretrained, tmp_path, environment, warm_python):
    words = ["mlm", str(pretrained.text), *SMALL, "--algorithm", "byte-bpe", "--output"]
    (status, out, err), (other_status, other_out, other_err) = run_twofold(
        "cli.pretrain", *words, tmp_path / "two", "--json", python=warm_python, environment=environment
    )
    assert (status, other_status) == (0, 0), err + other_err
    said = json.loads(out)
    assert other_out == ""
    assert (err + other_err).count("no --tokenizer given") == 1
    assert main([*words, str(tmp_path / "one"), "--quiet"]) == 0
    np.testing.assert_allclose(losses(tmp_path / "one"), losses(tmp_path / "two"), rtol=1e-5)
    assert said["steps"] == 6


def test_an_error_of_two_processes_is_said_once(tmp_path, environment, warm_python):
    words = ["mlm", tmp_path / "gone", "--output", tmp_path / "two", *SMALL, "--quiet"]
    (status, _, err), (other_status, _, other_err) = run_twofold(
        "cli.pretrain", *words, python=warm_python, environment=environment
    )
    assert 0 not in (status, other_status)
    assert (err + other_err).count("no such file or directory") == 1


def test_bytes_read_wrongly_are_an_option(tmp_path, capsys):
    text = tmp_path / "text.txt"
    text.write_bytes(english(100).encode() + b"bad \xff line\n")
    words = ["gpt", str(text), "--output", str(tmp_path / "run"), *SMALL, "--quiet"]
    assert main([*words, "--encoding-errors", "replace"]) == 0
