"""Training a model of images: the split, what is kept, what is refused, and going on after being killed."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from vision_toys import SMALL, settings, toy_images

from nlprep.core.errors import FileError, NlprepError, OptionError
from nlprep.core.training import read_metrics
from nlprep.core.training.records.pictures import decode_picture
from vision.backbones.configuration import BackboneConfig
from vision.images.collection import Images
from vision.images.preprocessing import Preprocessing
from vision.models.configuration import AutoencoderConfig, LikelihoodConfig, VaeConfig
from vision.models.files import find_backbone, load_model
from vision.models.methods import MODELS
from vision.presets import default_training
from vision.training import digest_images, held_out_places, tiled, train_images

pytestmark = pytest.mark.slow

CONFIG = AutoencoderConfig(dimension=3, backbone=SMALL["convolutional"])


def train(directory, images=None, **changes):
    given = {"config": CONFIG, "training": settings()} | changes
    return train_images(toy_images() if images is None else images, directory, **given)


def weights_of(path: Path) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in load_model(path).model.state_dict().items()}


def test_a_run_trains_measures_and_publishes_its_model(tmp_path):
    images = toy_images(40)
    result = train(tmp_path / "run", images, validation=0.25, training=settings(steps=30))
    summary = result.summary
    assert (summary["examples"], summary["steps"], summary["model"], summary["dimension"]) == (30, 30, "autoencoder", 3)
    assert summary["settings"]["autoencoder"]["dimension"] == 3
    records = read_metrics(tmp_path / "run" / "metrics.jsonl")
    losses = [record["validation_loss"] for record in records if "validation_loss" in record]
    assert losses[-1] < losses[0] - 2
    saved = load_model(tmp_path / "run")
    assert (saved.classes, saved.preprocessing.shape) == (("left", "right"), images.shape)
    assert saved.notes["validation"]["loss"] == pytest.approx(min(losses))
    pixels = torch.from_numpy(images.pixels[:4])
    torch.testing.assert_close(saved.model.encode(pixels), result.model.encode(pixels))
    # Called again it is finished, and says the same.
    again = train(tmp_path / "run", images, validation=0.25, training=settings(steps=30))
    assert again.summary["resumed_from"] == 30
    torch.testing.assert_close(again.model.encode(pixels), result.model.encode(pixels))


def test_the_loss_that_is_kept_is_that_of_the_images_held_out(tmp_path):
    images = toy_images(20)
    result = train(tmp_path / "run", images, validation=0.3, training=settings(steps=4, evaluate_every=4))
    trained, held = held_out_places(20, 0.3, seed=1)
    assert (len(trained), len(held)) == (14, 6)
    assert sorted([*trained, *held]) == list(range(20))
    with torch.no_grad():
        loss = result.model(images=torch.from_numpy(images.pixels[held]))["loss"]
    assert result.summary["validation"]["loss"] == pytest.approx(float(loss), rel=1e-5)
    other = train(tmp_path / "other", images, validation=images.select(held), training=settings(steps=4))
    assert other.summary["examples"] == 20
    assert train(tmp_path / "none", images, validation=0).history.best_step is None


def test_what_is_held_out_is_a_function_of_the_seed_and_bounded():
    one, same, other = (held_out_places(1000, 0.1, seed=seed)[1] for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert len(set(one) & set(other)) < 40
    assert len(held_out_places(200_000, 0.1, seed=1)[1]) == 5000
    assert len(held_out_places(3, 0.01, seed=1)[1]) == 1


def test_pictures_are_originals_over_reconstructions(tmp_path):
    images = toy_images(20, (3, 8, 10))
    result = train(tmp_path / "run", images, training=settings(steps=2, evaluate_every=2))
    place = tmp_path / "run" / "pictures" / "step-000000002" / "reconstructions.png"
    pixels = decode_picture(place.read_bytes())
    held = held_out_places(20, 0.1, seed=1)[1]
    assert pixels.shape == (2 * 9, len(held) * 11, 3)
    np.testing.assert_array_equal(pixels[:8, :10], np.moveaxis(images.pixels[held[0]], 0, -1))
    made = result.model.reconstruct(torch.from_numpy(images.pixels[held]))[0].detach().numpy()
    assert np.abs(pixels[9:17, :10] / 255 - np.moveaxis(made, 0, -1)).max() < 1 / 255
    row = torch.rand(2, 1, 3, 4)
    assert tiled([row, row]).shape == (1, 8, 10)


def test_pictures_are_of_all_that_is_held_out_and_not_of_every_step(tmp_path):
    images = toy_images(64, (1, 4, 4))
    ordered = images.select(np.argsort(images.labels, kind="stable"))
    training = settings(steps=12, evaluate_every=None)
    result = train(tmp_path, images.select(np.arange(20)), validation=ordered, training=training)
    assert [record["step"] for record in read_metrics(tmp_path / "metrics.jsonl") if "pictures" in record] == [10, 12]
    assert result.summary["settings"]["training"]["evaluate_every"] == 10
    pixels = decode_picture((tmp_path / "pictures" / "step-000000012" / "reconstructions.png").read_bytes())
    shown = [pixels[:4, column : column + 4, 0] for column in range(0, 16 * 5, 5)]
    places = [int(np.flatnonzero((ordered.pixels[:, 0] == one).all((1, 2)))[0]) for one in shown]
    assert places == sorted(places)
    assert {int(ordered.labels[place]) for place in places} == {0, 1}


def test_a_run_says_which_likelihood_its_images_had(tmp_path):
    config = VaeConfig(dimension=2, backbone=SMALL["mlp"])
    result = train(tmp_path, toy_images(16, (3, 4, 4)), model="vae", config=config, training=settings(steps=1))
    for written in (
        result.summary["settings"]["vae"],
        json.loads((tmp_path / "run.json").read_text())["settings"]["vae"],
        json.loads((tmp_path / "model" / "config.json").read_text())["settings"],
    ):
        assert written["likelihood"]["kind"] == "logistic"
    # To ask for what it was is to ask for the same.
    named = replace(config, likelihood=LikelihoodConfig(kind="logistic"))
    again = train(tmp_path, toy_images(16, (3, 4, 4)), model="vae", config=named, training=settings(steps=1))
    assert again.history.resumed_from == 1


@pytest.mark.parametrize(("precision", "last"), [("fp32", False), ("bf16", True)])
def test_convolutions_are_trained_with_channels_last_where_that_pays_and_saved_plainly(precision, last, tmp_path):
    result = train(tmp_path / "run", toy_images(16, (3, 8, 8)), training=settings(steps=2, precision=precision))
    kernels = [part.weight for part in result.model.modules() if isinstance(part, torch.nn.Conv2d)]
    kernels = [kernel for kernel in kernels if kernel.shape[1] > 1 and kernel.shape[2] > 1]
    assert kernels
    assert all(kernel.is_contiguous(memory_format=torch.channels_last) == last for kernel in kernels)
    loaded = load_model(tmp_path / "run").model
    own = result.model.state_dict()
    assert all(torch.equal(value, own[name]) for name, value in loaded.state_dict().items())


PROGRAM = """
import os, signal, sys
import torch
torch.set_num_threads({threads})
sys.path.insert(0, {tests!r})
from nlprep.core.training.steps.step import PlainStep
from test_image_training import killed_run
turns = PlainStep.turns
PlainStep.turns = lambda self, step: os.kill(os.getpid(), signal.SIGKILL) if step == 5 else turns(self, step)
killed_run({directory!r})
"""


def killed_run(directory):
    # In bf16 convolutions are kept with channels last, which a checkpoint must not change.
    changes = {"steps": 8, "evaluate_every": 2, "checkpoint_every": 1, "average": 0.9, "precision": "bf16"}
    images = toy_images(30, (3, 9, 12))
    return train(directory, images, config=replace(CONFIG, backbone=SMALL["residual"]), training=settings(**changes))


@pytest.mark.slow
def test_a_run_that_was_killed_ends_with_the_same_bits(tmp_path, warm_python):
    program = PROGRAM.format(
        tests=str(Path(__file__).parent), directory=str(tmp_path / "killed"), threads=torch.get_num_threads()
    )
    done = warm_python.run("-c", program, env=dict(os.environ))
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not (tmp_path / "killed" / "model").exists()
    with pytest.raises(FileError, match="has not published a model yet"):
        load_model(tmp_path / "killed")
    assert killed_run(tmp_path / "killed").summary["resumed_from"] == 5
    assert killed_run(tmp_path / "whole").summary["resumed_from"] is None
    assert weights_of(tmp_path / "killed") == weights_of(tmp_path / "whole")
    records = [
        [{key: value for key, value in record.items() if "per_second" not in key} for record in read_metrics(path)]
        for path in (tmp_path / "killed" / "metrics.jsonl", tmp_path / "whole" / "metrics.jsonl")
    ]
    assert records[0] == records[1]
    pictures = [
        {path.relative_to(tmp_path / run): path.read_bytes() for path in (tmp_path / run / "pictures").rglob("*.png")}
        for run in ("killed", "whole")
    ]
    assert pictures[0] == pictures[1]
    assert len(pictures[0]) == 4


def test_another_run_is_not_gone_on_with(tmp_path):
    stopped = settings(steps=4, checkpoint_every=1)
    train(tmp_path / "run", training=stopped)
    images = toy_images()
    changed = replace(images, pixels=images.pixels[::-1].copy())
    with pytest.raises(OptionError, match="images"):
        train(tmp_path / "run", changed, training=stopped)
    with pytest.raises(OptionError, match="held_out"):
        train(tmp_path / "run", images, training=stopped, validation=0.2)
    with pytest.raises(OptionError, match="dimension"):
        train(tmp_path / "run", images, training=stopped, config=replace(CONFIG, dimension=4))
    with pytest.raises(OptionError, match="fit"):
        other = replace(images, preprocessing=Preprocessing(channels=1, height=8, width=8, fit="pad"))
        train(tmp_path / "run", other, training=stopped)
    # Labels that the model does not see make no other run.
    assert train(tmp_path / "run", toy_images(labels=False), training=stopped).summary["resumed_from"] == 4


def test_images_are_known_by_what_counts():
    images = toy_images()
    one = digest_images(images)
    assert digest_images(replace(images, source="elsewhere", names=None)) == one
    assert digest_images(replace(images, pixels=images.pixels.copy())) == one
    changed = images.pixels.copy()
    changed[3, 0, 2, 2] ^= 1
    assert digest_images(replace(images, pixels=changed)) != one
    assert digest_images(replace(images, classes=("right", "left"))) != one
    assert digest_images(images, labels=False) == digest_images(toy_images(labels=False))
    # Beyond 64 MiB only blocks are read, the last of them to the end.
    large = np.zeros((70, 1, 1024, 1024), np.uint8)
    one = digest_images(Images(large))
    large[-1, 0, -1, -1] = 1
    assert digest_images(Images(large)) != one


def test_what_cannot_be_trained_is_one_line_and_leaves_nothing(tmp_path):
    images = toy_images(12)
    empty = images.select(np.arange(0))
    cases = [
        ({"images": empty}, NlprepError, "toy images: there are no images to train on"),
        ({"model": "vea"}, OptionError, "model 'vea': choose from autoencoder"),
        ({"config": BackboneConfig()}, OptionError, "config is a BackboneConfig, and model 'autoencoder' takes a Auto"),
        ({"validation": 1.0}, OptionError, "validation = 1.0: give a share"),
        ({"validation": 0.99}, OptionError, "of 12 images none is left to train on"),
        ({"images": toy_images(1), "validation": 0.5}, OptionError, "of 1 image none is left to train on"),
        ({"validation": empty}, NlprepError, "there are no images to validate on"),
        ({"validation": toy_images(4, (1, 8, 9))}, NlprepError, "images of 1 x 8 x 9 .* the model takes 1 x 8 x 8"),
    ]
    for changes, kind, problem in cases:
        with pytest.raises(kind, match=problem) as caught:
            train(tmp_path / "run", **({"images": images} | changes))
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "run").exists()


def test_a_run_may_begin_with_a_pretrained_backbone(tmp_path):
    from vision_toys import write_transformers_model

    write_transformers_model(tmp_path / "theirs")
    backbone = BackboneConfig(kind="transformers", path=str(tmp_path / "theirs"))
    images = toy_images(12, (3, 16, 16))
    result = train(tmp_path / "run", images, backbone=backbone, training=settings(steps=2))
    assert json.loads((tmp_path / "run" / "run.json").read_text())["bases"]["backbone"]["name"] == "theirs"
    with pytest.raises(FileError, match="lies in the input"):
        train(tmp_path / "theirs" / "run", images, backbone=backbone, training=settings(steps=2))
    # The model needs the other directory no more.
    (tmp_path / "theirs").rename(tmp_path / "gone")
    pixels = torch.from_numpy(images.pixels)
    with torch.no_grad():
        torch.testing.assert_close(load_model(tmp_path / "run").model.encode(pixels), result.model.encode(pixels))


def test_default_settings_follow_the_number_of_images():
    for name in MODELS:
        few, many = default_training(name, 500), default_training(name, 1_000_000)
        assert few.num_steps(500) >= 2000
        assert many.num_steps(1_000_000) <= 20_000
        assert default_training(name, 3).batch_size <= 3


def test_a_run_begins_with_the_network_of_another(tmp_path):
    learned = train(tmp_path / "learned").model
    still = settings(steps=1, learning_rate=1e-12, weight_decay=0.0)
    tuned = train(
        tmp_path / "tuned", model="classifier", config=None, start=tmp_path / "learned", training=still, validation=0
    )
    assert tuned.model.config.backbone == CONFIG.backbone
    wanted = find_backbone(learned).state_dict()
    assert wanted
    for name, value in find_backbone(tuned.model).state_dict().items():
        torch.testing.assert_close(value, wanted[name], atol=1e-9, rtol=0)
    # Another network to begin with makes another run, which the directory does not go on with.
    train(tmp_path / "other", training=settings(seed=2))
    with pytest.raises(NlprepError, match="start"):
        train(
            tmp_path / "tuned", model="classifier", config=None, start=tmp_path / "other", validation=0,
            training=replace(still, steps=2),
        )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"backbone": SMALL["mlp"]}, "leave out one"),
        ({"images": toy_images(8, (1, 8, 12))}, "1 x 8 x 12"),
        ({"model": "linear"}, "no backbone"),
    ],
)
def test_what_cannot_begin_with_a_network_says_so(changes, said, learned, tmp_path):
    with pytest.raises(NlprepError, match=said):
        train(tmp_path / "run", **{"model": "autoencoder", "config": None, "start": learned} | changes)


def test_a_model_without_a_network_is_none_to_begin_with(tmp_path):
    train(tmp_path / "linear", model="linear", config=None)
    with pytest.raises(FileError, match="no network"):
        train(tmp_path / "run", start=tmp_path / "linear")


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    place = tmp_path_factory.mktemp("learned") / "run"
    train(place, training=settings(steps=1))
    return place
