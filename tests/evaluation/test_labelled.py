"""Labelled collections of anything: choosing among them by seed, of each label alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from nlprep.core.errors import FileError, NlprepError, OptionError
from nlprep.evaluation.labelled import Labelled, keep_labels, split_labelled


class Lazy:
    """Items that are made when they are asked for."""

    def __init__(self, number):
        self.asked = []
        self._number = number

    def __len__(self):
        return self._number

    def __getitem__(self, place):
        self.asked.append(int(place))
        return np.full(2, place)


def many(items=None):
    return Labelled(
        list(range(100)) if items is None else items, ["a"] * 80 + ["b"] * 19 + ["c"], name="f.csv", lines=range(2, 102)
    )


def test_a_split_is_stratified_and_keeps_everything():
    data = many()
    stays, aside = split_labelled(data, 0.2)
    assert sorted([*stays.items, *aside.items]) == list(data.items)
    assert list(stays.items) == sorted(stays.items)
    assert [list(aside.labels).count(label) for label in "abc"] == [16, 4, 0]
    assert [line - 2 for line in aside.lines] == list(aside.items)
    assert split_labelled(data, 0.2)[1].items == aside.items != split_labelled(data, 0.2, seed=2)[1].items
    assert [len(part) for part in split_labelled(Labelled([], []), 0.5)] == [0, 0]


@pytest.mark.parametrize("seed", range(40))
def test_few_labels_are_a_part_of_more_in_proportion(seed):
    generator = np.random.default_rng(seed)
    labels = list(generator.choice(list("abcd"), generator.integers(1, 60), p=[0.6, 0.25, 0.1, 0.05]))
    collection = Labelled(list(range(len(labels))), labels)
    distinct = len(set(labels))
    number, more = sorted(generator.integers(distinct, len(labels) + 1, 2))
    kept = keep_labels(collection, number, seed=seed)
    assert len(kept) == number
    assert list(kept.items) == sorted(kept.items)
    assert set(kept.items) <= set(keep_labels(collection, more, seed=seed).items)
    for label in set(labels):
        found, share = list(kept.labels).count(label), number * labels.count(label) / len(labels)
        assert found >= 1
        assert abs(found - share) <= distinct
    assert [labels[item] for item in kept.items] == list(kept.labels)


def test_the_seed_chooses():
    data = many()
    assert keep_labels(data, 10, seed=1).items == keep_labels(data, 10, seed=1).items
    assert keep_labels(data, 10, seed=1).items != keep_labels(data, 10, seed=2).items
    for number in (2, 101):
        with pytest.raises(OptionError, match=rf"number = {number}: f\.csv has 3 labels and 100 examples"):
            keep_labels(data, number)


def test_items_may_be_an_array_or_be_read_as_needed():
    array = np.arange(200).reshape(100, 2)
    kept = keep_labels(many(array), 10)
    assert isinstance(kept.items, np.ndarray)
    np.testing.assert_array_equal(kept.items, keep_labels(many(list(array)), 10).items)
    lazy = Lazy(100)
    kept = keep_labels(many(lazy), 10)
    assert lazy.asked == [int(item[0]) for item in kept.items]
    assert len(lazy.asked) == 10


def test_a_collection_of_its_own_kind_stays_one():
    @dataclass(frozen=True)
    class Pictures(Labelled[int]):
        folder: str = "here"

    data = Pictures([1, 2, 3, 4], ["a", "b", "a", "b"], folder="there")
    for part in (data.select([0]), keep_labels(data, 2), *split_labelled(data, 0.5)):
        assert isinstance(part, Pictures)
        assert part.folder == "there"


def test_pairs_go_with_their_items():
    data = Labelled([1, 2, 3], ["a", "b", "a"], pairs=[10, 20, 30])
    assert data.select([2, 0]).pairs == [30, 10]


def test_names_of_labels():
    assert Labelled([0] * 3, ["10", "9", "-1"]).label_names() == ["-1", "9", "10"]
    assert Labelled([0] * 3, ["b", "10", "9"]).label_names() == ["10", "9", "b"]
    with pytest.raises(NlprepError, match="every label is 'yes'"):
        Labelled([1, 2], ["yes", "yes"]).label_names()
    with pytest.raises(NlprepError, match="no examples"):
        Labelled([], []).label_names()


def test_an_unseen_label_is_named_with_its_place():
    with pytest.raises(FileError, match=r"f\.csv:101: label 'c' was not seen in training, which had 'a', 'b'"):
        many().label_indices(["a", "b"])
    np.testing.assert_array_equal(many().label_indices(["c", "b", "a"])[[0, 80, 99]], [2, 1, 0])


@pytest.mark.parametrize("pairs", [None, [1]])
def test_numbers_that_differ(pairs):
    with pytest.raises(NlprepError, match=r"2 items, 1 labels.* differ in number"):
        Labelled([1, 2], ["a"], pairs)
