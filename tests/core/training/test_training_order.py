"""Order, seeds, schedule and settings: what the loop computes without a model."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as bounds
from hypothesis import strategies as st
from training_toys import Net, Numbers, ShardedNumbers, make_step, settings

from nlprep.core.errors import NlprepError, OptionError
from nlprep.core.training.configuration import TrainingConfig
from nlprep.core.training.data.examples import (
    MicroBatches,
    ValidationBatches,
    describe_first_examples,
    same_examples,
)
from nlprep.core.training.data.orders import ExampleOrder, ShardOrder, example_seeds
from nlprep.core.training.loop import fit
from nlprep.core.training.steps.schedule import learning_rate_factor


class Recorder:
    """Examples that are their own index and seed."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def batch(self, indices: np.ndarray, seeds: np.ndarray) -> dict:
        return {"pairs": list(zip(indices.tolist(), seeds.tolist(), strict=True))}


@bounds(deadline=None)
@given(st.integers(1, 40), st.integers(0, 100), st.integers(0, 200), st.integers(1, 60))
@pytest.mark.slow
def test_positions_are_epochs_each_a_permutation(count: int, seed: int, start: int, length: int) -> None:
    order = ExampleOrder(count, seed)
    everything = [order.at(position, position + 1) for position in range(start + length)]
    indices, seeds = order.at(start, start + length)
    # However they are asked for, they are the same.
    assert indices.tolist() == [int(i[0]) for i, _ in everything[start:]]
    assert seeds.tolist() == [int(s[0]) for _, s in everything[start:]]
    for epoch in range((start + length) // count):
        seen, _ = ExampleOrder(count, seed).at(epoch * count, (epoch + 1) * count)
        assert sorted(seen.tolist()) == list(range(count))


def test_orders_and_seeds_differ_by_epoch_and_run() -> None:
    first, first_seeds = ExampleOrder(50, 1).at(0, 100)
    assert first[:50].tolist() != first[50:].tolist()
    assert first[:50].tolist() != ExampleOrder(50, 2).at(0, 50)[0].tolist()
    assert len(set(first_seeds.tolist())) == 100
    assert not np.isin(first_seeds, ExampleOrder(50, 2).at(0, 100)[1]).any()
    # A seed is of (run, epoch, index), not of the place in the batch or the number of examples before it.
    place = int(np.flatnonzero(first[50:] == 7)[0])
    assert first_seeds[50 + place] == ExampleOrder(50, 1).at(50 + place, 51 + place)[1][0]


@pytest.mark.parametrize("world_size", [1, 2])
@pytest.mark.parametrize("parts", [1, 2, 4])
def test_parts_and_processes_share_the_same_examples(world_size: int, parts: int) -> None:
    expected = list(zip(*(values.tolist() for values in ExampleOrder(13, 5).at(0, 80)), strict=True))
    got = [[] for _ in range(10)]
    for rank in range(world_size):
        batches = MicroBatches(
            Recorder(13), ExampleOrder(13, 5), batch_size=8, rank=rank, world_size=world_size, parts=parts
        )
        for step in range(10):
            for part in range(parts):
                got[step] += batches[step * parts + part]["pairs"]
    assert [pair for step in got for pair in step] == expected


@given(st.integers(1, 30), st.integers(1, 9), st.integers(1, 3))
@pytest.mark.slow
def test_validation_meets_every_example_once_with_the_same_seeds(count: int, size: int, world_size: int) -> None:
    pairs = []
    for rank in range(world_size):
        batches = ValidationBatches(Recorder(count), seed=1, size=size, rank=rank, world_size=world_size)
        listed = [batch["pairs"] for batch in batches]
        assert len(listed) == len(batches)
        assert all(0 < len(batch) <= size for batch in listed)
        pairs += [pair for batch in listed for pair in batch]
    assert sorted(index for index, _ in pairs) == list(range(count))
    (whole,) = ValidationBatches(Recorder(count), seed=1, size=count, rank=0, world_size=1)
    assert sorted(pairs) == whole["pairs"]
    # Training never meets them.
    assert not {seed for _, seed in pairs} & set(ExampleOrder(count, 1).at(0, 3 * count)[1].tolist())


def describe(examples: Numbers) -> dict:
    return describe_first_examples(examples, ExampleOrder(len(examples), 1))


def test_examples_are_known_by_the_first_of_them() -> None:
    one = describe(Numbers())
    assert same_examples(one, describe(Numbers()))
    jittered = {
        name: [*value[:2], value[2] * (1 + 1e-7)] if "float" in value[0] else value for name, value in one.items()
    }
    assert same_examples(one, jittered)
    assert not same_examples(one, describe(Numbers(shift=1.0)))
    assert not same_examples(one, describe(Numbers(terms=2)))
    assert not same_examples(one, {name: one[name] for name in ("x", "y")})


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant"])
def test_learning_rates_follow_their_formula(schedule: str) -> None:
    config = TrainingConfig(schedule=schedule, warmup=10.0, final_learning_rate=0.2)
    for step in range(10):
        assert learning_rate_factor(step, 110, config) == pytest.approx((step + 1) / 11)
    for step in range(10, 110):
        share = (step - 10) / 100
        expected = {
            "cosine": 0.2 + 0.8 * math.cos(math.pi * share / 2) ** 2,
            "linear": 1 - 0.8 * share,
            "constant": 1.0,
        }[schedule]
        assert learning_rate_factor(step, 110, config) == pytest.approx(expected)
    assert learning_rate_factor(110, 110, config) == pytest.approx(1.0 if schedule == "constant" else 0.2)


def test_warm_up_is_a_share_or_a_number() -> None:
    assert TrainingConfig(warmup=0.1).num_warmup_steps(50) == 5
    assert TrainingConfig(warmup=1).num_warmup_steps(50) == 1
    assert TrainingConfig(warmup=0).num_warmup_steps(50) == 0
    assert learning_rate_factor(0, 50, TrainingConfig(warmup=0)) == 1
    # Longer than the run: it never reaches the top, and nothing divides by zero.
    assert learning_rate_factor(4, 5, TrainingConfig(warmup=9)) == pytest.approx(0.5)
    assert 0 < learning_rate_factor(0, 1, TrainingConfig(warmup=0.9)) <= 1


@pytest.mark.parametrize(
    ("examples", "epochs", "batch_size", "steps"),
    [
        (30, 1, 10, 3),
        (31, 1, 10, 4),
        (30, 1.1, 3, 11),
        (10, 0.25, 2, 2),
        (3, 0.01, 8, 1),
        (7, 3, 7, 3),
        (100, 0.07, 1, 7),
    ],
)
def test_epochs_become_steps(examples: int, epochs: float, batch_size: int, steps: int) -> None:
    assert TrainingConfig(epochs=epochs, batch_size=batch_size).num_steps(examples) == steps
    assert TrainingConfig(steps=5, epochs=epochs, batch_size=batch_size).num_steps(examples) == 5


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"steps": 0}, "steps = 0: must be at least 1"),
        ({"epochs": 0}, "epochs = 0.0: must be above 0"),
        ({"epochs": math.inf}, "epochs = inf: must be finite"),
        ({"learning_rate": math.nan}, "learning_rate = nan"),
        ({"learning_rate": math.inf}, "learning_rate = inf: must be finite"),
        ({"beta2": 1}, "beta2 = 1.0: both must be below 1"),
        ({"schedule": "step"}, "schedule = 'step': choose from cosine, linear, constant"),
        ({"precision": "fp16"}, "precision = 'fp16': choose from auto, fp32, bf16"),
        ({"micro_batch_size": 0}, "micro_batch_size = 0: must be at least 1"),
        ({"clip_norm": 0}, "clip_norm = 0.0: must be above 0"),
    ],
)
def test_settings_out_of_range_are_named(changes: dict, problem: str) -> None:
    with pytest.raises(OptionError, match=problem) as caught:
        TrainingConfig(**changes)
    assert isinstance(caught.value, NlprepError)


