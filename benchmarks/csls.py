"""CSLS of all words of one vocabulary with all of another: time and memory, against faiss's exact index.

    python -m benchmarks.csls                       200,000 x 200,000 words of 300 dimensions, some ten minutes
    python -m benchmarks.csls --quick               20,000 x 20,000

CSLS needs the mean cosine of every word, of both sides, to its ten nearest neighbours on the other. faiss finds them by
two searches of an exact index of inner products, one for each side; ours by one product of the two matrices. Made-up
vectors: the work is the same for any. Memory is the most that the process held, vectors included, ours being measured
first. The last table is what it costs as vocabularies grow.
"""

from __future__ import annotations

import argparse
import resource
import sys
from functools import partial

import numpy as np
from numpy.typing import NDArray

from benchmarks.report import describe_machine, print_claim, print_table, time_call
from nlprep.core.threads import resolve_threads
from nlprep.vectors.nearest import mutual_neighborhood_means
from nlprep.vectors.normalization import scaled_to_unit

Vectors = NDArray[np.float32]
NEIGHBORS = 10
DIMENSION = 300


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--words", type=int, default=200_000, help="words of each side (default: 200000)")
    parser.add_argument("--quick", action="store_true", help="20,000 words of each side")
    parser.add_argument("--threads", type=int, help="processors to use (default: all)")
    options = parser.parse_args()
    words = 20_000 if options.quick else options.words
    threads = resolve_threads(options.threads)
    print(describe_machine(), f"{threads} threads, {words:,} x {words:,} words of {DIMENSION} dimensions", sep="; ")
    source, target = make_vectors(words)
    # The first call compiles the search, or loads it compiled.
    mutual_neighborhood_means(source[:2000], target[:2000], NEIGHBORS, threads=threads)
    sizes = [words // 8, words // 4, words // 2, words]
    seconds = []
    for size in sizes:
        search = partial(mutual_neighborhood_means, source[:size], target[:size], NEIGHBORS, threads=threads)
        elapsed, means = time_call(search)
        seconds.append(elapsed)
    memory = peak_memory()
    theirs, expected = time_call(lambda: search_with_faiss(source, target, threads))
    differences = [float(np.abs(ours - other).max()) for ours, other in zip(means, expected, strict=True)]
    rate = 2 * words * words * DIMENSION / seconds[-1] / 1e9
    print_table(
        "Mean cosines to ten neighbours, both sides",
        ("", "seconds", "Gflop/s", "most memory, GiB"),
        [
            ("nlprep", f"{seconds[-1]:.1f}", f"{rate:.0f}", f"{memory:.2f}"),
            ("faiss, two searches", f"{theirs:.1f}", f"{2 * rate * seconds[-1] / theirs:.0f}", f"{peak_memory():.2f}"),
        ],
    )
    print_table(
        "As vocabularies grow",
        ("words of each side", "seconds", "of the largest"),
        [(f"{size:,}", f"{s:.1f}", f"{s / seconds[-1]:.3f}") for size, s in zip(sizes, seconds, strict=True)],
    )
    print_claim(
        f"CSLS of {words:,} x {words:,} words",
        peer=f"faiss {faiss_version()}, exact index, two searches",
        ratio=theirs / seconds[-1],
        quality={"greatest difference of a mean": max(differences), "memory, GiB": round(memory, 2)},
        summary=f"{memory:.1f} GiB of memory in all; means differ by {max(differences):.1g} at most",
        quick=options.quick,
    )


def make_vectors(words: int) -> tuple[Vectors, Vectors]:
    """Two languages of clustered vectors, rows of length one."""
    generator = np.random.default_rng(1)
    centers = generator.standard_normal((words // 20, DIMENSION), np.float32)
    sides = []
    for _ in range(2):
        rows = centers[generator.integers(0, len(centers), words)]
        rows += 0.8 * generator.standard_normal((words, DIMENSION), np.float32)
        sides.append(scaled_to_unit(rows))
    return sides[0], sides[1]


def search_with_faiss(source: Vectors, target: Vectors, threads: int) -> tuple[Vectors, Vectors]:
    """The same means by faiss."""
    import faiss

    faiss.omp_set_num_threads(threads)
    means = []
    for queries, keys in ((source, target), (target, source)):
        index = faiss.IndexFlatIP(keys.shape[1])
        index.add(keys)
        scores, _ = index.search(queries, NEIGHBORS)
        means.append(scores.mean(axis=1))
    return means[0], means[1]


def peak_memory() -> float:
    """The most memory that this process held so far, GiB."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 2**30 if sys.platform == "darwin" else most / 2**20


def faiss_version() -> str:
    """As installed."""
    from importlib.metadata import version

    return version("faiss-cpu")


if __name__ == "__main__":
    main()
