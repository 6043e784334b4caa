"""``rep-pretrain fill``: what may stand in the blanks of a text."""

from __future__ import annotations

import sys
from itertools import chain
from typing import TYPE_CHECKING

from cli.options import add_common_options, positive_integer
from cli.pretrain_commands.inputs import add_device, add_model, lines_of, load_model

if TYPE_CHECKING:
    import argparse

    from cli.console import Console
    from cli.options import Parser

EPILOG = """\
examples:
  rep-pretrain fill bert "The cat sat on the [MASK]."
  rep-pretrain fill bert "The [MASK] sat on the [MASK]." --top 3 --json
  rep-pretrain fill bert < sentences.txt > fillings.tsv

[MASK] is a blank, whatever the model's own mask token is.
"""


def add_arguments(parser: Parser) -> None:
    """Add the arguments of this command."""
    parser.epilog = EPILOG
    add_model(parser, "a masked language model")
    parser.add_argument("texts", nargs="*", metavar="TEXT", help="texts; without any, one a line from stdin")
    parser.add_argument("--top", type=positive_integer, default=5, metavar="N", help="fillings (default: 5)")
    add_device(parser)
    add_common_options(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Fill."""
    from nlprep.core.threads import torch_threads
    from nlprep.language_models.generators.filling import fill

    model, tokenizer = load_model(arguments, "masked")
    if not arguments.texts and sys.stdin.isatty():
        console.note("one text a line, with [MASK] for each blank; Ctrl-D ends")
    texts = arguments.texts or lines_of("-")
    with torch_threads(arguments.threads):
        answers = ((text, fill(model, tokenizer, text, top=arguments.top)) for text in texts)
        if console.json_output:
            found = [(text, [[vars(filling) for filling in blank] for blank in blanks]) for text, blanks in answers]
            console.result([{"text": text, "blanks": blanks} for text, blanks in found])
            return 0
        rows = (
            (text, number, filling.text.strip(), filling.probability)
            for text, blanks in answers
            for number, blank in enumerate(blanks, start=1)
            for filling in blank
        )
        # Asked for before the heading is written: it may be an error.
        first = next(rows, None)
        if first is not None:
            console.table(("text", "blank", "filling", "probability"), chain([first], rows))
    return 0
