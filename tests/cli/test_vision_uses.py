"""``rep-vision anomalies`` and ``rep-vision search`` on a few drawn pictures."""

from __future__ import annotations

import numpy as np
import pytest
from tests_cli_support import asking, failing

from cli.vision import main

pytestmark = pytest.mark.slow

TINY = ["--steps", "12", "--batch-size", "8", "--backbone", "mlp", "--backbone-width", "16", "--dimension", "4"]
HELD_OUT = 20
"""Of the 121 images of the run, by the preset for few; these draw the line."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Parts of two classes to learn from; among those to look at, some are turned. One is there twice."""
    from PIL import Image

    place = tmp_path_factory.mktemp("uses")
    draws = np.random.default_rng(1)
    ramp = np.linspace(60, 200, 12)[None, :] + np.zeros((12, 1))
    for part, kinds in (("train", {"left": 60, "right": 60}), ("test", {"left": 6, "right": 6, "turned": 4})):
        for kind, count in kinds.items():
            for number in range(count):
                pixels = {"left": ramp, "right": ramp[:, ::-1], "turned": ramp.T}[kind] + draws.normal(0, 8, (12, 12))
                name = place / "parts" / part / kind / f"{number}.png"
                name.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(name)
    left = place / "parts" / "train" / "left"
    (left / "again.png").write_bytes((left / "7.png").read_bytes())
    cache = ["--cache", str(place / "cache")]
    parts = str(place / "parts")
    for model, run in (("vae", "run"), ("conditional-vae", "conditional")):
        assert main(["train", model, parts, "-o", str(place / run), "--quiet", *TINY, *cache]) == 0
    return place


