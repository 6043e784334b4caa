"""More languages than two, no dictionary: two by two against all together, precision between every two.

With vectors by language and folder of test dictionaries named ``en-de.txt`` and so on, as `benchmarks.manuals` makes::

    for l in en de fr es it el ru; do
        rep-translate train texts/$l.txt --output vectors/$l --dimension 200 --epochs 15 --min-count 4
    done
    python -m benchmarks.languages --vectors vectors --dictionaries texts

Each two languages are aligned by themselves with nothing but the vectors, then all in one space through English.
Nothing was chosen on these languages: they show what the defaults do beyond English and French.
"""

from __future__ import annotations

import argparse
import itertools
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import describe_machine, print_claim, print_table
from nlprep.core.errors import NlprepError
from nlprep.embeddings.vector_files import read_vectors
from nlprep.embeddings.word_vectors import WordVectors
from nlprep.translation.align import align
from nlprep.translation.aligners.configuration import AlignmentConfig
from nlprep.translation.evaluation import evaluate_translation
from nlprep.translation.index.bilingual import TranslationIndex
from nlprep.translation.index.multilingual import MultilingualIndex
from nlprep.translation.lexicon import Lexicon, read_lexicon
from nlprep.translation.multilingual import align_languages


def make_languages(count: int, num_words: int, dimension: int) -> tuple[dict[str, WordVectors], dict[str, Lexicon]]:
    """Made-up languages: clustered meanings, turned and noisy."""
    generator = np.random.default_rng(1)
    clusters = generator.standard_normal((num_words // 20, dimension))
    meanings = clusters[generator.integers(0, len(clusters), num_words)]
    meanings = (meanings + 0.7 * generator.standard_normal(meanings.shape)) * np.linspace(1.5, 0.3, dimension)
    vectors = {}
    for name in "abcdefg"[:count]:
        turn = np.linalg.qr(generator.standard_normal((dimension, dimension)))[0]
        matrix = (meanings + 0.3 * generator.standard_normal(meanings.shape)) @ turn
        vectors[name] = WordVectors([f"{name}{word}" for word in range(num_words)], matrix.astype(np.float32))
    tests = {
        f"{one}-{other}": Lexicon((f"{one}{word}", f"{other}{word}") for word in range(num_words))
        for one, other in itertools.permutations(vectors, 2)
    }
    return vectors, tests


def measure(index: TranslationIndex, lexicon: Lexicon, threads: int | None) -> dict[str, float]:
    """CSLS precision, P@1 and P@5."""
    figures = evaluate_translation(index, lexicon, threads=threads)["csls"]
    return {"P@1": figures["precision@1"], "P@5": figures["precision@5"]}


def align_two_by_two(
    vectors: dict[str, WordVectors], tests: dict[str, Lexicon], config: AlignmentConfig, threads: int | None
) -> dict[str, dict[str, Any]]:
    """By test: precision, agreement of the attempts, seconds; one alignment serves both directions."""
    found: dict[str, dict[str, Any]] = {}
    for one, other in itertools.combinations(vectors, 2):
        asked = [name for name in (f"{one}-{other}", f"{other}-{one}") if name in tests]
        if not asked:
            continue
        began = time.perf_counter()
        try:
            alignment = align(vectors[one], vectors[other], None, config, threads=threads)
        except NlprepError as error:
            print(f"{one}-{other}: {error}", flush=True)
            found |= {name: {"P@1": 0.0, "P@5": 0.0, "agreement": 0.0, "seconds": 0.0} for name in asked}
            continue
        seconds = time.perf_counter() - began
        index = TranslationIndex.build(vectors[one], vectors[other], alignment, threads=threads)
        for name in asked:
            turned = index if name == f"{one}-{other}" else index.reversed()
            told = {"agreement": alignment.provenance["agreement"], "seconds": seconds}
            found[name] = measure(turned, tests[name], threads) | told
            print(name, found[name], flush=True)
    return found


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vectors", type=Path, help="folder of vectors by language")
    parser.add_argument("--dictionaries", type=Path, help="folder of test dictionaries")
    parser.add_argument("--languages", default="en,de,fr,es,it,el,ru", help="the first is the pivot")
    parser.add_argument("--quick", action="store_true", help="three made-up languages, about a minute")
    parser.add_argument("--threads", type=int, help="processors to use (default: all)")
    options = parser.parse_args()
    real = options.vectors is not None and options.dictionaries is not None and not options.quick
    if real:
        names = options.languages.split(",")
        vectors = {name: read_vectors(options.vectors / name) for name in names}
        paths = {f"{one}-{other}": options.dictionaries / f"{one}-{other}.txt" for one in names for other in names}
        tests = {name: read_lexicon(path) for name, path in paths.items() if path.is_file()}
    else:
        print("Made-up languages take the place of real ones.")
        vectors, tests = make_languages(*((3, 2_000, 60) if options.quick else (5, 8_000, 200)))
    print(describe_machine(), ", ".join(f"{len(side):,} {name}" for name, side in vectors.items()), sep="; ")
    rows, gains = [], []
    for name, spelling in (("vectors alone", False), ("with spelling", True)):
        config = AlignmentConfig(spelling=spelling)
        apart = align_two_by_two(vectors, tests, config, options.threads)
        began = time.perf_counter()
        alignment = align_languages(vectors, None, config, threads=options.threads)
        seconds = time.perf_counter() - began
        index = MultilingualIndex.build(vectors, alignment, threads=options.threads)
        print(f"{name}: all together in {seconds:.0f} s", flush=True)
        for test, alone in apart.items():
            together = measure(index.between(*test.split("-")), tests[test], options.threads)
            weight = alignment.spelling_weight(*test.split("-"))
            rows.append(
                [
                    f"{test}, {name}",
                    *(f"{figures[key]:.1f}" for key in ("P@1", "P@5") for figures in (alone, together)),
                    f"{100 * alone['agreement']:.0f}%",
                    f"{weight:.2f}" if spelling else "",
                    f"{alone['seconds']:.0f}",
                ]
            )
            if not spelling:
                gains.append((test, alone["P@1"], together["P@1"]))
    header = ("CSLS", "P@1 apart", "together", "P@5 apart", "together", "attempts agree", "spelling", "seconds apart")
    print_table("No dictionary, two by two and in one space", header, rows)
    apart_mean, together_mean = (float(np.mean([gain[place] for gain in gains])) for place in (1, 2))
    succeeded = sum(alone > 2 for _, alone, _ in gains)
    print_claim(
        f"CSLS P@1 with no dictionary, {len(vectors)} languages in one space, vectors alone",
        peer="the same, two by two",
        ratio=together_mean / apart_mean,
        quality={name: [alone, together] for name, alone, together in gains},
        summary=(
            f"{together_mean:.1f} against {apart_mean:.1f} on the average of {len(gains)} directions; {succeeded} of "
            f"{len(gains)} succeeded two by two"
        ),
        data="real" if real else "generated",
        quick=options.quick,
    )


if __name__ == "__main__":
    main()
