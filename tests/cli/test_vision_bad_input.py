"""What ``rep-vision`` says of data and places that will not do: one line that names them and what to do."""

from __future__ import annotations

import io
import shutil
import zipfile

import numpy as np
import pytest
from PIL import Image
from tests_cli_support import asking, failing, one_line, snapshot
from tests_vision_support import TINY, draw_photos

from cli.vision import main
from nlprep.core.ownership import claim_run
from vision.training import RUN

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pictures, and a run on them."""
    place = tmp_path_factory.mktemp("bad")
    photos = draw_photos(place)
    words = ["train", str(photos), "-o", str(place / "run"), "--quiet", *TINY, "--cache", str(place / "cache")]
    assert main(words) == 0
    return place


@pytest.fixture(autouse=True)
def cache(folder, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))


@pytest.fixture
def refuse(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return failing(main, capsys, tmp_path)


@pytest.fixture
def ask(capsys):
    return asking(main, capsys)


def test_an_empty_folder(tmp_path, refuse):
    (tmp_path / "empty").mkdir()
    assert "empty" in refuse("train", "empty")
    (tmp_path / "empty" / "notes.txt").write_text("no picture\n")
    assert "empty" in refuse("train", "empty")


def test_one_picture(folder, tmp_path, refuse):
    (tmp_path / "one").mkdir()
    shutil.copy(folder / "photos" / "dark" / "0.png", tmp_path / "one")
    # Nobody spoke of a share to hold out.
    assert "one: 1 image to train on: nothing can be learned of them" in refuse("train", "one")


def test_a_single_class(folder, tmp_path, refuse):
    shutil.copytree(folder / "photos" / "dark", tmp_path / "one" / "dark")
    said = refuse("probe", folder / "run", "--data", "one")
    assert "the only class is 'dark', and probe needs at least two" in said


@pytest.fixture
def spoiled(folder, tmp_path):
    """Twenty good pictures, a JPEG that was cut short, a text that says that it is a picture, and nothing at all."""
    place = tmp_path / "spoiled"
    shutil.copytree(folder / "photos" / "dark", place)
    whole = io.BytesIO()
    Image.fromarray(np.random.default_rng(2).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(whole, "JPEG")
    (place / "cut.jpg").write_bytes(whole.getvalue()[:1000])
    (place / "text.png").write_text("this is no picture\n")
    (place / "nothing.jpg").write_bytes(b"")
    return place


def test_damaged_pictures_are_named_and_can_be_left_out(spoiled, tmp_path, refuse, capsys):
    for words in (["train", "spoiled"], ["train", "spoiled", "--height", "16", "-o", "other"], ["compare", "spoiled"]):
        said = refuse(*words)
        assert "cut.jpg: is damaged or cut short" in said
        assert ", and 2 more of 23 pictures cannot be read (spoiled/nothing.jpg, spoiled/text.png): copy" in said
        assert said.endswith("or leave out what cannot be read with --on-error skip")
    capsys.readouterr()
    assert main(["train", "spoiled", *TINY, "--on-error", "skip", "--quiet"]) == 0
    warned = one_line(capsys.readouterr().err)
    assert "3 of 23 pictures cannot be read and are left out" in warned
    for name in ("cut.jpg", "text.png", "nothing.jpg"):
        assert name in warned
    # The same of a model's further images.
    for command in (["encode", "spoiled-vae", "spoiled", "-o", "codes.npz"], ["anomalies", "spoiled-vae"]):
        assert refuse(*command).endswith("--on-error skip")
    capsys.readouterr()
    assert main(["encode", "spoiled-vae", "spoiled", "-o", "codes.npz", "--on-error", "skip", "--quiet"]) == 0
    # They were named when they were decoded.
    assert not capsys.readouterr().err
    assert np.load(tmp_path / "codes.npz")["vectors"].shape == (20, 4)


def test_what_leaving_out_cannot_mend_is_not_advised(tmp_path, refuse):
    images = np.full((20, 6, 6), 0.5, np.float32)
    for value, said in ((np.nan, "1 floats that are no finite numbers"), (7, "from 0.5 to 7")):
        images[3, 2, 1] = value
        np.savez(tmp_path / "images.npz", x=images)
        refused = refuse("train", "images.npz")
        assert said in refused
        assert "--on-error" not in refused


def test_what_cannot_be_streamed(spoiled, folder, tmp_path, refuse):
    assert refuse("train", "spoiled", "--stream").endswith("copy it again or remove it")
    assert refuse("train", "spoiled", "--stream", "--on-error", "skip").startswith("--on-error skip: with --stream")
    assert refuse("train", folder / "photos", "--stream", "--cache", "cache").startswith("--cache: with --stream")
    np.savez(tmp_path / "images.npz", x=np.zeros((9, 4, 4), np.uint8))
    assert "holds numbers" in refuse("train", "images.npz", "--stream")


def test_sizes_and_channels_may_be_mixed(folder, tmp_path, ask, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(folder / "photos" / "dark", tmp_path / "mixed")
    draws = np.random.default_rng(3)
    for number, shape in enumerate(((9, 30, 3), (50, 12, 4), (7, 7), (20, 20, 3))):
        Image.fromarray(draws.integers(0, 255, shape, dtype=np.uint8)).save(tmp_path / "mixed" / f"odd{number}.png")
    assert ask("train", "mixed", *TINY, "--height", 16, "--width", 12)["examples"] == 18
    ask("encode", "mixed-vae", folder / "photos", "-o", "codes.npz")
    assert np.load(tmp_path / "codes.npz")["vectors"].shape == (40, 4)


def test_pictures_that_are_hardly_any_are_named(folder, tmp_path, capsys):
    shutil.copytree(folder / "photos" / "dark", tmp_path / "small")
    Image.new("RGB", (1, 1), (200, 10, 10)).save(tmp_path / "small" / "point.png")
    photos, small = folder / "photos", tmp_path / "small"
    for command in (
        ("search", "--image", small / "point.png", "--data", photos),
        ("anomalies", "--usual", photos, "--data", small),
    ):
        capsys.readouterr()
        assert main([command[0], *map(str, (folder / "run", *command[1:])), "--quiet"]) == 0
        said = one_line(capsys.readouterr().err)
        assert "had to be enlarged more than four times, to 12 x 10: what is said of these says little" in said
        assert ("point.png" in said) if command[0] == "anomalies" else ("the first of 1 x 1" in said)


def test_labels_where_they_are_needed(folder, tmp_path, refuse):
    shutil.copytree(folder / "photos" / "dark", tmp_path / "flat")
    assert "labels" in refuse("train", "conditional-vae", "flat")
    assert "has no labels" in refuse("probe", folder / "run", "--data", "flat")
    odd = ["anomalies", folder / "run", "--usual", folder / "photos", "--odd"]
    assert "has no labels" in refuse(*odd, "dark", "--data", "flat")
    assert "--odd cat: choose from bright, dark" in refuse(*odd, "cat", "--data", folder / "photos")


def test_what_can_be_seen_before_pictures_are_decoded_is_said_before(folder, tmp_path, refuse):
    shutil.copytree(folder / "photos" / "dark", tmp_path / "one" / "dark")
    # Who decodes finds this one first.
    (tmp_path / "one" / "dark" / "0.png").write_bytes(b"no picture")
    assert "the only class is 'dark', and classifier tells classes apart" in refuse("train", "classifier", "one")
    assert "has no labels, which drlim learns from" in refuse("train", "drlim", "one/dark")
    assert "nothere: is no directory of a model (--init)" in refuse("train", "one", "--init", "nothere")
    assert "device = 'cuda:99'" in refuse("train", "one", "--device", "cuda:99")
    assert "--channels 1: colourization learns" in refuse("train", "colourization", "one", "--channels", "1")
    init = ["train", "rotation", "one", "--init", folder / "run"]
    shape = "was trained on grey images of 10 x 12, and sees no others: leave out --"
    assert refuse(*init, "--height", "48").endswith(f"{shape}height")
    assert refuse(*init, "--height", "10").endswith(f"{shape}height")
    assert refuse(*init, "--height", "10", "--width", "9").endswith(f"{shape}width")
    assert refuse(*init, "--channels", "3").endswith(f"{shape}channels")
    # What is asked for as it was is no mistake: then it is the picture that is no good.
    assert "0.png" in refuse(*init, "--height", "10", "--width", "12", "--fit", "pad")


def test_no_plan_is_told_of_what_is_not_done(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    photos = str(folder / "photos")
    for words, said in (
        (["colourization", photos], "images are grey"),
        (["simclr", photos, "--batch-size", "1"], "batch_size = 1: simclr compares the images of a batch"),
        (["vae", photos, "--dimension", "100000000000"], "GB for its"),
        (["dino", photos, "--height", "4"], "a view of a single pixel"),
        (["vae", photos, "--height", "10000000"], "an image of 10,000,000 x 10,000,000 takes"),
    ):
        capsys.readouterr()
        assert main(["train", *words]) == 2
        assert said in one_line(capsys.readouterr().err)
    assert snapshot(tmp_path) == {}


def test_images_of_another_shape(folder, tmp_path, ask, refuse, monkeypatch):
    """Pictures are resized, each model's in its own way; what was exported or indexed for another is refused."""
    ask("train", folder / "photos", *TINY, "--height", 8, "--dimension", 3, "-o", folder / "small")
    told = ask("probe", folder / "run", folder / "small", "--data", folder / "photos", "--repeats", 1)
    assert [curve["dimension"] for curve in told["curves"]] == [4, 4, 3, 120]
    ask("search", folder / "run", "--duplicates", "--index", folder / "index")
    said = refuse(
        "search", folder / "small", "--index", folder / "index", "--image", folder / "photos" / "dark" / "0.png"
    )
    assert "is an index of another model" in said
    np.save(tmp_path / "floats.npy", np.zeros((3, 2)))
    assert "floats.npy" in refuse("encode", folder / "run", "floats.npy", "-o", "codes.npz")


