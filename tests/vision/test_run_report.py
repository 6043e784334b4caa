"""The page about a run: what it holds, that it needs nothing else, and runs that have less to show."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from nlprep.core.errors import FileError, OptionError
from vision import write_run_report
from vision.backbones.configuration import BackboneConfig
from vision.configuration import RunReportConfig
from vision.presets import default_training
from vision.training import train_images

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Images in a file, of which two are the same, and runs on them."""
    folder = tmp_path_factory.mktemp("page")
    pixels = np.random.default_rng(1).integers(0, 80, (60, 9, 11), dtype=np.uint8)
    pixels[::2, :4] += 150
    pixels[7] = pixels[11]
    np.savez(folder / "images.npz", x=pixels, y=np.arange(60) % 2)
    np.savez(folder / "few.npz", x=pixels[:2], y=[0, 1])
    from vision.images.reading import read_images

    for model in ("vae", "linear"):
        backbone = BackboneConfig(kind="mlp", width=16) if model == "vae" else None
        training = replace(default_training(model, 48), steps=8)
        train_images(
            read_images(folder / "images.npz", cache=folder / "cache"), folder / model, model=model, backbone=backbone,
            training=training, validation=0.2,
        )  # fmt: skip
    return folder


@pytest.fixture(autouse=True)
def cache(place, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(place / "cache-of-the-user"))


def headings(page):
    return re.findall(r"<h2>(.*?)</h2>", page.read_text())


def test_a_page_holds_all_that_it_shows(place, tmp_path):
    page = tmp_path / "page.html"
    config = RunReportConfig(plane="pca", most=40)
    told = write_run_report(place / "vae", page, config)
    assert (told.page, told.images) == (page, 60)
    assert told.near_duplicates >= 1
    assert told.oddest is not None
    assert len(told.oddest) == 24
    assert headings(page) == [
        "Map",
        "Near-duplicates",
        "The oddest images",
        "What the model makes of images",
        "Images that the model draws",
        "Training",
        "Settings",
    ]
    text = page.read_text()
    assert "40 of 60 images" in text
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", text)
    assert "http" not in text.replace("http-equiv", "")
    # The same again is the same page, and replaces it.
    before = page.read_bytes()
    write_run_report(place / "vae", page, config)
    assert page.read_bytes() == before


def test_what_a_model_cannot_do_is_left_out(place, tmp_path):
    page = tmp_path / "page.html"
    told = write_run_report(place / "linear" / "model", page, data=place / "few.npz")
    assert told.images == 2
    assert told.score is None
    assert told.oddest is None
    assert headings(page) == [
        "Near-duplicates",
        "The oddest images",
        "What the model makes of images",
        "Settings",
    ]
    assert "Not looked for" in page.read_text()


def test_what_is_refused(place, tmp_path):
    with pytest.raises(FileError, match="holds no model"):
        write_run_report(place, tmp_path / "page.html")
    (tmp_path / "theirs.html").write_text("<p>theirs</p>")
    with pytest.raises(FileError, match=r"theirs\.html"):
        write_run_report(place / "vae", tmp_path / "theirs.html")
    with pytest.raises(OptionError, match="plane"):
        RunReportConfig(plane="flat")
    assert [path.name for path in tmp_path.iterdir()] == ["theirs.html"]
