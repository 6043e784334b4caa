"""Whatever a user can mend is one line on stderr and status 2, and nothing is lost or left behind."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest
from tests_cli_support import COMMAND, failing, one_line, snapshot

from cli.translate import main
from nlprep.embeddings.vector_files import read_vectors, write_vectors
from nlprep.embeddings.word_vectors import WordVectors


@pytest.fixture
def fail(capsys, tmp_path):
    return failing(main, capsys, tmp_path)


def train(*words: object) -> list[object]:
    return ["train", *words, "--dimension", 4, "--epochs", 1]


def test_missing_files(fail, made, tmp_path):
    gone, output = tmp_path / "gone", tmp_path / "out"
    commands = [
        train(gone, "-o", output),
        ["align", gone, made.french, "-d", made.text.seed_dictionary, "-o", output],
        ["align", made.english, made.french, "-d", gone, "-o", output],
        ["translate", gone, "cat"],
        ["evaluate", gone, made.text.test_dictionary],
        ["evaluate", made.model, gone],
        ["evaluate", made.model, "--sentences", gone, gone],
        ["neighbors", gone, "cat"],
        ["analogy", gone, "a", "b", "c"],
        ["convert", gone, output],
        ["plot", gone, "-o", tmp_path / "f.png"],
        ["plot", made.model, "-d", gone, "-o", tmp_path / "f.png"],
        ["neighbors", made.english, "cat", "--config", gone],
    ]
    for command in commands:
        assert fail(*command).startswith(f"{gone}: no such file or directory"), command


@pytest.mark.slow
def test_vectors_that_have_nothing_in_common(fail, tmp_path):
    generator = np.random.default_rng(8)
    for name in "st":
        words = [f"{name}{number}" for number in range(1500)]
        write_vectors(WordVectors(words, generator.standard_normal((1500, 40), np.float32)), tmp_path / f"{name}.vec")
    said = fail("align", tmp_path / "s.vec", tmp_path / "t.vec", "-o", tmp_path / "out", "--no-spelling")
    assert said.startswith("4 attempts from different starts agree on at most")
    assert not (tmp_path / "out").exists()
    said = fail("align", tmp_path / "s.vec", tmp_path / "t.vec", "-o", tmp_path / "out", "--method", "whitened")
    assert said.startswith("the whitened method learns from a dictionary: give one")


def test_empty_files(fail, made, tmp_path):
    empty, output = tmp_path / "empty", tmp_path / "out"
    empty.write_bytes(b"")
    assert "no words" in fail(*train(empty, "-o", output))
    assert fail("neighbors", empty, "cat").startswith(f"{empty}: is empty")
    assert fail("align", empty, made.french, "-d", made.text.seed_dictionary, "-o", output).startswith(f"{empty}: ")
    assert "holds no pairs" in fail("align", made.english, made.french, "-d", empty, "-o", output)
    assert "holds no pairs" in fail("evaluate", made.model, empty)
    assert f"{empty}" in fail("translate", empty, "cat")


def test_text_without_a_word_often_enough(fail, tmp_path):
    text = tmp_path / "text"
    text.write_text("one two three\n")
    fail(*train(text, "-o", tmp_path / "out"))


def test_bytes_that_are_not_utf8(fail, tmp_path):
    text = tmp_path / "text"
    text.write_bytes(b"good line\nbad \xff\n")
    assert fail(*train(text, "-o", tmp_path / "out")).startswith(f"{text}:2: byte 0xff at column 5")


def test_dimensions_that_differ(fail, made, tmp_path):
    narrow = tmp_path / "narrow.vec"
    whole = read_vectors(made.french)
    write_vectors(WordVectors(whole.words, whole.matrix[:, :7]), narrow)
    message = fail(
        *("align", made.english, narrow, "-d", made.text.seed_dictionary, "-o", tmp_path / "out"),
        *("--method", "procrustes"),
    )
    assert "40" in message
    assert "7" in message


def test_a_dictionary_that_shares_no_word(fail, made, tmp_path):
    foreign, output = tmp_path / "foreign.txt", tmp_path / "out"
    foreign.write_text("ulica straße\nkot katze\n", encoding="utf-8")
    message = fail("align", made.english, made.french, "-d", foreign, "-o", output)
    assert "shares no pair of words" in message
    assert "'ulica'" in message
    assert "shares no pair of words" in fail("evaluate", made.model, foreign)
    fail("plot", made.model, "-d", foreign, "-o", tmp_path / "f.png")
    wrong_way = tmp_path / "wrong.txt"
    wrong_way.write_text("cheval horse\npain bread\n", encoding="utf-8")
    assert "wrong way round" in fail("align", made.english, made.french, "-d", wrong_way, "-o", output)


def test_too_few_pairs_for_the_dimension(fail, made, tmp_path):
    few = tmp_path / "few.txt"
    few.write_text("".join(made.text.seed_dictionary.read_text(encoding="utf-8").splitlines(keepends=True)[:20]))
    message = fail("align", made.english, made.french, "-d", few, "-o", tmp_path / "out", "--method", "least-squares")
    assert "40 dimensions" in message


def test_a_dictionary_line_that_is_no_pair(fail, made, tmp_path):
    odd = tmp_path / "odd.txt"
    odd.write_text("horse cheval\nbread\n")
    said = fail("evaluate", made.model, odd)
    assert said.startswith(f"{odd}:2: ")
    assert said.endswith("found 1 in 'bread': mend the line")
    odd.write_text("horse cheval\nice cream glace\n")
    assert fail("evaluate", made.model, odd).endswith("put one tab into every line if entries may hold spaces")
    # As advised.
    odd.write_text("horse\tcheval\nice cream\tglace\n")
    assert main(["evaluate", str(made.model), str(odd), "--quiet"]) == 0


def test_unknown_words(fail, made, tmp_path):
    assert fail("neighbors", made.english, "hors").startswith("no vector for the word 'hors': did you mean 'horse'")
    assert "'qqq'" in fail("analogy", made.english, "cow", "milk", "qqq")
    assert "'qqq'" in fail("plot", made.model, "--words", "horse", "qqq", "-o", tmp_path / "f.png")


def test_a_model_from_a_newer_version(fail, made, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(made.model, model)
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"format_version": 99}))
    assert "has format version 99" in fail("translate", model, "cat")


def test_a_model_of_another_kind(fail, made):
    assert "holds 'word-vectors', expected 'translator'" in fail("translate", made.english, "cat")
    assert str(made.model) in fail("neighbors", made.model, "cat")


@pytest.mark.parametrize("kept", [0.0, 0.001, 0.5, 0.999])
def test_a_truncated_artifact(fail, made, tmp_path, kept):
    model = tmp_path / "model"
    shutil.copytree(made.model, model)
    tensors = next(model.glob("*.safetensors"))
    os.truncate(tensors, int(tensors.stat().st_size * kept))
    assert fail("translate", model, "cat").startswith(str(tensors))
    (model / "config.json").write_text("{")
    assert "not valid JSON" in fail("translate", model, "cat")


def test_truncated_vectors(fail, made, tmp_path):
    for name, kept in (("v.vec", 0.7), ("v.bin", 0.7)):
        path = tmp_path / name
        write_vectors(read_vectors(made.english), path, format="word2vec" if name == "v.vec" else "word2vec-binary")
        os.truncate(path, int(path.stat().st_size * kept))
        assert fail("neighbors", path, "cat").startswith(str(path))


def test_damaged_compression(fail, made, tmp_path):
    import gzip

    path = tmp_path / "text.gz"
    path.write_bytes(gzip.compress(made.text.english.read_bytes())[:-2000])
    assert "damaged or cut short" in fail(*train(path, "-o", tmp_path / "out"))


def test_nothing_of_someone_elses_is_replaced(fail, made, tmp_path):
    folder = tmp_path / "thesis"
    folder.mkdir()
    (folder / "chapter.tex").write_text("years of work")
    assert "not ours to replace" in fail(*train(made.text.english, "-o", folder))
    assert "not ours to replace" in fail(
        "align", made.english, made.french, "-d", made.text.seed_dictionary, "-o", folder
    )
    assert "not ours to replace" in fail("convert", made.english, folder)
    (tmp_path / "out.state").mkdir()
    (tmp_path / "out.state" / "mine").write_text("")
    assert "not ours to replace" in fail(*train(made.text.english, "-o", tmp_path / "out"))
    assert "not ours to replace" in fail(*train(made.text.english, "-o", tmp_path / "out", "--fresh"))


def test_a_folder_that_is_not_there(fail, made, tmp_path):
    gone = tmp_path / "gone"
    for command in (
        train(made.text.english, "-o", gone / "out"),
        train(made.text.english, "-o", gone / "out.vec"),
        ["align", made.english, made.french, "-d", made.text.seed_dictionary, "-o", gone / "out"],
        ["convert", made.english, gone / "out.vec"],
        ["plot", made.model, "-o", gone / "f.png"],
    ):
        assert "no such" in fail(*command)


def test_a_place_under_a_file(fail, made):
    inside = made.text.english / "out"
    for command in (
        train(made.text.english, "-o", inside),
        ["convert", made.english, inside],
        ["demo", "-o", inside],
    ):
        assert fail(*command)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to any folder")
def test_a_read_only_folder(fail, made, tmp_path):
    tmp_path.chmod(0o555)
    try:
        for command in (
            train(made.text.english, "-o", tmp_path / "out"),
            train(made.text.english, "-o", tmp_path / "out.vec"),
            ["align", made.english, made.french, "-d", made.text.seed_dictionary, "-o", tmp_path / "out"],
            ["convert", made.english, tmp_path / "out.vec"],
            ["plot", made.model, "-o", tmp_path / "f.png"],
        ):
            assert "not writable" in (message := fail(*command)) or "permission denied" in message
    finally:
        tmp_path.chmod(0o755)


def small_files(limit: int = 20_000):
    """Past the limit, writing fails with EFBIG, as it fails with ENOSPC on a full disk."""

    def before_the_command() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return before_the_command


@pytest.mark.parametrize("limit", [20_000, 600_000])
@pytest.mark.slow
def test_a_full_disk_while_training(made, run_command, tmp_path, limit):
    # The smaller limit is reached by the numbered text, the larger by the vectors.
    words = ["train", made.text.english, "-o", "out", "--dimension", "400", "--epochs", "1", "--quiet"]
    done = run_command(*words, preexec_fn=small_files(limit))
    assert done.returncode == 2, done
    assert "nothing was changed" in one_line(done.stderr)
    assert snapshot(tmp_path) == {}


@pytest.mark.slow
def test_a_full_disk(made, run_command, tmp_path):
    for command in (
        ["convert", made.english, "out.vec"],
        ["convert", made.english, "out.bin"],
        ["plot", made.model, "-o", "f.png"],
        ["align", made.english, made.french, "-d", made.text.seed_dictionary, "-o", "model", "--quiet"],
    ):
        done = run_command(*command, preexec_fn=small_files())
        assert done.returncode == 2, done
        assert "nothing was changed" in one_line(done.stderr)
        assert snapshot(tmp_path) == {}


@pytest.mark.slow
def test_a_full_disk_leaves_the_old_result(made, run_command, tmp_path):
    assert run_command("convert", made.english, "old.vec").returncode == 0
    assert run_command("convert", made.english, "old").returncode == 0
    before = snapshot(tmp_path)
    for name in ("old.vec", "old"):
        done = run_command("convert", made.french, name, "--overwrite", preexec_fn=small_files())
        assert done.returncode == 2
        assert "nothing was changed" in one_line(done.stderr)
        assert snapshot(tmp_path) == before


def test_settings_out_of_range(fail, made, tmp_path):
    output = tmp_path / "out"
    assert "epochs = 0: must be at least 1" in fail("train", made.text.english, "-o", output, "--epochs", 0)
    assert "--learning-rate = -1.0: must be above 0" in fail(
        "train", made.text.english, "-o", output, "--learning-rate", -1
    )
    message = fail(
        *("align", made.english, made.french, "-d", made.text.seed_dictionary, "-o", output),
        *("--normalization", "unit,wobble"),
    )
    assert "wobble" in message
    assert "compressed" in fail(*train(made.text.english, "-o", tmp_path / "out.vec.gz"))
    assert ".png" in fail("plot", made.model, "-o", tmp_path / "f.gif")
    assert "device" in fail(*train(made.text.english, "-o", output), "--device", "abacus")


def test_contradictions(fail, made, tmp_path):
    assert "two different" in fail("translate", made.model, "cat", "--from", "en", "--to", "en")
    assert "--reverse" in fail("translate", made.model, "cat", "--from", "en", "--reverse")
    assert "between en and fr" in fail("translate", made.model, "cat", "--from", "de")
    assert "one at a time" in fail("evaluate", made.model, made.text.test_dictionary, "--sentences", "a", "b")
    assert "nothing to measure" in fail("evaluate", made.model)
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("a\nb\n")
    two.write_text("a\n")
    assert "2 lines" in fail("evaluate", made.model, "--sentences", one, two)


@pytest.mark.parametrize(
    "words",
    [
        ["train"],
        ["train", "text", "-o", "out", "--epochs", "many"],
        ["train", "text", "-o", "out", "--min-count", "0"],
        ["train", "text", "-o", "out", "--resume", "--fresh"],
        ["translate", "model", "--method", "magic"],
        ["translate", "model", "--top", "0"],
        ["nonsense"],
        ["--nonsense"],
        ["analogy", "vectors", "a", "b"],
        ["plot", "model"],
        ["translate", "model", "--threads", "-1"],
    ],
)
def test_a_command_line_that_makes_no_sense(words, capsys):
    assert main(words) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    line = one_line(printed.err)
    assert line.startswith("rep-translate")
    assert "error: " in line
    assert "--help" in line


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--quiet", "align", "a", "b"], "--quiet: the command comes first and its options after it, as in rep-transl"),
        (["analogy", "vectors", "a", "b", "c", "d"], "more words than the command takes: 'd' ("),
        (["evaluate", "m", "--dictionary", "d"], "unknown option --dictionary: dictionary is given as a word"),
        (["evaluate", "m", "--sentences", "a", "--json"], "--sentences: expected 2 values, found the option --json ("),
        (["align", "a", "b", "--output", "--quiet"], "--output: expected a value, found the option --quiet ("),
        (["align", "a", "b", "-d"], "-d: expected a value ("),
        (["align", "a", "b"], "--output is missing ("),
        (["align", "a", "b", "--outputs=c"], "unknown option --outputs: did you mean --output? ("),
        (["plot", "m", "--words", "-o", "f.png"], "--words: expected a value, found the option -o ("),
        (["translate", "--top", "5"], "MODEL is missing ("),
    ],
)
def test_a_mistake_is_named_in_words(words, message, capsys):
    assert main(words) == 2
    line = one_line(capsys.readouterr().err)
    assert line.removeprefix("rep-translate: error: ").startswith(message)


def test_bugs_keep_their_traceback(made, monkeypatch):
    def broken(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr(WordVectors, "neighbors", broken)
    with pytest.raises(ZeroDivisionError):
        main(["neighbors", str(made.english), "cat"])


def test_vectors_with_nan_are_refused(fail, tmp_path):
    path = tmp_path / "v.vec"
    path.write_text("2 2\na 1 2\nb nan 1\n")
    assert fail("neighbors", path, "a").startswith(f"{path}:3: ")


def test_paths_may_have_spaces_and_accents(made, tmp_path, capsys):
    odd = tmp_path / "l'été à Paris %s {x}"
    assert main(["convert", str(made.english), str(odd), "--limit", "5", "--quiet"]) == 0
    assert main(["neighbors", str(odd), Path(made.english).name]) == 2
    one_line(capsys.readouterr().err)


def test_an_output_without_a_name(fail, made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for output in (".", "..", "/"):
        fail(*train(made.text.english, "-o", output))


@pytest.mark.slow
def test_words_that_are_no_text(made, run_command, environment):
    # What the shell passes on for a byte that is not UTF-8.
    for options in ([], ["--json"]):
        done = run_command("translate", made.model, "horse", os.fsdecode(b"\xff"), *options)
        assert done.returncode == 2
        assert "horse" in done.stdout
        one_line(done.stderr)
    ascii_only = environment | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    words = [*COMMAND, "translate", str(made.model), "elephant", "--json", "--top", "20"]
    done = subprocess.run(words, capture_output=True, env=ascii_only, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert b"\\xe9" in done.stdout


def test_a_device_that_is_not_there_is_named_before_the_text_is_read(tmp_path, capsys):
    assert main(["train", str(tmp_path / "not-read.txt"), "-o", str(tmp_path / "out"), "--device", "abacus"]) == 2
    assert "device = 'abacus': torch cannot use it" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
