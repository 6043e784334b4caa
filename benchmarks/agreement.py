"""Does the agreement of attempts, or the criterion, tell how good an alignment is that no dictionary has checked?

For every two languages, attempts from starts of two kinds (distributions, principal axes), each through self-learning
as far as attempts are compared; and the same with the target's vectors destroyed: replaced by noise of the same
covariance, or shuffled along every principal axis within bands of frequency, which keeps what each axis looks like::

    python -m benchmarks.agreement --vectors vectors --dictionaries texts --figure agreement.png

Vectors and test dictionaries are those of `benchmarks.languages`. Each attempt is a row: its criterion, the greatest
agreement with another attempt of the same two languages, and its precision (CSLS P@1 among the words within the
cut-off), which a destroyed side has none of.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import spearmanr

from benchmarks.languages import make_languages
from benchmarks.report import describe_machine, print_claim, print_table
from nlprep.core.threads import blas_threads
from nlprep.embeddings.vector_files import read_vectors
from nlprep.translation.aligners.configuration import SelfLearningConfig
from nlprep.translation.aligners.maps import make_fit, map_words, solve_roughly
from nlprep.translation.aligners.self_learning import SHARES, Iteration, Learner
from nlprep.translation.aligners.starts.distributions import FREQUENT, match_distributions
from nlprep.translation.aligners.starts.games import AXES_OF, CENTERED, match_axes
from nlprep.translation.lexicon import Lexicon, read_lexicon
from nlprep.vectors.configuration import WhiteningConfig
from nlprep.vectors.csls import find_candidates, mutual_pairs
from nlprep.vectors.nearest import mutual_neighborhood_means, ranks
from nlprep.vectors.normalization import fit_normalization, scaled_to_unit
from nlprep.vectors.whitening import fit_whitened

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from nlprep.embeddings.word_vectors import WordVectors
    from nlprep.translation.aligners.maps import Maps

CUTOFF = 8_000
BAND = 1_000


@dataclass(frozen=True)
class Attempt:
    """What came of one."""

    languages: str
    side: str
    start: str
    criterion: float
    agreement: float
    precision: float


def destroy(vectors: NDArray[np.float32], how: str) -> NDArray[np.float32]:
    """The target's vectors (n, d), or what is left of them."""
    if how == "whole":
        return vectors
    generator = np.random.default_rng(0)
    variances, axes = np.linalg.eigh((vectors.T @ vectors).astype(np.float64) / len(vectors))
    if how == "noise":
        coordinates = generator.standard_normal(vectors.shape) * np.sqrt(np.maximum(variances, 0))
    else:
        coordinates = vectors @ axes
        for start in range(0, len(vectors), BAND):
            coordinates[start : start + BAND] = generator.permuted(coordinates[start : start + BAND], axis=0)
    return scaled_to_unit(coordinates @ axes.T)


def make_starts(
    source: NDArray[np.float32], target: NDArray[np.float32], threads: int | None
) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """Poor dictionaries, by name."""
    fewest = min(len(source), len(target), FREQUENT)
    for share in SHARES:
        words = round(share * fewest)
        yield f"distributions of {words:,}", match_distributions(source, target, frequent=words, threads=threads)
    one, other = (fit_normalization(side[:CENTERED]).apply(side[:CENTERED]) for side in (source, target))
    for share in AXES_OF:
        words = round(share * min(len(one), len(other)))
        rotation = match_axes(one[:words], other[:words])
        mapped = map_words(one, other, (rotation, np.eye(len(rotation))), FREQUENT)
        yield f"axes of {words:,}", mutual_pairs(find_candidates(*mapped, threads=threads))


def measure_precision(
    source: NDArray[np.float32], target: NDArray[np.float32], maps: Maps, rows: NDArray[np.int64], threads: int | None
) -> float:
    """CSLS P@1 of pairs of rows, in per cent."""
    one, other = map_words(source, target, maps, CUTOFF)
    means = mutual_neighborhood_means(one, other, 10, threads=threads)[1]
    questions, places = np.unique(rows[:, 0], return_inverse=True)
    found = ranks(one[questions], other, np.stack([places, rows[:, 1]], 1), offsets=-means / 2, threads=threads)
    best = np.full(len(questions), np.iinfo(np.int64).max)
    np.minimum.at(best, places, found)
    return 100 * float(np.mean(best == 1))


def make_attempts(
    name: str, side: str, source: WordVectors, target: WordVectors, lexicon: Lexicon, threads: int | None
) -> list[Attempt]:
    """All attempts of two languages."""
    words = (source.limit(CENTERED), target.limit(CENTERED))
    one, other = (fit_normalization(each.matrix, "iterative").apply(each.matrix) for each in words)
    other = destroy(other, side)
    learning = Learner(
        one,
        other,
        rough=make_fit(one, other, solve_roughly),
        fit=make_fit(one, other, partial(fit_whitened, config=WhiteningConfig(dewhitening=0.75, ridge=1e-3))),
        threads=threads,
    )
    rows = lexicon.rows(words[0].limit(CUTOFF), words[1].limit(CUTOFF))
    arrived: list[tuple[str, Maps, float]] = []
    for start, pairs in make_starts(one, other, threads):
        iterations: list[Iteration] = []
        maps = learning.begin(pairs, iterations, len(arrived) + 1, poor=True)
        arrived.append((start, maps, iterations[-1].criterion))
    count = len(arrived)
    agreements = np.zeros((count, count))
    for i in range(count):
        for j in range(i):
            agreements[i, j] = agreements[j, i] = learning.compare(arrived[i][1], arrived[j][1])[0]
    return [
        Attempt(
            name,
            side,
            start,
            criterion,
            float(agreements[place].max()),
            measure_precision(one, other, maps, rows, threads) if side == "whole" else 0.0,
        )
        for place, (start, maps, criterion) in enumerate(arrived)
    ]