@pytest.fixture(autouse=True)
def cache(folder, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache-of-the-user"))


@pytest.fixture
def ask(capsys):
    return asking(main, capsys)


def test_usual_images_and_those_looked_at_have_splits_of_their_own(folder, tmp_path, ask, capsys):
    parts = folder / "parts"
    usual = ["--usual", parts, "--usual-split", "train"]
    words = ["anomalies", folder / "run", "--data", parts, "--split", "test"]
    told = ask(*words, *usual, "--odd", "turned", "--score", "pixel_pca", "--detector", tmp_path / "detector")
    assert told["images"] == 16
    assert told["detection"]["num_odd"] == 4
    assert told["detection"]["auroc"]["value"] == 1.0
    assert {found["image"].split("/")[-2] for found in told["oddest"][:4]} == {"turned"}
    assert told["threshold"]["num_examples"] == HELD_OUT
    again = ask("anomalies", tmp_path / "detector", "--data", parts, "--split", "test")
    assert again["oddest"] == told["oddest"]
    # Of the sixteen of the other split a fifth is too few to draw a line by.
    refuse = failing(main, capsys, tmp_path / "nothing")
    assert "cannot show" in refuse(*words, *usual[:3], "test")


def test_the_folder_of_a_run_is_known_by_another_name(folder, ask, monkeypatch):
    monkeypatch.chdir(folder)
    told = ask("anomalies", "run", "--usual", "parts", "--data", "parts", "--score", "pixel_pca")
    # And not a fifth of all, most of which it was trained on.
    assert told["threshold"]["num_examples"] == HELD_OUT


def test_classes_count_where_labels_are_used_alone(folder, tmp_path, ask, capsys):
    # Here there are no turned ones, which the model knows of.
    words = [folder / "conditional", "--data", folder / "parts" / "train"]
    told = ask("encode", words[0], words[2], "-o", tmp_path / "codes.npz")
    assert (told["images"], told["dimension"]) == (121, 4)
    assert ask("search", *words, "--duplicates")["pairs"] is not None
    assert ask("report", *words, "-o", tmp_path / "page.html", "--map", "pca")["images"] == 121
    page = (tmp_path / "page.html").read_text()
    assert "<h2>Near-duplicates" in page
    assert "<h2>What the model makes of images" not in page
    refuse = failing(main, capsys, tmp_path / "nothing")
    said = refuse("reconstruct", *words, "-o", tmp_path / "nothing.png")
    assert said.endswith("its classes, left, right, are not those of the model: left, right, turned")


def test_odd_images_need_not_be_of_a_class_that_the_model_knows(folder, ask):
    told = ask("anomalies", folder / "conditional", "--data", folder / "parts", "--split", "test", "--odd", "turned")
    assert told["detection"]["num_odd"] == 4


def test_odd_images_are_drawn_and_all_scores_written(folder, tmp_path, ask, capsys):
    pytest.importorskip("pyarrow")
    from pyarrow.csv import read_csv
    from pyarrow.json import read_json
    from pyarrow.parquet import read_table

    for run, ending in (("run", "csv"), ("run", "jsonl"), ("conditional", "parquet")):
        figure, output = tmp_path / f"{ending}.png", tmp_path / f"scores.{ending}"
        told = ask("anomalies", folder / run, "--data", folder / "parts", "--plot", figure, "-o", output)
        assert told["score"] == "neighbors"
        assert told["output"] == str(output)
        assert figure.read_bytes().startswith(b"\x89PNG")
        assert told["heat"] == {"name": "neighbors by place", "of_score": True}
        rows = {"csv": read_csv, "jsonl": read_json, "parquet": read_table}[ending](output).to_pylist()
        assert list(rows[0]) == ["image", "score", "odd", "label"]
        assert len(rows) == told["images"]
        assert sum(row["odd"] for row in rows) == told["odd"]
        oddest = max(rows, key=lambda row: row["score"])
        assert {name: oddest[name] for name in ("image", "score", "odd")} == told["oddest"][0]
    (tmp_path / "mine.csv").write_text("a,b\n")
    refuse = failing(main, capsys, tmp_path)
    words = ["anomalies", folder / "run", "--data", folder / "parts"]
    assert "not ours to replace" in refuse(*words, "-o", tmp_path / "mine.csv", "--overwrite")
    assert "end it in .csv, .jsonl or .parquet" in refuse(*words, "-o", tmp_path / "scores.txt")


def test_images_are_searched_and_near_duplicates_found(folder, tmp_path, ask, capsys):
    run, picture = folder / "run", folder / "parts" / "train" / "left" / "7.png"
    words = ["search", run, "--number", 3, "--index", tmp_path / "index", "--image"]
    found = ask(*words, picture)["found"][0]
    # Itself is left out; a copy of it is not.
    assert found["itself"] == "train/left/7.png"
    assert found["matches"][0]["name"] == "train/left/again.png"
    assert len(found["matches"]) == 3
    assert found["matches"][0]["cosine"] == pytest.approx(1, abs=1e-4)
    assert ask(*words, picture)["found"][0] == found
    kept = ask(*words, picture, "--with-itself")["found"][0]
    assert kept["itself"] is None
    assert {match["name"].split("/")[-1] for match in kept["matches"][:2]} == {"7.png", "again.png"}
    # Under another name it is known by its content, by pixels where they are at hand.
    other = tmp_path / "elsewhere.png"
    other.write_bytes((folder / "parts" / "train" / "right" / "3.png").read_bytes())
    for more in ([], ["--plot", tmp_path / "found.png"]):
        assert ask(*words, other, *more)["found"][0]["itself"] == "train/right/3.png"
    strange = folder / "parts" / "test" / "turned" / "0.png"
    assert ask(*words, strange)["found"][0]["itself"] is None
    pairs = ask("search", run, "--duplicates", "--threshold", "0.9999", "--index", tmp_path / "index")
    assert {tuple(sorted(name.split("/")[-1] for name in pair["images"])) for pair in pairs["pairs"]} >= {
        ("7.png", "again.png")
    }
    # Of other images than those it was made of, an index is not asked.
    few = tmp_path / "few.npz"
    np.savez(few, x=np.zeros((20, 12, 12, 3), np.uint8) + np.arange(20, dtype=np.uint8)[:, None, None, None])
    refuse = failing(main, capsys, tmp_path)
    assert "is an index of other images" in refuse(*words, picture, "--data", few)
    assert 0 <= pairs["pairs_by_chance"] < ask("search", run, "--duplicates", "--threshold", "0.5")["pairs_by_chance"]


def test_an_approximate_index_is_made_when_it_is_asked_for(folder, tmp_path, ask):
    pytest.importorskip("faiss")
    run, picture = folder / "run", folder / "parts" / "train" / "left" / "7.png"
    words = ["search", run, "--image", picture, "--number", 2, "--index", tmp_path / "index", "--with-itself"]
    told = ask(*words, "--approximate")
    assert {match["name"].split("/")[-1] for match in told["found"][0]["matches"]} == {"7.png", "again.png"}
    assert ask(*words) == told