def test_a_zip_that_would_write_outside_its_folder(tmp_path, refuse):
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr("../outside.png", b"whatever")
    said = refuse("train", "evil.zip")
    assert "evil.zip" in said
    assert "../outside.png" in said
    assert not (tmp_path.parent / "outside.png").exists()


def test_an_output_that_is_an_input(folder, tmp_path, refuse):
    shutil.copytree(folder / "photos", tmp_path / "photos")
    shutil.copytree(folder / "run", tmp_path / "run")
    for words in (
        ["train", "photos", "-o", "photos"],
        ["train", "photos", "-o", "photos", "--overwrite"],
        ["train", "photos", "-o", "photos/run"],
        ["encode", "run", "photos", "-o", "run", "--overwrite"],
        ["encode", "run", "photos", "-o", "photos/dark/0.png", "--overwrite"],
        ["sample", "run", "-o", "run/config.png"],
        ["anomalies", "run", "--data", "photos", "--detector", "run", "--overwrite"],
        ["report", "run", "--data", "photos", "-o", "photos"],
        ["search", "run", "--data", "photos", "--index", "photos", "--image", "photos/dark/0.png", "--overwrite"],
    ):
        assert refuse(*words)


def test_what_is_no_run(folder, tmp_path, refuse):
    photos = folder / "photos"
    (tmp_path / "begun" / "checkpoints").mkdir(parents=True)
    for command in (
        ["encode", photos, photos, "-o", "codes.npz"],
        ["sample", photos],
        ["traverse", photos],
        ["reconstruct", photos],
        ["probe", photos, "--data", photos],
        ["search", photos, "--duplicates"],
        ["anomalies", photos],
        ["report", photos],
    ):
        assert "holds no model of images" in refuse(*command)
    claim_run(tmp_path / "early", RUN, ("checkpoints",))
    assert "has not come to a checkpoint yet: give the same call again" in refuse("sample", "early")
    assert "nowhere" in refuse("encode", "nowhere", photos, "-o", "codes.npz")
    assert "has not published a model yet" in refuse("sample", "begun")
    assert "there is no finished run" in refuse("report")


