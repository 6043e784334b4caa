"""``rep-vision train`` stopped in every way and begun again, by several processes, and from a pretrained model."""

from __future__ import annotations

import json
import re
import signal
import time

import pytest
from tests_cli_support import asking, one_line, run_twofold, start
from tests_vision_support import TINY, draw_photos

from cli.vision import main

pytestmark = pytest.mark.slow

OFTEN = ["--batch-size", 8, "--checkpoint-every", 8, "--evaluate-every", 60, "--threads", 1, "--quiet"]
MLP = ["--backbone", "mlp", "--backbone-width", 16, "--dimension", 4]
MASKED = ["--backbone", "vit", "--backbone-width", 12, "--backbone-depth", 1]
MASKED += ["--masked-decoder-width", 6, "--masked-decoder-depth", 1]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return draw_photos(tmp_path_factory.mktemp("runs"))


@pytest.fixture(autouse=True)
def cache(photos, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(photos.parent / "cache"))


@pytest.fixture
def ask(capsys):
    return asking(main, capsys)


def weights(run):
    return (run / "model" / "tensors.safetensors").read_bytes()


def stopped(words, run, environment, cwd, sign, python):
    """Start a command, send a signal once it has kept a checkpoint, and give its status and what it said."""
    process = start("vision", *words, environment=environment, cwd=cwd, python=python)
    limit = time.monotonic() + 60
    while not list(run.glob("checkpoints/step-*")):
        assert time.monotonic() < limit
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(sign)
    _, err = process.communicate(timeout=60)
    return process.returncode, err


@pytest.fixture(scope="module")
def whole(photos):
    """The weights of a model that nothing stopped, made when they are asked for."""
    made = {}

    def train(model, words):
        if model not in made:
            place = photos.parent / f"whole-{model}"
            assert main([*map(str, words), "-o", str(place)]) == 0
            made[model] = weights(place)
        return made[model]

    return train


@pytest.mark.parametrize(
    ("model", "sign", "more"),
    [
        # Decoded by another process when their turn comes, they are those that are kept.
        ("vae", signal.SIGKILL, ["--stream"]),
        ("vae", signal.SIGINT, []),
        ("vae", signal.SIGTERM, []),
        ("masked", signal.SIGKILL, []),
    ],
)
def test_stopped_and_gone_on_with_to_the_very_same_weights(
    photos, tmp_path, environment, warm_python, model, sign, more, whole, ask
):
    words = ["train", model, photos, "--steps", 120, *OFTEN, *(MASKED if model == "masked" else MLP)]
    parts = tmp_path / "parts"
    status, said = stopped([*words, *more, "-o", parts], parts, environment, tmp_path, sign, warm_python)
    if sign == signal.SIGKILL:
        assert status == -signal.SIGKILL
    else:
        assert status == 130
        assert one_line(said).startswith("rep-vision: interrupted: stopped at step")
        assert "the same command goes on" in said
    assert not (parts / "model").exists()
    assert 0 < ask(*words, *more, "-o", parts)["resumed_from"] < 120
    assert weights(parts) == whole(model, words)


def test_what_was_streamed_is_used_like_any_other(photos, tmp_path, ask, monkeypatch):
    # A place of their own for what is kept: nothing is.
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    run = tmp_path / "run"
    ask("train", photos, "-o", run, *TINY, "--stream")
    assert not (tmp_path / "cache").exists()
    told = ask("report", run, "-o", tmp_path / "page.html", "--map", "pca")
    assert (told["images"], told["score"] is not None) == (40, True)


def test_two_processes(photos, tmp_path, environment, warm_python):
    words = ["train", photos, "-o", tmp_path / "run", *TINY, "--json", "--quiet"]
    (status, out, err), (other_status, other_out, other_err) = run_twofold(
        "cli.vision", *words, python=warm_python, environment=environment
    )
    assert (status, other_status) == (0, 0), err + other_err
    # One of the two speaks.
    assert json.loads(out)["steps"] == 12
    assert other_out == ""
    assert (tmp_path / "run" / "model" / "tensors.safetensors").is_file()


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """A tiny vision transformer and a tiny residual network, as transformers writes them."""
    import torch
    from transformers import ResNetConfig, ResNetModel, ViTConfig, ViTModel

    torch.manual_seed(0)
    settings = {"do_resize": True, "size": {"height": 16, "width": 16}, "do_normalize": True, "do_rescale": True}
    settings |= {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "resample": 2, "rescale_factor": 1 / 255}
    vit = ViTModel(
        ViTConfig(
            hidden_size=12,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=24,
            image_size=16,
            patch_size=8,
        )
    )
    resnet = ResNetModel(
        ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", num_channels=3)
    )
    places = {}
    for name, model, kind in (("vit", vit, "ViTImageProcessor"), ("resnet", resnet, "ConvNextImageProcessor")):
        places[name] = tmp_path_factory.mktemp("pretrained") / name
        model.save_pretrained(places[name])
        (places[name] / "preprocessor_config.json").write_text(json.dumps(settings | {"image_processor_type": kind}))
    return places


@pytest.mark.parametrize("kind", ["vit", "resnet"])
def test_own_training_and_a_pretrained_encoder_are_compared_on_own_labels(photos, pretrained, tmp_path, ask, kind):
    own, tuned = tmp_path / "own", tmp_path / "tuned"
    ask("train", photos, "-o", own, *TINY)
    more = ["--steps", 3, "--batch-size", 8, "--dimension", 4]
    told = ask("train", "autoencoder", photos, "-o", tuned, "--init", pretrained[kind], *more)
    assert told["settings"]["autoencoder"]["backbone"]["kind"] == "transformers"
    measured = ask(
        "probe", own, pretrained[kind], tuned, "--data", photos, "--labels", "4,20", "--repeats", 1, "--no-baselines"
    )
    assert [curve["name"] for curve in measured["curves"]] == [str(own), str(pretrained[kind]), str(tuned)]
    assert measured["curves"][1]["dimension"] == (12 if kind == "vit" else 16)
    for curve in measured["curves"]:
        assert len(curve["points"]) == 2
    # And a page about it, with what needs no decoder.
    page = tmp_path / "page.html"
    assert ask("report", pretrained[kind], "--data", photos, "-o", page, "--map", "pca")["images"] == 40
    found = re.findall(r"<h2>(.*?)</h2>", page.read_text())
    assert found == ["Map", "Near-duplicates", "The oddest images", "Settings"]


def test_another_run_is_begun_with_by_its_own_size_and_network(photos, tmp_path, ask, capsys):
    first = tmp_path / "first"
    ask("train", photos, "-o", first, *TINY)
    few = ["--steps", 2, "--batch-size", 8]
    told = ask("train", "classifier", photos, "-o", tmp_path / "tuned", "--init", first, *few)
    settings = json.loads((first / "run.json").read_text())["settings"]
    assert told["settings"]["classifier"]["backbone"] == settings["vae"]["backbone"]
    assert told["settings"]["preprocessing"] == settings["preprocessing"]
    assert main(["train", str(photos), "-o", str(tmp_path / "x"), "--init", str(first), "--backbone-width", "9"]) == 2
    assert "--backbone-width: the network is that of --init" in one_line(capsys.readouterr().err)