# Shards


@bounds(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=6).filter(any),
    st.sampled_from([None, 1, 2, 3, 20]),
    st.integers(0, 50),
    st.integers(1, 9),
)
@pytest.mark.slow
def test_shards_come_one_after_another_and_every_example_once(
    sizes: list[int], window: int | None, seed: int, length: int
) -> None:
    count = sum(sizes)
    shard_of = np.repeat(np.arange(len(sizes)), sizes)
    first_of = np.repeat(np.cumsum(sizes) - sizes, sizes)
    order = ShardOrder(sizes, seed, window=window)
    indices, seeds = order.at(0, 3 * count)
    for epoch in range(3):
        met = indices[epoch * count : (epoch + 1) * count]
        assert sorted(met.tolist()) == list(range(count))
        # A shard is read to its end before the next is begun, and window after window.
        assert len([1 for one, two in pairwise(shard_of[met]) if one != two]) == np.count_nonzero(sizes) - 1
        for one, two in pairwise(met):
            if window is not None and shard_of[one] == shard_of[two]:
                assert (one - first_of[one]) // window <= (two - first_of[two]) // window
        np.testing.assert_array_equal(seeds[epoch * count : (epoch + 1) * count], example_seeds(seed, epoch, met))
    # However they are asked for, by whomever, they are the same.
    pieces = [
        ShardOrder(sizes, seed, window=window).at(at, min(at + length, 3 * count)) for at in range(0, 3 * count, length)
    ]
    np.testing.assert_array_equal(np.concatenate([piece for piece, _ in pieces]), indices)
    np.testing.assert_array_equal(np.concatenate([piece for _, piece in pieces]), seeds)