def draw(attempts: list[Attempt], path: Path) -> None:
    """Precision against agreement and against the criterion."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for side, marker, color in (("whole", "o", "#1f6fb2"), ("shuffled", "x", "#c2452d"), ("noise", "+", "#7a7a7a")):
        some = [attempt for attempt in attempts if attempt.side == side]
        for axes, values in (
            (left, [100 * attempt.agreement for attempt in some]),
            (right, [attempt.criterion for attempt in some]),
        ):
            label = {"whole": "real vectors", "shuffled": "target shuffled along its axes"}.get(side, "target is noise")
            axes.scatter(values, [attempt.precision for attempt in some], marker=marker, color=color, label=label, s=28)
    left.axvline(100 * SelfLearningConfig().agreement, color="#7a7a7a", linewidth=1, linestyle=":")
    left.set_xlabel("agreement with another attempt, % of frequent words")
    right.set_xlabel("criterion: mean CSLS of the best counterparts")
    left.set_ylabel("CSLS P@1, %")
    right.legend(frameon=False, fontsize=8)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vectors", type=Path, help="folder of vectors by language")
    parser.add_argument("--dictionaries", type=Path, help="folder of test dictionaries")
    parser.add_argument("--pairs", default="en-de,en-fr,en-es,fr-de,fr-es,de-es,en-el,en-ru,de-ru,fr-ru")
    parser.add_argument("--figure", type=Path, help="draw into this file")
    parser.add_argument("--quick", action="store_true", help="two made-up languages, about a minute")
    parser.add_argument("--threads", type=int, help="processors to use (default: all)")
    options = parser.parse_args()
    real = options.vectors is not None and options.dictionaries is not None and not options.quick
    print(describe_machine())
    attempts: list[Attempt] = []
    names = options.pairs.split(",") if real else ["a-b"]
    made = None if real else make_languages(2, 2_000, 60)
    with blas_threads(options.threads):
        for name in names:
            if made is None:
                source, target = (read_vectors(options.vectors / language) for language in name.split("-"))
                lexicon = read_lexicon(options.dictionaries / f"{name}.txt")
            else:
                (source, target), lexicon = made[0].values(), made[1][name]
            for side in ("whole", "shuffled", "noise"):
                # Two pairs of languages are destroyed: the rest would show the same.
                if side == "whole" or name in names[:2]:
                    attempts += make_attempts(name, side, source, target, lexicon, options.threads)
                    print(name, side, "done", flush=True)
    print_table(
        "Attempts",
        ("languages", "target", "start", "criterion", "agreement", "P@1"),
        [
            (a.languages, a.side, a.start, f"{a.criterion:.4f}", f"{100 * a.agreement:.1f}%", f"{a.precision:.1f}")
            for a in attempts
        ],
    )
    if options.figure is not None:
        draw(attempts, options.figure)
    report(attempts, "real" if real else "generated", options.quick)


def report(attempts: list[Attempt], data: str, quick: bool) -> None:
    """Rank correlations, and what the threshold lets through."""
    whole = [attempt for attempt in attempts if attempt.side == "whole"]
    destroyed = [attempt for attempt in attempts if attempt.side != "whole"]
    precisions = [attempt.precision for attempt in attempts]
    correlations = {
        "agreement": float(spearmanr([attempt.agreement for attempt in attempts], precisions)[0]),
        "criterion": float(spearmanr([attempt.criterion for attempt in attempts], precisions)[0]),
    }
    believed = [attempt.precision for attempt in whole if attempt.agreement >= SelfLearningConfig().agreement]
    refused = [attempt.precision for attempt in whole if attempt.agreement < SelfLearningConfig().agreement]
    worst = max(attempt.agreement for attempt in destroyed)
    highest = max(attempt.criterion for attempt in destroyed)
    print_claim(
        "rank correlation with true precision over attempts without a dictionary: agreement",
        peer=f"the mean CSLS criterion, {correlations['criterion']:.2f}",
        ratio=correlations["agreement"] / correlations["criterion"],
        quality={
            "correlations": {name: round(value, 3) for name, value in correlations.items()},
            "attempts": len(whole),
            "believed": {"attempts": len(believed), "least P@1": min(believed, default=0.0)},
            "refused": {"attempts": len(refused), "greatest P@1": max(refused, default=0.0)},
            "destroyed": {"attempts": len(destroyed), "agreement": round(worst, 4), "criterion": round(highest, 4)},
        },
        summary=(
            f"{correlations['agreement']:.2f}; {len(believed)} of {len(whole)} attempts believed, P@1 "
            f"{min(believed, default=0.0):.0f} and above, the rest {max(refused, default=0.0):.0f} at most; destroyed "
            f"vectors agree on {100 * worst:.1f}% at most"
        ),
        data=data,
        quick=quick,
    )


if __name__ == "__main__":
    main()
