"""Supervised alignment of vectors alone: seconds, share of the machine's peak, precision on held-out dictionaries.

With vectors of one's own and the MUSE dictionaries::

    python -m benchmarks.alignment --vectors en.vec fr.vec --dictionaries ../shared/data/dictionaries

Without them, two made-up languages. ``--ablation`` compares settings on words of the full dictionaries that
come after the test split, so that nothing is chosen on the test split.

One alignment from the English-French pairs serves both directions. Half of the French-English test words are
translations of English training words, so the reverse direction is also counted over the other half alone,
``fr-en, unseen``. What spelling adds, and what fewer pairs or none give, is in `benchmarks.translation`.

``--no-dictionary`` times learning from the vectors alone, to the end, against iterations of VecMap's algorithm
(`benchmarks.vecmap`) on the same 20,000 words a side; with ``--to-the-end`` VecMap's iterations are counted by running
them all with faster code, which takes half an hour, and without it they are the fewest that its schedule allows.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.report import describe_machine, median, print_claim, print_table, time_call
from benchmarks.vecmap import Schedule, iterate_plainly, run_to_the_end
from nlprep.core.configuration import from_mapping
from nlprep.core.threads import blas_threads, resolve_threads
from nlprep.embeddings.vector_files import read_vectors
from nlprep.embeddings.word_vectors import WordVectors
from nlprep.translation.align import align
from nlprep.translation.aligners.configuration import AlignmentConfig
from nlprep.translation.alignment import Alignment
from nlprep.translation.evaluation import evaluate_translation
from nlprep.translation.index.bilingual import TranslationIndex
from nlprep.translation.lexicon import Lexicon, read_lexicon
from nlprep.vectors.normalization import fit_normalization

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

VECMAP_PRECISION = {"en-fr": 29.3, "fr-en": 38.5}
"""VecMap, supervised, CSLS P@1 on the reference vectors."""
UNSEEN = "fr-en, unseen words"
LIMITED_SIZES = (34_000, 39_000)
"""Words of each side that refinement is timed on."""
LIMITED_CUTOFF = 15_000
"""Pairs are induced among so many words of each side then, as MUSE does."""
VECMAP = "whitened, powers 0.5 (VecMap)"
"""The member of the family that VecMap's supervised mode is."""
DEFAULT = "the default, spelling included"
ABLATION: Mapping[str, Mapping[str, Any]] = {
    "least squares": {"method": "least-squares", "refine": 0},
    "Procrustes, unit-centre-unit": {"method": "procrustes", "refine": 0, "normalization": "unit,center,unit"},
    "Procrustes, refined": {"method": "procrustes", "normalization": "unit,center,unit"},
    VECMAP: {"refine": 0, "whitened": {"dewhitening": 1.0}, "normalization": "unit,center,unit", "temperature": 0.0},
    "whitened, without refinement": {"refine": 0},
    "whitened, pairs weighted alike": {"temperature": 0.0},
    "whitened, unit-centre-unit": {"normalization": "unit,center,unit"},
    "whitened, wholly de-whitened": {"whitened": {"dewhitening": 1.0}},
    "whitened, half de-whitened": {"whitened": {"dewhitening": 0.5}},
    "whitened, re-weighting 0.75": {"whitened": {"reweighting": 0.75}},
    "whitened, induced pairs weigh 1": {"induced_weight": 1.0},
    "whitened, induced pairs weigh 0.25": {"induced_weight": 0.25},
    "whitened, cut-off 10,000": {"cutoff": 10_000},
    "vectors alone": {},
    "self-learning from the pairs": {"method": "self-learning"},
    DEFAULT: {"spelling": True},
}
"""What differs from the default, of which spelling is taken away."""


def make_config(name: str) -> AlignmentConfig:
    """The settings of a row of the ablation."""
    return from_mapping(AlignmentConfig, {"spelling": False} | dict(ABLATION[name]), where=name)


@dataclass(frozen=True)
class Data:
    """Both languages, the dictionary to learn from, and by name the tests: whether reversed, and the dictionary."""

    source: WordVectors
    target: WordVectors
    train: Lexicon
    tests: Mapping[str, tuple[bool, Lexicon]]

    def limit(self, num_source: int, num_target: int) -> Data:
        """The same with the most frequent words only."""
        return Data(self.source.limit(num_source), self.target.limit(num_target), self.train, self.tests)


