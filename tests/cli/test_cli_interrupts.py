"""Ctrl-C at any moment: status 130, one line, no half-written file, and training goes on where it stopped."""

from __future__ import annotations

import errno
import functools
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from tests_cli_support import one_line, snapshot, start
from tests_pretrain_support import english

from cli.translate import main
from nlprep.core.artifacts import read_config
from nlprep.core.errors import os_errors_named
from nlprep.embeddings.skipgram import train_skipgram
from nlprep.embeddings.vector_files import read_vectors
from nlprep.embeddings.word_vectors import WordVectors

pytestmark = pytest.mark.slow

# Long enough to be interrupted at any of the moments below; stopped long before its end.
TRAIN = ["--dimension", "60", "--epochs", "100000", "--threads", "1", "--quiet"]


def interrupt(words, *, cwd, environment, when) -> subprocess.CompletedProcess[str]:
    """Run a command, send SIGINT after ``when`` seconds or once ``when()`` holds, and wait for the end."""
    process = start("translate", *words, environment=environment, cwd=cwd)
    when = when if callable(when) else after(when)
    limit = time.monotonic() + 60
    while not when() and process.poll() is None:
        assert time.monotonic() < limit
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess(words, process.returncode, out, err)


def after(seconds: float):
    moment = time.monotonic() + seconds
    return lambda: time.monotonic() > moment


@pytest.mark.parametrize("seconds", [0.0, 0.03, 0.1, 0.2, 0.5, 1.0, 2.0])
def test_train_at_some_moment(made, tmp_path, environment, seconds):
    (tmp_path / "out.vec").write_text("1 2\nold 1 2\n")
    before = snapshot(tmp_path)
    words = ["train", made.text.english, "-o", "out.vec", "--overwrite", *TRAIN]
    done = interrupt(words, cwd=tmp_path, environment=environment, when=seconds)
    assert done.returncode == 130, done
    assert done.stdout == ""
    assert one_line(done.stderr).startswith("rep-translate: interrupted")
    left = snapshot(tmp_path)
    state = {name for name in left if name.startswith("out.vec.state")}
    assert {name: left[name] for name in left if name not in state} == before
    assert not [name for name in state if ".tmp" in name]
    if state:
        assert "--resume" in done.stderr
        assert "out.vec.state/run.json" in state


def test_train_resumes_to_the_very_same_vectors(made, tmp_path, environment, run_command):
    words = ["train", made.text.english, "--dimension", "30", "--epochs", "12", "--threads", "1", "--quiet"]
    assert run_command(*words, "-o", "whole").returncode == 0
    slow = [*words, "-o", "parts"]
    started = lambda: (tmp_path / "parts.state" / "corpus").exists()  # noqa: E731
    done = interrupt(slow, cwd=tmp_path, environment=environment, when=started)
    assert done.returncode == 130
    assert not (tmp_path / "parts").exists()
    refused = run_command(*slow)
    assert refused.returncode == 2
    assert "--resume" in one_line(refused.stderr)
    changed = run_command(*slow, "--resume", "--min-count", "6")
    assert changed.returncode == 2
    assert "min_count was 5, is 6" in one_line(changed.stderr)
    assert run_command(*slow, "--resume").returncode == 0
    one, other = read_vectors(tmp_path / "whole"), read_vectors(tmp_path / "parts")
    assert one.words == other.words
    np.testing.assert_array_equal(one.matrix, other.matrix)
    assert {path.name for path in tmp_path.iterdir()} == {"whole", "parts"}


# What clusters do when a job's time is over, in the middle of the second epoch.
TERMINATED = """
import os, signal, sys
from cli.translate import main
from nlprep.embeddings.skipgram.training import _SkipGramRun

advance = _SkipGramRun.advance

def advance_and_be_told(run, task):
    advance(run, task)
    if run.epoch == 1:
        os.kill(os.getpid(), signal.SIGTERM)

_SkipGramRun.advance = advance_and_be_told
sys.exit(main())
"""


