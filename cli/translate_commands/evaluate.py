"""``rep-translate evaluate``: precision of translations against a dictionary, or of sentence retrieval."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cli.options import add_common_options, complete
from cli.translate_commands.translate import add_languages
from nlprep.core.errors import NlprepError, OptionError

if TYPE_CHECKING:
    import argparse

    from cli.console import Console
    from cli.options import Parser
    from nlprep.translation.index.bilingual import TranslationIndex
    from nlprep.translation.lexicon import Lexicon

EPILOG = """\
examples:
  rep-translate evaluate en-fr en-fr.5000-6500.txt
  rep-translate evaluate en-fr fr-en.5000-6500.txt --json      # the direction is found out
  rep-translate evaluate en-fr en-fr.5000-6500.txt --reverse   # every pair, from its second word to its first
  rep-translate evaluate en-fr-de fr-de.txt --from fr --to de
  rep-translate evaluate en-fr --sentences test.en test.fr     # one sentence a line, translations line by line

Figures are per cent. A word counts if it is known and has a known translation (that
share is the coverage), and any listed translation is right; "whole dictionary" counts
the other words as wrong.
"""

_METHODS = ("cosine", "csls")
_FIGURES = ("precision@1", "precision@5", "precision@10", "mrr")
_GROUPS = {
    "frequency_rank": "by frequency rank of the word",
    "spelling": "by spelling of word and translation",
    "known_translations": "by number of known translations",
    "kind": "by kind",
}


def add_arguments(parser: Parser) -> None:
    """Add the arguments of this command."""
    parser.epilog = EPILOG
    complete(
        parser.add_argument("model", metavar="MODEL", help="a translator made by rep-translate align"),
        "directory",
    )
    complete(parser.add_argument("dictionary", nargs="?", metavar="DICTIONARY", help="pairs not aligned with"))
    parser.add_argument(
        "--reverse", action="store_true", help="ask for the dictionary's first words, given its second ones"
    )
    complete(
        parser.add_argument("--kinds", metavar="FILE", help="break down by kind: a word and its kind on each line")
    )
    complete(
        parser.add_argument(
            "--sentences",
            nargs=2,
            metavar=("SOURCE", "TARGET"),
            help="measure sentence retrieval on two aligned texts",
        )
    )
    add_languages(parser)
    add_common_options(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Measure."""
    from nlprep.translation.index.multilingual import open_translator

    if arguments.dictionary is None and arguments.sentences is None:
        raise OptionError("nothing to measure with: give a dictionary, or two texts with --sentences")
    if arguments.dictionary is not None and arguments.sentences is not None:
        raise OptionError("a dictionary and --sentences were given: measure one at a time")
    index = open_translator(arguments.model, arguments.from_language, arguments.to_language)
    if arguments.sentences is not None:
        return _evaluate_sentences(arguments, index, console)
    return _evaluate_words(arguments, index, console)


def _evaluate_words(arguments: argparse.Namespace, index: TranslationIndex, console: Console) -> int:
    from nlprep.translation.evaluation import evaluate_translation
    from nlprep.translation.lexicon import read_lexicon

    lexicon = read_lexicon(arguments.dictionary)
    kinds = None if arguments.kinds is None else dict(read_lexicon(arguments.kinds).pairs)
    if arguments.reverse:
        lexicon = lexicon.reversed()
    if not (arguments.from_language or arguments.to_language):
        index = turn_to(lexicon, index)
    result = evaluate_translation(
        index,
        lexicon,
        kinds=kinds,
        threads=arguments.threads,
        progress=console.progress,
    )
    if console.json_output:
        console.result(result)
        return 0
    title = f"{result['source_language']} to {result['target_language']}: {arguments.dictionary}"
    console.note(f"{title}; coverage {result['coverage']:.1f}%, {_counts(result['lexicon'])}")
    rows = [
        (words, method, *(f"{figures[method][name]:.1f}" for name in _FIGURES))
        for words, figures in (("found", result), ("whole dictionary", result["whole_dictionary"]))
        for method in _METHODS
    ]
    console.table(("words", "ranking", *_FIGURES), rows)
    breakdown = [
        (
            _GROUPS.get(group, group),
            name,
            part["words"],
            *(f"{part['csls'][figure]:.1f}" for figure in _FIGURES),
        )
        for group, parts in result["breakdown"].items()
        for name, part in sorted(parts.items(), key=_part_order)
    ]
    console.note("broken down, csls, words found:")
    console.table(("breakdown", "part", "words", *_FIGURES), breakdown)
    return 0


def _part_order(part: tuple[str, object]) -> tuple[int, str]:
    first = part[0].replace("-", " ").split()[0]
    return (int(first), "") if first.isdigit() else (0, part[0])


def _counts(counts: dict[str, int]) -> str:
    return f"{counts['source_words_usable']:,} of {counts['num_source_words']:,} words"


def turn_to(lexicon: Lexicon, index: TranslationIndex) -> TranslationIndex:
    """The model, reversed if it knows more of a dictionary's pairs that way."""
    as_made = lexicon.coverage(index.source, index.target).pairs_found
    swapped = lexicon.coverage(index.target, index.source).pairs_found
    return index.reversed() if swapped > as_made else index


def _evaluate_sentences(arguments: argparse.Namespace, index: TranslationIndex, console: Console) -> int:
    from nlprep.core.files import read_lines
    from nlprep.corpus import tokenize
    from nlprep.translation.sentences import evaluate_sentence_retrieval

    source, target = ([tokenize(line) for _, line in read_lines(path)] for path in arguments.sentences)
    if len(source) != len(target):
        raise NlprepError(
            f"{arguments.sentences[0]} has {len(source):,} lines and {arguments.sentences[1]} {len(target):,}: "
            "give translations line by line"
        )
    result: dict[str, Any] = evaluate_sentence_retrieval(
        index, source, target, threads=arguments.threads, progress=console.progress
    )
    if console.json_output:
        console.result(result)
        return 0
    languages = (index.source_language, index.target_language)
    names = {"source-to-target": " to ".join(languages), "target-to-source": " to ".join(reversed(languages))}
    rows = [
        (title, method, *(f"{result[direction][method][name]:.1f}" for name in _FIGURES))
        for direction, title in names.items()
        for method in _METHODS
    ]
    console.note(f"{result['sentences']:,} sentences")
    console.table(("direction", "ranking", *_FIGURES), rows)
    return 0
