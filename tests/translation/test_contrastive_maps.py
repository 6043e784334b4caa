"""Contrastive refinement: the loss by hand, right answers among the negatives, what it does to maps."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nlprep.translation.aligners.configuration import HardNegativesConfig
from nlprep.translation.aligners.contrastive_maps import (
    ContrastiveMaps,
    PairsWithNegatives,
    refine_by_contrast,
)
from nlprep.translation.aligners.maps import make_fit, map_words
from nlprep.vectors.normalization import scaled_to_unit


def test_the_loss_equals_a_slow_reference():
    generator = np.random.default_rng(0)
    maps = tuple(generator.standard_normal((rows, 4)) for rows in (5, 6))
    source = generator.standard_normal((9, 5)).astype(np.float32)
    target = generator.standard_normal((8, 6)).astype(np.float32)
    pairs = np.array([[0, 1], [2, 3], [0, 4]])
    wrong_targets = np.array([[2, 4], [1, 2], [1, 7]])
    wrong_sources = np.array([[5, 6], [7, 8], [2, 3]])
    examples = PairsWithNegatives(source, target, pairs, wrong_targets, wrong_sources)
    batch = examples.batch(np.arange(3), np.zeros(3, np.uint64))
    # Target 4 is a right answer to source 0, and target 1 is too.
    assert batch["allowed"].tolist() == [[True, False, True, True], [True] * 4, [False, True, True, True]]
    found = ContrastiveMaps(maps, 0.5)(**batch)
    x, z = scaled_to_unit(source @ maps[0]), scaled_to_unit(target @ maps[1])
    losses, first = [], []
    for place, (one, other) in enumerate(pairs):
        cosines = [x[one] @ z[row] for row in wrong_targets[place]] + [
            x[row] @ z[other] for row in wrong_sources[place]
        ]
        counted = [c for c, allowed in zip(cosines, batch["allowed"][place].tolist(), strict=True) if allowed]
        right = x[one] @ z[other]
        losses.append(-np.log(np.exp(right / 0.5) / np.exp(np.array([right, *counted]) / 0.5).sum()))
        first.append(right >= max(counted))
    assert found["loss"].item() == pytest.approx(np.mean(losses), abs=1e-5)
    assert found["accuracy"].item() == pytest.approx(np.mean(first))


@pytest.mark.slow
def test_it_tells_pairs_from_negatives_better_than_a_fit_and_the_same_every_time():
    generator = np.random.default_rng(1)
    meanings = generator.standard_normal((400, 12))
    source = scaled_to_unit(meanings + 0.4 * generator.standard_normal((400, 12)))
    target = scaled_to_unit(np.tanh(2 * meanings) + 0.4 * generator.standard_normal((400, 12)))
    pairs = np.stack([np.arange(300)] * 2, axis=1)
    start = make_fit(source, target)(pairs, np.ones(300))
    config = HardNegativesConfig(rounds=2, epochs=8, batch_size=50, negatives=10, learning_rate=1e-2)

    def share_first(maps):
        one, other = map_words(source, target, maps)
        return (np.argmax(one[:300] @ other.T, axis=1) == np.arange(300)).mean()

    before = [matrix.copy() for matrix in start]
    maps, losses = refine_by_contrast(source, target, pairs, start, config, neighborhood=5)
    assert share_first(maps) > share_first(start) + 0.03
    assert len(losses) == 2
    for matrix, kept in zip(start, before, strict=True):
        np.testing.assert_array_equal(matrix, kept)
    again, _ = refine_by_contrast(source, target, pairs, start, config, neighborhood=5)
    for one, other in zip(maps, again, strict=True):
        np.testing.assert_array_equal(one, other)


def test_gradients_reach_both_maps():
    model = ContrastiveMaps((np.eye(3), np.eye(3)), 0.1)
    vectors = torch.randn(2, 3, generator=torch.Generator().manual_seed(0))
    others = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(1))
    model(vectors, vectors.flip(0), others, others.flip(0), torch.ones(2, 8, dtype=torch.bool))["loss"].backward()
    assert model.source.grad.abs().sum() > 0
    assert model.target.grad.abs().sum() > 0
