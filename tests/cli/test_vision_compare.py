"""``rep-vision compare``, and what is made of random numbers."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tests_cli_support import asking, failing, one_line

from cli.vision import main
from vision.backbones.configuration import UNetConfig
from vision.images.preprocessing import Preprocessing
from vision.models.configuration import DiffusionConfig, GanConfig
from vision.models.diffusion import Diffusion
from vision.models.files import SavedModel, save_model
from vision.models.gan import Gan

pytestmark = pytest.mark.slow

SMALL = [
    *("--steps", 3, "--seeds", 1, "--batch-size", 8, "--dimension", 3, "--generated", 20, "--likelihood-images", 2),
    *("--likelihood-samples", 2, "--labels", "4", "--repeats", 1, "--backbone", "mlp", "--backbone-width", 8),
    *("--space-steps", 10),
]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two classes that a glance tells apart, to learn from and to measure on."""
    place = tmp_path_factory.mktemp("compare")
    for name, count in (("train", 100), ("test", 30)):
        pixels = np.random.default_rng(count).integers(0, 60, (count, 8, 8), dtype=np.uint8)
        labels = np.arange(count) % 2
        pixels[labels == 1, :4] += 150
        np.savez(place / f"{name}.npz", x=pixels, y=labels)
    return place


@pytest.fixture(autouse=True)
def cache(files, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(files / "cache"))


@pytest.fixture
def ask(capsys):
    return asking(main, capsys)


def test_models_are_compared_and_the_same_command_goes_on(files, tmp_path, ask, capsys):
    data = [files / "train.npz", "--test", files / "test.npz", "--models", "autoencoder,vae", "-o", tmp_path / "out"]
    told = ask("compare", *data, *SMALL)
    assert told["models"] == ["autoencoder", "vae"]
    assert told["runs"]["vae-1"]["training"]["steps"] == 3
    assert told["runs"]["vae-1"]["measured"]["generation"]["fid"]["num_second"] == 20
    assert told["space"]["digest"] in told["space"]["name"]
    page = (tmp_path / "out" / "report.html").read_text()
    assert "https://" not in page
    # The same command goes on, which is over at once; as a table, with what belongs to it.
    assert main([str(word) for word in ("compare", *data, *SMALL)]) == 0
    spoken = capsys.readouterr()
    lines = [line.split("\t") for line in spoken.out.splitlines()]
    assert ["vae", "1", "3"] in [line[:3] for line in lines]
    assert "autoencoder: no likelihood" in spoken.err
    assert told["space"]["name"] in spoken.err
    refuse = failing(main, capsys, tmp_path / "out")
    assert "dimension" in refuse("compare", *data, *SMALL, "--dimension", 4)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere.npz"], "nowhere.npz"),
        (["train.npz", "--models", "vae,wae2"], "model 'wae2': choose from"),
        (["train.npz", "--backbone", "transformers", "--init", "nothere"], "nothere: is no directory of a model"),
        (["train.npz", "--space", "train.npz"], "train.npz"),
        (["train.npz", "--test", "train.npz", "--labels", "1"], "fewer than the 2 classes"),
        (["train.npz", "-o", "."], "contains the input"),
        (["flat.npz", "--test", "flat.npz"], "has no labels"),
        (["train.npz", "--steps", "none", "--seconds", "0"], "seconds"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(files, capsys, monkeypatch, words, said):
    monkeypatch.chdir(files)
    np.savez("flat.npz", x=np.zeros((30, 8, 8), np.uint8))
    before = sorted(files.iterdir())
    assert main(["compare", *words, "--quiet"]) == 2
    assert said in one_line(capsys.readouterr().err)
    assert [path for path in sorted(files.iterdir()) if path.name != "cache"] == [
        path for path in before if path.name != "cache"
    ]


def test_what_is_made_of_random_numbers_is_drawn_and_traversed(files, tmp_path, ask, capsys):
    shape = (1, 8, 8)
    gan, diffusion = GanConfig(dimension=4, latent=5), DiffusionConfig(
        levels=20, sampling_steps=3, network=UNetConfig(width=4, depth=0)
    )  # fmt: skip
    for name, model, config in (("gan", Gan(shape, gan), gan), ("diffusion", Diffusion(shape, diffusion), diffusion)):
        saved = SavedModel(model=model, config=config, preprocessing=Preprocessing(channels=1, height=8, width=8))
        save_model(saved, tmp_path / name)
        rows = ["--rows", 2, "--steps", 3, "--data", files / "test.npz"]
        assert ask("sample", tmp_path / name, "--number", 4, "-o", tmp_path / "s.png")["images"] == 4
        told = ask("traverse", tmp_path / name, "--between", *rows, "-o", tmp_path / f"{name}-between.png")
        assert told["rows"] == ["1", "2"]
        assert ask("encode", tmp_path / name, files / "test.npz", "-o", tmp_path / f"{name}.npz")["images"] == 30
        refuse = failing(main, capsys, tmp_path)
        assert "does not give images back" in refuse(
            "reconstruct", tmp_path / name, "--data", files / "test.npz", "-o", tmp_path / "r.png"
        )
    told = ask("traverse", tmp_path / "gan", *rows, "-o", tmp_path / "numbers.png")
    assert [row.partition(" ")[0] for row in told["rows"]] == ["number", "number"]
    refuse = failing(main, capsys, tmp_path)
    assert "--between" in refuse("traverse", tmp_path / "diffusion", *rows, "-o", tmp_path / "numbers-of-noise.png")
    json.dumps(told)
