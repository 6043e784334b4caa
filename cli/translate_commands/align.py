"""``rep-translate align``: the vectors of two or more languages into a translator, with dictionaries or without."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING, Any

from cli.options import (
    Repeated,
    add_common_options,
    add_configuration,
    add_output,
    complete,
    inputs_of,
    positive_integer,
    resolve_configuration,
)
from nlprep.core.configuration import to_mapping
from nlprep.core.errors import OptionError
from nlprep.core.ownership import check_replaceable
from nlprep.translation.align import AlignmentConfig

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from cli.console import Console
    from cli.options import Parser
    from nlprep.embeddings.word_vectors import WordVectors
    from nlprep.translation.alignment import Alignment
    from nlprep.translation.lexicon import Lexicon

EPILOG = """\
examples:
  rep-translate align vectors.en vectors.fr --dictionary en-fr.txt --output en-fr
  rep-translate align cc.en.300.vec.gz cc.fr.300.vec.gz --limit 200000 --dictionary en-fr.0-5000.txt \\
      --languages en,fr --output en-fr
  rep-translate align vectors.en vectors.fr --output en-fr
  rep-translate align vectors.en vectors.el --no-spelling --seed 2 --output en-el
  rep-translate align vectors.en vectors.fr vectors.de --languages en,fr,de -d en-fr.txt --output all

The dictionary has a source word and a target word on each line, split by blanks or
a tab (MUSE, XLING), or is a CSV file with a header. A small one, of twenty pairs or more,
is a start to learn from; with none, learning starts from words spelled alike or from the
vectors alone, which works where all were trained on texts of one kind.

Three languages and more come into one space: each is aligned to the pivot, or to a language
that it has a dictionary with, then all are refined together. Which two languages a dictionary
is of is found out from its words. The model translates between any two, in both directions.
"""


def add_arguments(parser: Parser) -> None:
    """Add the arguments of this command."""
    parser.epilog = EPILOG
    complete(
        parser.add_argument(
            "vectors", metavar="VECTORS", nargs="+", help="of each language, the dictionary's first first"
        )
    )
    complete(
        parser.add_argument(
            "--dictionary",
            "-d",
            metavar="FILE",
            action=Repeated,
            help="pairs of words, if you have any; may be repeated",
        )
    )
    add_output(parser, "directory for the translator", metavar="MODEL", kind="directory", required=True)
    parser.add_argument(
        "--languages", metavar="NAME,NAME", help="their names in order, such as en,fr (default: source,target)"
    )
    parser.add_argument("--pivot", metavar="NAME", help="of three and more, the one to align to (default: the first)")
    parser.add_argument(
        "--limit", type=positive_integer, metavar="N", help="use the N most frequent words of each side"
    )
    add_configuration(parser, AlignmentConfig, title="alignment")
    add_common_options(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Align, and write the translator."""
    from nlprep.embeddings.vector_files import read_vectors
    from nlprep.translation.index import bilingual, multilingual
    from nlprep.translation.lexicon import read_lexicon
    from nlprep.vectors.nearest import search_device

    config = resolve_configuration(AlignmentConfig, arguments)
    names = _name_languages(arguments)
    check_replaceable(
        arguments.output,
        bilingual.ARTIFACT_KIND if len(names) == 2 else multilingual.ARTIFACT_KIND,
        inputs=inputs_of(arguments, "vectors", "dictionary"),
        overwrite=arguments.overwrite,
    )
    lexicons = [read_lexicon(path) for path in arguments.dictionary or ()]
    vectors = {
        name: read_vectors(path, limit=arguments.limit, threads=arguments.threads, progress=console.progress)
        for name, path in zip(names, arguments.vectors, strict=True)
    }
    with search_device(config.device):
        if len(names) == 2:
            return _align_two(arguments, console, config, vectors, lexicons[0] if lexicons else None)
        return _align_several(arguments, console, config, vectors, lexicons)


def _name_languages(arguments: argparse.Namespace) -> list[str]:
    """A name for each set of vectors."""
    count = len(arguments.vectors)
    if count < 2:
        raise OptionError(f"{arguments.vectors[0]} alone: give the vectors of two or more languages")
    if arguments.languages is None:
        if count > 2:
            raise OptionError(f"{count} sets of vectors: name their languages, such as --languages en,fr,de")
        names = ["source", "target"]
    else:
        names = [name.strip() for name in arguments.languages.split(",")]
    if len(names) != count or len(set(names)) != count or not all(names):
        raise OptionError(f"--languages {arguments.languages}: give {count} different names, split by commas")
    if count == 2 and (arguments.pivot is not None or len(arguments.dictionary or ()) > 1):
        raise OptionError("two languages: they need no pivot, and take one dictionary")
    if arguments.pivot is not None and arguments.pivot not in names:
        raise OptionError(f"--pivot {arguments.pivot}: choose from {', '.join(names)}")
    return names


