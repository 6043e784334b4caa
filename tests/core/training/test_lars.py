"""LARS against a loop over numbers."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from nlprep.core.training import TrainingConfig
from nlprep.core.training.steps.lars import Lars, make_lars


def slow_steps(weights: list[float], gradients: list[list[float]], *, lr, momentum, decay, trust) -> list[float]:
    """Number by number; ``trust`` None: plain momentum."""
    speed = [0.0] * len(weights)
    for gradient in gradients:
        change = [g + decay * w for g, w in zip(gradient, weights, strict=True)]
        scale = 1.0
        if trust is not None:
            length, norm = (math.sqrt(sum(x * x for x in values)) for values in (weights, change))
            scale = trust * length / norm if length and norm else 1.0
        speed = [momentum * v + lr * scale * c for v, c in zip(speed, change, strict=True)]
        weights = [w - v for w, v in zip(weights, speed, strict=True)]
    return weights


def test_updates_are_those_of_the_loop() -> None:
    draws = torch.Generator().manual_seed(0)
    module = nn.Module()
    module.matrix, module.bias, module.empty = (
        nn.Parameter(values)
        for values in (torch.randn(2, 3, generator=draws), torch.randn(3, generator=draws), torch.zeros(2, 2))
    )
    config = TrainingConfig(learning_rate=0.7, beta1=0.8, weight_decay=0.3)
    optimizer = make_lars(module, config)
    begun = {name: parameter.detach().clone() for name, parameter in module.named_parameters()}
    gradients: dict[str, list[list[float]]] = {name: [] for name in begun}
    for _ in range(4):
        for name, parameter in module.named_parameters():
            parameter.grad = torch.randn(parameter.shape, generator=draws)
            gradients[name].append(parameter.grad.flatten().tolist())
        optimizer.step()
    for name, parameter in module.named_parameters():
        adapted = parameter.dim() >= 2
        expected = slow_steps(
            begun[name].flatten().tolist(), gradients[name], lr=0.7, momentum=0.8, decay=0.3 if adapted else 0,
            trust=1e-3 if adapted else None,
        )  # fmt: skip
        assert parameter.flatten().tolist() == pytest.approx(expected, rel=1e-4, abs=1e-6), name


def test_an_update_does_not_depend_on_the_scale_of_the_loss_and_frozen_weights_stay() -> None:
    found = []
    for scale in (1.0, 1e4):
        weights = nn.Parameter(torch.arange(1.0, 7).view(2, 3))
        optimizer = Lars([weights], lr=0.5)
        weights.grad = scale * torch.ones(2, 3)
        optimizer.step()
        found.append(weights.detach())
    torch.testing.assert_close(found[0], found[1])
    layer = nn.Linear(2, 2)
    layer.weight.requires_grad_(False)
    assert [group["adapt"] for group in make_lars(layer, TrainingConfig()).param_groups] == [False]
