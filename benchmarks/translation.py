"""Word translation by supervision: precision with 5,000 pairs, 1,000, 25, words spelled alike, and none.

With vectors of one's own, English first, and the MUSE and XLING dictionaries::

    python -m benchmarks.translation --vectors en fr --dictionaries ../shared/data/dictionaries
    python -m benchmarks.translation --vectors en fr --quick       12,000 words a side, one seed

Every row is one method and what it had to learn from. *Vectors alone* leaves spelling out of everything; *with
spelling* is the default. The row of VecMap's supervised settings is fitted here, by the member of the family of linear
maps that they are; its release is not run. Where chance plays a part there are three seeds, ten for learning from
nothing, of which the spread is shown, and how many succeeded: reached four fifths of the median.

MUSE's French-English test words are for one half translations of English training words. So the reverse direction is
counted twice, over all and over the *unseen* half alone. XLING's test pairs are asked in both directions; those of
which a word is in the pairs learned from are left out.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.report import describe_machine, print_claim, print_table
from nlprep.core.configuration import from_mapping
from nlprep.embeddings.vector_files import read_vectors
from nlprep.translation.align import align
from nlprep.translation.aligners.configuration import AlignmentConfig
from nlprep.translation.evaluation import evaluate_translation
from nlprep.translation.index.bilingual import TranslationIndex
from nlprep.translation.lexicon import Lexicon, read_lexicon
from nlprep.translation.spelling import pair_spelled_alike

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nlprep.embeddings.word_vectors import WordVectors

VECMAP = {"en-fr": 29.3, "fr-en": 38.5}
"""VecMap with 5,000 pairs, CSLS P@1 as measured once on vectors of these settings."""
TESTS = ("en-fr", "fr-en", "fr-en unseen", "XLING en-fr", "XLING fr-en")
SUCCESS = 0.8
"""A run succeeded if it reached this share of the median precision."""


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    supervision: str
    method: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    seeds: int = 1

    def config(self, seed: int) -> AlignmentConfig:
        """The settings with a seed."""
        return from_mapping(AlignmentConfig, {**self.settings, "seed": seed}, where=self.method)


ALONE = {"spelling": False}
VECMAP_SETTINGS = {
    "method": "whitened",
    "whitened": {"dewhitening": 1.0},
    "refine": 0,
    "normalization": "unit,center,unit",
    "temperature": 0.0,
}
ROWS = (
    Row("5,000 pairs", "Procrustes", ALONE | {"method": "procrustes", "refine": 0}),
    Row("5,000 pairs", "VecMap's settings", ALONE | VECMAP_SETTINGS),
    Row("5,000 pairs", "vectors alone", ALONE),
    Row("5,000 pairs", "with spelling"),
    Row("1,000 pairs", "VecMap's settings", ALONE | VECMAP_SETTINGS),
    Row("1,000 pairs", "vectors alone", ALONE),
    Row("1,000 pairs", "with spelling"),
    Row("25 pairs", "vectors alone", ALONE, seeds=3),
    Row("25 pairs", "with spelling", seeds=3),
    Row("spelled alike", "vectors alone", ALONE | {"method": "self-learning"}, seeds=3),
    Row("spelled alike", "with spelling", {"method": "self-learning"}, seeds=3),
    Row("none", "vectors alone", ALONE, seeds=10),
)


class Experiment:
    """The data, and what the rows make of it.

    Args:
        source: English vectors.
        target: French vectors.
        dictionaries: The directory of MUSE's and XLING's files.
        threads: Processors to use.
    """

    def __init__(self, source: WordVectors, target: WordVectors, dictionaries: Path, threads: int | None) -> None:
        self.source, self.target, self.threads = source, target, threads
        train = read_lexicon(dictionaries / "en-fr.0-5000.txt")
        alike = pair_spelled_alike(source.words, target.words)
        self.lexicons: dict[str, Lexicon | None] = {
            "5,000 pairs": train,
            "1,000 pairs": train.limit(1000),
            "25 pairs": train.limit(25),
            "spelled alike": Lexicon((source.words[row], target.words[other]) for row, other in alike),
            "none": None,
        }
        english, french = (read_lexicon(dictionaries / f"{pair}.5000-6500.txt") for pair in ("en-fr", "fr-en"))
        xling = read_lexicon(dictionaries / "xling" / "en-fr.test.freq.2k.tsv")
        self.tests = {
            "en-fr": english,
            "fr-en": french,
            "fr-en unseen": french.without(train.reversed().translations()),
            "XLING en-fr": _unseen(xling, train),
            "XLING fr-en": _unseen(xling, train).reversed(),
        }

    def run(self, row: Row, seed: int) -> dict[str, Any]:
        """Align once and evaluate: seconds of alignment, and precisions by test."""
        start = time.perf_counter()
        alignment = align(
            self.source, self.target, self.lexicons[row.supervision], row.config(seed), threads=self.threads
        )
        seconds = time.perf_counter() - start
        index = TranslationIndex.build(self.source, self.target, alignment, threads=self.threads)
        found = {
            name: evaluate_translation(index.reversed() if "fr-en" in name else index, lexicon, threads=self.threads)[
                "csls"
            ]
            for name, lexicon in self.tests.items()
        }
        return {
            "seconds": seconds,
            "first": {name: figures["precision@1"] for name, figures in found.items()},
            "five": {name: figures["precision@5"] for name, figures in found.items()},
        }


def _unseen(test: Lexicon, train: Lexicon) -> Lexicon:
    """Pairs of which neither word is in the pairs learned from."""
    words, answers = ({pair[side] for pair in train} for side in (0, 1))
    return Lexicon(pair for pair in test if pair[0] not in words and pair[1] not in answers)


def format_row(row: Row, runs: list[dict[str, Any]]) -> list[str]:
    """Medians over the seeds; with several, half the spread of the precisions at 1."""
    cells = [f"{row.supervision}: {row.method}"]
    for test in TESTS:
        first = [run["first"][test] for run in runs]
        spread = f" ±{(max(first) - min(first)) / 2:.1f}" if len(runs) > 1 else ""
        five = statistics.median(run["five"][test] for run in runs)
        cells += [f"{statistics.median(first):.1f}{spread}", f"{five:.1f}"]
    median = statistics.median(run["first"]["en-fr"] for run in runs)
    succeeded = sum(run["first"]["en-fr"] >= SUCCESS * median for run in runs)
    return [*cells, f"{succeeded} of {len(runs)}", f"{statistics.median(run['seconds'] for run in runs):.0f}"]


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vectors", nargs=2, required=True, metavar=("SOURCE", "TARGET"), help="English and French")
    parser.add_argument("--dictionaries", type=Path, default=Path("../shared/data/dictionaries"))
    parser.add_argument("--quick", action="store_true", help="12,000 words a side, one seed")
    parser.add_argument("--threads", type=int, help="processors to use (default: all)")
    options = parser.parse_args()
    if not options.dictionaries.is_dir():
        raise SystemExit(f"{options.dictionaries} is not there: this benchmark needs MUSE's and XLING's dictionaries")
    source, target = (read_vectors(path) for path in options.vectors)
    if options.quick:
        source, target = source.limit(12_000), target.limit(12_000)
    print(describe_machine(), f"{len(source):,} x {len(target):,} words", sep="; ", flush=True)
    experiment = Experiment(source, target, options.dictionaries, options.threads)
    results: list[tuple[Row, list[dict[str, Any]]]] = []
    for row in ROWS:
        runs = [experiment.run(row, seed) for seed in range(1, 1 + (1 if options.quick else row.seeds))]
        results.append((row, runs))
        print("   ".join(format_row(row, runs)), flush=True)
    names = [name for test in TESTS for name in (f"{test} P@1", "P@5")]
    print_table(
        "Precision under CSLS",
        ["learned from", *names, "succeeded", "seconds"],
        [format_row(row, runs) for row, runs in results],
    )
    first = {
        f"{row.supervision}: {row.method}": {
            test: statistics.median(run["first"][test] for run in runs) for test in TESTS
        }
        for row, runs in results
    }
    vecmap = first["5,000 pairs: VecMap's settings"]
    for name, claim in (
        ("5,000 pairs: with spelling", "translation CSLS P@1 with 5,000 pairs"),
        ("none: vectors alone", "translation CSLS P@1 with no dictionary, vectors alone"),
        ("spelled alike: with spelling", "translation CSLS P@1 with no dictionary, spelling included"),
    ):
        ours = first[name]
        print_claim(
            f"{claim}, fr-en unseen",
            peer="VecMap's supervised settings with 5,000 pairs",
            ratio=ours["fr-en unseen"] / vecmap["fr-en unseen"],
            quality={"ours": ours, "peer": vecmap, "VecMap as measured once": VECMAP},
            summary=", ".join(f"{test} {ours[test]:.1f} against {vecmap[test]:.1f}" for test in TESTS),
            quick=options.quick,
        )


if __name__ == "__main__":
    main()
