"""Reading and writing word vectors, gensim and ours in turn on the same file.

    python -m benchmarks.read_vectors [vectors.vec] [--quick] [--repeats 3] [--threads N]

Without a file, 30,000 x 300 normal numbers are generated (--quick: 5,000).
"""

from __future__ import annotations

import argparse
import logging
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import describe_machine, median, print_claim, print_table, time_in_turn
from nlprep.core.threads import resolve_threads
from nlprep.embeddings.vector_files import read_vectors, write_vectors
from nlprep.embeddings.word_vectors import WordVectors


def generate_vectors(num_words: int, dimension: int) -> WordVectors:
    """Normal numbers of the size that training gives."""
    matrix = np.random.default_rng(1).standard_normal((num_words, dimension), dtype=np.float32)
    return WordVectors([f"word{number}" for number in range(num_words)], matrix / np.float32(np.sqrt(dimension)))


def main() -> None:
    """Measure, check that both read the same, print the table and the claims."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("vectors", nargs="?", type=Path, help="a word2vec text file; generated if absent")
    parser.add_argument("--quick", action="store_true", help="a small generated file")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=None, help="ours; gensim reads with one")
    options = parser.parse_args()

    from gensim.models import KeyedVectors

    logging.getLogger("gensim").setLevel(logging.ERROR)
    peer = f"gensim {version('gensim')}"
    threads = resolve_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        path = options.vectors
        if path is None:
            path = directory / "generated.vec"
            write_vectors(generate_vectors(5_000 if options.quick else 30_000, 300), path)
        # These calls compile, or load what was compiled, and bring the file into memory.
        ours = read_vectors(path, threads=threads)
        theirs = KeyedVectors.load_word2vec_format(path, limit=1000)
        artifact = directory / "artifact"
        write_vectors(ours, artifact, format="artifact")
        written, by_gensim = directory / "ours.vec", directory / "gensim.vec"
        write_vectors(ours.limit(1), written)

        results: dict[str, KeyedVectors] = {}

        def read_by_gensim() -> None:
            results["gensim"] = KeyedVectors.load_word2vec_format(path)

        reading = time_in_turn(
            {
                "gensim": read_by_gensim,
                "ours": lambda: read_vectors(path, threads=threads),
                "ours, 1 thread": lambda: read_vectors(path, threads=1),
                "ours, artifact": lambda: read_vectors(artifact),
            },
            repeats=options.repeats,
        )
        theirs = results["gensim"]
        writing = time_in_turn(
            {
                "gensim": lambda: theirs.save_word2vec_format(by_gensim),
                "ours": lambda: write_vectors(ours, written, threads=threads, overwrite=True),
            },
            repeats=1 if options.quick else min(2, options.repeats),
        )
        megabytes = path.stat().st_size / 1e6
        read_seconds = {name: median(seconds) for name, seconds in reading.items()}
        write_seconds = {name: median(seconds) for name, seconds in writing.items()}
        quality = {
            "words equal": theirs.index_to_key == ours.words,
            "numbers equal": bool(np.array_equal(theirs.vectors, ours.matrix)),
            "artifact equal": bool(np.array_equal(WordVectors.load(artifact).matrix, ours.matrix)),
        }
        again = read_vectors(written, threads=threads)
        round_trip = {"round trip equal": again.words == ours.words and np.array_equal(again.matrix, ours.matrix)}
        if not all((quality | round_trip).values()):
            raise SystemExit(f"the two readers disagree: {quality | round_trip}")
        sizes = {"ours": written.stat().st_size / 1e6, "gensim": by_gensim.stat().st_size / 1e6}

    print_table(
        f"Reading word2vec text, {len(ours):,} x {ours.dimension}, {megabytes:.0f} MB, {threads} threads "
        f"({describe_machine()})",
        ["reader", "seconds", "MB/s", "times gensim"],
        [
            [name, f"{seconds:.4f}", f"{megabytes / seconds:,.0f}", f"{read_seconds['gensim'] / seconds:.1f}"]
            for name, seconds in read_seconds.items()
        ],
    )
    print_table(
        "Writing word2vec text",
        ["writer", "seconds", "MB", "MB/s", "times gensim"],
        [
            [
                name,
                f"{seconds:.3f}",
                f"{sizes[name]:.0f}",
                f"{sizes[name] / seconds:,.0f}",
                f"{write_seconds['gensim'] / seconds:.1f}",
            ]
            for name, seconds in write_seconds.items()
        ],
    )
    artifact_milliseconds = 1000 * read_seconds["ours, artifact"]
    settings: dict[str, Any] = {"words": len(ours), "dimension": ours.dimension, "threads": threads}
    print_claim(
        "write word2vec text, words/s",
        peer=peer,
        ratio=write_seconds["gensim"] / write_seconds["ours"],
        quality=round_trip,
        summary="every number comes back bit for bit",
        **settings,
    )
    print_claim(
        "read word2vec text, MB/s",
        peer=peer,
        ratio=read_seconds["gensim"] / read_seconds["ours"],
        quality=quality,
        summary=f"the same words and numbers; as an artifact it opens in {artifact_milliseconds:.0f} ms",
        megabytes_per_second=round(megabytes / read_seconds["ours"], 1),
        artifact_open_milliseconds=round(artifact_milliseconds, 2),
        **settings,
    )


if __name__ == "__main__":
    main()
