"""Finding what belongs together: how far up the list of all keys a query's relevant keys stand.

Keys are ordered by the cosine (or the inner product), exactly, by `nlprep.vectors.nearest`. **Ties**: of keys with
equal scores the one of lower index comes first, as everywhere in that search; an encoder that gives every item the same
vector so ranks keys in their order, and finds one in n.

With R relevant keys of a query at the places r_1 < ... < r_R (1 is the first), and means over queries:

- recall@k: the share of its R relevant keys among the first k;
- hits@k: whether at least one is. What papers on retrieval between images and texts call R@k is this; with one relevant
  key for each query the two are the same;
- precision@k: the share of the first k that is relevant;
- mean reciprocal rank: 1 / r_1 (Voorhees 1999, TREC-8 question answering);
- mean average precision: the mean over i of i / r_i (Manning, Raghavan and Schütze 2008, 8.4), over the whole list;
- median rank: of r_1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nlprep.core.errors import NlprepError, OptionError
from nlprep.evaluation.arrays import checked_features
from nlprep.evaluation.intervals import Interval, wilson_interval
from nlprep.vectors.nearest import ranks
from nlprep.vectors.normalization import scaled_to_unit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

PLACES = (1, 5, 10)


@dataclass(frozen=True)
class RankSummary:
    """How far up the best right answers stand.

    Attributes:
        hits: By k, the part of the questions whose best right answer is among the first k.
        mean_reciprocal_rank: Of the best right answer.
    """

    hits: dict[int, float]
    mean_reciprocal_rank: float


def summarize_ranks(
    best_ranks: NDArray[np.int64], total: int | None = None, *, at: Sequence[int] = PLACES, whole: float = 1.0
) -> RankSummary:
    """Hits and mean reciprocal rank, from ranks that any search gave.

    >>> summarize_ranks(np.array([1, 4]), 4, whole=100)
    RankSummary(hits={1: 25.0, 5: 50.0, 10: 50.0}, mean_reciprocal_rank=31.25)

    Args:
        best_ranks: (q,) the rank of each question's best right answer, 1 for the first.
        total: The number of questions; those without a rank count as wrong. Default: q.
        at: The numbers k.
        whole: What all questions together come to: 1 for shares, 100 for per cent.
    """
    total = len(best_ranks) if total is None else total
    return RankSummary(
        {k: whole * int(np.count_nonzero(best_ranks <= k)) / total for k in at},
        whole * float((1 / best_ranks).sum()) / total,
    )


@dataclass(frozen=True)
class RetrievalResult:
    """What a search found; shares in [0, 1].

    Attributes:
        query: What was asked with: ``text``, say.
        key: What was searched: ``image``, say.
        num_queries: Queries.
        num_keys: Keys searched.
        recall: By k.
        hits: By k.
        precision: By k.
        mean_reciprocal_rank: Of the best relevant key.
        mean_average_precision: Over all relevant keys.
        median_rank: Of the best relevant key, 1 for the first.
        best_ranks: (num_queries,) int64, the rank of each query's best relevant key.
    """

    query: str
    key: str
    num_queries: int
    num_keys: int
    recall: dict[int, float]
    hits: dict[int, float]
    precision: dict[int, float]
    mean_reciprocal_rank: float
    mean_average_precision: float
    median_rank: float
    best_ranks: NDArray[np.int64]

    def hits_interval(self, k: int = 1, *, level: float = 0.95) -> Interval:
        """Wilson's interval of `hits` at k."""
        return wilson_interval(int(np.count_nonzero(self.best_ranks <= k)), self.num_queries, level=level)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON."""
        return {
            "query": self.query,
            "key": self.key,
            "queries": self.num_queries,
            "keys": self.num_keys,
            **{f"recall@{k}": value for k, value in self.recall.items()},
            **{f"hits@{k}": value for k, value in self.hits.items()},
            **{f"precision@{k}": value for k, value in self.precision.items()},
            "mean_reciprocal_rank": self.mean_reciprocal_rank,
            "mean_average_precision": self.mean_average_precision,
            "median_rank": self.median_rank,
        }


def evaluate_retrieval(
    queries: ArrayLike,
    keys: ArrayLike,
    relevant: ArrayLike | Sequence[Sequence[int]] | None = None,
    *,
    at: Sequence[int] = PLACES,
    cosine: bool = True,
    query: str = "query",
    key: str = "key",
    threads: int | None = None,
) -> RetrievalResult:
    """Search all keys with each query and see where the relevant ones stand.

    >>> evaluate_retrieval([[1, 0], [0, 1]], [[0, 1], [1, 0]], relevant=[1, 1]).mean_reciprocal_rank
    0.75

    Args:
        queries: (q, d).
        keys: (n, d).
        relevant: The rows of the keys that are right: one for each query, (q,), or for each query a sequence of one or
            several; None where the i-th key is the i-th query's.
        at: The numbers k.
        cosine: Bring rows to length one first; False for inner products. A zero row's cosines are 0.
        query: What the queries are, for reports.
        key: What the keys are.
        threads: Processors to use; all by default.

    Raises:
        NlprepError: Nothing to search, or a query without a relevant key.
        OptionError: A k below 1, or widths that differ.
    """
    asked, searched = checked_features(queries, "queries"), checked_features(keys, "keys")
    if not at or min(at) < 1:
        raise OptionError(f"at = {tuple(at)}: name places from 1 up")
    pairs = _relevant_pairs(relevant, len(asked), len(searched))
    if cosine:
        asked, searched = scaled_to_unit(asked), scaled_to_unit(searched)
    places = ranks(asked, searched, pairs, threads=threads)
    order = np.lexsort((places, pairs[:, 0]))
    places, owners = places[order], pairs[order, 0]
    counts = np.bincount(owners, minlength=len(asked))
    starts = np.cumsum(counts) - counts
    best = places[starts]
    nth = np.arange(len(places)) - starts[owners] + 1
    found = {k: np.bincount(owners, weights=places <= k, minlength=len(asked)) for k in sorted(set(at))}
    summary = summarize_ranks(best, at=tuple(found))
    return RetrievalResult(
        query=query,
        key=key,
        num_queries=len(asked),
        num_keys=len(searched),
        recall={k: float((right / counts).mean()) for k, right in found.items()},
        hits=summary.hits,
        precision={k: float((right / k).mean()) for k, right in found.items()},
        mean_reciprocal_rank=summary.mean_reciprocal_rank,
        mean_average_precision=float((np.bincount(owners, weights=nth / places) / counts).mean()),
        median_rank=float(np.median(best)),
        best_ranks=best,
    )


def evaluate_both_directions(
    first: ArrayLike,
    second: ArrayLike,
    names: tuple[str, str],
    *,
    at: Sequence[int] = PLACES,
    cosine: bool = True,
    threads: int | None = None,
) -> tuple[RetrievalResult, RetrievalResult]:
    """`evaluate_retrieval` of items that belong together row by row: second with first, then first with second.

    Args:
        first: (n, d), the images, say.
        second: (n, d), their texts.
        names: What the two are.
        at: As for `evaluate_retrieval`.
        cosine: As for `evaluate_retrieval`.
        threads: As for `evaluate_retrieval`.

    Returns:
        The search of the second kind with queries of the first, and the other way round.

    Raises:
        NlprepError: Different numbers of items, or none.
    """
    one, other = np.asarray(first), np.asarray(second)
    return (
        evaluate_retrieval(one, other, at=at, cosine=cosine, query=names[0], key=names[1], threads=threads),
        evaluate_retrieval(other, one, at=at, cosine=cosine, query=names[1], key=names[0], threads=threads),
    )


def _relevant_pairs(
    relevant: ArrayLike | Sequence[Sequence[int]] | None, num_queries: int, num_keys: int
) -> NDArray[np.int64]:
    """(p, 2) rows of queries and of their relevant keys, each once, in the order of the queries."""
    if relevant is None:
        if num_queries != num_keys:
            raise NlprepError(
                f"{num_queries:,} queries and {num_keys:,} keys do not belong together row by row: say which are "
                "relevant"
            )
        own = np.arange(num_queries)
        return np.stack([own, own], axis=1)
    listed = list(relevant)  # type: ignore[arg-type]
    if len(listed) != num_queries:
        raise NlprepError(f"relevant keys of {len(listed):,} queries for {num_queries:,}: list them for each query")
    pairs = []
    for number, rows in enumerate(listed):
        several = np.unique(np.atleast_1d(np.asarray(rows)))
        if not several.size:
            raise NlprepError(f"query {number} has no relevant key, so that it cannot be answered: leave it out")
        if not np.issubdtype(several.dtype, np.integer) or several.min() < 0 or several.max() >= num_keys:
            raise NlprepError(
                f"query {number} has relevant keys {several.tolist()}: name rows from 0 to {num_keys - 1}"
            )
        pairs.append(np.stack([np.full(len(several), number), several], axis=1))
    return np.concatenate(pairs).astype(np.int64)
