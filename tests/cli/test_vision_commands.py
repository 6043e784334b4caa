"""``rep-vision`` from a few drawn pictures to a page, and what it refuses."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from tests_cli_support import asking, failing, one_line, snapshot

from cli.vision import COMMANDS, main
from vision.models.configuration import METHODS, ImageModelConfig
from vision.models.files import load_model
from vision.models.making import reconstruct_images
from vision.models.methods import MODELS
from vision.models.summaries import SUMMARIES
from vision.run_images import read_for_model

pytestmark = pytest.mark.slow

TINY = ["--steps", "12", "--batch-size", "8", "--backbone", "mlp", "--backbone-width", "16", "--dimension", "4"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two classes that a glance tells apart, as a folder, a file, and a run of a VAE on them."""
    from PIL import Image

    place = tmp_path_factory.mktemp("vision")
    noise = np.random.default_rng(1).integers(0, 60, (40, 10, 12), dtype=np.uint8)
    labels = np.arange(40) % 2
    for number, (pixels, label) in enumerate(zip(noise, labels, strict=True)):
        pixels[:5] += np.uint8(150 * label)
        name = place / "photos" / ("bright" if label else "dark") / f"{number}.png"
        name.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(name)
    np.savez(place / "images.npz", x=noise, y=labels)
    cache = ["--cache", str(place / "cache")]
    assert main(["train", str(place / "photos"), "-o", str(place / "run"), "--quiet", *TINY, *cache]) == 0
    return place


