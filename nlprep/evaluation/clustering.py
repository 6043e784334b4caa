"""Whether features fall into groups that are the classes: k-means without labels, compared with them afterwards.

The comparison needs no names for clusters. Of n examples, n_ij in cluster i and class j:

- normalised mutual information: I(clusters; classes) over the mean of the two entropies (Strehl and Ghosh 2002, with
  the arithmetic mean as in Vinh, Epps and Bailey 2010), in [0, 1];
- adjusted Rand index: pairs of examples that both treat alike, corrected for chance (Hubert and Arabie 1985), 0 for
  random clusters and 1 for the classes;
- purity: the share of examples in their cluster's commonest class (Manning, Raghavan and Schütze 2008, 16.3), which
  more clusters can only raise;
- matched accuracy: the accuracy under the best one-to-one naming of clusters by classes, found by the Hungarian method
  (Kuhn 1955); examples of clusters left without a name count as wrong.

Whether there are groups at all is asked without classes: the silhouette (Rousseeuw 1987), the mean of (b - a) / max(a,
b) over examples, a being the mean distance to the rest of the own cluster and b that to the nearest other one; from -1
to 1, and 0 where clusters run into one another.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nlprep.core.errors import NlprepError
from nlprep.core.randomness import combine, integers
from nlprep.evaluation.arrays import checked_features, checked_labels
from nlprep.evaluation.configuration import ClusteringConfig
from nlprep.vectors.normalization import scaled_to_unit

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_STARTS, _SAMPLE = 1, 2
_SILHOUETTE_EXAMPLES = 5_000


@dataclass(frozen=True)
class Clusters:
    """Groups of examples.

    Attributes:
        assignments: (n,) int64, the cluster of each example.
        centres: (K, d), means of the clusters.
        inertia: The sum of squared distances of examples to their centres.
    """

    assignments: NDArray[np.int64]
    centres: NDArray[np.floating[Any]]
    inertia: float


@dataclass(frozen=True)
class ClusteringResult:
    """How alike clusters and classes are; see the module.

    Attributes:
        num_examples: Examples compared.
        num_clusters: Clusters that have examples.
        num_classes: Classes that have examples.
        normalized_mutual_information: In [0, 1].
        adjusted_rand_index: 0 for chance, 1 for the same.
        purity: In (0, 1].
        matched_accuracy: In (0, 1].
        silhouette: Of the clusters, on 5,000 examples at most; None where it is not asked of features, or there is one
            cluster or as many as examples.
        class_silhouette: The same of the classes, as if they were clusters.
    """

    num_examples: int
    num_clusters: int
    num_classes: int
    normalized_mutual_information: float
    adjusted_rand_index: float
    purity: float
    matched_accuracy: float
    silhouette: float | None = None
    class_silhouette: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON."""
        return dict(vars(self))


def evaluate_clustering(
    features: ArrayLike, labels: ArrayLike, config: ClusteringConfig | None = None
) -> ClusteringResult:
    """Group features without their labels, and compare.

    Args:
        features: (n, d).
        labels: (n,) from 0.
        config: How they are grouped.

    Raises:
        NlprepError: Features or labels that cannot be used, or fewer examples than clusters.
    """
    config = config or ClusteringConfig()
    rows = checked_features(features)
    classes = checked_labels(labels, len(rows))
    num_clusters = config.num_clusters or len(np.unique(classes))
    assignments = fit_clusters(rows, num_clusters, config).assignments
    return replace(
        compare_clusters(assignments, classes),
        silhouette=_silhouette(rows, assignments, config),
        class_silhouette=_silhouette(rows, classes, config),
    )


def _silhouette(rows: NDArray[np.floating[Any]], groups: NDArray[np.int64], config: ClusteringConfig) -> float | None:
    """Of Euclidean distances between rows as they were grouped; None where it is not defined."""
    if len(rows) > _SILHOUETTE_EXAMPLES:
        draws = integers(combine(config.seed, np.arange(len(rows))), 1, purpose=_SAMPLE)[:, 0]
        some = np.sort(np.argsort(draws, kind="stable")[:_SILHOUETTE_EXAMPLES])
        rows, groups = rows[some], groups[some]
    if not 1 < len(np.unique(groups)) < len(rows):
        return None
    from sklearn.metrics import silhouette_score

    return float(silhouette_score(scaled_to_unit(rows) if config.unit_length else rows, groups))


def fit_clusters(features: ArrayLike, num_clusters: int, config: ClusteringConfig | None = None) -> Clusters:
    """K-means: Lloyd 1982, started by k-means++ (Arthur and Vassilvitskii 2007), as scikit-learn has it.

    Args:
        features: (n, d).
        num_clusters: K.
        config: Starts and seed; its own number of clusters is not looked at.

    Raises:
        NlprepError: Features that cannot be used, or fewer examples than clusters.
    """
    config = config or ClusteringConfig()
    rows = checked_features(features)
    if not 1 <= num_clusters <= len(rows):
        raise NlprepError(f"{num_clusters} clusters of {len(rows):,} examples: ask for fewer or give more examples")
    from sklearn.cluster import KMeans

    seed = int(combine(config.seed, _STARTS)) % 2**32
    found = KMeans(num_clusters, n_init=config.restarts, random_state=seed).fit(
        scaled_to_unit(rows) if config.unit_length else rows
    )
    return Clusters(found.labels_.astype(np.int64), found.cluster_centers_, float(found.inertia_))


def compare_clusters(assignments: ArrayLike, labels: ArrayLike) -> ClusteringResult:
    """Compare clusters with classes; neither's numbers matter, only what goes together.

    >>> compare_clusters([5, 5, 0, 0], [0, 0, 1, 1]).matched_accuracy
    1.0
    >>> split = compare_clusters([0, 1, 2, 3], [0, 0, 1, 1])
    >>> split.purity, split.matched_accuracy
    (1.0, 0.5)

    Args:
        assignments: (n,) clusters, from 0.
        labels: (n,) classes, from 0.

    Raises:
        NlprepError: No examples, or arrays that do not agree.
    """
    classes = checked_labels(labels, len(np.asarray(labels)))
    clusters = checked_labels(assignments, len(classes), "clusters")
    if not len(classes):
        raise NlprepError("there are no examples to compare: give some")
    from scipy.optimize import linear_sum_assignment
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
    from sklearn.metrics.cluster import contingency_matrix

    counts = contingency_matrix(classes, clusters)
    rows, columns = linear_sum_assignment(counts, maximize=True)
    return ClusteringResult(
        num_examples=len(classes),
        num_clusters=counts.shape[1],
        num_classes=counts.shape[0],
        normalized_mutual_information=float(normalized_mutual_info_score(classes, clusters)),
        adjusted_rand_index=float(adjusted_rand_score(classes, clusters)),
        purity=float(counts.max(axis=0).sum() / len(classes)),
        matched_accuracy=float(counts[rows, columns].sum() / len(classes)),
    )
