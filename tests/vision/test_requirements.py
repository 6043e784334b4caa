"""What cannot be trained, or is of no use, is said before anything is."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from vision_toys import SMALL, settings, toy_images

from nlprep.core.errors import FileError, NlprepError, OptionError
from vision.images import amounts
from vision.images.amounts import FewImagesWarning
from vision.images.collection import Images
from vision.images.configuration import PreprocessingConfig
from vision.images.preprocessing import Preprocessing
from vision.images.reading import read_images
from vision.images.streaming import DecodedPixels, stream_images
from vision.models.methods import MODELS
from vision.requirements import check_training, same_everywhere
from vision.training import train_images
from vision.views.configuration import ViewConfig

MLP = SMALL["mlp"]


def check(
    images: Images, model: str = "autoencoder", *, batch: int = 8, held_out: int | None = 3, **changes: Any
) -> None:
    config = MODELS[model].config()
    changes = {"backbone": MLP, "dimension": 2} | changes
    config = replace(config, **{name: value for name, value in changes.items() if hasattr(config, name)})
    check_training(
        images, model, config, settings(batch_size=batch), held_out=held_out, device=torch.device("cpu")
    )  # fmt: skip


def flat(value: int = 9, count: int = 20, shape: tuple[int, int, int] = (1, 6, 6)) -> Images:
    return Images(np.full((count, *shape), value, np.uint8), source="flat")


def test_images_that_are_all_the_same_and_of_one_pixel_are_refused(tmp_path):
    with pytest.raises(NlprepError, match="flat: all 20 images are the same"):
        check(flat())
    with pytest.raises(NlprepError, match="toy images: images of one pixel"):
        check(toy_images(20, (3, 1, 1)))
    for images in (flat(), toy_images(20, (1, 1, 1))):
        with pytest.raises(NlprepError, match="nothing"):
            train_images(images, tmp_path / "run", backbone=MLP, training=settings())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("odd", [0, 1, 2, 17, 39])
def test_a_single_image_that_differs_is_found(odd, monkeypatch):
    monkeypatch.setattr("vision.requirements._BLOCK_BYTES", 7 * 36)
    images = flat(count=40)
    assert same_everywhere(images)
    images.pixels[odd, 0, 5, 5] += 1
    assert not same_everywhere(images)
    assert not same_everywhere(images.select(np.arange(1)))


@pytest.mark.parametrize("model", ["simclr", "barlow-twins", "vicreg", "dino", "cpc", "wae", "drlim"])
def test_models_that_compare_images_want_two_at_once(model):
    images = toy_images(20, (1, 16, 16))
    with pytest.raises(OptionError, match=f"batch_size = 1: {model} compares the images of a batch"):
        check(images, model, batch=1)
    with pytest.raises(NlprepError, match=f"1 image is held out, and {model} compares"):
        check(images, model, held_out=1)
    check(images, model, batch=2, held_out=None)


def test_others_learn_from_one_image_at_a_time_and_of_byol_that_is_said():
    images = toy_images(20, (1, 16, 16))
    with pytest.warns(FewImagesWarning, match="nobody sees whether byol gives all of them the same code"):
        check(images, "byol", batch=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check(images, batch=1)
        check(images, "byol", batch=2)


@pytest.mark.parametrize(
    ("model", "side", "name"), [("dino", 4, "least_small_crop"), ("dino", 6, "least_small_crop"), ("byol", 4, "views")]
)
def test_crops_of_a_single_pixel_are_refused(model, side, name):
    with pytest.raises(OptionError, match=f"toy images: {name}.* a view of a single pixel"):
        check(toy_images(20, (3, side, side)), model)
    check(toy_images(20, (3, 8, 8)), model)


def test_quarter_turns_of_images_that_are_not_square_are_refused():
    turned = ViewConfig(rotation=0.5)
    with pytest.raises(OptionError, match=r"toy images: views_rotation = 0.5: images of 8 x 10 are not square"):
        check(toy_images(20, (3, 8, 10)), "simclr", views=turned)
    check(toy_images(20, (3, 8, 8)), "simclr", views=turned)


def test_labels_are_looked_for_first():
    with pytest.raises(NlprepError, match="toy images: has no labels, which classifier learns from"):
        check(toy_images(20, labels=False), "classifier")
    alone = replace(toy_images(20), labels=np.zeros(20, np.int64), classes=("left",))
    for model in ("classifier", "drlim"):
        with pytest.raises(NlprepError, match=f"the only class is 'left', and {model} tells classes apart"):
            check(alone, model)
    check(alone, "conditional-vae")


def test_what_does_not_suit_the_images_is_said_of_them():
    with pytest.raises(OptionError, match="toy images: images are grey"):
        check(toy_images(20), "colourization")


def test_a_network_or_a_batch_beyond_all_memory_is_refused(monkeypatch):
    with pytest.raises(NlprepError, match=r"autoencoder on images of 8 x 8 takes [\d,]+ GB for its [\d,]+ weights"):
        check(toy_images(20), dimension=10**13)
    with pytest.raises(NlprepError, match=r"for a batch of 10,000,000,000 at the least.*the machine has"):
        check(toy_images(20), batch=10**10)
    # Each way a matrix of 64 x 16 and one of 16 x 2, with 98 more numbers, of 16 bytes; 8 images of 64 numbers of 12.
    needed = 16 * (2 * 64 * 16 + 2 * 2 * 16 + 16 + 2 + 16 + 64) + 8 * 12 * 64
    monkeypatch.setattr("vision.models.memory.planned_bytes", lambda _: 0.0)
    monkeypatch.setattr("nlprep.core.devices.device_memory", lambda _: needed)
    check(toy_images(20))
    monkeypatch.setattr("nlprep.core.devices.device_memory", lambda _: needed - 1)
    with pytest.raises(NlprepError, match=r"less than 0\.1 GB"):
        check(toy_images(20))


def test_what_a_network_keeps_for_its_gradient_counts_where_images_are_large(monkeypatch):
    images, there = toy_images(4, (3, 256, 256)), 4 * 12 * 3 * 256**2
    monkeypatch.setattr("nlprep.core.devices.device_memory", lambda _: 4 * there)
    check(images, "linear", batch=4)
    config = SMALL["residual"]
    with pytest.raises(NlprepError, match="simclr on images of 256 x 256 takes"):
        check(images, "simclr", batch=4, backbone=config)
    monkeypatch.setattr("nlprep.core.devices.device_memory", lambda _: 400 * there)
    check(images, "simclr", batch=4, backbone=config)


@pytest.fixture
def photos(tmp_path):
    (tmp_path / "photos").mkdir()
    for number in range(4):
        shade = Image.new("RGB", (9, 9), (number * 20, 10, 200))
        shade.save(tmp_path / "photos" / f"{number}.png")
    return tmp_path / "photos"


def test_images_beyond_memory_or_disk_are_refused_before_they_are_decoded(photos, tmp_path, monkeypatch):
    huge = PreprocessingConfig(height=10**7)
    for read in (lambda: read_images(photos, preprocessing=huge, cache=tmp_path / "cache"),
                 lambda: stream_images(photos, huge)):  # fmt: skip
        with pytest.raises(NlprepError, match=r"an image of 10,000,000 x 10,000,000 takes [\d,]+ GB of memory"):
            read()
    usage = amounts.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(amounts.shutil, "disk_usage", lambda _: usage._replace(free=4 * 3 * 30 * 30 - 1))
    with pytest.raises(FileError, match=r"photos: 4 images of 30 x 30 take less than 0\.1 GB once they are decoded"):
        read_images(photos, preprocessing=PreprocessingConfig(height=30), cache=tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())
    assert read_images(photos, preprocessing=PreprocessingConfig(height=29), cache=tmp_path / "cache").shape[1] == 29
    # What is decoded at every look asks for no room, and is looked through as others are.
    streamed = stream_images(photos, Preprocessing(channels=3, height=30, width=30))
    assert isinstance(streamed.pixels, DecodedPixels)
    assert not same_everywhere(streamed)
