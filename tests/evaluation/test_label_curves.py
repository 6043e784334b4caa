"""Curves by number of labels, of encoders of anything: here of small pictures."""

from __future__ import annotations

import json

import numpy as np
import pytest

from nlprep.core.errors import FileError, NlprepError
from nlprep.evaluation.configuration import ProbeConfig
from nlprep.evaluation.encoder import check_items, check_sequence
from nlprep.evaluation.label_curves import FROM_SCRATCH, measure_label_curves, pair_features
from nlprep.evaluation.labelled import Labelled
from nlprep.evaluation.linear_probe import probe_features


def is_picture(thing):
    return isinstance(thing, np.ndarray) and thing.ndim == 3


class Projection:
    """A linear map of pictures; what it "learned" is to look at the one pixel that tells the kinds apart."""

    def __init__(self, weights):
        self.weights = weights

    dimension = property(lambda self: self.weights.shape[1])
    module = None

    def encode(self, pictures, batch_size=32, *, progress=None):
        check_sequence(pictures, batch_size, noun="picture", accepts=is_picture)
        check_items(pictures, noun="picture", accepts=is_picture)
        flat = np.asarray(pictures, np.float32).reshape(len(pictures), len(self.weights))
        return flat @ self.weights

    def randomized(self, seed=1):
        return Projection(np.random.default_rng(seed).standard_normal(self.weights.shape).astype(np.float32))

    def save(self, directory):
        raise NotImplementedError

    @classmethod
    def from_directory(cls, directory):
        raise NotImplementedError


def learned():
    weights = np.zeros((16, 2), np.float32)
    weights[3, 0] = weights[7, 1] = 1
    return Projection(weights)


def pictures(number, seed=0, *, paired=False):
    generator = np.random.default_rng(seed)
    items = generator.standard_normal((number, 1, 4, 4)).astype(np.float32)
    kinds = generator.integers(0, 2, number)
    items.reshape(number, 16)[:, 3] += 6 * kinds
    others = items[generator.permutation(number)] if paired else None
    return Labelled(items, [["cat", "dog"][kind] for kind in kinds], others, "pictures")


CONFIG = ProbeConfig(labels="10,100%", repeats=2)


@pytest.mark.slow
def test_any_encoder_is_measured_beside_itself_with_nothing_learned():
    train, test = pictures(200), pictures(100, seed=1)
    result = measure_label_curves({"learned": learned(), "again": learned()}, train, test, CONFIG)
    assert [curve.name for curve in result.curves] == ["learned", FROM_SCRATCH, "again"]
    first, scratch, again = result.curves
    assert first.points == again.points
    assert first.points[0].accuracy > 0.9 > scratch.points[0].accuracy
    assert [point.num_labels for point in first.points] == [10, 200]
    assert (result.labels, result.num_train, result.num_test) == (("cat", "dog"), 200, 100)
    most = max(set(train.labels), key=list(train.labels).count)
    assert result.majority == pytest.approx(list(test.labels).count(most) / 100)
    assert json.loads(json.dumps(result.to_dict()))["curves"][0]["name"] == "learned"
    names = train.label_names()
    direct = probe_features(
        "learned",
        (learned().encode(train.items), train.label_indices(names)),
        (learned().encode(test.items), test.label_indices(names)),
        CONFIG,
    )
    assert direct == first


def test_encoders_may_come_one_by_one():
    alive = []

    def one_by_one():
        for name in ("a", "b"):
            alive.append(name)
            yield name, learned()
            alive.remove(name)
        assert not alive

    result = measure_label_curves(one_by_one(), pictures(60), pictures(30, seed=1), CONFIG, from_scratch=False)
    assert [curve.name for curve in result.curves] == ["a", "b"]


def test_features_of_pairs():
    data = pictures(20, paired=True)
    encoder = learned()
    u, v = encoder.encode(data.items), encoder.encode(data.pairs)
    expected = np.concatenate([u, v, np.abs(u - v), u * v], axis=1)
    np.testing.assert_array_equal(pair_features(encoder, data), expected)


def test_sparse_features_of_pairs_are_the_same_numbers():
    from scipy import sparse

    class Sparse(Projection):
        def encode_sparse(self, pictures, *, progress=None):
            return sparse.csr_array(self.encode(pictures))

    data = pictures(20, paired=True)
    sparse_features = pair_features(Sparse(learned().weights), data)
    assert sparse.issparse(sparse_features)
    np.testing.assert_array_equal(sparse_features.toarray(), pair_features(learned(), data))
    alone = pictures(20)
    np.testing.assert_array_equal(
        pair_features(Sparse(learned().weights), alone).toarray(), pair_features(learned(), alone)
    )


def test_what_cannot_be_measured():
    train, test = pictures(200), pictures(50, seed=1)
    with pytest.raises(NlprepError, match="no encoder"):
        measure_label_curves({}, train, test, CONFIG)
    with pytest.raises(NlprepError, match="pictures and pictures: one has pairs and the other has not"):
        measure_label_curves({"mine": learned()}, train, pictures(20, paired=True), CONFIG)
    with pytest.raises(NlprepError, match="no examples to measure on"):
        measure_label_curves({"mine": learned()}, train, Labelled([], []), CONFIG)
    with pytest.raises(FileError, match="'bird' was not seen"):
        measure_label_curves({"mine": learned()}, train, Labelled(test.items[:1], ["bird"]), CONFIG)

    class Slow(Projection):
        def encode(self, *arguments, **settings):
            raise AssertionError("encoded before the numbers of labels were checked")

    with pytest.raises(NlprepError, match=r"1 of 200 examples are fewer than the 2 classes"):
        measure_label_curves({"mine": Slow(learned().weights)}, train, test, ProbeConfig(labels="1"))
    fewest = int(np.bincount(train.label_indices(train.label_names())).min())
    with pytest.raises(NlprepError, match=f"one class has {fewest} training examples only"):
        measure_label_curves({"mine": Slow(learned().weights)}, train, test, ProbeConfig(labels=f"{fewest + 1}/class"))


def test_one_picture_is_told_from_many():
    encoder = learned()
    many = pictures(3).items
    assert encoder.encode(many).shape == encoder.encode(list(many)).shape == (3, 2)
    assert encoder.encode(many[:0]).shape == (0, 2)
    with pytest.raises(NlprepError, match="takes a list of pictures, got one picture: put it in a list"):
        encoder.encode(many[0])
    with pytest.raises(NlprepError, match=r"items\[0\] is of type ndarray"):
        encoder.encode(many[0, 0])
    with pytest.raises(NlprepError, match="got something of type ndarray: put the pictures in a list"):
        encoder.encode(np.array(3.0))
    with pytest.raises(NlprepError, match=r"items\[1\] is None"):
        encoder.encode([many[0], None])
    # Read batch by batch, a place is still that among all.
    with pytest.raises(NlprepError, match=r"items\[64\] is None"):
        check_items([None], noun="picture", accepts=is_picture, first=64)
