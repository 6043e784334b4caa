"""``rep-pretrain fill``: what may stand in the blanks of a text."""

import sys
from itertools import chain
from pathlib import Path

from cli.console import Console
from cli.options import AtLeastOne, Threads
from cli.pretrain_commands.inputs import load_model
from cli.standard_input import read_standard_input

EPILOG = """\
examples:
  rep-pretrain fill bert "The cat sat on the [MASK]."
  rep-pretrain fill bert "The [MASK] sat on the [MASK]." --top 3 --json
  rep-pretrain fill bert < sentences.txt > fillings.tsv

[MASK] is a blank, whatever the model's own mask token is.
"""


def fill(
    model: Path,
    /,
    *texts: str,
    top: AtLeastOne = 5,
    device: str | None = None,
    threads: Threads = None,
    console: Console,
) -> int:
    """Fill in masked words.

    Args:
        model: A masked language model: a run of rep-pretrain, or a transformers directory.
        texts: Texts; without any, one a line from standard input.
        top: Fillings.
        device: A name such as cpu or cuda; a GPU where there is one, if none is named.
        threads: Processor threads; all by default.
        console: Where results and remarks go.
    """
    from nlprep.core.threads import torch_threads
    from nlprep.language_models.generators import filling

    loaded = load_model(model, "masked", device)
    if not texts and sys.stdin.isatty():
        console.note("one text a line, with [MASK] for each blank; Ctrl-D ends")
    with torch_threads(threads):
        answers = ((text, filling.fill(*loaded, text, top=top)) for text in texts or read_standard_input())
        if console.json_output:
            found = [(text, [[vars(one) for one in blank] for blank in blanks]) for text, blanks in answers]
            console.result([{"text": text, "blanks": blanks} for text, blanks in found])
            return 0
        rows = (
            (text, number, one.text.strip(), one.probability)
            for text, blanks in answers
            for number, blank in enumerate(blanks, start=1)
            for one in blank
        )
        # Asked for before the heading is written: it may be an error.
        first = next(rows, None)
        if first is not None:
            console.table(("text", "blank", "filling", "probability"), chain([first], rows))
    return 0
