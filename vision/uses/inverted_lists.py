"""Approximate search by inverted lists: of many codes only those near one of the nearest centroids are looked at.

The lists are faiss's (``IndexIVFFlat``; Johnson et al. 2019, "Billion-scale similarity search with GPUs"; the structure
is Sivic and Zisserman 2003's). Only centroids are kept in files, as tensors: on opening, faiss is given them and the
codes, which takes a fraction of a second for 100,000, and none of its own files is read, whose damage it does not
notice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nlprep.core.errors import NlprepError
from nlprep.core.threads import resolve_threads

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ITERATIONS = 10
_POINTS_OF_A_LIST = 64


def fit_centroids(codes: NDArray[np.float32], *, seed: int = 1, threads: int | None = None) -> NDArray[np.float32]:
    """Centroids (k, d) of length one by spherical k-means, k being about the root of the number of codes.

    Args:
        codes: (n, d) of length one.
        seed: Of the first centroids and of which codes are looked at.
        threads: Processors to use; all by default.

    Raises:
        NlprepError: faiss is not installed.
    """
    faiss = _load_faiss(threads)
    lists = max(1, round(len(codes) ** 0.5))
    means = faiss.Kmeans(
        codes.shape[1], lists, niter=_ITERATIONS, spherical=True, seed=seed,
        max_points_per_centroid=_POINTS_OF_A_LIST, min_points_per_centroid=1,
    )  # fmt: skip
    means.train(np.ascontiguousarray(codes))
    found: NDArray[np.float32] = means.centroids
    return found


def build_lists(codes: NDArray[np.float32], centroids: NDArray[np.float32], *, threads: int | None = None) -> Any:
    """Faiss's index of codes in the lists of centroids.

    Args:
        codes: (n, d) of length one.
        centroids: (k, d).
        threads: Processors to use; all by default.

    Raises:
        NlprepError: faiss is not installed.
    """
    faiss = _load_faiss(threads)
    quantizer = faiss.IndexFlatIP(codes.shape[1])
    quantizer.add(np.ascontiguousarray(centroids))
    index = faiss.IndexIVFFlat(quantizer, codes.shape[1], len(centroids), faiss.METRIC_INNER_PRODUCT)
    index.is_trained = True
    # faiss would free a quantizer that Python frees, too.
    index.own_fields = False
    index.referenced_objects = [quantizer]
    index.add(np.ascontiguousarray(codes))
    return index


def search_lists(
    index: Any, queries: NDArray[np.float32], number: int, probes: int, *, threads: int | None = None
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Cosines and places (q, number) of the nearest codes in some lists, falling; place -1 where they hold too few.

    Args:
        index: As `build_lists` built it.
        queries: (q, d) of length one.
        number: How many of each.
        probes: Lists to look at.
        threads: Processors to use; all by default.
    """
    _load_faiss(threads)
    index.nprobe = max(1, min(probes, index.nlist))
    cosines, places = index.search(np.ascontiguousarray(queries), number)
    return cosines, places


def _load_faiss(threads: int | None) -> Any:
    try:
        import faiss
    except ImportError as error:
        raise NlprepError(
            "approximate search needs faiss: pip install nlprep-toolkit[search], or search exactly"
        ) from error
    faiss.omp_set_num_threads(resolve_threads(threads))
    return faiss
