"""What a residual flow's norms are of, when weights are averaged: of the weights that are there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from vision_toys import settings

from nlprep.core.training import fit
from vision.flows.density import Density
from vision.flows.spectral import NormedLayer
from vision.flows.tables import Rows
from vision.flows.vectors import make_vector_flow

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nlprep.core.training.evaluation import Evaluation

ROWS = torch.randn(24, 2, generator=torch.Generator().manual_seed(1)) @ torch.tensor([[3.0, 1.0], [0.0, 0.3]])


def misses(density: Density) -> float:
    """By how much estimates of norms miss these, relative to them, at the most."""
    layers = [layer for layer in density.modules() if isinstance(layer, NormedLayer)]
    assert len(layers) == 3
    with torch.no_grad():
        return max(
            abs(float(layer.norm() / torch.linalg.matrix_norm(layer.weight, 2)) - 1) for layer in layers
        )  # fmt: skip


def trained(seen: list[float], *, evaluate_every: int) -> Density:
    torch.manual_seed(3)
    density = Density(make_vector_flow("residual", 2, layers=1, width=6), 2)

    def evaluate(_: Evaluation) -> Mapping[str, float]:
        seen.append(misses(density))
        with torch.no_grad():
            noise = density.transform(ROWS)[0]
            torch.testing.assert_close(density.transform.inverse(noise)[0], ROWS, atol=1e-3, rtol=1e-3)
        return {}

    config = settings(steps=8, learning_rate=0.2, average=0.9, evaluate_every=evaluate_every, keep_best=False)
    fit(density.step(), Rows(ROWS.numpy()), config=config, evaluate=evaluate)
    return density


@pytest.fixture(scope="module")
def two() -> tuple[list[float], Density, Density]:
    seen: list[float] = []
    return seen, trained(seen, evaluate_every=2), trained([], evaluate_every=8)


def test_averaged_weights_are_evaluated_and_published_with_their_own_norms(two: tuple[list[float], Density, Density]):
    seen, density, _ = two
    assert len(seen) == 4
    assert max(seen) < 1e-3
    assert misses(density) < 1e-3


def test_training_does_not_depend_on_when_it_was_evaluated(two: tuple[list[float], Density, Density]):
    _, often, once = two
    assert all(torch.equal(a, b) for a, b in zip(often.state_dict().values(), once.state_dict().values(), strict=True))