def test_sigterm_saves_and_train_resumes_to_the_very_same_vectors(tmp_path, run_command):
    (tmp_path / "text.txt").write_text(english(1000))
    words = ["train", tmp_path / "text.txt", "--dimension", "8", "--epochs", "3", "--threads", "1", "--quiet"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    done = run_command(*words, "-o", parts, program=[sys.executable, "-c", TERMINATED])
    assert (done.returncode, done.stdout) == (130, "")
    assert one_line(done.stderr).startswith("rep-translate: interrupted")
    assert "--resume" in done.stderr
    assert not parts.exists()
    assert read_config(tmp_path / "parts.state" / "training")["epoch"] == 1
    for output, more in ((parts, ["--resume"]), (whole, [])):
        assert main([*map(str, words), "-o", str(output), *more]) == 0
    np.testing.assert_array_equal(read_vectors(parts).matrix, read_vectors(whole).matrix)
    assert {path.name for path in tmp_path.iterdir()} == {"text.txt", "whole", "parts"}


def test_a_full_disk_at_the_end_costs_no_training(made, tmp_path, monkeypatch, capsys):
    words = [
        "train",
        str(made.text.english),
        "-o",
        str(tmp_path / "out"),
        "--dimension",
        "8",
        "--epochs",
        "2",
        "--quiet",
    ]
    saving_often = functools.partial(train_skipgram, save_every=0.0)
    with monkeypatch.context() as patched:
        patched.setattr("nlprep.embeddings.skipgram.train_skipgram", saving_often)
        patched.setattr(WordVectors, "save", lambda *_, **__: refuse(tmp_path / "out"))
        assert main(words) == 2
    assert "no space left" in one_line(capsys.readouterr().err)
    kept = snapshot(tmp_path)
    assert "out.state/training/config.json" in kept
    assert main(words) == 2
    assert "--resume" in one_line(capsys.readouterr().err)
    assert snapshot(tmp_path) == kept
    assert main([*words, "--resume"]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"out"}


def refuse(path):
    with os_errors_named(path):
        raise OSError(errno.ENOSPC, "full")


def test_fresh_starts_over(made, tmp_path, environment, run_command):
    words = ["train", made.text.english, "-o", "out", "--dimension", "5", "--quiet"]
    started = lambda: (tmp_path / "out.state" / "corpus").exists()  # noqa: E731
    interrupt([*words, "--epochs", "2000"], cwd=tmp_path, environment=environment, when=started)
    assert (tmp_path / "out.state").exists()
    assert run_command(*words, "--epochs", "1", "--fresh").returncode == 0
    assert {path.name for path in tmp_path.iterdir()} == {"out"}


def test_resume_without_a_state_says_so(made, tmp_path, run_command):
    done = run_command("train", made.text.english, "-o", "out", "--dimension", 4, "--epochs", 1, "--resume")
    assert done.returncode == 0
    assert "no unfinished run" in done.stderr


@pytest.mark.parametrize("seconds", [0.0, 0.05, 0.2, 0.5, 1.0])
def test_align_at_some_moment(made, tmp_path, environment, seconds):
    words = ["align", made.english, made.french, "-d", made.text.seed_dictionary, "-o", "out", "--quiet"]
    words += ["--refine", "100000", "--tolerance", "0"]
    done = interrupt(words, cwd=tmp_path, environment=environment, when=seconds)
    # Refinement may have converged before the signal came.
    if done.returncode == 0:
        assert {path.name for path in tmp_path.iterdir()} == {"out"}
        return
    assert done.returncode == 130, done
    assert one_line(done.stderr) == "rep-translate: interrupted"
    assert list(tmp_path.iterdir()) == []


def test_waiting_for_standard_input(made, tmp_path, environment):
    done = interrupt(["translate", made.model], cwd=tmp_path, environment=environment, when=1.0)
    assert (done.returncode, done.stdout) == (130, "")
    assert one_line(done.stderr) == "rep-translate: interrupted"


LOST = """
import signal, sys, time, weakref
from cli import translate

class Anything:
    pass

# Whoever runs the tests in the background has it ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)


def wait_after_losing_an_interrupt(argv):
    one = Anything()
    reference = weakref.ref(one, lambda _: signal.raise_signal(signal.SIGINT))
    del one
    time.sleep(50)
    return 0

translate.PROGRAM.dispatch = wait_after_losing_an_interrupt
sys.exit(translate.main())
"""


def test_an_interrupt_that_python_swallows_is_answered(environment):
    done = subprocess.run([sys.executable, "-c", LOST], env=environment, capture_output=True, text=True, timeout=40)
    assert done.returncode == 130, done
    assert one_line(done.stderr) == "rep-translate: interrupted"
