"""``rep-translate analogy``: "a is to b as c is to ...?"."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.options import add_common_options, complete, positive_integer

if TYPE_CHECKING:
    import argparse

    from cli.console import Console
    from cli.options import Parser

EPILOG = """\
examples:
  rep-translate analogy vectors.en man king woman
  rep-translate analogy vectors.en france paris italy --method 3cosmul --top 3
"""


def add_arguments(parser: Parser) -> None:
    """Add the arguments of this command."""
    parser.epilog = EPILOG
    complete(parser.add_argument("vectors", metavar="VECTORS", help="word vectors in any format that is read"))
    parser.add_argument("a", metavar="A", help="A is to ...")
    parser.add_argument("b", metavar="B", help="... B as ...")
    parser.add_argument("c", metavar="C", help="... C is to the answer")
    parser.add_argument(
        "--method",
        choices=("3cosadd", "3cosmul"),
        default="3cosadd",
        help="how to combine the three cosines (default: 3cosadd)",
    )
    parser.add_argument("--top", type=positive_integer, default=10, metavar="N", help="how many (default: 10)")
    parser.add_argument("--limit", type=positive_integer, metavar="N", help="read only the first N words")
    add_common_options(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Print the answers."""
    from nlprep.embeddings.vector_files import read_vectors

    vectors = read_vectors(
        arguments.vectors, limit=arguments.limit, threads=arguments.threads, progress=console.progress
    )
    question = (arguments.a, arguments.b, arguments.c)
    answers = vectors.analogy(*question, top=arguments.top, method=arguments.method)
    if console.json_output:
        console.result(
            {
                "question": list(question),
                "method": arguments.method,
                "answers": [{"word": word, "score": score} for word, score in answers],
            }
        )
        return 0
    title = f"{arguments.a} is to {arguments.b} as {arguments.c} is to ..."
    console.table(("word", "score"), answers, title=title)
    return 0