def _align_two(
    arguments: argparse.Namespace,
    console: Console,
    config: AlignmentConfig,
    vectors: dict[str, WordVectors],
    lexicon: Lexicon | None,
) -> int:
    from nlprep.translation.align import align
    from nlprep.translation.index.bilingual import TranslationIndex

    (source_language, source), (target_language, target) = vectors.items()
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
        source_language=source_language,
        target_language=target_language,
        neighborhood=config.neighborhood,
        threads=arguments.threads,
        progress=console.progress,
    )
    seconds = time.perf_counter() - began
    index.save(arguments.output, overwrite=arguments.overwrite)
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
        if provenance["method"] in ("self-learning", "adversarial"):
            _print_stages(console, provenance["rounds"])
        else:
            _print_rounds(console, provenance["rounds"], f"{provenance['method']} maps after {config.normalization}")
    console.note(
        f"{len(source):,} {source_language} and {len(target):,} {target_language} words "
        f"aligned in {seconds:.1f} s: {arguments.output}"
    )
    return 0


def _align_several(
    arguments: argparse.Namespace,
    console: Console,
    config: AlignmentConfig,
    vectors: dict[str, WordVectors],
    given: list[Lexicon],
) -> int:
    from nlprep.translation.index.multilingual import MultilingualIndex
    from nlprep.translation.lexicon import detect_languages
    from nlprep.translation.multilingual import align_languages

    lexicons: dict[tuple[str, str], Lexicon] = {}
    for path, lexicon in zip(arguments.dictionary or (), given, strict=True):
        pair = detect_languages(lexicon, vectors)
        if pair in lexicons or pair[::-1] in lexicons:
            raise OptionError(f"{path}: a second dictionary of {' and '.join(pair)}; join the two files into one")
        lexicons[pair] = lexicon
        console.note(f"{path}: {' to '.join(pair)}, {lexicon.coverage(*(vectors[name] for name in pair))}")
    began = time.perf_counter()
    alignment = align_languages(
        vectors, lexicons, config, pivot=arguments.pivot, threads=arguments.threads, progress=console.progress
    )
    index = MultilingualIndex.build(
        vectors,
        alignment,
        neighborhood=config.neighborhood,
        threads=arguments.threads,
        progress=console.progress,
    )
    seconds = time.perf_counter() - began
    index.save(arguments.output, overwrite=arguments.overwrite)
    provenance = alignment.provenance
    if console.json_output:
        console.result(
            {
                "output": arguments.output,
                "seconds": round(seconds, 3),
                "languages": alignment.languages,
                **{name: provenance[name] for name in ("pivot", "links", "vectors", "rounds")},
                "spelling_weights": {
                    f"{one}-{other}": weight for (one, other), weight in alignment.spelling_weights.items()
                },
                "settings": to_mapping(config),
            }
        )
        return 0
    if not console.quiet:
        _print_links(console, provenance["links"])
        _print_pairs(console, provenance["rounds"], alignment.spelling_weights)
    console.note(
        f"{', '.join(f'{len(side):,} {name}' for name, side in vectors.items())} words aligned in {seconds:.1f} s: "
        f"{arguments.output}"
    )
    return 0


def _print_links(console: Console, links: list[dict[str, Any]]) -> None:
    console.table(
        ("languages", "method", "learned from", "attempts agree"),
        [
            (
                "-".join(link["languages"]),
                link["method"],
                f"{link['supervision']['pairs']:,} pairs, {link['supervision']['kind']}",
                "" if link["agreement"] is None else f"{100 * link['agreement']:.0f}%",
            )
            for link in links
        ],
        title="Aligned two by two",
    )


def _print_pairs(
    console: Console, rounds: list[dict[str, Any]], spelling_weights: Mapping[tuple[str, str], float]
) -> None:
    chosen = next(entry for entry in rounds if entry["chosen"])
    console.table(
        ("languages", "mutual pairs before", "and after", "weight of spelling"),
        [
            (name, f"{before:,}", f"{chosen['pairs'][name]:,}", f"{weight:.2f}")
            for (name, before), weight in zip(rounds[0]["pairs"].items(), spelling_weights.values(), strict=True)
        ],
        title=(
            f"Refined together: criterion {rounds[0]['criterion']:.4f} at first, {chosen['criterion']:.4f} after "
            f"{chosen['round']} rounds"
        ),
    )


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
