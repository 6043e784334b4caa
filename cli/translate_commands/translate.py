"""``rep-translate translate``: words from arguments, from standard input, or from a prompt."""

from __future__ import annotations

import sys
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from cli.options import add_common_options, complete, positive_integer
from nlprep.core.errors import NlprepError, OptionError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from cli.console import Console
    from cli.options import Parser
    from nlprep.translation.index.bilingual import Candidate, TranslationIndex

EPILOG = """\
examples:
  rep-translate translate en-fr cat dog
  rep-translate translate en-fr chat --from fr --top 3 --json
  rep-translate translate en-fr-de chat --from fr --to de
  rep-translate translate en-fr < words.txt > translations.tsv
  rep-translate translate en-fr                    # a prompt; Ctrl-D leaves

A word without a vector is named on stderr and makes the status 2; the others are translated all the same.
"""

_BATCH = 512
_MOST_NAMED = 10


def add_arguments(parser: Parser) -> None:
    """Add the arguments of this command."""
    parser.epilog = EPILOG
    complete(
        parser.add_argument("model", metavar="MODEL", help="a translator made by rep-translate align"),
        "directory",
    )
    parser.add_argument("words", nargs="*", metavar="WORD", help="words; without any, one a line from stdin")
    add_languages(parser).add_argument(
        "--reverse", action="store_true", help="from the target language to the source language"
    )
    parser.add_argument("--top", type=positive_integer, default=5, metavar="N", help="candidates (default: 5)")
    parser.add_argument(
        "--method",
        choices=("csls", "cosine"),
        default="csls",
        help="csls corrects for words that are near to everything (default: csls)",
    )
    add_common_options(parser)


def add_languages(parser: Parser) -> argparse._ArgumentGroup:
    """Add ``--from`` and ``--to``, which `open_translator` takes."""
    group = parser.add_argument_group("languages (default: as aligned; of several, give both)")
    group.add_argument("--from", dest="from_language", metavar="NAME", help="language of the words")
    group.add_argument("--to", dest="to_language", metavar="NAME", help="language of the translations")
    return group


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Translate."""
    from nlprep.translation.index.multilingual import open_translator

    named = (arguments.from_language, arguments.to_language)
    if arguments.reverse and named != (None, None):
        raise OptionError("--reverse and a named language: give --reverse, or --from and --to")
    index = open_translator(arguments.model, *named)
    if arguments.reverse:
        index = index.reversed()
    if not arguments.words and sys.stdin.isatty() and not console.json_output:
        return _prompt(arguments, index)
    unknown: dict[str, None] = {}
    answers = _answers(arguments, index, unknown)
    if console.json_output:
        console.result([_plain(word, candidates) for word, candidates in answers])
    else:
        rows = ((word, candidate.word, candidate.score) for word, candidates in answers for candidate in candidates)
        first = next(rows, None)
        if first is not None:
            console.table(("word", "translation", arguments.method), chain([first], rows))
    if unknown:
        raise NlprepError(_explain_unknown(index, list(unknown)))
    return 0


def _answers(
    arguments: argparse.Namespace, index: TranslationIndex, unknown: dict[str, None]
) -> Iterator[tuple[str, list[Candidate]]]:
    """Every word with its candidates, asked a batch at a time; words without any are put into ``unknown``."""
    waiting = iter(arguments.words or _standard_input())
    while words := list(islice(waiting, _BATCH)):
        for word, candidates in zip(words, _ask(arguments, index, words), strict=True):
            if not candidates:
                unknown[word] = None
            yield word, candidates


def _ask(arguments: argparse.Namespace, index: TranslationIndex, words: Sequence[str]) -> list[list[Candidate]]:
    return index.translate(words, arguments.top, method=arguments.method, threads=arguments.threads)


def _plain(word: str, candidates: Sequence[Candidate]) -> dict[str, Any]:
    return {
        "word": word,
        "known": bool(candidates),
        "candidates": [{"word": candidate.word, "score": candidate.score} for candidate in candidates],
    }


def _standard_input() -> Iterator[str]:
    from nlprep.core.files import STANDARD_INPUT, read_lines

    for _, line in read_lines(STANDARD_INPUT):
        if word := line.strip():
            yield word


def _explain_unknown(index: TranslationIndex, words: list[str]) -> str:
    """One line about words without a vector."""
    from nlprep.embeddings.word_vectors import UnknownWordError

    asked, answers = index.source, index.target
    if len(words) > 1:
        named = ", ".join(map(repr, words[:_MOST_NAMED])) + (", ..." if len(words) > _MOST_NAMED else "")
        return (
            f"no {asked.language} vectors for {len(words):,} words ({named}): check their spelling, and that "
            "they are lower-cased as in the training text"
        )
    word = words[0]
    if word in answers:
        return (
            f"{word!r} is not one of the {asked.language} words but of the {answers.language} ones: "
            f"add --from {answers.language}"
        )
    try:
        asked.vectors()[word]
    except UnknownWordError as error:
        return str(error)
    return f"{word!r} has no translation"


def _prompt(arguments: argparse.Namespace, index: TranslationIndex) -> int:
    """Ask for words until Ctrl-D."""
    import contextlib

    with contextlib.suppress(ImportError):
        # Importing it gives input() its line editing and history.
        import readline  # noqa: F401

    asked, answers = index.source, index.target
    print(f"{asked.language} to {answers.language}, {len(asked):,} words; Ctrl-D leaves", file=sys.stderr)
    while True:
        try:
            words = input(f"{asked.language}> ").split()
        except EOFError:
            print()
            return 0
        except KeyboardInterrupt:
            print()
            raise
        for word, candidates in zip(words, _ask(arguments, index, words), strict=True):
            if candidates:
                shown = ", ".join(f"{candidate.word} {candidate.score:.2f}" for candidate in candidates)
                print(f"  {shown}" if len(words) == 1 else f"  {word}: {shown}")
            else:
                print(f"  {_explain_unknown(index, [word])}")
