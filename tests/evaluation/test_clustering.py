"""Clusters against counting pairs, entropies and every permutation."""

from __future__ import annotations

from itertools import combinations, permutations
from math import log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlprep.core.errors import NlprepError, OptionError
from nlprep.evaluation.clustering import compare_clusters, evaluate_clustering, fit_clusters
from nlprep.evaluation.configuration import ClusteringConfig

pairs_of_numbers = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=2, max_size=14)


@pytest.mark.slow
@given(pairs_of_numbers)
@settings(max_examples=40, deadline=None)
def test_the_figures_are_their_definitions(pairs):
    clusters, classes = (np.array(side) for side in zip(*pairs, strict=True))
    found = compare_clusters(clusters, classes)
    n = len(pairs)

    def entropy(values: list[object]) -> float:
        return -sum(values.count(value) / n * log(values.count(value) / n) for value in set(values))

    both = entropy([(int(a), int(b)) for a, b in pairs])
    one, other = entropy(clusters.tolist()), entropy(classes.tolist())
    mutual = one + other - both
    # Two groupings into one group are the same, though they say nothing.
    expected = mutual / ((one + other) / 2) if one + other > 0 else 1.0
    assert found.normalized_mutual_information == pytest.approx(max(0.0, expected), abs=1e-9)

    together = [(clusters[a] == clusters[b], classes[a] == classes[b]) for a, b in combinations(range(n), 2)]
    agreed = sum(x and y for x, y in together)
    in_clusters, in_classes = sum(x for x, _ in together), sum(y for _, y in together)
    chance = in_clusters * in_classes / len(together)
    most = (in_clusters + in_classes) / 2
    index = (agreed - chance) / (most - chance) if most != chance else 1.0
    assert found.adjusted_rand_index == pytest.approx(index)

    purity = sum(max(np.bincount(classes[clusters == cluster])) for cluster in set(clusters.tolist())) / n
    assert found.purity == pytest.approx(purity)
    # Every way of giving four clusters four names, of which three are classes.
    best = max(sum(names[cluster] == label for cluster, label in pairs) for names in permutations(range(4))) / n
    assert found.matched_accuracy == pytest.approx(best)


def blobs(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = np.arange(90) % 3
    return np.eye(3, 5)[labels] * 6 + generator.normal(size=(90, 5)), labels


def test_groups_that_are_there_are_found_and_reproducible():
    features, labels = blobs()
    result = evaluate_clustering(features, labels)
    assert result.matched_accuracy == result.purity == 1
    assert result.normalized_mutual_information == pytest.approx(1)
    assert result.adjusted_rand_index == pytest.approx(1)
    assert (result.num_examples, result.num_clusters, result.num_classes) == (90, 3, 3)
    np.testing.assert_array_equal(fit_clusters(features, 3).assignments, fit_clusters(features, 3).assignments)
    assert set(result.to_dict()) >= {"purity", "matched_accuracy"}


def test_the_seed_alone_decides_the_start():
    # One start on features without groups ends somewhere else from another start.
    features = np.random.default_rng(0).normal(size=(120, 2))
    one = [fit_clusters(features, 9, ClusteringConfig(restarts=1, seed=seed)).inertia for seed in range(1, 7)]
    again = [fit_clusters(features, 9, ClusteringConfig(restarts=1, seed=seed)).inertia for seed in range(1, 7)]
    assert one == again
    assert len(set(one)) > 1
    assert fit_clusters(features, 9, ClusteringConfig(restarts=10)).inertia <= one[0]


def test_more_clusters_raise_purity_and_not_the_matched_accuracy():
    features, labels = blobs()
    result = evaluate_clustering(features, labels, ClusteringConfig(num_clusters=45))
    assert result.num_clusters == 45
    assert result.purity > 0.95
    assert result.matched_accuracy < 0.5


def test_length_counts_only_when_asked():
    features = np.array([[1.0, 0], [9, 0], [0, 1], [0, 9]])
    directions = fit_clusters(features, 2).assignments
    assert directions[0] == directions[1] != directions[2] == directions[3]
    places = fit_clusters(features[[0, 1]], 2, ClusteringConfig(unit_length=False))
    assert places.inertia == 0
    np.testing.assert_allclose(np.sort(places.centres[:, 0]), [1, 9])


def test_inertia_is_the_distance_to_the_means():
    features, _ = blobs()
    found = fit_clusters(features, 4, ClusteringConfig(unit_length=False))
    means = np.array([features[found.assignments == number].mean(axis=0) for number in range(4)])
    np.testing.assert_allclose(found.centres, means)
    assert found.inertia == pytest.approx(((features - means[found.assignments]) ** 2).sum())


def test_the_silhouette_is_its_definition():
    features, labels = blobs()
    features[:, 2] *= 0.02
    result = evaluate_clustering(features, labels, ClusteringConfig(num_clusters=4, unit_length=False))
    groups = fit_clusters(features, 4, ClusteringConfig(unit_length=False)).assignments
    for found, chosen in ((result.silhouette, groups), (result.class_silhouette, labels)):
        widths = []
        for row in range(90):
            away = np.sqrt(((features - features[row]) ** 2).sum(axis=1))
            others = [away[(chosen == group) & (np.arange(90) != row)].mean() for group in range(chosen.max() + 1)]
            own, rest = others[chosen[row]], min(np.delete(others, chosen[row]))
            widths.append((rest - own) / max(rest, own))
        assert found == pytest.approx(np.mean(widths), abs=1e-6)
    one = evaluate_clustering(features, np.zeros(90, int))
    assert one.silhouette is None
    assert compare_clusters(groups, labels).silhouette is None


def test_what_cannot_be_grouped():
    with pytest.raises(NlprepError, match="5 clusters of 4 examples"):
        fit_clusters(np.ones((4, 2)), 5)
    with pytest.raises(NlprepError, match="labels of shape"):
        evaluate_clustering(np.ones((4, 2)), [0, 1])
    with pytest.raises(NlprepError, match="no examples to compare"):
        compare_clusters(np.zeros(0, int), np.zeros(0, int))
    with pytest.raises(NlprepError, match="clusters of shape"):
        compare_clusters([0, 1], [0, 1, 1])
    with pytest.raises(OptionError):
        ClusteringConfig(restarts=0)
    with pytest.warns(UserWarning, match="distinct clusters"):
        fit_clusters(np.ones((4, 2)), 3)
