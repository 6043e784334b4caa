"""The game of a map against a discriminator: its losses by hand, the pull to orthogonality, and what comes of it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.linalg import expm

from nlprep.core.errors import NlprepError, OptionError
from nlprep.core.training.configuration import TrainingConfig
from nlprep.core.training.loop import fit
from nlprep.core.training.steps.step import Moment
from nlprep.embeddings.word_vectors import WordVectors
from nlprep.translation.align import align
from nlprep.translation.aligners.configuration import AdversarialConfig, AlignmentConfig
from nlprep.translation.aligners.starts.games import (
    AdversarialStarts,
    Game,
    MapGame,
    WordSamples,
    match_axes,
)

NOW = Moment(step=0, steps=1)
SMALL = AdversarialConfig(steps=240, hidden=32, judged=400)


def plant(num_words=2400, dimension=8, noise=0.02, seed=3):
    """Two sides of the same words, turned; directions differ in variance and are skewed.

    Frequency differs a little: the rows of the target are shuffled within a neighbourhood.
    """
    generator = np.random.default_rng(seed)
    meanings = (generator.gamma(1.0, size=(num_words, dimension)) - 1) * np.geomspace(3, 0.7, dimension)
    turn = np.linalg.qr(generator.standard_normal((dimension, dimension)))[0]
    order = np.argsort(np.arange(num_words) + 20 * generator.standard_normal(num_words))
    source = meanings + noise * generator.standard_normal(meanings.shape)
    target = (meanings + noise * generator.standard_normal(meanings.shape)) @ turn
    return source.astype(np.float32), target[order].astype(np.float32), turn, order


def test_losses_are_cross_entropies_by_hand():
    game = MapGame(np.eye(3), AdversarialConfig(hidden=4, input_dropout=0.0, smoothing=0.2), seed=1)
    batch = {"source": torch.randn(5, 3), "target": torch.randn(5, 3)}
    modules = game.players
    judged = modules["discriminator"](torch.cat([modules["generator"](batch["source"]), batch["target"]])).squeeze(1)
    chances = torch.sigmoid(judged).tolist()
    truth = [0.8] * 5 + [0.2] * 5
    found = game.losses("discriminator", modules, batch, moment=NOW)
    by_hand = -np.mean([t * math.log(c) + (1 - t) * math.log(1 - c) for t, c in zip(truth, chances, strict=True)])
    assert found["loss"].item() == pytest.approx(by_hand, abs=1e-6)
    right = np.mean([(c > 0.5) == (t > 0.5) for t, c in zip(truth, chances, strict=True)])
    assert found["accuracy"].item() == pytest.approx(right)
    fooled = game.losses("generator", modules, batch, moment=NOW)["loss"].item()
    by_hand = -np.mean([(1 - t) * math.log(c) + t * math.log(1 - c) for t, c in zip(truth, chances, strict=True)])
    assert fooled == pytest.approx(by_hand, abs=1e-6)


def test_the_map_is_pulled_to_an_orthogonal_one_and_stays_there():
    generator = np.random.default_rng(1)
    rotation = np.linalg.qr(generator.standard_normal((6, 6)))[0]
    game = MapGame(rotation, AdversarialConfig(orthogonality=0.01), seed=1)
    game.after_update("generator", moment=NOW)
    np.testing.assert_allclose(game.mapping(), rotation, atol=1e-6)
    bent = rotation @ (np.eye(6) + 0.1 * generator.standard_normal((6, 6)))
    game = MapGame(bent, AdversarialConfig(orthogonality=0.01), seed=1)
    game.after_update("discriminator", moment=NOW)
    np.testing.assert_allclose(game.mapping(), bent, atol=1e-6)
    game.after_update("generator", moment=NOW)
    # Equation 7, on the transpose, which is what a linear layer holds.
    weight = bent.T
    np.testing.assert_allclose(game.mapping().T, 1.01 * weight - 0.01 * weight @ weight.T @ weight, atol=1e-6)
    for _ in range(600):
        game.after_update("generator", moment=NOW)
    np.testing.assert_allclose(game.mapping() @ game.mapping().T, np.eye(6), atol=1e-3)


def test_words_are_drawn_from_both_sides_and_the_same_for_the_same_seeds():
    source = np.arange(10, dtype=np.float32)[:, None]
    target = 100 + np.arange(4, dtype=np.float32)[:, None]
    samples = WordSamples(source, target)
    assert len(samples) == 10
    seeds = np.arange(4_000, dtype=np.uint64)
    batch = samples.batch(np.zeros(4_000, np.int64), seeds)
    assert torch.equal(batch["source"], samples.batch(np.zeros(4_000, np.int64), seeds)["source"])
    for name, side in (("source", source), ("target", target)):
        values, counts = np.unique(batch[name].numpy(), return_counts=True)
        np.testing.assert_array_equal(values, side[:, 0])
        assert counts.min() > 0.8 * 4_000 / len(side)


def test_axes_of_different_and_skewed_clouds_are_matched():
    source, target, turn, _ = plant()
    found = match_axes(source - source.mean(axis=0), target - target.mean(axis=0))
    np.testing.assert_allclose(found @ found.T, np.eye(8), atol=1e-6)
    assert np.trace(found.T @ turn) > 0.95 * 8


@pytest.mark.slow
def test_a_game_turns_the_map_towards_the_truth():
    source, target, turn, _ = plant(dimension=6)
    source, target = source - source.mean(axis=0), target - target.mean(axis=0)
    skew = np.random.default_rng(7).standard_normal((6, 6))
    start = turn @ expm(0.25 * (skew - skew.T))
    config = AdversarialConfig(hidden=64, input_dropout=0.0, map_rate=0.02)
    game = MapGame(start, config, seed=1)
    training = TrainingConfig(steps=1_500, batch_size=64, warmup=0, clip_norm=None, precision="fp32")
    fit(game, WordSamples(source, target), config=training)
    assert np.linalg.norm(game.mapping() - turn) < 0.5 * np.linalg.norm(start - turn)


@pytest.mark.slow
def test_a_game_is_the_same_every_time_and_another_by_number():
    source, target, _, _ = plant()
    one, again, other = (
        AdversarialStarts(source, target, SMALL, threads=1).play(number).mapping for number in (0, 0, 5)
    )
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other).max() > 0.1


@pytest.mark.slow
def test_pairs_come_of_a_game_and_one_that_falls_behind_is_given_up():
    source, target, _, order = plant()
    starts = AdversarialStarts(source, target, SMALL, threads=1)
    pairs = next(iter(starts))
    answers = np.argsort(order)
    assert np.mean(answers[pairs[:, 0]] == pairs[:, 1]) > 0.3
    assert len(starts.games[0].criteria) == 12
    starts.games = [Game(np.eye(8), [2.0] * 12, given_up=False)]
    behind = starts.play(4)
    assert behind.given_up
    assert len(behind.criteria) == 6
    # One that was given up itself sets no standard.
    starts.games = [Game(np.eye(8), [2.0] * 6, given_up=True)]
    assert not starts.play(4).given_up


@pytest.mark.slow
def test_from_nothing_to_an_alignment():
    source, target, _, order = plant(num_words=1200, noise=0.1)
    words = (
        WordVectors([f"s{n}" for n in range(1200)], source),
        WordVectors([f"t{n}" for n in order], target),
    )
    config = AlignmentConfig(method="adversarial", spelling=False, adversarial=SMALL)
    alignment = align(*words, config=config)
    one, other = alignment.bring_together(*words)
    assert np.mean((one @ other.T).argmax(axis=1) == np.argsort(order)) > 0.95
    assert alignment.provenance["agreement"] > 0.5
    assert alignment.provenance["method"] == "adversarial"
    assert len(alignment.provenance["games"]) == 2


@pytest.mark.slow
def test_noise_is_not_handed_over():
    generator = np.random.default_rng(8)
    sides = [
        WordVectors([f"{name}{number}" for number in range(900)], generator.standard_normal((900, 20), np.float32))
        for name in "st"
    ]
    config = AlignmentConfig(
        method="adversarial", spelling=False, adversarial=AdversarialConfig(games=2, steps=60, hidden=32)
    )
    with pytest.raises(NlprepError, match="none can be trusted"):
        align(*sides, config=config)


def test_sides_of_different_dimensions_are_refused():
    source, target, _, _ = plant()
    with pytest.raises(OptionError, match="found 8 and 7"):
        AdversarialStarts(source, target[:, :7], SMALL)