def test_shards_and_what_is_in_them_are_shuffled_anew() -> None:
    order = ShardOrder([20] * 10, 1)
    epochs = [order.at(start, start + 200)[0] for start in (0, 200)]
    for met in epochs:
        shards = met.reshape(10, 20) // 20
        assert (shards == shards[:, :1]).all()
        assert shards[:, 0].tolist() != list(range(10))
        assert all((np.diff(within) < 0).any() for within in met.reshape(10, 20))
    assert epochs[0].tolist() != epochs[1].tolist()
    assert epochs[0].tolist() != ShardOrder([20] * 10, 2).at(0, 200)[0].tolist()
    # Windows of one are files read from their beginning to their end.
    assert (np.diff(ShardOrder([20] * 10, 1, window=1).at(0, 20)[0]) == 1).all()


def test_billions_of_examples_in_shards_take_the_memory_of_one() -> None:
    import tracemalloc

    tracemalloc.start()
    order = ShardOrder([1_000_000] * 10_000, 1)
    for start in (0, 5_000_000_123, 99_999_999_999):
        assert len(order.at(start, start + 64)[0]) == 64
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30e6


@pytest.mark.parametrize(
    ("sizes", "window", "problem"),
    [
        ([3, -1], None, "sizes of shards: must be numbers of examples"),
        ([0, 0], None, "at least one of them above 0"),
        ([], None, "at least one of them above 0"),
        ([3], 0, "window = 0: must be at least 1, or none for whole shards"),
    ],
)
def test_shards_that_are_none_are_named(sizes: list[int], window: int | None, problem: str) -> None:
    with pytest.raises(OptionError, match=problem):
        ShardOrder(sizes, 1, window=window)


def test_examples_choose_their_order_and_a_run_keeps_to_it(tmp_path: Path) -> None:
    class Met(ShardedNumbers):
        def batch(self, indices: np.ndarray, seeds: np.ndarray) -> dict:
            met.extend(indices.tolist())
            return super().batch(indices, seeds)

    met: list[int] = []
    sizes = (20, 25, 5)
    fit(make_step(Net()), Met(sizes), config=settings(), directory=tmp_path)
    # The first eight once more, by which they are known.
    assert met == [*ShardOrder(sizes, 1).at(0, 8)[0], *ShardOrder(sizes, 1).at(0, 96)[0]]
    more = settings(steps=14)
    refused = {
        "window = None, now kind = shards, .*, window = 3: give the same order": Met(sizes, window=3),
        r"shards = 3, .*, now kind = shards, shards = 2, ": Met((25, 25)),
        "sizes = .*, now kind = shards, shards = 3, sizes = ": Met((20, 20, 10)),
        "in the order kind = shards, .*, now kind = permutation: give": Numbers(),
    }
    for problem, examples in refused.items():
        with pytest.raises(OptionError, match=problem) as caught:
            fit(make_step(Net()), examples, config=more, directory=tmp_path)
        assert "\n" not in str(caught.value)
        assert str(tmp_path) in str(caught.value)
    assert fit(make_step(Net()), Met(sizes), config=more, directory=tmp_path).resumed_from == 12

    class Short(ShardedNumbers):
        def order(self, seed: int) -> ShardOrder:
            return ShardOrder(self.sizes[:-1], seed)

    with pytest.raises(OptionError, match="the order is of 45 examples, and there are 50: make them agree"):
        fit(make_step(Net()), Short(sizes), config=settings())


@pytest.mark.parametrize("world_size", [1, 2])
@pytest.mark.parametrize("parts", [1, 2])
def test_parts_and_processes_share_shards(world_size: int, parts: int) -> None:
    sizes = [5, 1, 7]
    expected = list(zip(*(values.tolist() for values in ShardOrder(sizes, 5).at(0, 80)), strict=True))
    got: list[list] = [[] for _ in range(10)]
    for rank in range(world_size):
        batches = MicroBatches(
            Recorder(13), ShardOrder(sizes, 5), batch_size=8, rank=rank, world_size=world_size, parts=parts
        )
        for step in range(10):
            for part in range(parts):
                got[step] += batches[step * parts + part]["pairs"]
    assert [pair for step in got for pair in step] == expected
