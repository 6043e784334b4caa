"""``rep-translate align``: the vectors of two or more languages into a translator, with dictionaries or without."""

import itertools
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from cli.console import Console
from cli.options import AtLeastOneIfAny, Options, Output, Switch, Threads
from nlprep.core.configuration import to_mapping
from nlprep.core.errors import OptionError
from nlprep.translation.aligners.configuration import AlignmentConfig

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nlprep.embeddings.word_vectors import WordVectors
    from nlprep.translation.alignment import Alignment
    from nlprep.translation.lexicon import Lexicon

EPILOG = """\
examples:
  rep-translate align vectors.en vectors.fr --dictionary en-fr.txt \\
      --output en-fr
  rep-translate align cc.en.300.vec.gz cc.fr.300.vec.gz --limit 200000 \\
      --dictionary en-fr.0-5000.txt --languages en,fr --output en-fr
  rep-translate align vectors.en vectors.fr --languages en,fr --output en-fr
  rep-translate align vectors.en vectors.el --no-spelling --output en-el
  rep-translate align vectors.en vectors.fr vectors.de --languages en,fr,de \\
      --dictionary en-fr.txt --output all

The dictionary has a source word and a target word on each line, split by blanks or
a tab (MUSE, XLING), or is a CSV file with a header. A small one, of twenty pairs or more,
is a start to learn from; with none, learning starts from words spelled alike or from the
vectors alone, which works where all were trained on texts of one kind.

Three languages and more come into one space: each is aligned to the pivot, or to a language
that it has a dictionary with, then all are refined together. Which two languages a dictionary
is of is found out from its words. The model translates between any two, in both directions.
"""


def align(
    *vectors: Annotated[Path, Parameter(required=True)],
    dictionary: Annotated[list[Path] | None, Parameter(alias="-d")] = None,
    output: Output,
    overwrite: Switch = False,
    languages: str | None = None,
    pivot: str | None = None,
    limit: AtLeastOneIfAny = None,
    alignment: Annotated[AlignmentConfig, Options(title="alignment")],
    threads: Threads = None,
    console: Console,
) -> int:
    """Bring languages together, with dictionaries or without.

    Args:
        vectors: Word vectors of each language, the dictionary's first first.
        dictionary: Pairs of words, if you have any; may be repeated.
        output: Directory for the translator.
        overwrite: Replace what nlprep wrote even if it is of another kind, or vectors in a file; never anything else.
        languages: Their names in order, such as en,fr; without, source,target.
        pivot: Of three and more, the one to align to; the first, if none is named.
        limit: Use so many of the most frequent words of each side.
        alignment: How to align.
        threads: Processor threads; all by default.
        console: Where results and remarks go.
    """
    from nlprep.core.ownership import check_replaceable
    from nlprep.embeddings.vector_files import read_vectors
    from nlprep.translation.index import bilingual, multilingual
    from nlprep.translation.lexicon import read_lexicon
    from nlprep.vectors.nearest import search_device

    given = dictionary or []
    names = _name_languages(vectors, languages, pivot, len(given))
    kind = bilingual.ARTIFACT_KIND if len(names) == 2 else multilingual.ARTIFACT_KIND
    check_replaceable(output, kind, inputs=console.inputs(vectors, dictionary), overwrite=overwrite)
    lexicons = [(path, read_lexicon(path)) for path in given]
    read = {
        name: read_vectors(path, limit=limit, threads=threads, progress=console.progress)
        for name, path in zip(names, vectors, strict=True)
    }
    with search_device(alignment.device):
        if len(names) == 2:
            lexicon = lexicons[0][1] if lexicons else None
            return _align_two(read, lexicon, alignment, output, threads, console, overwrite=overwrite)
        return _align_several(read, lexicons, alignment, output, pivot, threads, console, overwrite=overwrite)


def _name_languages(
    vectors: "Sequence[Path]", languages: str | None, pivot: str | None, dictionaries: int
) -> list[str]:
    """A name for each set of vectors."""
    count = len(vectors)
    if count < 2:
        raise OptionError(f"{vectors[0]} alone: give the vectors of two or more languages")
    if languages is None:
        if count > 2:
            raise OptionError(f"{count} sets of vectors: name their languages, such as --languages en,fr,de")
        names = ["source", "target"]
    else:
        names = [name.strip() for name in languages.split(",")]
    if len(names) != count or len(set(names)) != count or not all(names):
        raise OptionError(f"--languages {languages}: give {count} different names, split by commas")
    if count == 2 and (pivot is not None or dictionaries > 1):
        raise OptionError("two languages: they need no pivot, and take one dictionary")
    if pivot is not None and pivot not in names:
        raise OptionError(f"--pivot {pivot}: choose from {', '.join(names)}")
    return names


def _align_two(
    vectors: "dict[str, WordVectors]",
    lexicon: "Lexicon | None",
    config: AlignmentConfig,
    output: Path,
    threads: int | None,
    console: Console,
    *,
    overwrite: bool,
) -> int:
    from nlprep.translation.align import align
    from nlprep.translation.index.bilingual import TranslationIndex

    (source_language, source), (target_language, target) = vectors.items()
    coverage = None if lexicon is None else lexicon.coverage(source, target)
    if coverage is not None:
        console.note(f"dictionary: {coverage}")
    began = time.perf_counter()
    alignment = align(source, target, lexicon, config, threads=threads, progress=console.progress)
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
        threads=threads,
        progress=console.progress,
    )
    seconds = time.perf_counter() - began
    index.save(output, overwrite=overwrite)
    if console.json_output:
        told = {} if coverage is None else {"coverage": vars(coverage) | {"percent": coverage.percent}}
        console.result(
            {
                "output": str(output),
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
        f"aligned in {seconds:.1f} s: {output}"
    )
    return 0


def _align_several(
    vectors: "dict[str, WordVectors]",
    given: "list[tuple[Path, Lexicon]]",
    config: AlignmentConfig,
    output: Path,
    pivot: str | None,
    threads: int | None,
    console: Console,
    *,
    overwrite: bool,
) -> int:
    from nlprep.translation.index.multilingual import MultilingualIndex
    from nlprep.translation.lexicon import detect_languages
    from nlprep.translation.multilingual import align_languages

    lexicons: dict[tuple[str, str], Lexicon] = {}
    for path, lexicon in given:
        pair = detect_languages(lexicon, vectors)
        if pair in lexicons or pair[::-1] in lexicons:
            raise OptionError(f"{path}: a second dictionary of {' and '.join(pair)}; join the two files into one")
        lexicons[pair] = lexicon
        console.note(f"{path}: {' to '.join(pair)}, {lexicon.coverage(*(vectors[name] for name in pair))}")
    began = time.perf_counter()
    alignment = align_languages(vectors, lexicons, config, pivot=pivot, threads=threads, progress=console.progress)
    index = MultilingualIndex.build(
        vectors,
        alignment,
        neighborhood=config.neighborhood,
        threads=threads,
        progress=console.progress,
    )
    seconds = time.perf_counter() - began
    index.save(output, overwrite=overwrite)
    provenance = alignment.provenance
    if console.json_output:
        console.result(
            {
                "output": str(output),
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
        f"{output}"
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
    console: Console, rounds: list[dict[str, Any]], spelling_weights: "Mapping[tuple[str, str], float]"
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


def _describe_spelling(alignment: "Alignment") -> str:
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