@pytest.fixture(autouse=True)
def cache(folder, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache-of-the-user"))


@pytest.fixture
def ask(capsys):
    return asking(main, capsys)


def test_a_model_is_used_by_every_command(folder, tmp_path, ask):
    run, photos = folder / "run", folder / "photos"
    codes = ask("encode", run, photos, "-o", tmp_path / "codes.npz")
    assert codes == {"output": str(tmp_path / "codes.npz"), "images": 40, "dimension": 4}
    kept = np.load(tmp_path / "codes.npz")
    assert kept["vectors"].shape == (40, 4)
    assert "dark" in str(kept["images"][-1])
    # Vectors of ours are replaced, and only if that is asked for where nothing says whose they are.
    assert ask("encode", run, photos, "-o", tmp_path / "codes.npz", "--overwrite") == codes
    for command, words in (
        ("sample", ["--number", 4]),
        ("reconstruct", ["--data", photos, "--number", 3]),
        ("traverse", ["--data", photos, "--rows", 2, "--steps", 3]),
        ("traverse", ["--data", photos, "--rows", 2, "--steps", 3, "--between"]),
    ):
        figure = tmp_path / f"{command}{len(words)}.png"
        assert ask(command, run, *words, "-o", figure)["figure"] == str(figure)
        assert figure.read_bytes().startswith(b"\x89PNG")
    told = ask("probe", run, "--train", photos, "--test", photos, "--labels", "4,20", "--repeats", 2)
    assert told["curves"][0]["name"] == str(run)
    assert len(told["curves"]) == 3
    accuracies = {curve["name"]: curve["points"][-1]["accuracy"] for curve in told["curves"]}
    assert accuracies["raw pixels"] == 1.0


def test_in_the_middle_of_a_traverse_is_what_the_model_makes_of_the_image(folder, tmp_path, ask, monkeypatch):
    from nlprep.figures import images as figures

    drawn = {}
    monkeypatch.setattr(
        figures,
        "draw_image_sequences",
        lambda rows, *_, column_names, **__: drawn.update(rows=rows, names=column_names),
    )
    photos = folder / "photos"
    ask("traverse", folder / "run", "--data", photos, "--rows", 2, "--steps", 5, "-o", tmp_path / "traversals.png")
    saved = load_model(folder / "run")
    given_back = reconstruct_images(saved, read_for_model(saved, photos).select(np.arange(1)))[0]
    for row in drawn["rows"].values():
        np.testing.assert_allclose(row[2], given_back, atol=1e-6)
        assert np.abs(row[0] - row[2]).max() > 1e-4
    assert drawn["names"] == ["-2 sd", "-1 sd", "as it is", "+1 sd", "+2 sd"]


def test_figures_that_nobody_names_are_named_by_the_run(folder, tmp_path, ask, monkeypatch):
    monkeypatch.chdir(tmp_path)
    few = ["--rows", 2, "--steps", 3]
    for command, words, name in (("sample", ["--number", 4], "samples"), ("reconstruct", ["--number", 3],
                                 "reconstructions"), ("traverse", few, "traversals")):  # fmt: skip
        assert ask(command, folder / "run", *words)["figure"] == f"run-{name}.png"
    # The model in it is the run's, and a copy that lies elsewhere is called as it is.
    shutil.copytree(folder / "run" / "model", tmp_path / "other")
    assert ask("sample", folder / "run" / "model", "--number", 4)["figure"] == "run-samples.png"
    assert ask("sample", tmp_path / "other", "--number", 4)["figure"] == "other-samples.png"
    assert {path.name for path in tmp_path.glob("*.png")} == {
        "run-samples.png", "run-reconstructions.png", "run-traversals.png", "other-samples.png"
    }  # fmt: skip


def test_a_classifier_is_attacked_alone_and_behind_a_denoiser(folder, tmp_path, ask, capsys):
    photos, judge = folder / "photos", tmp_path / "classifier"
    ask("train", "classifier", photos, "-o", judge, *TINY, "--steps", 60, "--learning-rate", "0.01")
    words = ["robustness", judge, "--denoiser", folder / "run", "--epsilon", "0.4", "--restarts", 0]
    told = ask(*words, "--steps", 3)
    # Those that both runs held out.
    assert told["images"] == 10
    assert told["undefended"]["clean"]["value"] == 1
    assert told["undefended"]["pgd"]["value"] < 1
    assert set(told["defended"]) == {"clean", "fgsm", "pgd", "adaptive", "identity", "all"}
    assert told["settings"]["steps"] == 3
    assert ask(*words, "--steps", 1, "--data", photos, "--number", 4)["images"] == 4
    refuse = failing(main, capsys, tmp_path)
    assert "run: a model of the kind vae tells no classes apart: this does: classifier" in refuse(
        "robustness", folder / "run", "--denoiser", folder / "run"
    )
    assert "kind classifier does not give images back: these do: autoencoder, " in refuse(
        "robustness", judge, "--denoiser", judge
    )
    # One line for whatever a model cannot do, with those that can.
    for command, said in (
        ("sample", "draws no images: these do: vae, conditional-vae, iwae,"),
        ("reconstruct", "does not give images back: these do: autoencoder,"),
        ("traverse", "makes no images of codes: these do: autoencoder,"),
    ):
        assert f"a model of the kind classifier {said}" in refuse(command, judge, "-o", tmp_path / "none.png")
    assert "has no labels" in refuse(*words, "--data", photos / "dark")
    assert main([*map(str, words), "--steps", "1", "--quiet"]) == 0
    assert "every one of these\t\t" in capsys.readouterr().out


def test_a_page_of_the_latest_run(folder, tmp_path, ask, monkeypatch):
    monkeypatch.chdir(folder)
    told = ask("report", "-o", tmp_path / "page.html", "--map", "pca")
    assert told["images"] == 40
    page = (tmp_path / "page.html").read_text()
    assert "dark/" in page
    assert "https://" not in page


def test_the_same_command_goes_on_and_another_is_refused(folder, ask, capsys):
    words = ["train", folder / "photos", "-o", folder / "run", *TINY]
    before = snapshot(folder / "run" / "model")
    again = ask(*words)
    assert (again["already_done"], again["steps"], again["images_per_second"]) == (True, 12, None)
    assert main([str(word) for word in words]) == 0
    printed = capsys.readouterr()
    assert "run is already done, at step 12: nothing was trained; to go on, give more --steps; to" in printed.err
    assert not {"seconds", "resumed from step"} & {line.split("\t")[0] for line in printed.out.splitlines()}
    assert snapshot(folder / "run" / "model") == before
    refuse = failing(main, capsys, folder / "run")
    assert "dimension" in refuse(*words, "--dimension", "5")
    assert "--sparse-weight is for the sparse model" in refuse(*words, "--sparse-weight", "2")


def test_a_run_of_another_model_is_replaced_where_that_is_asked_for(folder, tmp_path, ask, capsys):
    words = [folder / "photos", "-o", tmp_path / "run", "--steps", 2, "--batch-size", 8, "--backbone", "mlp"]
    ask("train", "autoencoder", *words)
    refuse = failing(main, capsys, tmp_path / "run")
    assert "holds a run of autoencoder, not of linear" in (said := refuse("train", "linear", *words[:-2]))
    assert said.endswith("or give --overwrite to replace it")
    told = ask("train", "linear", *words[:-2], "--overwrite")
    assert (told["model"], told["resumed_from"]) == ("linear", None)
    (tmp_path / "run" / "samples.png").write_bytes(b"mine")
    assert "holds 'samples.png', which nlprep did not write" in refuse("train", *words, "--overwrite")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train", "wae2", "photos"], "model 'wae2': choose from"),
        (["train", "vae"], "vae is a model: name the images as well"),
        (["train", "flat", "photos"], "photos is taken for the images"),
        (["train", "empty"], "empty"),
        (["train", "photos", "--init", "nowhere"], "nowhere"),
        (["train", "conditional-vae", "flat"], "labels"),
        (["sample", "photos", "-o", "x.png"], "photos"),
        (["sample", "run", "-o", "x.gif"], "x.gif"),
        (["sample", "run", "-o", "x.png", "--of", "dark"], "dark"),
        (["probe", "run", "--train", "flat", "--test", "flat"], "has no labels"),
        (["report", "run", "--data", "nowhere"], "nowhere"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(folder, capsys, monkeypatch, words, said):
    monkeypatch.chdir(folder)
    (folder / "empty").mkdir(exist_ok=True)
    flat = folder / "flat"
    flat.mkdir(exist_ok=True)
    for picture in sorted((folder / "photos" / "dark").iterdir())[:3]:
        (flat / picture.name).write_bytes(picture.read_bytes())
    assert main([*words, "--quiet"]) == 2
    assert said in one_line(capsys.readouterr().err)
    assert not list(folder.glob("x.*"))


@pytest.mark.parametrize("words", [["probe", "run", "--data"], ["compare"]])
def test_a_test_split_with_a_broken_picture_is_no_lack_of_one(folder, tmp_path, capsys, words):
    shutil.copytree(folder / "photos", tmp_path / "train")
    shutil.copytree(folder / "photos", tmp_path / "test")
    (tmp_path / "test" / "dark" / "0.png").write_bytes(b"no picture")
    given = [str(folder / "run") if word == "run" else word for word in words]
    assert main([*given, str(tmp_path), "--quiet"]) == 2
    assert str(Path("dark") / "0.png") in one_line(capsys.readouterr().err)


def test_commands_and_models_are_listed_where_they_are():
    assert set(METHODS) == set(MODELS) == set(SUMMARIES)
    for name in METHODS:
        assert type(ImageModelConfig(model=name).chosen()) is MODELS[name].config
    commands = Path(main.__code__.co_filename).parent / "vision_commands"
    assert set(COMMANDS) == {path.stem for path in commands.glob("*.py")} - {"__init__", "inputs", "drawing"}
