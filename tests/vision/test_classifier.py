"""The classifier whose features are a space: its loss, what it does to images, and that it learns."""

from __future__ import annotations

import pytest
import torch
from vision_toys import SMALL, toy_images

from nlprep.core.errors import NlprepError, OptionError
from vision.models.classifier import ImageClassifier, moved
from vision.models.configuration import ImageClassifierConfig


def toy(**changes) -> ImageClassifier:
    config = ImageClassifierConfig(**{"dimension": 5, "backbone": SMALL["mlp"]} | changes)
    return ImageClassifier((1, 8, 8), config, num_classes=3)


def test_the_loss_is_the_cross_entropy_of_what_it_says():
    images = torch.from_numpy(toy_images(7).pixels)
    labels = torch.tensor([0, 1, 2, 0, 1, 2, 2])
    model = toy().eval()
    said = model.classify(images)
    found = model(images=images, labels=labels)
    torch.testing.assert_close(found["loss"], torch.nn.functional.cross_entropy(said, labels))
    assert found["accuracy"].item() == pytest.approx((said.argmax(1) == labels).float().mean().item())
    # Features are what the verdict is a linear function of.
    torch.testing.assert_close(said, model.to_logits(model.encode(images)))


def test_an_image_that_is_moved_has_its_neighbours_pixels():
    image = torch.arange(30.0).view(1, 1, 5, 6).repeat(200, 1, 1, 1)
    torch.manual_seed(0)
    found = moved(image, 2)
    assert found.shape == image.shape
    padded = torch.nn.functional.pad(image[:1], (2, 2, 2, 2), mode="replicate")
    wanted = {tuple(padded[0, 0, y : y + 5, x : x + 6].flatten().tolist()) for y in range(5) for x in range(5)}
    assert {tuple(one.flatten().tolist()) for one in found} == wanted
    assert moved(image, 0) is image


def test_only_in_training_is_anything_moved_or_mirrored():
    images, labels = torch.from_numpy(toy_images(16).pixels), torch.zeros(16, dtype=torch.int64)
    for model in (toy(shift=2), toy(shift=0, flip=True)):
        model.eval()
        assert model(images=images, labels=labels)["loss"] == model(images=images, labels=labels)["loss"]
        model.train()
        assert model(images=images, labels=labels)["loss"] != model(images=images, labels=labels)["loss"]
    still = toy(shift=0).train()
    assert still(images=images, labels=labels)["loss"] == still(images=images, labels=labels)["loss"]


def test_labels_are_needed():
    with pytest.raises(OptionError, match="at least two"):
        ImageClassifier((1, 8, 8), ImageClassifierConfig(), num_classes=1)
    with pytest.raises(NlprepError, match="labels"):
        toy()(images=torch.from_numpy(toy_images(2).pixels))


def test_pooled_features_are_of_the_mean_over_places():
    model = toy(backbone=SMALL["convolutional"], pooled=True).eval()
    images = torch.from_numpy(toy_images(4).pixels)
    maps = model.backbone.backbone.forward_maps(images / 255)
    wanted = torch.nn.functional.silu(model.to_features(maps.mean((2, 3))))
    torch.testing.assert_close(model.encode(images), wanted)
