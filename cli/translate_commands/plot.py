"""``rep-translate plot``: both languages' words in one plane."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.options import add_common_options, add_output, complete, inputs_of, positive_integer
from cli.translate_commands.translate import add_languages

if TYPE_CHECKING:
    import argparse

    from cli.console import Console
    from cli.options import Parser

EPILOG = """\
examples:
  rep-translate plot en-fr --output figure.png
  rep-translate plot en-fr --dictionary en-fr.5000-6500.txt --output figure.pdf
  rep-translate plot en-fr --words one two three red green blue dog cat --output figure.svg

With --dictionary, lines join words and their listed translations; otherwise, words and
the translations that the model gives. Without --words, pairs are taken evenly from the
dictionary or, without one, in small themes from the frequent words the model is surest of.
"""


def add_arguments(parser: Parser) -> None:
    """Add the arguments of this command."""
    parser.epilog = EPILOG
    complete(parser.add_argument("model", metavar="MODEL", help="a translator made by rep-translate align"))
    add_output(parser, "a name in .png, .svg or .pdf", metavar="FIGURE", required=True)
    complete(parser.add_argument("--dictionary", "-d", metavar="FILE", help="join the pairs of a dictionary"))
    parser.add_argument("--words", nargs="+", metavar="WORD", help="source words to draw")
    parser.add_argument(
        "--num",
        type=positive_integer,
        default=40,
        metavar="N",
        help="pairs, where they are chosen (default: 40)",
    )
    parser.add_argument("--title", metavar="TEXT", help="a line above the figure")
    add_languages(parser)
    add_common_options(parser, threads=False)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Draw."""
    from nlprep.core.ownership import check_replaceable
    from nlprep.figures.files import FIGURE, figure_format
    from nlprep.translation.figures import draw_translations, pick_pairs
    from nlprep.translation.index.multilingual import open_translator
    from nlprep.translation.lexicon import read_lexicon

    kind = figure_format(arguments.output)
    inputs = inputs_of(arguments, "model", "dictionary")
    check_replaceable(arguments.output, FIGURE, inputs=inputs, overwrite=arguments.overwrite)
    index = open_translator(arguments.model, arguments.from_language, arguments.to_language)
    lexicon = None if arguments.dictionary is None else read_lexicon(arguments.dictionary)
    pairs = pick_pairs(index, words=arguments.words, lexicon=lexicon, num_pairs=arguments.num)
    draw_translations(index, pairs, arguments.output, title=arguments.title, overwrite=arguments.overwrite)
    if console.json_output:
        console.result({"output": arguments.output, "format": kind, "pairs": [list(pair) for pair in pairs]})
        return 0
    console.note(f"{len(pairs)} pairs of words: {arguments.output}")
    return 0
