"""Pictures that are decoded when they are asked for are those that would be kept."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from picture_files import write_pictures

from nlprep.core.errors import FileError, NlprepError
from nlprep.core.training.configuration import TrainingConfig
from vision.images import streaming
from vision.images.collection import ImageExamples
from vision.images.configuration import PreprocessingConfig
from vision.images.preprocessing import Preprocessing
from vision.images.reading import list_images, read_images
from vision.images.streaming import stream_images
from vision.training import train_images

pytestmark = pytest.mark.slow

SHAPE = Preprocessing(channels=3, height=8, width=8)


@pytest.fixture
def folder(tmp_path):
    write_pictures(tmp_path / "p", [f"{'cat' if number % 3 else 'dog'}/{number}.png" for number in range(12)], (20, 30))
    return tmp_path / "p"


def test_streamed_pictures_are_those_that_are_read(folder):
    images = read_images(folder)
    streamed = stream_images(folder, images.preprocessing)
    assert (len(streamed), streamed.shape, streamed.classes) == (12, images.shape, images.classes)
    assert list(streamed.names) == list(images.names)
    for which in (3, -1, slice(2, 9, 3), np.array([5, 0, 5])):
        np.testing.assert_array_equal(streamed.pixels[which], images.pixels[which])
    np.testing.assert_array_equal(np.asarray(streamed.pixels), images.pixels)
    np.testing.assert_array_equal(streamed.select(np.array([4, 2])).pixels, images.pixels[[4, 2]])


@pytest.mark.parametrize(
    "wanted", [PreprocessingConfig(), PreprocessingConfig(height=9), PreprocessingConfig(channels=1)]
)
@pytest.mark.parametrize("mixed", [False, True])
def test_what_is_left_open_is_decided_as_of_those_that_are_read(folder, wanted, mixed):
    write_pictures(folder / "fox", ["grey.png"], (7, 7) if mixed else (20, 30), grey=True)
    assert stream_images(folder, wanted).preprocessing == read_images(folder, preprocessing=wanted).preprocessing


def test_some_of_many_decide(folder, monkeypatch):
    write_pictures(folder / "elk", [f"{number:03d}.png" for number in range(300)], (20, 30), grey=True)
    listed, looked_at = list_images(folder), []

    def read(place):
        looked_at.append(place)
        return listed.read(place)

    monkeypatch.setattr(streaming, "list_images", lambda *_: replace(listed, read=read))
    # The colours of the twelve others are among those that are looked at.
    assert stream_images(folder).preprocessing == Preprocessing(channels=3, height=20, width=30)
    assert len(set(looked_at)) == 64
    assert {0, 311} < set(looked_at)
    looked_at.clear()
    stream_images(folder, PreprocessingConfig(height=4, channels=1))
    assert not looked_at


def test_they_are_examples(folder):
    streamed = stream_images(folder, SHAPE)
    found = ImageExamples(streamed, labels=True).batch(np.array([2, 0]), np.zeros(2, np.uint64))
    assert found["images"].is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_array_equal(found["images"], streamed.pixels[[2, 0]])
    np.testing.assert_array_equal(found["labels"], streamed.labels[[2, 0]])


def test_training_on_them_is_training_on_what_is_kept(folder, tmp_path):
    kept = read_images(folder, cache=tmp_path / "cache")
    weights = {}
    for name, images, workers in (
        ("kept", kept, 0),
        ("streamed", stream_images(folder, kept.preprocessing), 0),
        ("by a worker", stream_images(folder, kept.preprocessing), 1),
    ):
        training = TrainingConfig(steps=3, batch_size=4, workers=workers)
        run = train_images(images, tmp_path / name, model="linear", training=training, validation=0.25)
        weights[name] = run.model.state_dict()
    for name in ("streamed", "by a worker"):
        for key, value in weights["kept"].items():
            assert torch.equal(weights[name][key], value), (name, key)


def test_what_cannot_be_streamed_is_refused(folder, tmp_path):
    (folder / "cat" / "0.png").write_bytes(b"?")
    with pytest.raises(FileError, match=r"0\.png: is no picture"):
        stream_images(folder, SHAPE).pixels[:]
    np.savez(tmp_path / "x.npz", x=np.zeros((2, 4, 4), np.uint8))
    with pytest.raises(FileError, match="holds numbers, which are not decoded one by one"):
        stream_images(tmp_path / "x.npz", SHAPE)
    write_pictures(tmp_path / "flat", ["a.png"])
    with pytest.raises(NlprepError, match="has no labels"):
        ImageExamples(stream_images(tmp_path / "flat", SHAPE), labels=True)
