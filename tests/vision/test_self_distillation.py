"""DINO and I-JEPA: their losses against loops, what follows after each step, and what must not be seen."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from vision_toys import SMALL, StoppingExamples, settings, toy_images

from nlprep.core.errors import OptionError
from nlprep.core.training import fit
from nlprep.core.training.steps.step import Moment
from vision.backbones.configuration import BackboneConfig
from vision.images.collection import ImageExamples
from vision.models.dino import Dino
from vision.models.ijepa import IJepa
from vision.models.pretext_configuration import IJepaConfig
from vision.models.view_configuration import DinoConfig
from vision.views.configuration import ViewConfig
from vision.views.draws import draw_views

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = (3, 8, 8)
DINO = DinoConfig(prototypes=6, hidden=8, outputs=5, small_views=1, momentum=0.8, backbone=SMALL["mlp"])
VIT = BackboneConfig(kind="vit", width=6, depth=1, heads=2, patch=2)
IJEPA = IJepaConfig(
    blocks=2, block=0.2, momentum=0.8, predictor_width=6, predictor_depth=1, predictor_heads=2, backbone=VIT
)


def examples(count: int = 24, *, keys: bool = True) -> ImageExamples:
    return ImageExamples(toy_images(count, SHAPE), keys=keys)


@torch.no_grad()
def test_views_are_sorted_as_by_a_loop_over_pairs() -> None:
    model = Dino(SHAPE, DINO)
    model.centre.copy_(torch.linspace(-0.1, 0.1, 6))
    batch = examples().batch(np.arange(3), np.arange(3, dtype=np.uint64))
    parts = model.sort(**batch)
    assert parts["student"].shape == (3, 3, 6)
    assert parts["teacher"].shape == (3, 2, 6)
    # In the beginning both say the same of the views that both see; a cosine is one.
    torch.testing.assert_close(parts["student"][:, :2], parts["teacher"])
    assert parts["student"].abs().max() <= 1 + 1e-6
    student, teacher = parts["student"] + 0.05, parts["teacher"] * 0.5
    losses = []
    means = np.zeros(6)
    for image in range(3):
        for large in range(2):
            wanted = np.exp((teacher[image, large] - model.centre).double().numpy() / 0.04)
            wanted /= wanted.sum()
            means += wanted / 6
            for view in range(3):
                if view != large:
                    said = student[image, view].double().numpy() / 0.1
                    logs = said - np.log(np.exp(said).sum())
                    losses.append(-(wanted * logs).sum())
    found = model.compare(student, teacher)
    assert float(found["loss"]) == pytest.approx(np.mean(losses), rel=1e-4)
    assert float(found["balance"]) == pytest.approx(-(means * np.log(means)).sum() / math.log(6), rel=1e-4)


def trained_dino(**changes: Any) -> dict[str, torch.Tensor]:
    model = Dino(SHAPE, DINO)
    fit(model.step(), examples(), config=settings(**{"steps": 3} | changes), validation=examples(12))
    return dict(model.state_dict())


@pytest.mark.slow
def test_parts_of_a_batch_have_the_same_teacher_and_centre() -> None:
    whole, parts = trained_dino(), trained_dino(micro_batch_size=2)
    assert bool(whole["centre"].any())
    assert not torch.equal(whole["teacher.prototypes"], whole["student.prototypes"])
    assert not torch.equal(whole["teacher.prototypes"], Dino(SHAPE, DINO).state_dict()["teacher.prototypes"])
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, rtol=1e-3, atol=2e-5)


@pytest.mark.parametrize("kind", ["dino", "i-jepa"])
def test_a_run_that_was_stopped_ends_with_the_same_bits(kind: str, tmp_path: Path) -> None:
    def made() -> Any:
        return Dino(SHAPE, DINO) if kind == "dino" else IJepa(SHAPE, IJEPA)

    config, keys = settings(steps=5, average=0.9), kind == "dino"
    with pytest.raises(RuntimeError, match="stopped"):
        fit(
            made().step(), StoppingExamples(toy_images(24, SHAPE), keys=keys), config=settings(
                steps=5, average=0.9, checkpoint_every=1
            ), directory=tmp_path / "run",
        )  # fmt: skip
    found = []
    for directory in (tmp_path / "run", None):
        model = made()
        history = fit(model.step(), examples(keys=keys), config=config, directory=directory)
        assert bool(history.resumed_from) == (directory is not None)
        found.append(model.state_dict())
    assert all(torch.equal(value, found[1][name]) for name, value in found[0].items())


def test_the_centre_is_the_average_of_what_the_teacher_says() -> None:
    model = Dino(SHAPE, DINO)
    step = model.step()
    said, wanted = [], torch.zeros(6)
    compare, follow = model.compare, step.after_update

    def remembered(student: torch.Tensor, teacher: torch.Tensor) -> Any:
        said.append(teacher.mean((0, 1)))
        return compare(student, teacher)

    def followed(player: str, *, moment: Moment) -> None:
        nonlocal wanted
        wanted = 0.9 * wanted + 0.1 * said[-1]
        follow(player, moment=moment)

    step.loss, step.after_update = remembered, followed  # type: ignore[method-assign]
    fit(step, examples(), config=settings(steps=3))
    torch.testing.assert_close(model.centre, wanted)
    before = model.centre.clone()
    model.eval()
    model(**examples().batch(np.arange(3), np.arange(3, dtype=np.uint64)))
    assert torch.equal(model.centre, before)


def test_small_views_keep_less_and_others_are_as_they_were() -> None:
    keys = torch.arange(200)
    boxes = draw_views(keys, (3, 40, 40), ViewConfig(least_crop=0.05, most_crop=0.4)).boxes
    areas = (boxes[:, 2] * boxes[:, 3]).float() / 1600
    assert 0.03 < float(areas.min()) < 0.1
    assert 0.35 < float(areas.max()) < 0.45
    with pytest.raises(OptionError, match="is more than most_crop"):
        ViewConfig(least_crop=0.5, most_crop=0.4)
    with pytest.raises(OptionError, match="is more than most_small_crop"):
        replace(DINO, least_small_crop=0.5)


@torch.no_grad()
def test_hidden_patches_are_predicted_as_by_a_loop() -> None:
    model = IJepa(SHAPE, IJEPA)
    assert (model.block, model.visible) == ((2, 2), 8)
    pixels = torch.from_numpy(toy_images(3, SHAPE).pixels).float() / 255
    blocks = model.draw_blocks(3, pixels.device)
    seen = model.draw_context(blocks)
    predicted = model.predict(pixels, seen, blocks)
    tokens = model.target.transform(model.target.embed(pixels))
    total = 0.0
    for image in range(3):
        known = model.to_predictor(
            model.context.transform(model.context.embed(pixels[image : image + 1])[:, seen[image]])
        )
        known = known + model.places[:, seen[image]]
        for number in range(2):
            patches = blocks[image, number]
            said = model.predictor(torch.cat([known, model.unseen + model.places[:, patches]], 1))[0, -4:]
            torch.testing.assert_close(predicted[image, number], said, atol=1e-5, rtol=1e-4)
            for place, patch in enumerate(patches.tolist()):
                code = tokens[image, patch].double()
                code = (code - code.mean()) / (code.var(unbiased=False) + 1e-5).sqrt()
                total += float((said[place].double() - code).square().sum())
    model.draw_blocks = lambda count, device: blocks  # type: ignore[method-assign]
    model.draw_context = lambda blocks: seen  # type: ignore[method-assign]
    found = model(pixels)
    assert float(found["loss"]) == pytest.approx(total / 6, rel=1e-4)
    means = tokens.mean(1).numpy()
    assert float(found["spread"]) == pytest.approx(
        math.sqrt(means.var(0).mean() / (means**2).mean()), rel=1e-4
    )  # fmt: skip


def test_blocks_are_rectangles_and_the_context_meets_none() -> None:
    model = IJepa((1, 10, 8), replace(IJEPA, backbone=VIT))
    assert (model.context.grid, model.block) == ((5, 4), (2, 2))
    blocks = model.draw_blocks(100, torch.device("cpu"))
    seen = model.draw_context(blocks)
    assert seen.shape == (100, 12)
    for image in range(100):
        hidden = set(blocks[image].flatten().tolist())
        chosen = seen[image].tolist()
        assert len(set(chosen)) == 12
        assert not hidden & set(chosen)
        for block in blocks[image].tolist():
            assert [patch - block[0] for patch in block] == [0, 1, 4, 5]
            assert block[0] % 4 < 3
    assert set(blocks.flatten().tolist()) == set(range(20))


def test_what_is_in_no_context_patch_does_not_change_predictions() -> None:
    model = IJepa(SHAPE, IJEPA)
    pixels = torch.rand(2, *SHAPE, requires_grad=True)
    blocks = model.draw_blocks(2, pixels.device)
    seen = model.draw_context(blocks)
    (gradient,) = torch.autograd.grad(model.predict(pixels, seen, blocks).square().sum(), pixels)
    patches = gradient.abs().sum(1).unfold(1, 2, 2).unfold(2, 2, 2).sum((3, 4)).flatten(1)
    shown = torch.zeros(2, 16, dtype=torch.bool).scatter(1, seen, True)
    assert torch.equal(patches > 0, shown)
    model(pixels)["loss"].backward()
    assert all(weights.grad is None for weights in model.target.parameters())
    assert all(weights.grad is not None for weights in model.context.parameters())


def test_the_target_follows_and_codes_do_not_collapse() -> None:
    model = IJepa(SHAPE, IJEPA)
    begun = model.target.places.clone()
    history = fit(
        model.step(), examples(keys=False), validation=examples(keys=False),
        config=settings(steps=12, evaluate_every=12),
    )  # fmt: skip
    assert not torch.equal(model.target.places, begun)
    assert not torch.equal(model.target.places, model.context.places)
    record = next(record for record in history.records if "validation_spread" in record)
    assert record["validation_spread"] > 0.02
    with pytest.raises(OptionError, match="none may be left"):
        IJepa(SHAPE, replace(IJEPA, blocks=16))
    # On few patches blocks are smaller, so that a context is left.
    small = IJepa(SHAPE, replace(IJEPA, blocks=4, block=0.15))
    assert (small.block, small.visible) == ((1, 1), 12)
