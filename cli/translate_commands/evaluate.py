"""``rep-translate evaluate``: precision of translations against a dictionary, or of sentence retrieval."""

from pathlib import Path
from typing import TYPE_CHECKING

from cli.console import Console
from cli.options import Switch, Threads
from cli.translate_commands.languages import FromLanguage, ToLanguage
from nlprep.core.errors import OptionError

if TYPE_CHECKING:
    from nlprep.translation.index.bilingual import TranslationIndex

EPILOG = """\
examples:
  rep-translate evaluate en-fr en-fr.5000-6500.txt
  rep-translate evaluate en-fr fr-en.5000-6500.txt --json
  rep-translate evaluate en-fr en-fr.5000-6500.txt --reverse
  rep-translate evaluate en-fr-de fr-de.txt --from fr --to de
  rep-translate evaluate en-fr --sentences test.en test.fr

The direction of a dictionary is found out; --reverse asks every pair from its second word to
its first. Sentences are one a line, translations line by line.

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


def evaluate(
    model: Path,
    dictionary: Path | None = None,
    /,
    *,
    reverse: Switch = False,
    kinds: Path | None = None,
    sentences: tuple[Path, Path] | None = None,
    from_language: FromLanguage = None,
    to_language: ToLanguage = None,
    threads: Threads = None,
    console: Console,
) -> int:
    """Measure translations against a dictionary.

    Args:
        model: A translator made by rep-translate align.
        dictionary: Pairs not aligned with.
        reverse: Ask for the dictionary's first words, given its second ones.
        kinds: Break down by kind: a file with a word and its kind on each line.
        sentences: Measure sentence retrieval on two aligned texts instead.
        from_language: Language of the words.
        to_language: Language of the translations.
        threads: Processor threads; all by default.
        console: Where results and remarks go.
    """
    from nlprep.translation.index.multilingual import open_translator

    if dictionary is not None and sentences is not None:
        raise OptionError("a dictionary and --sentences were given: measure one at a time")
    if sentences is not None:
        index = open_translator(model, from_language, to_language)
        return _evaluate_sentences(index, *sentences, threads, console)
    if dictionary is None:
        raise OptionError("nothing to measure with: give a dictionary, or two texts with --sentences")
    index = open_translator(model, from_language, to_language)
    named = from_language is not None or to_language is not None
    return _evaluate_words(index, dictionary, kinds, reverse=reverse, named=named, threads=threads, console=console)


def _evaluate_words(
    index: "TranslationIndex",
    dictionary: Path,
    kinds: Path | None,
    *,
    reverse: bool,
    named: bool,
    threads: int | None,
    console: Console,
) -> int:
    from nlprep.translation.evaluation import evaluate_translation, turned_to
    from nlprep.translation.lexicon import read_lexicon

    lexicon = read_lexicon(dictionary)
    if reverse:
        lexicon = lexicon.reversed()
    result = evaluate_translation(
        index if named else turned_to(lexicon, index),
        lexicon,
        kinds=None if kinds is None else dict(read_lexicon(kinds).pairs),
        threads=threads,
        progress=console.progress,
    )
    if console.json_output:
        console.result(result)
        return 0
    title = f"{result['source_language']} to {result['target_language']}: {dictionary}"
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


def _evaluate_sentences(
    index: "TranslationIndex", source: Path, target: Path, threads: int | None, console: Console
) -> int:
    from nlprep.translation.sentences import evaluate_sentence_retrieval, read_aligned_texts

    texts = read_aligned_texts(source, target)
    result = evaluate_sentence_retrieval(index, *texts, threads=threads, progress=console.progress)
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
