"""The classifier whose features are a space: its loss, what it does to images, and that it learns."""

from __future__ import annotations

import pytest
import torch
from vision_toys import SMALL, settings, toy_images

from nlprep.core.errors import NlprepError, OptionError
from nlprep.core.training import fit
from nlprep.objectives.metric_learning import centre, triplet
from vision.images.collection import ImageExamples
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


def test_weights_add_the_losses_of_centres_and_triplets():
    images, labels = torch.from_numpy(toy_images(7).pixels), torch.tensor([0, 1, 2, 0, 1, 2, 2])
    model = toy(centre_weight=0.5, triplet_weight=2.0, triplet_margin=0.3).eval()
    torch.nn.init.normal_(model.centres)
    features = model.encode(images)
    expected = torch.nn.functional.cross_entropy(model.classify(images), labels)
    expected = expected + 0.5 * centre(features, labels, model.centres)
    expected = expected + 2 * triplet(features / features.norm(dim=1, keepdim=True), labels, margin=0.3)
    found = model(images=images, labels=labels)
    torch.testing.assert_close(found["loss"], expected)
    for one, other in zip(
        *(torch.autograd.grad(loss, list(model.parameters())) for loss in (found["loss"], expected)), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("weights", [{"centre_weight": 0.5}, {"centre_weight": 0.5, "triplet_weight": 1.0}])
def test_parts_of_a_batch_learn_what_the_whole_does(weights):
    models = [toy(shift=0, **weights), toy(shift=0, **weights)]
    for model, part in zip(models, (None, 2), strict=True):
        examples = ImageExamples(toy_images(8), labels=True)
        fit(model.step(), examples, config=settings(steps=2, micro_batch_size=part))
        assert model.centres.detach().abs().sum() > 0
    for one, other in zip(*(model.parameters() for model in models), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=2e-5)
