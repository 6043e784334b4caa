"""``rep-vqa`` from data that it draws to an answer, and what it says of what will not do."""

from __future__ import annotations

import json

import pytest
from tests_cli_support import asking, failing

from cli.vqa import main
from multimodal.finetune import main as finetune

pytestmark = pytest.mark.slow

SMALL = ["--question-width", "12", "--image-width", "8", "--head", "8", "--fusion-width", "8", "--threads", "1"]
DRAWN = ["--drawn-images", "24", "--validation", "8", "--test", "8", "--cells", "2", "--cell", "8", "--most", "4"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Data that was drawn, and a run on it."""
    folder = tmp_path_factory.mktemp("vqa")
    assert main(["make-data", str(folder / "data"), "--quiet", *DRAWN]) == 0
    words = ["train", str(folder / "data"), "-o", str(folder / "run"), "--steps", "3", "--quiet", *SMALL]
    assert main([*words, "--cache", str(folder / "cache")]) == 0
    return folder


@pytest.fixture(autouse=True)
def cache(place, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(place / "cache"))


@pytest.fixture
def ask(capsys):
    return asking(main, capsys)


@pytest.fixture
def refuse(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return failing(main, capsys, tmp_path)


def test_data_are_drawn_and_counted(ask, tmp_path):
    made = ask("make-data", tmp_path / "data", *DRAWN)
    assert made["images"] == {"train": 24, "validation": 8, "test": 8}
    with (tmp_path / "data" / "test.jsonl").open() as stream:
        assert made["questions"]["test"] == len(list(stream))


def test_the_same_command_again_says_that_all_is_done(place, ask, monkeypatch):
    monkeypatch.chdir(place)
    summary = ask("train", "data", "-o", "run", "--steps", "3", *SMALL)
    assert summary["already_done"]
    assert summary["examples"] == 24
    assert summary["question_only"]["mistakes"] >= 0
    assert summary["settings"]["answerer"]["fusion"]["kind"] == "attention"


def test_a_score_stands_beside_its_controls(place, ask, monkeypatch, capsys):
    monkeypatch.chdir(place)
    found = ask("evaluate", "data", "--plot", place / "mistakes.png", "--mistakes", "2")
    assert [one["name"] for one in found["controls"]][1:] == ["question only", "image only", "shuffled images"]
    assert found["controls"][1]["made"] == "trained so"
    assert found["images"] == 8
    assert (place / "mistakes.png").stat().st_size > 0
    assert main(["evaluate", "data", "--model", "run/model"]) == 0
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert lines[0].split("\t") == ["answers", "questions", "right", "95% interval", "soft accuracy", "how"]
    assert lines[1].startswith("the model\t")
    assert found["verdict"] in printed.err


def test_a_question_is_answered_with_probabilities_and_a_picture(place, ask, monkeypatch):
    monkeypatch.chdir(place)
    words = ["ask", "data/examples/00.png", "is there a red zebra ?"]
    found = ask(*words, "--plot", "where.png", "--top", "2")
    assert (place / "where.png").stat().st_size > 0
    assert len(found["ranking"]) == 2
    assert found["answer"] == found["ranking"][0]["answer"]
    assert "zebra" in found["unknown_words"]
    blind = ask(*words, "--missing", "image")
    other = ask("ask", "data/examples/03.png", "is there a red zebra ?", "--missing", "image")
    assert blind["ranking"] == other["ranking"]
    assert blind["remark"].startswith("answered from the question alone")
    assert ask(*words, "--missing", "text")["ranking"] == ask(*words[:2], "how many ?", "--missing", "text")["ranking"]


def test_the_script_trains_as_the_command_does(place, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(place)
    words = ["data", "--output", str(tmp_path / "run"), "--steps", "2", *SMALL[:-2], "--keep-best", "no"]
    assert finetune(words) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["steps"] == 2
    assert summary["settings"]["training"]["keep_best"] is False
    assert (tmp_path / "run" / "model" / "config.json").is_file()
    assert finetune([*words[:3], "--steps", "some"]) == 2
    assert capsys.readouterr().err == "multimodal.finetune: error: command line: steps = 'some': expected int\n"


def test_what_will_not_do_is_said_in_a_line(place, tmp_path, refuse):
    data, run = place / "data", place / "run"
    said = refuse("ask", data / "examples" / "00.png", "why ?")
    assert said.endswith("there is no finished run of rep-vqa train in this directory: name one with --model")
    assert "gone.png" in refuse("ask", "gone.png", "why ?", "--model", run)
    assert "empty question" in refuse("ask", data / "examples" / "00.png", " ", "--model", run)
    assert "leave out --plot" in refuse(
        "ask", data / "examples" / "00.png", "why ?", "--model", run, "--plot", "where.png", "--missing", "text"
    )
    assert "no split 'spare'" in refuse("evaluate", data, "--model", run, "--split", "spare")
    assert "(--encoder)" in refuse("train", data, "--encoder", "gone")
    assert "--fusion-glimpses is for the attention or cross-attention kind, not for mlp" in refuse(
        "train", data, "--fusion", "mlp", "--fusion-glimpses", "3"
    )
    assert "images = 5" in refuse("make-data", "odd", "--drawn-images", "5")
    (tmp_path / "bad.jsonl").write_text('{"question": "why ?", "answer": "no", "image": 0}\n{"question": "wh')
    said = refuse("train", "bad.jsonl", "--images", data / "train_images.npz")
    assert "bad.jsonl:2" in said
