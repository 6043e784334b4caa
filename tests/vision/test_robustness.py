"""Attacks against closed forms and slow loops, and what a defence is measured by."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from nlprep.core.errors import NlprepError, OptionError
from vision.backbones.configuration import BackboneConfig
from vision.images.collection import Images
from vision.images.preprocessing import Preprocessing
from vision.models.configuration import ImageModelConfig
from vision.models.files import SavedModel, build
from vision.uses.configuration import AttackConfig
from vision.uses.robustness import Defended, check_classifier, check_denoiser, fgsm, measure_defence, pgd

SHAPE = (1, 4, 4)


class Linear(nn.Module):
    """Logits that are linear in the pixels."""

    def __init__(self, classes: int = 2, seed: int = 0) -> None:
        super().__init__()
        draws = np.random.default_rng(seed)
        weights = draws.standard_normal((16, classes))
        # Of sum 0, so that grey images are of no class.
        self.weights = nn.Parameter(torch.tensor(weights - weights.mean(0), dtype=torch.float64))
        self.dropout = nn.Dropout(0.5)

    def forward(self, images):
        return self.dropout(images.flatten(1).double() @ self.weights)


class Shrinking(nn.Module):
    """A denoiser that has no gradient: it rounds."""

    def __init__(self) -> None:
        super().__init__()
        self.part = nn.Dropout(0.5)

    def reconstruct(self, images, labels=None):
        return (images * 4).round() / 4


def images_and_labels(count: int = 20, *, middle: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    draws = np.random.default_rng(1)
    low, high = (0.3, 0.7) if middle else (0.0, 1.0)
    pixels = torch.tensor(draws.uniform(low, high, (count, *SHAPE)), dtype=torch.float32)
    return pixels, torch.from_numpy(draws.integers(0, 2, count))


def test_fgsm_is_the_best_against_a_linear_classifier_of_two_classes():
    model = Linear().eval()
    direction = (model.weights[:, 1] - model.weights[:, 0]).detach()
    pixels, labels = images_and_labels(middle=True)
    sign = (2 * labels - 1).double()
    margins = sign * (pixels.flatten(1).double() @ direction)
    for moved in (fgsm(model, pixels, labels, 0.2), pgd(model, pixels, labels, AttackConfig(epsilon=0.2, steps=5))):
        reached = sign * (moved.flatten(1).double() @ direction)
        # Inside the range of pixels no point of the box has a smaller margin than by epsilon times the norm.
        np.testing.assert_allclose(reached.numpy(), (margins - 0.2 * direction.abs().sum()).numpy(), atol=1e-5)
    # At the ends of the range it is the best corner that is left.
    pixels, labels = images_and_labels()
    sign = (2 * labels - 1).double()[:, None]
    best = torch.where(
        sign * direction > 0, (pixels.flatten(1) - 0.2).clamp(min=0), (pixels.flatten(1) + 0.2).clamp(max=1)
    )
    np.testing.assert_allclose(fgsm(model, pixels, labels, 0.2).flatten(1), best, atol=1e-6)


def test_pgd_is_that_of_a_slow_loop_and_stays_in_the_box():
    model = Linear(classes=3).eval()
    weights = model.weights.detach().numpy()
    pixels, labels = images_and_labels(6)
    config = AttackConfig(epsilon=0.15, steps=7, step_size=0.04, restarts=2, seed=3)
    found = pgd(model, pixels, labels, config, places=np.arange(10, 16)).numpy()
    from nlprep.core.randomness import combine, uniforms

    for place in range(6):
        start = pixels[place].numpy().ravel().astype(np.float64)
        low, high = np.maximum(start - 0.15, 0), np.minimum(start + 0.15, 1)
        best: tuple[bool, float] = (False, -np.inf)
        for restart in range(3):
            moved = start.copy()
            if restart:
                draws = uniforms(combine(combine(3, 10 + place), restart), 16, purpose=71)
                moved = low + (high - low) * draws
            for _ in range(8):
                logits = moved @ weights
                chances = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
                loss, wrong = -np.log(chances[labels[place]]), logits.argmax() != labels[place]
                if (wrong, loss) > best:
                    best, kept = (wrong, loss), moved
                gradient = weights @ (chances - np.eye(3)[labels[place]])
                moved = np.clip(moved + 0.04 * np.sign(gradient), low, high)
        np.testing.assert_allclose(found[place].ravel(), kept, atol=1e-5)
    assert (np.abs(found - pixels.numpy()) <= 0.15 + 1e-6).all()
    assert found.min() >= 0
    assert found.max() <= 1


def test_the_attack_does_not_depend_on_the_batch():
    model = Linear(classes=3).eval()
    pixels, labels = images_and_labels(8)
    config = AttackConfig(epsilon=0.1, steps=3, restarts=2)
    whole = pgd(model, pixels, labels, config)
    parts = [pgd(model, pixels[rows], labels[rows], config, places=rows) for rows in np.split(np.arange(8), 4)]
    np.testing.assert_allclose(torch.cat(parts), whole, atol=1e-6)


def test_a_defence_without_gradients_is_seen_through():
    """The gradient of rounding is 0, so that only the attack that takes it for the identity gets anywhere."""
    model, denoiser = Linear(), Shrinking()
    pixels, _ = images_and_labels(60, middle=True)
    with torch.no_grad():
        labels = model.eval()(pixels).argmax(1).numpy()
    model.train()
    images = Images((255 * pixels).round().to(torch.uint8).numpy(), labels, ("a", "b"), source="drawn")
    result = measure_defence(model, denoiser, images, AttackConfig(epsilon=0.3, steps=5, restarts=0), batch_size=16)
    alone, behind = result.undefended, result.defended
    assert alone["clean"].value > 0.9
    assert alone["pgd"].value <= alone["fgsm"].value < 0.3
    assert behind["adaptive"].value == behind["clean"].value > 0.7
    assert behind["identity"].value < 0.3
    assert behind["all"].value <= min(value.value for value in behind.values())
    assert result.images == 60
    # Left in the modes in which they were, and without gradients of weights.
    assert model.training
    assert denoiser.part.training
    assert model.weights.grad is None


def saved(model, shape, classes=0):
    config = replace(ImageModelConfig(model=model).chosen(), backbone=BackboneConfig(kind="mlp", width=4, depth=1))
    made = build(model, shape, config, num_classes=classes).eval()
    channels, height, width = shape
    return SavedModel(
        model=made, config=config, preprocessing=Preprocessing(channels=channels, height=height, width=width)
    )


def test_which_models_are_classifiers_and_which_may_stand_before_one():
    judge = saved("classifier", SHAPE, 2)
    check_classifier(judge, where="judge")
    check_denoiser(saved("denoising", SHAPE), judge, where="before")
    for wrong, said in (
        (judge, "before: a model of the kind classifier does not give images back: these do: autoencoder,"),
        (saved("conditional-autoencoder", SHAPE, 2), "wants to know the class, which the classifier is to find"),
        (
            saved("vae", (3, 4, 4)),
            r"takes images of 3 x 4 x 4 \(channels, height, width\), and the classifier 1 x 4 x 4",
        ),
    ):
        with pytest.raises(NlprepError, match=said):
            check_denoiser(wrong, judge, where="before")
    with pytest.raises(NlprepError, match="judge: a model of the kind denoising tells no classes apart"):
        check_classifier(saved("denoising", SHAPE), where="judge")
    pixels, labels = images_and_labels(8)
    images = Images((255 * pixels).to(torch.uint8).numpy(), labels.numpy(), ("a", "b"))
    found = measure_defence(judge.model, saved("denoising", SHAPE).model, images, AttackConfig(steps=1))
    right = (judge.model.classify(torch.from_numpy(images.pixels)).argmax(1) == labels).float().mean()
    assert found.to_dict()["undefended"]["clean"]["value"] == pytest.approx(float(right))


def test_gradients_go_through_a_denoiser_or_past_it():
    pixels = torch.full((1, *SHAPE), 0.5, requires_grad=True)
    for identity, wanted in ((False, 0.5), (True, 1.0)):
        defended = Defended(
            lambda images: images.sum((1, 2, 3))[:, None], lambda x: 0.5 * x, identity_backwards=identity
        )
        out = defended(pixels)
        assert float(out.detach()) == pytest.approx(4.0)
        (gradient,) = torch.autograd.grad(out.sum(), pixels)
        assert torch.allclose(gradient, torch.full_like(gradient, wanted))


def test_bad_requests_are_refused():
    for values in ({"epsilon": 0.0}, {"steps": 0}, {"step_size": -1.0}, {"restarts": -1}):
        with pytest.raises(OptionError):
            AttackConfig(**values)
    unlabelled = Images(np.zeros((2, *SHAPE), np.uint8), source="unlabelled")
    with pytest.raises(NlprepError, match="unlabelled"):
        measure_defence(Linear(), Shrinking(), unlabelled)
    labelled = Images(np.zeros((2, *SHAPE), np.uint8), np.array([0, 1]), ("a", "b"))
    with pytest.raises(NlprepError, match="gives no images back"):
        measure_defence(Linear(), nn.Identity(), labelled)
