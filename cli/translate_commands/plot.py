"""``rep-translate plot``: both languages' words in one plane."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from cli.console import Console
from cli.options import AtLeastOne, Output, Switch
from cli.translate_commands.languages import FromLanguage, ToLanguage

EPILOG = """\
examples:
  rep-translate plot en-fr --output figure.png
  rep-translate plot en-fr --dictionary en-fr.5000-6500.txt --output figure.pdf
  rep-translate plot en-fr --words one two red green dog cat --output figure.svg

With --dictionary, lines join words and their listed translations; otherwise, words and
the translations that the model gives. Without --words, pairs are taken evenly from the
dictionary or, without one, in small themes from the frequent words the model is surest of.
"""


def plot(
    model: Path,
    /,
    *,
    output: Output,
    overwrite: Switch = False,
    dictionary: Annotated[Path | None, Parameter(alias="-d")] = None,
    words: Annotated[list[str] | None, Parameter(consume_multiple=1)] = None,
    num: AtLeastOne = 40,
    title: str | None = None,
    from_language: FromLanguage = None,
    to_language: ToLanguage = None,
    console: Console,
) -> int:
    """Draw words of both languages in one plane.

    Args:
        model: A translator made by rep-translate align.
        output: The figure: a name in .png, .svg or .pdf.
        overwrite: No more than without it: a figure of ours is replaced, one that was changed or is not ours never.
        dictionary: Join the pairs of a dictionary.
        words: Source words to draw.
        num: Pairs, where they are chosen.
        title: A line above the figure.
        from_language: Language of the words.
        to_language: Language of the translations.
        console: Where results and remarks go.
    """
    from nlprep.core.ownership import check_replaceable
    from nlprep.figures.files import FIGURE, figure_format
    from nlprep.translation.figures import draw_translations, pick_pairs
    from nlprep.translation.index.multilingual import open_translator
    from nlprep.translation.lexicon import read_lexicon

    kind = figure_format(output)
    check_replaceable(output, FIGURE, inputs=console.inputs(model, dictionary), overwrite=overwrite)
    index = open_translator(model, from_language, to_language)
    lexicon = None if dictionary is None else read_lexicon(dictionary)
    pairs = pick_pairs(index, words=words, lexicon=lexicon, num_pairs=num)
    draw_translations(index, pairs, output, title=title, overwrite=overwrite)
    if console.json_output:
        console.result({"output": str(output), "format": kind, "pairs": [list(pair) for pair in pairs]})
        return 0
    console.note(f"{len(pairs)} pairs of words: {output}")
    return 0