def read_real(vectors: list[str], dictionaries: Path, validation: bool) -> Data:
    """Vectors from files, and MUSE's splits; the validation words follow the test split."""
    source, target = (read_vectors(path) for path in vectors)
    train = read_lexicon(dictionaries / "en-fr.0-5000.txt")
    held_out = {}
    for pair in ("en-fr", "fr-en"):
        if validation:
            whole = read_lexicon(dictionaries / f"{pair}.txt")
            held_out[pair] = whole.limit(8_000).without(whole.limit(6_500).translations())
        else:
            held_out[pair] = read_lexicon(dictionaries / f"{pair}.5000-6500.txt")
    unseen = held_out["fr-en"].without(train.reversed().translations())
    tests = {pair: (pair == "fr-en", lexicon) for pair, lexicon in held_out.items()}
    return Data(source, target, train, tests | {UNSEEN: (True, unseen)})


def make_languages(num_source: int, num_target: int, dimension: int, noisiness: float = 1.0) -> Data:
    """Two made-up languages: clustered meanings under a rotation, the rarer the word the noisier."""
    generator = np.random.default_rng(1)
    count = max(num_source, num_target)
    clusters = generator.standard_normal((count // 20, dimension), np.float32)
    meanings = clusters[generator.integers(0, len(clusters), count)]
    meanings += 0.7 * generator.standard_normal((count, dimension), np.float32)
    meanings *= np.linspace(1.5, 0.3, dimension, dtype=np.float32)
    turn = np.linalg.qr(generator.standard_normal((dimension, dimension)))[0].astype(np.float32)
    noise = noisiness * np.linspace(0.6, 2.4, count, dtype=np.float32)[:, None]
    sides: list[NDArray[np.float32]] = []
    for size in (num_source, num_target):
        matrix = meanings + noise * generator.standard_normal((count, dimension), np.float32) + 0.2
        mapped = matrix[:size] @ turn if sides else matrix[:size]
        sides.append(mapped.astype(np.float32))
    pairs = [(f"s{number}", f"t{number}") for number in range(min(num_source, num_target))]
    test = Lexicon(pairs[5_000:6_500])
    return Data(
        WordVectors([f"s{number}" for number in range(num_source)], sides[0]),
        WordVectors([f"t{number}" for number in range(num_target)], sides[1]),
        Lexicon(pairs[:5_000]),
        {
            "en-fr": (False, test),
            "fr-en": (True, test.reversed()),
            UNSEEN: (True, test.reversed()),
        },
    )


def measure_peak(threads: int | None) -> float:
    """Floating-point operations a second of a large float32 matrix product."""
    size = 4096
    matrix = np.ones((size, size), np.float32)
    best = float("inf")
    with blas_threads(threads):
        for _ in range(3):
            start = time.perf_counter()
            matrix @ matrix
            best = min(best, time.perf_counter() - start)
    return float(2 * size**3 / best)


def count_operations(alignment: Alignment, num_source: int, num_target: int) -> float:
    """Operations of the matrix products over the vocabularies: all but a per cent of the work."""
    settings = alignment.provenance["config"]
    d, rank = alignment.source_map.shape
    one, other = min(settings["cutoff"], num_source), min(settings["cutoff"], num_target)
    rounds = len(alignment.provenance["rounds"])
    refining = rounds * (2 * 2 * one * other * rank + 2 * (one + other) * d * rank)
    building = 2 * num_source * num_target * rank + 2 * (num_source + num_target) * d * rank
    return float(refining + building)


def run(data: Data, config: AlignmentConfig, threads: int | None) -> dict[str, Any]:
    """Align, build the index and evaluate both directions; seconds are of the first two."""
    wall, cpu = time.perf_counter(), time.process_time()
    alignment = align(data.source, data.target, data.train, config, threads=threads)
    aligned = time.perf_counter() - wall
    index = TranslationIndex.build(data.source, data.target, alignment, threads=threads)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    results = {
        name: evaluate_translation(index.reversed() if reverse else index, lexicon, threads=threads)
        for name, (reverse, lexicon) in data.tests.items()
    }
    operations = count_operations(alignment, len(data.source), len(data.target))
    return {
        "alignment": alignment,
        "align_seconds": aligned,
        "seconds": wall,
        "cpu_seconds": cpu,
        "operations": operations,
        "results": results,
    }


def precision_row(name: str, outcome: dict[str, Any]) -> list[str]:
    """One line of the table of precisions."""
    results = outcome["results"]
    row = [name]
    for test in ("en-fr", "fr-en", UNSEEN):
        row += [f"{results[test][method]['precision@1']:.1f}" for method in ("cosine", "csls")]
    rounds = outcome["alignment"].provenance["rounds"]
    return [*row, str(len(rounds)), f"{outcome['align_seconds']:.0f}"]


PRECISION_HEADER = (
    "P@1",
    "en-fr cosine",
    "csls",
    "fr-en cosine",
    "csls",
    "unseen cosine",
    "csls",
    "rounds",
    "seconds",
)


def run_ablation(data: Data, threads: int | None) -> None:
    """Compare settings on the validation words."""
    rows = []
    for name in ABLATION:
        rows.append(precision_row(name, run(data, make_config(name), threads)))
        print("  ".join(rows[-1]), flush=True)
    print_table("Settings, on validation words, among 34k x 39k", PRECISION_HEADER, rows)


def run_without_dictionary(data: Data, options: argparse.Namespace) -> None:
    """Self-learning from the vectors alone against VecMap's algorithm, the same words and threads."""
    cutoff = 4_000 if options.quick else 20_000
    words = data.limit(cutoff, cutoff)
    config = AlignmentConfig(spelling=False, cutoff=cutoff)
    normalizations = [fit_normalization(side.matrix) for side in (words.source, words.target)]
    source, target = (
        fitted.apply(side.matrix) for fitted, side in zip(normalizations, (words.source, words.target), strict=True)
    )
    generator = np.random.default_rng(1)
    # An iteration takes as long with any dictionary.
    pairs = generator.integers(0, cutoff, (2 * cutoff, 2))
    ours, plain = [], []
    with blas_threads(options.threads):
        for _ in range(1 if options.quick else 2):
            # In turn, so that a machine that slows down slows both.
            seconds, alignment = time_call(
                lambda: align(words.source, words.target, None, config, threads=options.threads)
            )
            ours.append(seconds)
            plain += [time_call(lambda: iterate_plainly(source, target, pairs, 0.1, generator))[0] for _ in range(2)]
    iterations = alignment.provenance["rounds"]
    print(
        f"ours: {', '.join(f'{seconds:.1f}' for seconds in ours)} s to the end, attempts and comparison included, "
        f"{len(iterations)} iterations in {iterations[-1]['attempt']} attempts, "
        f"{sum(entry['words'] == cutoff for entry in iterations)} of them among all {cutoff:,} words; "
        f"VecMap's: {', '.join(f'{seconds:.1f}' for seconds in plain)} s an iteration",
        flush=True,
    )
    needed, how = Schedule().fewest, "the fewest that its schedule allows"
    quality: dict[str, Any] = {"ours": precisions_of(data, alignment, options.threads)}
    if options.to_the_end:
        seconds, (maps, schedule) = time_call(
            lambda: run_to_the_end(source, target, cutoff=cutoff, threads=options.threads)
        )
        needed, how = schedule.iterations, "counted in a run of the same mathematics"
        theirs = Alignment(
            normalizations[0],
            normalizations[1],
            maps[0].astype(np.float32),
            maps[1].astype(np.float32),
            {"method": "VecMap"},
        )
        quality["VecMap's"] = precisions_of(data, theirs, options.threads)
        print(f"VecMap's mathematics to the end: {needed} iterations, {seconds:.0f} s with this package's products")
    print_claim(
        f"learning with no dictionary, seconds to the end, {cutoff:,} words a side",
        peer=f"VecMap's algorithm in NumPy, {needed} iterations ({how}) of {median(plain):.1f} s",
        ratio=needed * median(plain) / median(ours),
        quality=quality,
        summary=f"{median(ours):.0f} s, {len(iterations)} iterations, most among 4,000 words",
        ratio_of_61_iterations=round(61 * median(plain) / median(ours), 1),
        quick=options.quick,
    )


def precisions_of(data: Data, alignment: Alignment, threads: int | None) -> dict[str, float]:
    """CSLS P@1 of every test, all words being candidates."""
    index = TranslationIndex.build(data.source, data.target, alignment, threads=threads)
    return {
        name: evaluate_translation(index.reversed() if reverse else index, lexicon, threads=threads)["csls"][
            "precision@1"
        ]
        for name, (reverse, lexicon) in data.tests.items()
    }


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vectors", nargs=2, metavar=("SOURCE", "TARGET"), help="English and French vectors")
    parser.add_argument("--dictionaries", type=Path, default=Path("../shared/data/dictionaries"))
    parser.add_argument("--ablation", action="store_true", help="compare settings on validation words")
    parser.add_argument("--no-dictionary", action="store_true", help="learning from the vectors alone, against VecMap")
    parser.add_argument("--to-the-end", action="store_true", help="count VecMap's iterations by running them")
    parser.add_argument("--quick", action="store_true", help="small vocabularies, about a minute")
    parser.add_argument("--threads", type=int, help="processors to use (default: all)")
    options = parser.parse_args()
    real = options.vectors is not None and options.dictionaries.is_dir()
    if real:
        data = read_real(options.vectors, options.dictionaries, options.ablation)
    else:
        print("No vectors given, or no dictionaries found: two made-up languages take their place.")
        sizes = (12_000, 14_000, 100) if options.quick else (50_000, 68_000, 300)
        data = make_languages(*sizes, noisiness=0.4 if options.no_dictionary else 1.0)
    if options.quick:
        data = data.limit(12_000, 14_000)
    print(describe_machine(), f"{len(data.source):,} x {len(data.target):,} words", sep="; ")
    # The first call compiles the search, or loads it compiled.
    run(data.limit(6_000, 6_000), AlignmentConfig(refine=1, spelling=False), options.threads)
    if options.no_dictionary:
        run_without_dictionary(data, options)
        return
    if options.ablation:
        run_ablation(data.limit(*LIMITED_SIZES), options.threads)
        return
    outcomes = {"vectors alone": run(data, make_config("vectors alone"), options.threads)}
    limited = data.limit(*LIMITED_SIZES)
    outcomes[VECMAP] = run(data, make_config(VECMAP), options.threads)
    outcomes["five refinements"] = run(
        limited, AlignmentConfig(refine=5, tolerance=0.0, cutoff=LIMITED_CUTOFF, spelling=False), options.threads
    )
    report(outcomes, measure_peak(options.threads), options, "real" if real else "generated")


def report(outcomes: Mapping[str, dict[str, Any]], peak: float, options: argparse.Namespace, data: str) -> None:
    """Print the tables and the claims."""
    rows = []
    for name, outcome in outcomes.items():
        rate = outcome["operations"] / outcome["seconds"]
        rows.append(
            [
                name,
                f"{outcome['seconds']:.1f}",
                f"{outcome['cpu_seconds']:.1f}",
                f"{outcome['operations'] / 1e12:.2f}",
                f"{rate / 1e9:.0f}",
                f"{100 * rate / peak:.0f}%",
            ]
        )
    header = ("alignment and index", "seconds", "CPU seconds", "Tflop", "Gflop/s", "of peak")
    threads = resolve_threads(options.threads)
    print_table(f"Speed, {threads} threads, peak {peak / 1e9:.0f} Gflop/s", header, rows)
    print_table("Precision", PRECISION_HEADER, [precision_row(*item) for item in outcomes.items()])
    best, vecmap, five = outcomes.values()
    asked, unseen_asked = (best["results"][test]["lexicon"]["num_source_words"] for test in ("fr-en", UNSEEN))
    print(f"{asked - unseen_asked:,} of the {asked:,} French words asked are in the training pairs.\n")
    common = {"data": data, "quick": options.quick}
    share = five["operations"] / five["seconds"] / peak
    # The published tools were measured on whole vocabularies of real vectors.
    if options.quick or data != "real":
        print_claim(
            "alignment with five refinements, share of peak",
            peer=f"this machine's float32 matrix product, {peak / 1e9:.0f} Gflop/s",
            ratio=share,
            quality=csls_precisions(five),
            seconds=round(five["seconds"], 1),
            **common,
        )
        return
    precisions = csls_precisions(best)
    for direction, theirs in VECMAP_PRECISION.items():
        print_claim(
            f"translation CSLS P@1, 5,000 pairs, {direction}",
            peer=f"VecMap supervised, {theirs} as measured once on vectors of these settings",
            ratio=precisions[direction] / theirs,
            quality=precisions | {"coverage": best["results"][direction]["coverage"]},
            summary=f"{precisions[direction]:.1f} on gensim's vectors",
            **common,
        )
    print_claim(
        f"translation CSLS P@1, 5,000 pairs, {UNSEEN}",
        peer=f"VecMap's supervised settings, {csls_precisions(vecmap)[UNSEEN]} in this run",
        ratio=precisions[UNSEEN] / csls_precisions(vecmap)[UNSEEN],
        quality={"vecmap": csls_precisions(vecmap), "ours": precisions},
        summary=f"{precisions[UNSEEN]:.1f}; test words that the training pairs hold left out",
        **common,
    )


def csls_precisions(outcome: dict[str, Any]) -> dict[str, float]:
    """CSLS P@1 by test."""
    return {test: result["csls"]["precision@1"] for test, result in outcome["results"].items()}


if __name__ == "__main__":
    main()
