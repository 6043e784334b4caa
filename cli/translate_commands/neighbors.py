"""``rep-translate neighbors``: the words nearest to a word."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.options import add_common_options, complete, positive_integer

if TYPE_CHECKING:
    import argparse

    from cli.console import Console
    from cli.options import Parser

EPILOG = """\
examples:
  rep-translate neighbors vectors.en cat
  rep-translate neighbors vectors.vec.gz cat dog --top 5 --limit 50000 --json
"""


def add_arguments(parser: Parser) -> None:
    """Add the arguments of this command."""
    parser.epilog = EPILOG
    complete(parser.add_argument("vectors", metavar="VECTORS", help="word vectors in any format that is read"))
    parser.add_argument("words", nargs="+", metavar="WORD", help="the words")
    parser.add_argument("--top", type=positive_integer, default=10, metavar="N", help="how many (default: 10)")
    parser.add_argument("--limit", type=positive_integer, metavar="N", help="read only the first N words")
    add_common_options(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Print the neighbours."""
    from nlprep.embeddings.vector_files import read_vectors

    vectors = read_vectors(
        arguments.vectors, limit=arguments.limit, threads=arguments.threads, progress=console.progress
    )
    found = [(word, vectors.neighbors(word, top=arguments.top)) for word in arguments.words]
    if console.json_output:
        console.result(
            [
                {"word": word, "neighbors": [{"word": near, "cosine": cosine} for near, cosine in neighbors]}
                for word, neighbors in found
            ]
        )
        return 0
    rows = [(word, near, cosine) for word, neighbors in found for near, cosine in neighbors]
    console.table(("word", "neighbor", "cosine"), rows)
    return 0
