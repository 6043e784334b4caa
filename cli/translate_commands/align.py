"""``rep-translate align``: two languages' vectors and a dictionary into a translator."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cli.options import (
    add_common_options,
    add_configuration,
    complete,
    positive_integer,
    resolve_configuration,
)
from nlprep.core.configuration import to_mapping
from nlprep.core.files import check_replaceable
from nlprep.translation.alignment import AlignmentConfig

if TYPE_CHECKING:
    import argparse

    from cli.console import Console
    from cli.options import Parser

EPILOG = """\
examples:
  rep-translate align vectors.en vectors.fr --dictionary en-fr.txt --output en-fr
  rep-translate align cc.en.300.vec.gz cc.fr.300.vec.gz --limit 200000 --dictionary en-fr.0-5000.txt \\
      --output en-fr --source-language en --target-language fr
  rep-translate align a.vec b.vec --dictionary small.tsv --method procrustes --refine 0 --output model

The dictionary has a source word and a target word on each line, split by blanks or
a tab (MUSE, XLING), or is a CSV file with a header. The model translates in both directions.
"""


def add_arguments(parser: Parser) -> None:
    """Add the arguments of this command."""
    parser.epilog = EPILOG
    complete(parser.add_argument("source", metavar="SOURCE", help="vectors of the dictionary's first language"))
    complete(parser.add_argument("target", metavar="TARGET", help="vectors of its second language"))
    complete(parser.add_argument("--dictionary", "-d", required=True, metavar="FILE", help="pairs of words"))
    complete(
        parser.add_argument("--output", "-o", required=True, metavar="MODEL", help="directory for the translator"),
        "directory",
    )
    parser.add_argument("--source-language", default="source", metavar="NAME", help="such as en")
    parser.add_argument("--target-language", default="target", metavar="NAME", help="such as fr")
    parser.add_argument(
        "--limit", type=positive_integer, metavar="N", help="use the N most frequent words of each side"
    )
    add_configuration(parser, AlignmentConfig, title="alignment")
    add_common_options(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Align, and write the translator."""
    from nlprep.embeddings.vector_files import read_vectors
    from nlprep.translation.alignment import align
    from nlprep.translation.lexicon import read_lexicon
    from nlprep.translation.retrieval import TranslationIndex

    config = resolve_configuration(AlignmentConfig, arguments)
    check_replaceable(arguments.output)
    lexicon = read_lexicon(arguments.dictionary)
    source, target = (
        read_vectors(path, limit=arguments.limit, threads=arguments.threads, progress=console.progress)
        for path in (arguments.source, arguments.target)
    )
    coverage = lexicon.coverage(source, target)
    console.note(f"dictionary: {coverage}")
    began = time.perf_counter()
    alignment = align(source, target, lexicon, config, threads=arguments.threads, progress=console.progress)
    if config.spelling:
        alike = alignment.provenance["lexicon"]["pairs_spelled_alike"]
        console.note(f"{alike:,} more pairs are spelled alike on both sides")
    index = TranslationIndex.build(
        source,
        target,
        alignment,
        source_language=arguments.source_language,
        target_language=arguments.target_language,
        neighborhood=config.neighborhood,
        threads=arguments.threads,
        progress=console.progress,
    )
    seconds = time.perf_counter() - began
    index.save(arguments.output)
    rounds = alignment.provenance["rounds"]
    if console.json_output:
        console.result(
            {
                "output": arguments.output,
                "seconds": round(seconds, 3),
                "coverage": vars(coverage) | {"percent": coverage.percent},
                "vectors": alignment.provenance["vectors"],
                "rounds": rounds,
                "warnings": alignment.provenance["warnings"],
                "settings": to_mapping(config),
            }
        )
        return 0
    if not console.quiet:
        console.table(
            ("round", "criterion", "induced pairs", "pairs fitted", "agree with dictionary", "chosen"),
            [
                (
                    entry["round"],
                    entry["criterion"],
                    entry["induced"],
                    entry["pairs"],
                    f"{100 * entry['seed_agreement']:.1f}%",
                    "yes" if entry["chosen"] else "",
                )
                for entry in rounds
            ],
            title=f"{config.method} maps after {config.normalization}, refined",
        )
    console.note(
        f"{len(source):,} {arguments.source_language} and {len(target):,} {arguments.target_language} words "
        f"aligned in {seconds:.1f} s: {arguments.output}"
    )
    return 0
