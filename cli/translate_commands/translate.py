"""``rep-translate translate``: words from arguments, from standard input, or from a prompt."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cli.console import Console
from cli.options import AtLeastOne, Switch, Threads
from cli.standard_input import read_standard_input
from cli.translate_commands.languages import FromLanguage, ToLanguage
from nlprep.core.errors import NlprepError, OptionError

if TYPE_CHECKING:
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


def translate(
    model: Path,
    /,
    *words: str,
    from_language: FromLanguage = None,
    to_language: ToLanguage = None,
    reverse: Switch = False,
    top: AtLeastOne = 5,
    method: Literal["csls", "cosine"] = "csls",
    threads: Threads = None,
    console: Console,
) -> int:
    """Translate words.

    Args:
        model: A translator made by rep-translate align.
        words: Words; without any, one a line from standard input.
        from_language: Language of the words.
        to_language: Language of the translations.
        reverse: From the target language to the source language.
        top: Candidates.
        method: How they are ranked; csls corrects for words that are near to everything.
        threads: Processor threads; all by default.
        console: Where results and remarks go.
    """
    from nlprep.translation.index.multilingual import open_translator

    if reverse and (from_language, to_language) != (None, None):
        raise OptionError("--reverse and a named language: give --reverse, or --from and --to")
    index = open_translator(model, from_language, to_language)
    if reverse:
        index = index.reversed()

    def ask(batch: Sequence[str]) -> "list[list[Candidate]]":
        return index.translate(batch, top, method=method, threads=threads)

    if not words and sys.stdin.isatty() and not console.json_output:
        return _prompt(index, ask)
    unknown: dict[str, None] = {}
    answers = _answers(words or map(str.strip, read_standard_input()), ask, unknown)
    if console.json_output:
        console.result([_plain(word, candidates) for word, candidates in answers])
    else:
        rows = ((word, candidate.word, candidate.score) for word, candidates in answers for candidate in candidates)
        first = next(rows, None)
        if first is not None:
            console.table(("word", "translation", method), chain([first], rows))
    if unknown:
        raise NlprepError(_explain_unknown(index, list(unknown)))
    return 0


def _answers(
    words: Iterable[str], ask: "Callable[[Sequence[str]], list[list[Candidate]]]", unknown: dict[str, None]
) -> "Iterator[tuple[str, list[Candidate]]]":
    """Every word with its candidates, asked a batch at a time; words without any are put into ``unknown``."""
    waiting = iter(words)
    while batch := list(islice(waiting, _BATCH)):
        for word, candidates in zip(batch, ask(batch), strict=True):
            if not candidates:
                unknown[word] = None
            yield word, candidates


def _plain(word: str, candidates: "Sequence[Candidate]") -> dict[str, Any]:
    return {
        "word": word,
        "known": bool(candidates),
        "candidates": [{"word": candidate.word, "score": candidate.score} for candidate in candidates],
    }


def _explain_unknown(index: "TranslationIndex", words: list[str]) -> str:
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


def _prompt(index: "TranslationIndex", ask: "Callable[[Sequence[str]], list[list[Candidate]]]") -> int:
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
        for word, candidates in zip(words, ask(words), strict=True):
            if candidates:
                shown = ", ".join(f"{candidate.word} {candidate.score:.2f}" for candidate in candidates)
                print(f"  {shown}" if len(words) == 1 else f"  {word}: {shown}")
            else:
                print(f"  {_explain_unknown(index, [word])}")
