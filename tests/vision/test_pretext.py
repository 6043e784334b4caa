"""Pretext tasks: their losses against loops, what they must not see, and codes that the heads leave no trace in."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from vision_toys import SMALL, settings, toy_images

from nlprep.core.errors import OptionError
from nlprep.core.training import fit
from vision.images.collection import ImageExamples, Images
from vision.models.context_prediction import ContextPrediction
from vision.models.cpc import Cpc
from vision.models.inpainting import Inpainting
from vision.models.pretext_configuration import ContextPredictionConfig, CpcConfig, InpaintingConfig, RotationConfig
from vision.models.rotation import RotationPrediction

SHAPE = (3, 8, 8)
MLP = SMALL["mlp"]


def pixels_of(count: int, shape: tuple[int, int, int] = SHAPE) -> torch.Tensor:
    return torch.from_numpy(toy_images(count, shape).pixels).float() / 255


def negative_log_softmax(logits: torch.Tensor, right: int) -> float:
    values = logits.double().tolist()
    return math.log(sum(math.exp(value) for value in values)) - values[right]


@torch.no_grad()
def test_rotation_is_judged_turn_by_turn() -> None:
    model = RotationPrediction(SHAPE, RotationConfig(backbone=SMALL["convolutional"]))
    pixels = pixels_of(3)
    total, right = 0.0, 0
    for image in pixels:
        for turn in range(4):
            turned = torch.from_numpy(np.rot90(image.numpy(), turn, (1, 2)).copy())
            logits = model.head(model.encoder(turned[None]))[0]
            total += negative_log_softmax(logits, turn)
            right += int(logits.argmax()) == turn
    found = model(pixels)
    assert float(found["loss"]) == pytest.approx(total / 12, rel=1e-5)
    assert float(found["accuracy"]) == pytest.approx(right / 12)
    codes = model.encode(pixels)
    for weights in model.head.parameters():
        weights.zero_()
    assert float(model(pixels)["loss"]) == pytest.approx(math.log(4))
    assert torch.equal(model.encode(pixels), codes)
    torch.testing.assert_close(codes, model.backbone.forward_maps(pixels).mean((2, 3)))  # type: ignore[union-attr]


@torch.no_grad()
def test_images_that_are_not_square_keep_their_sides() -> None:
    model = RotationPrediction((3, 6, 9), RotationConfig(backbone=MLP))
    assert model.turns == (0, 2)
    assert torch.isfinite(model(pixels_of(2, (3, 6, 9)))["loss"])


@pytest.mark.slow
def test_turns_of_images_are_learned() -> None:
    pixels = np.zeros((32, 1, 8, 8), np.uint8)
    pixels[:, :, :3] = np.random.default_rng(3).integers(120, 256, (32, 1, 3, 8))
    examples = ImageExamples(Images(pixels))
    history = fit(
        RotationPrediction((1, 8, 8), RotationConfig(backbone=MLP)).step(), examples, validation=examples,
        config=settings(steps=25, evaluate_every=25),
    )  # fmt: skip
    assert next(r for r in history.records if "validation_accuracy" in r)["validation_accuracy"] > 0.95


@torch.no_grad()
def test_only_the_hole_counts_and_what_is_in_it_is_not_seen() -> None:
    model = Inpainting((3, 8, 10), InpaintingConfig(hole=0.3, backbone=MLP))
    assert model.hole == (2, 3)
    pixels = pixels_of(4, (3, 8, 10))
    corners = torch.tensor([[0, 0], [6, 7], [2, 5], [3, 1]])
    errors = model.hole_errors(pixels, corners)
    hidden = model.holes(corners)
    made = model.predict(pixels, hidden)
    for number, (top, left) in enumerate(corners.tolist()):
        total = 0.0
        for channel in range(3):
            for row in range(top, top + 2):
                for column in range(left, left + 3):
                    total += float(pixels[number, channel, row, column] - made[number, channel, row, column]) ** 2
        assert float(errors[number]) == pytest.approx(total * 80 / 6, rel=1e-4)
    other = torch.where(hidden, torch.rand_like(pixels), pixels)
    assert not torch.equal(other, pixels)
    assert torch.equal(model.predict(other, hidden), made)
    picture = model.reconstruct(pixels)
    middle = model.holes(torch.tensor([[3, 3]])).expand(4, 3, -1, -1)
    assert torch.equal(picture[~middle], pixels[~middle])
    assert torch.equal(model.reconstruct(torch.where(middle, 0.9, pixels)), picture)
    # What it is told is no merit of its own, and said so.
    assert model.told == "all but the middle"


def test_holes_are_drawn_everywhere() -> None:
    model = Inpainting((1, 4, 4), InpaintingConfig(backbone=MLP))
    seen = torch.zeros(4, 4)
    judge = model.hole_errors

    def remembered(pixels: torch.Tensor, corners: torch.Tensor) -> torch.Tensor:
        assert corners.min() == 0
        assert corners.max() == 2
        seen.add_(model.holes(corners).float().sum((0, 1)))
        return judge(pixels, corners)

    model.hole_errors = remembered  # type: ignore[method-assign]
    model(torch.zeros(60, 1, 4, 4))
    assert (seen > 0).all()


@torch.no_grad()
def test_neighbours_are_judged_pair_by_pair() -> None:
    model = ContextPrediction(SHAPE, ContextPredictionConfig(dimension=5, hidden=7, backbone=MLP))
    patches = torch.rand(2, 9, 3, 2, 2)
    logits = model.classify(patches)
    total, right = 0.0, 0
    for image in range(2):
        middle = model.to_codes(model.backbone(patches[image, 4:5]))
        for place, neighbour in enumerate([0, 1, 2, 3, 5, 6, 7, 8]):
            code = model.to_codes(model.backbone(patches[image, neighbour : neighbour + 1]))
            one = model.head(torch.cat([middle, code], 1))[0]
            torch.testing.assert_close(logits[image, place], one)
            total += negative_log_softmax(one, place)
            right += int(one.argmax()) == place
    model.cut = lambda pixels, corners: patches  # type: ignore[method-assign]
    found = model(pixels_of(2))
    assert float(found["loss"]) == pytest.approx(total / 16, rel=1e-5)
    assert float(found["accuracy"]) == pytest.approx(right / 16)


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 28, 28), (3, 32, 32), (3, 33, 50)])
@torch.no_grad()
def test_patches_never_overlap_and_are_those_of_the_image(shape: tuple[int, int, int]) -> None:
    model = ContextPrediction(shape, ContextPredictionConfig(dimension=3, hidden=3, backbone=MLP))
    corners = model.draw_corners(200, torch.device("cpu"))
    first = corners.view(200, 3, 3, 2)
    assert corners.min() >= 0
    for axis, length in enumerate(shape[1:]):
        assert corners[..., axis].max() + model.side <= length
        apart = first.movedim(1 + axis, 1).diff(dim=1)[..., axis]
        assert apart.min() >= model.side
    if shape[1] == 32:
        # The corners move, and there is a gap even where two come as near as they can.
        assert len(torch.unique(corners[:, 4], dim=0)) == 9
        assert (model.side, model.gaps, model.reach) == (8, (3, 3), (1, 1))
    pixels = torch.rand(2, *shape)
    patches = model.cut(pixels, corners[:2])
    for image in range(2):
        for place in range(9):
            top, left = corners[image, place].tolist()
            wanted = pixels[image, :, top : top + model.side, left : left + model.side]
            assert torch.equal(patches[image, place], wanted)


@torch.no_grad()
def test_an_images_code_is_the_mean_of_its_patches() -> None:
    model = ContextPrediction((3, 8, 12), ContextPredictionConfig(dimension=5, backbone=MLP))
    assert (model.side, model.grid) == (2, (7, 11))
    pixels = pixels_of(2, (3, 8, 12))
    codes = model.encode(pixels)
    for image in range(2):
        found = [
            model.to_codes(model.backbone(pixels[image : image + 1, :, top : top + 2, left : left + 2]))
            for top in range(7)
            for left in range(11)
        ]
        torch.testing.assert_close(codes[image], torch.cat(found).mean(0))
    for weights in model.head.parameters():
        weights.zero_()
    assert torch.equal(model.encode(pixels), codes)


def small_cpc(**changes: Any) -> Cpc:
    return Cpc(SHAPE, CpcConfig(**{"dimension": 4, "hidden": 6, "layers": 2, "backbone": MLP} | changes))


@torch.no_grad()
def test_rows_below_are_looked_for_among_those_of_all_images() -> None:
    model = small_cpc(ahead=2, temperature=0.5)
    pixels = pixels_of(3)
    parts = model.predict(pixels)
    codes, predicted = parts["codes"].double(), parts["predicted"].double()
    assert codes.shape == (3, 7, 7, 4)
    losses, right = [], []
    for number, ahead in enumerate((2, 3)):
        for row in range(7 - ahead):
            total, hits = 0.0, 0
            for image in range(3):
                for column in range(7):
                    query = predicted[image, number, row, column]
                    cosines = {
                        (other, place): float(torch.cosine_similarity(query, codes[other, row + ahead, place], dim=0))
                        for other in range(3)
                        for place in range(7)
                    }
                    total += math.log(sum(math.exp(value / 0.5) for value in cosines.values()))
                    total -= cosines[image, column] / 0.5
                    hits += max(cosines, key=cosines.__getitem__) == (image, column)
            losses.append(total / 21)
            right.append(hits / 21)
    found = model(pixels)
    assert float(found["loss"]) == pytest.approx(np.mean(losses), rel=1e-4)
    assert float(found["accuracy"]) == pytest.approx(np.mean(right), abs=1e-4)


def test_no_prediction_depends_on_what_is_below() -> None:
    model = small_cpc()
    pixels = pixels_of(2).requires_grad_()
    predicted = model.predict(pixels)["predicted"]
    for row in range(7):
        (gradient,) = torch.autograd.grad(predicted[:, :, row].square().sum(), pixels, retain_graph=True)
        # Patches of two pixels, one row apart: row r of them ends before pixel r + 2.
        assert not gradient[:, :, row + 2 :].any()
        assert gradient[:, :, max(0, row - 1) : row + 2].abs().sum((0, 1, 3)).min() > 0
        # What is predicted shares no pixel with it.
        assert row + model.ahead[0] >= row + 2


def test_parts_of_a_batch_learn_what_the_whole_does() -> None:
    found = []
    for size in (None, 2):
        model = small_cpc()
        fit(
            model.step(), ImageExamples(toy_images(12, SHAPE)), validation=ImageExamples(toy_images(8, SHAPE)),
            config=settings(steps=2, micro_batch_size=size),
        )  # fmt: skip
        found.append(model.state_dict())
    for name, value in found[0].items():
        torch.testing.assert_close(found[1][name], value, rtol=1e-3, atol=2e-5)
    assert not torch.equal(found[0]["to_predictions.weight"], small_cpc().state_dict()["to_predictions.weight"])


def test_what_has_no_patches_or_rows_is_refused() -> None:
    with pytest.raises(OptionError, match="6 x 8 pixels have no patches"):
        Cpc((1, 6, 8), CpcConfig(backbone=MLP))
    with pytest.raises(OptionError, match="7 rows of patches: predict at most 5"):
        small_cpc(ahead=6)
