"""``rep-translate align``: two languages' vectors into a translator, with a dictionary or without."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING, Any

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
    from nlprep.translation.alignment import Alignment

EPILOG = """\
examples:
  rep-translate align vectors.en vectors.fr --dictionary en-fr.txt --output en-fr
  rep-translate align cc.en.300.vec.gz cc.fr.300.vec.gz --limit 200000 --dictionary en-fr.0-5000.txt \\
      --output en-fr --source-language en --target-language fr
  rep-translate align vectors.en vectors.fr --output en-fr
  rep-translate align vectors.en vectors.el --no-spelling --seed 2 --output en-el

The dictionary has a source word and a target word on each line, split by blanks or
a tab (MUSE, XLING), or is a CSV file with a header. A small one, of twenty pairs or more,
is a start to learn from; with none, learning starts from words spelled alike or from the
vectors alone, which works where both were trained on texts of one kind.
The model translates in both directions.
"""


def add_arguments(parser: Parser) -> None:
    """Add the arguments of this command."""
    parser.epilog = EPILOG
    complete(parser.add_argument("source", metavar="SOURCE", help="vectors of the dictionary's first language"))
    complete(parser.add_argument("target", metavar="TARGET", help="vectors of its second language"))
    complete(parser.add_argument("--dictionary", "-d", metavar="FILE", help="pairs of words, if you have any"))
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
    lexicon = None if arguments.dictionary is None else read_lexicon(arguments.dictionary)
    source, target = (
        read_vectors(path, limit=arguments.limit, threads=arguments.threads, progress=console.progress)
        for path in (arguments.source, arguments.target)
    )
    coverage = None if lexicon is None else lexicon.coverage(source, target)
    if coverage is not None:
        console.note(f"dictionary: {coverage}")
    began = time.perf_counter()
    alignment = align(source, target, lexicon, config, threads=arguments.threads, progress=console.progress)
    provenance = alignment.provenance
    console.note(f"method: {provenance['method']}; {provenance['reason']}")
    if provenance["agreement"] is not None:
        console.note(
            f"confidence: attempts from different starts translate {100 * provenance['agreement']:.0f}% of the "
            "frequent words alike (by chance, 1%)"
        )
    console.note(_describe_spelling(alignment))
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
    if console.json_output:
        told = {} if coverage is None else {"coverage": vars(coverage) | {"percent": coverage.percent}}
        console.result(
            {
                "output": arguments.output,
                "seconds": round(seconds, 3),
                **told,
                "spelling_weight": alignment.spelling_weight,
                **{
                    name: provenance[name]
                    for name in ("method", "reason", "agreement", "vectors", "rounds", "warnings")
                },
                "settings": to_mapping(config),
            }
        )
        return 0
    if not console.quiet and provenance["rounds"]:
        if provenance["method"] == "self-learning":
            _print_stages(console, provenance["rounds"])
        else:
            _print_rounds(console, provenance["rounds"], f"{provenance['method']} maps after {config.normalization}")
    console.note(
        f"{len(source):,} {arguments.source_language} and {len(target):,} {arguments.target_language} words "
        f"aligned in {seconds:.1f} s: {arguments.output}"
    )
    return 0


def _describe_spelling(alignment: Alignment) -> str:
    if not alignment.provenance["config"]["spelling"]:
        return "spelling: not used, as asked"
    if alignment.spelling_weight == 0:
        return "spelling: says nothing about translation between these languages"
    return f"spelling: likeness counts {alignment.spelling_weight:.2f} where that of vectors counts 1"


def _print_rounds(console: Console, rounds: list[dict[str, Any]], title: str) -> None:
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
        title=f"{title}, refined",
    )


def _print_stages(console: Console, iterations: list[dict[str, Any]]) -> None:
    """One row for the iterations of a stage, which look at as many words in the same way."""
    keys = ("attempt", "words", "keep", "spelling")
    stages = [list(same) for _, same in itertools.groupby(iterations, key=lambda entry: [entry[key] for key in keys])]
    console.table(
        (
            "attempt",
            "words",
            "candidates kept",
            "iterations",
            "criterion, first",
            "last",
            "pairs",
            "weight of spelling",
        ),
        [
            (
                stage[0]["attempt"],
                f"{stage[0]['words']:,}",
                f"{100 * stage[0]['keep']:.0f}%",
                len(stage),
                f"{stage[0]['criterion']:.4f}",
                f"{stage[-1]['criterion']:.4f}",
                f"{stage[-1]['pairs']:,}",
                f"{stage[-1]['spelling']:.2f}",
            )
            for stage in stages
        ],
        title="Learned among more and more words",
    )
