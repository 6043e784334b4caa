"""DrLIM: its loss against a loop, poses that are alike against a walk, parts against the whole batch; drawn poses."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from vision_toys import SMALL, settings, toy_images

from nlprep.core.errors import NlprepError, OptionError
from nlprep.core.training import fit
from vision.images.collection import ImageExamples, Images
from vision.images.poses import LIGHTS, draw_poses
from vision.models.drlim import DrLim, steps_apart
from vision.models.label_configuration import DrLimConfig

SHAPE = (1, 8, 8)
LABELS = np.array([0, 1, 3, 7, 4, 0, 5, 2])


def toy(**changes) -> DrLim:
    config = DrLimConfig(
        **{"dimension": 2, "reach": 1, "heights": 2, "around": True, "backbone": SMALL["mlp"]} | changes
    )
    return DrLim(SHAPE, config, num_classes=8)


def walked(one: int, other: int, *, heights: int, turns: int, around: bool) -> int:
    """Steps of the shortest way over the grid, by going everywhere at once."""
    reached, steps = {one}, 0
    while other not in reached:
        for place in tuple(sorted(reached)):
            turn, height = divmod(place, heights)
            for next_turn, next_height in (
                (turn - 1, height),
                (turn + 1, height),
                (turn, height - 1),
                (turn, height + 1),
            ):
                if around:
                    next_turn %= turns
                if 0 <= next_turn < turns and 0 <= next_height < heights:
                    reached.add(next_turn * heights + next_height)
        steps += 1
    return steps


@pytest.mark.parametrize("around", [False, True])
def test_steps_are_those_of_a_walk_over_the_grid(around: bool) -> None:
    found = steps_apart(torch.arange(15), heights=3, turns=5 if around else None)
    for one, other in itertools.product(range(15), repeat=2):
        assert found[one, other] == walked(one, other, heights=3, turns=5, around=around)


def test_the_loss_is_that_of_a_loop_over_pairs() -> None:
    model, images, labels = toy(margin=0.3).eval(), torch.from_numpy(toy_images(8).pixels), torch.from_numpy(LABELS)
    with torch.no_grad():
        codes, found = model.encode(images), model(images, labels=labels)
    alike, others, right = [], [], 0
    for one in range(8):
        apart = [float((codes[one] - codes[n]).norm()) for n in range(8)]
        near = [walked(LABELS[one], LABELS[n], heights=2, turns=4, around=True) <= 1 for n in range(8)]
        alike += [apart[n] ** 2 / 2 for n in range(8) if near[n] and n != one]
        others += [max(0.0, 0.3 - apart[n]) ** 2 / 2 for n in range(8) if not near[n]]
        right += near[min((n for n in range(8) if n != one), key=apart.__getitem__)]
    assert sum(others) > 0
    assert float(found["loss"]) == pytest.approx(np.mean(alike) + np.mean(others), rel=1e-4)
    assert float(found["accuracy"]) == pytest.approx(right / 8)


def test_parts_of_a_batch_learn_what_the_whole_does() -> None:
    pixels = toy_images(8).pixels
    examples = ImageExamples(Images(pixels, LABELS, tuple("abcdefgh")), labels=True)
    models = [toy(), toy()]
    for model, part in zip(models, (None, 2), strict=True):
        fit(model.step(), examples, config=settings(steps=2, micro_batch_size=part))
    for one, other in zip(*(model.parameters() for model in models), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=2e-5)


def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(OptionError, match="needs two at least"):
        DrLim(SHAPE, DrLimConfig(), num_classes=1)
    with pytest.raises(OptionError, match="heights = 3: 8 classes are not as many of each turn"):
        toy(heights=3)
    with pytest.raises(NlprepError, match="labels say which images are alike"):
        toy()(torch.from_numpy(toy_images(2).pixels))


def test_poses_are_drawn_as_they_are_said_to_be() -> None:
    drawn = draw_poses(side=16, turns=4, heights=2, lights=2)
    pixels, labels = drawn.images.pixels[:, 0].astype(int), drawn.images.labels
    assert len(np.unique(pixels.reshape(16, -1), axis=0)) == 16
    assert drawn.images.classes[labels[6]] == "turn 90, height 90"
    assert (np.rad2deg([drawn.turns[6], drawn.heights[6]]).round().tolist(), drawn.lights[7]) == ([90, 90], 1)
    # A quarter of a turn from above is that of the picture; from half as high, half as much of it is tall.
    by_pose = {(round(np.rad2deg(turn)), round(np.rad2deg(height))): image
               for turn, height, image, light in zip(drawn.turns, drawn.heights, pixels, drawn.lights, strict=True)
               if light == 0}  # fmt: skip
    ground = LIGHTS[0][0]
    assert np.array_equal(np.rot90(by_pose[0, 90], -1), by_pose[90, 90])
    covered = [(by_pose[0, height] - ground).sum() for height in (30, 90)]
    assert covered[0] / covered[1] == pytest.approx(0.5, abs=0.05)
    # The light changes greys, and not where they are.
    shares = [(pixels[n] - LIGHTS[n][0]) / (LIGHTS[n][1] - LIGHTS[n][0]) for n in (0, 1)]
    np.testing.assert_allclose(shares[0], shares[1], atol=0.01)
    with pytest.raises(OptionError, match="at most 6 lights"):
        draw_poses(lights=7)
