"""What a step keeps for its gradient, against sums by hand."""

from __future__ import annotations

import pytest
import torch
from test_models import SHAPE, made, shape_of, small
from torch import nn
from vision_toys import toy_images

from nlprep.core.training.steps.step import PlainStep
from vision.models import memory
from vision.models.flow import Glow
from vision.models.flow_configuration import GlowConfig
from vision.models.memory import gradient_bytes, planned_bytes
from vision.models.methods import MODELS, Method
from vision.requirements import plan_model


class Chain(nn.Module):
    """Exponentials in a row, each of which keeps what it made; and products with weights, which are not counted."""

    num_classes = 0

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.depth, self.weight = depth, nn.Parameter(torch.ones(64))

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        numbers = images.float().flatten(1) / 255 + self.weight
        for _ in range(self.depth):
            numbers = (numbers / 9).exp()
        return {"loss": numbers.mean()}

    def step(self) -> PlainStep:
        return PlainStep(self)


def test_it_is_the_sum_of_what_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "name_of", lambda _: "chain")
    monkeypatch.setattr(memory, "find_method", lambda _: Method("", "", object))
    for depth in (1, 3):
        assert gradient_bytes(Chain(depth), toy_images(5)) == pytest.approx(depth * 64 * 4, rel=0.02)  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gan", "simclr", "conditional-vae", "residual-flow", "flow-matching", "rbm"])
def test_any_model_is_measured_and_stays_as_it_is(name: str) -> None:
    assert name in MODELS
    model = made(name).eval()
    before = [value.clone() for value in model.state_dict().values()]
    random = torch.get_rng_state()
    assert gradient_bytes(model, toy_images(6, SHAPE)) >= (0 if name == "rbm" else 64)
    assert all(torch.equal(one, other) for one, other in zip(before, model.state_dict().values(), strict=True))
    assert torch.equal(random, torch.get_rng_state())
    assert not model.training


@pytest.mark.slow
def test_a_flow_keeps_more_the_deeper_it_is() -> None:
    shallow, deep = (
        gradient_bytes(Glow(SHAPE, GlowConfig(levels=1, steps=steps, width=4)), toy_images(4)) for steps in (1, 4)
    )
    assert 3 < deep / shallow < 4.5


UNSEEN = ("glow", "conditional-glow", "colourization", "dino", "masked", "i-jepa", "image-gpt")
"""Models whose codes ask for numbers or are made by what has no gradient, and transformers."""


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_what_is_planned_is_never_more_than_what_is_kept(name: str) -> None:
    shape = shape_of(name)
    planned = planned_bytes(plan_model(name, shape, small(name), num_classes=2 if MODELS[name].labelled else 0))
    assert planned <= 1.01 * gradient_bytes(made(name), toy_images(16, shape))
    assert (planned > 0) == (name not in UNSEEN)