def test_a_run_of_another_kind_of_model_is_named(folder, refuse):
    photos = folder / "photos"
    said = refuse("train", "autoencoder", photos, *TINY, "--learning-rate", "0.1", "-o", folder / "run")
    assert "holds a run of vae, not of autoencoder" in said
    assert "--steps and --epochs" in refuse("train", photos, *TINY, "--epochs", "2")
    assert "--steps and --seconds" in refuse("compare", photos, "--steps", "2", "--seconds", "1")


def test_words_that_mean_nothing(folder, tmp_path, refuse):
    photos = folder / "photos"
    assert "model 'vea': choose from vae, " in refuse("train", "vea", photos)
    assert "3 words" in refuse("train", "vae", photos, photos)
    assert "nowhere" in refuse("train", "nowhere")
    assert "device = 'cuda:99'" in refuse("train", photos, *TINY, "--device", "cuda:99")
    assert "--validation = 1.0" in refuse("train", photos, *TINY, "--validation", 1)
    assert "--steps = 1: must be at least 2" in refuse("traverse", folder / "run", "--steps", 1)
    for words in (["sample", "--number", 100_000], ["traverse", "--steps", 100_000]):
        assert "million pixels" in refuse(words[0], folder / "run", *words[1:])
    assert "--dimension: the codes of masked have the size of its network's: leave it out" in refuse(
        "train", "masked", photos, "--dimension", 3
    )
    assert "--backbone: model linear has no network" in refuse("train", "linear", photos, "--backbone", "mlp")
    assert snapshot(tmp_path) == {}
