"""Retrieval against sorting every list by hand, its rule for ties, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlprep.core.errors import NlprepError, OptionError
from nlprep.evaluation.retrieval import evaluate_both_directions, evaluate_retrieval


def by_hand(scores: np.ndarray, relevant: list[list[int]], at: tuple[int, ...]) -> dict[str, float]:
    """Every figure from whole sorted lists, one query after the other."""
    figures: dict[str, list[float]] = {}
    for row, wanted in zip(scores, relevant, strict=True):
        listed = sorted(range(len(row)), key=lambda key: (-row[key], key))
        places = [place for place, key in enumerate(listed, start=1) if key in wanted]
        for k in at:
            within = sum(place <= k for place in places)
            figures.setdefault(f"recall@{k}", []).append(within / len(wanted))
            figures.setdefault(f"hits@{k}", []).append(float(within > 0))
            figures.setdefault(f"precision@{k}", []).append(within / k)
        figures.setdefault("mean_reciprocal_rank", []).append(1 / places[0])
        figures.setdefault("mean_average_precision", []).append(
            np.mean([number / place for number, place in enumerate(places, start=1)])
        )
        figures.setdefault("median_rank", []).append(places[0])
    return {
        name: float(np.median(found) if name == "median_rank" else np.mean(found)) for name, found in figures.items()
    }


@given(st.data(), st.integers(1, 6), st.integers(1, 9))
@settings(max_examples=40, deadline=None)
@pytest.mark.slow
def test_it_is_what_sorted_lists_say(data, num_queries, num_keys):
    # Small whole numbers tie often, and their products are exact.
    numbers = st.integers(-2, 2)
    queries = np.array(data.draw(st.lists(st.tuples(numbers, numbers), min_size=num_queries, max_size=num_queries)))
    keys = np.array(data.draw(st.lists(st.tuples(numbers, numbers), min_size=num_keys, max_size=num_keys)))
    some = st.lists(st.integers(0, num_keys - 1), min_size=1, max_size=num_keys, unique=True)
    relevant = data.draw(st.lists(some, min_size=num_queries, max_size=num_queries))
    found = evaluate_retrieval(queries, keys, relevant, at=(1, 3, 20), cosine=False).to_dict()
    expected = by_hand(queries @ keys.T, relevant, (1, 3, 20))
    assert {name: found[name] for name in expected} == pytest.approx(expected)


def test_one_relevant_key_each_by_the_cosine():
    generator = np.random.default_rng(0)
    keys = generator.normal(size=(30, 5))
    queries = (keys + generator.normal(size=keys.shape)) * generator.uniform(0.1, 10, (30, 1))
    unit = [side / np.linalg.norm(side, axis=1, keepdims=True) for side in (queries, keys)]
    expected = by_hand(unit[0] @ unit[1].T, [[row] for row in range(30)], (1, 5))
    found = evaluate_retrieval(queries, keys, at=(5, 1), query="sound", key="image")
    assert {name: found.to_dict()[name] for name in expected} == pytest.approx(expected)
    assert found.recall == found.hits
    assert (found.query, found.key) == ("sound", "image")
    assert 0 < found.recall[1] < found.recall[5] < 1
    shuffled = generator.permutation(30)
    again = evaluate_retrieval(queries, keys[shuffled], np.argsort(shuffled), at=(5, 1))
    np.testing.assert_array_equal(again.best_ranks, found.best_ranks)
    interval = found.hits_interval(5)
    assert interval.low < found.hits[5] == interval.value < interval.high


def test_an_encoder_that_says_nothing_finds_one_in_n():
    alike = np.ones((10, 4))
    found = evaluate_retrieval(alike, alike)
    # Equal scores stand in the order of the keys, so the i-th key is found at place i.
    np.testing.assert_array_equal(found.best_ranks, np.arange(1, 11))
    assert found.recall == {1: 0.1, 5: 0.5, 10: 1.0}
    assert found.median_rank == 5.5


def test_both_directions_are_named_and_differ():
    # Both first items are nearest to the second 0; each second item has its own first item nearest.
    first, second = np.array([[1.0, 0.1], [1.0, 0.3]]), np.array([[1.0, 0.15], [0.3, 1.0]])
    there, back = evaluate_both_directions(first, second, ("image", "text"))
    assert (there.query, there.key, back.query, back.key) == ("image", "text", "text", "image")
    assert there.recall[1] == 0.5
    assert back.recall[1] == 1.0


@pytest.mark.parametrize(
    ("change", "error", "problem"),
    [
        ({"keys": np.ones((3, 2))}, NlprepError, "say which are relevant"),
        ({"relevant": [[0], [], [1], [2]]}, NlprepError, "query 1 has no relevant key"),
        ({"relevant": [0, 1, 2, 4]}, NlprepError, r"query 3 has relevant keys \[4\]: name rows from 0 to 3"),
        ({"relevant": [0, 1, 2, -1]}, NlprepError, "query 3"),
        ({"relevant": [0, 1]}, NlprepError, "of 2 queries for 4"),
        ({"relevant": [0.5, 1, 2, 3]}, NlprepError, "query 0"),
        ({"at": (0, 1)}, OptionError, "from 1 up"),
        ({"at": ()}, OptionError, "from 1 up"),
        ({"queries": np.ones((0, 2))}, NlprepError, "queries of shape"),
        ({"queries": np.full((4, 2), np.nan)}, NlprepError, "row 0 of the queries"),
        ({"queries": np.ones((4, 3))}, OptionError, "same number of columns"),
        ({"queries": np.array([["a", "b"]] * 4)}, NlprepError, "give numbers"),
    ],
)
def test_what_cannot_be_searched(change, error, problem):
    given_ = {"queries": np.ones((4, 2)), "keys": np.ones((4, 2))} | change
    with pytest.raises(error, match=problem):
        evaluate_retrieval(given_.pop("queries"), given_.pop("keys"), **given_)
