"""Votes of neighbours against scikit-learn and by hand, and how their number is chosen."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from nlprep.core.errors import NlprepError, OptionError
from nlprep.evaluation.configuration import NeighborsConfig
from nlprep.evaluation.nearest_neighbors import K_GRID, evaluate_neighbors, fit_neighbors


def blobs(n: int, *, classes: int = 4, dimension: int = 6, noise: float = 1.0, seed: int = 0):
    generator = np.random.default_rng(seed)
    centres = np.random.default_rng(7).normal(size=(classes, dimension)) * 1.2
    labels = generator.integers(0, classes, n)
    labels[:classes] = np.arange(classes)
    return centres[labels] + noise * generator.normal(size=(n, dimension)), labels


@pytest.mark.parametrize(("k", "temperature"), [(1, 0.07), (5, 0.07), (20, 0.5)])
def test_the_votes_are_scikit_learns(k, temperature):
    features, labels = blobs(150)
    queries, _ = blobs(60, seed=1)
    reference = KNeighborsClassifier(
        k, metric="cosine", algorithm="brute", weights=lambda distances: np.exp((1 - distances) / temperature)
    ).fit(features, labels)
    ours = fit_neighbors(features, labels, NeighborsConfig(k=k, temperature=temperature))
    np.testing.assert_allclose(ours.scores(queries), reference.predict_proba(queries), atol=1e-5)
    np.testing.assert_array_equal(ours.predict(queries), reference.predict(queries))


def test_near_votes_weigh_more_than_many():
    features = np.array([[1.0, 0.0], [0.6, 0.8], [0.6, -0.8]])
    labels = np.array([0, 1, 1])
    query = np.array([[2.0, 0.0]])
    for temperature, winner in ((0.07, 0), (10.0, 1)):
        fitted = fit_neighbors(features, labels, NeighborsConfig(k=3, temperature=temperature))
        assert fitted.predict(query) == [winner]
        weights = np.exp(np.array([1.0, 0.6, 0.6]) / temperature)
        share = weights[0] / weights.sum()
        np.testing.assert_allclose(fitted.scores(query), [[share, 1 - share]], rtol=1e-5)
    # exp(1 / temperature) itself is beyond any float here.
    tiny = fit_neighbors(features, labels, NeighborsConfig(k=3, temperature=1e-4))
    np.testing.assert_allclose(tiny.scores(query), [[1, 0]])


def test_k_is_what_leaving_one_out_says():
    features, labels = blobs(90, noise=2.0)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    right = dict.fromkeys([k for k in K_GRID if k < 90], 0)
    for row in range(90):
        others = np.delete(np.arange(90), row)
        cosines = unit[others] @ unit[row]
        order = np.argsort(-cosines, kind="stable")
        for k in right:
            votes = np.bincount(labels[others][order[:k]], np.exp(cosines[order[:k]] / 0.07), minlength=4)
            right[k] += votes.argmax() == labels[row]
    best = min(right, key=lambda k: (-right[k], k))
    assert len(set(right.values())) > 2
    assert fit_neighbors(features, labels).k == best


def test_k_is_chosen_on_validation_examples_and_never_on_the_test():
    generator = np.random.default_rng(0)
    # Training labels are noise but for the single nearest, which validation examples repeat: only k = 1 is right.
    features = generator.normal(size=(40, 5))
    labels = generator.integers(0, 2, 40)
    validation = (features + 1e-3, labels)
    assert fit_neighbors(features, labels, NeighborsConfig(temperature=100.0), validation=validation).k == 1
    result = evaluate_neighbors((features, labels), (features, 1 - labels), NeighborsConfig(temperature=100.0))
    # Test labels that are all wrong change the accuracy and not the choice.
    same = evaluate_neighbors((features, labels), (features, labels), NeighborsConfig(temperature=100.0))
    assert result.k == same.k
    assert result.accuracy.value == pytest.approx(1 - same.accuracy.value)


def test_copies_do_not_answer_for_themselves():
    # More copies than any list is long: none of them may be missing, and no row may stand in its own list.
    features = np.ones((300, 2))
    labels = np.arange(300) % 2
    fitted = fit_neighbors(features, labels)
    assert fitted.k in K_GRID


def test_the_result_is_a_share_with_its_interval():
    result = evaluate_neighbors(blobs(200), blobs(100, seed=3), NeighborsConfig(k=10))
    written = result.to_dict()
    assert written["num_train"] == 200
    assert written["num_test"] == 100
    assert 0.5 < written["accuracy_interval"]["low"] < written["accuracy"] < written["accuracy_interval"]["high"]
    assert result == evaluate_neighbors(blobs(200), blobs(100, seed=3), NeighborsConfig(k=10), threads=1)


@pytest.mark.parametrize(
    ("change", "error", "problem"),
    [
        ({"labels": np.zeros(3, int)}, NlprepError, r"training labels of shape \(3,\) for 4"),
        ({"labels": np.array([0, 1, 2, -1])}, NlprepError, "include -1"),
        ({"labels": np.array([0.0, 1, 2, 1])}, NlprepError, "of type float64"),
        ({"features": np.full((4, 2), np.inf)}, NlprepError, "not finite"),
        ({"features": np.ones(4)}, NlprepError, r"of shape \(4,\)"),
        ({"config": NeighborsConfig(k=5)}, OptionError, "only 4 training examples"),
        ({"features": np.ones((1, 2)), "labels": np.zeros(1, int)}, NlprepError, "one training example"),
    ],
)
def test_what_cannot_be_fitted(change, error, problem):
    given = {"features": np.ones((4, 2)), "labels": np.array([0, 1, 0, 1])} | change
    with pytest.raises(error, match=problem):
        fit_neighbors(**given)


def test_settings_out_of_range():
    for bad in ({"k": 0}, {"temperature": 0.0}):
        with pytest.raises(OptionError):
            NeighborsConfig(**bad)
