"""``rep-translate neighbors``: the words nearest to a word."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from cli.console import Console
from cli.options import AtLeastOne, AtLeastOneIfAny, Threads

EPILOG = """\
examples:
  rep-translate neighbors vectors.en cat
  rep-translate neighbors vectors.vec.gz cat dog --top 5 --limit 50000 --json
"""


def neighbors(
    vectors: Path,
    /,
    *words: Annotated[str, Parameter(required=True)],
    top: AtLeastOne = 10,
    limit: AtLeastOneIfAny = None,
    threads: Threads = None,
    console: Console,
) -> int:
    """List the words nearest to a word.

    Args:
        vectors: Word vectors in any format that is read.
        words: The words.
        top: How many.
        limit: Read only the first so many words.
        threads: Processor threads; all by default.
        console: Where results and remarks go.
    """
    from nlprep.embeddings.vector_files import read_vectors

    known = read_vectors(vectors, limit=limit, threads=threads, progress=console.progress)
    found = [(word, known.neighbors(word, top=top)) for word in words]
    if console.json_output:
        console.result(
            [
                {"word": word, "neighbors": [{"word": near, "cosine": cosine} for near, cosine in nearest]}
                for word, nearest in found
            ]
        )
        return 0
    rows = [(word, near, cosine) for word, nearest in found for near, cosine in nearest]
    console.table(("word", "neighbor", "cosine"), rows)
    return 0
