"""``rep-translate analogy``: "a is to b as c is to ...?"."""

from pathlib import Path
from typing import Literal

from cli.console import Console
from cli.options import AtLeastOne, AtLeastOneIfAny, Threads

EPILOG = """\
examples:
  rep-translate analogy vectors.en man king woman
  rep-translate analogy vectors.en france paris italy --method 3cosmul --top 3
"""


def analogy(
    vectors: Path,
    a: str,
    b: str,
    c: str,
    /,
    *,
    method: Literal["3cosadd", "3cosmul"] = "3cosadd",
    top: AtLeastOne = 10,
    limit: AtLeastOneIfAny = None,
    threads: Threads = None,
    console: Console,
) -> int:
    """Answer 'a is to b as c is to ...?'.

    Args:
        vectors: Word vectors in any format that is read.
        a: First word of a pair, such as man.
        b: Its second word, such as king.
        c: First word of another pair, such as woman; its second word is the answer.
        method: How to combine the three cosines.
        top: How many.
        limit: Read only the first so many words.
        threads: Processor threads; all by default.
        console: Where results and remarks go.
    """
    from nlprep.embeddings.vector_files import read_vectors

    known = read_vectors(vectors, limit=limit, threads=threads, progress=console.progress)
    answers = known.analogy(a, b, c, top=top, method=method)
    if console.json_output:
        listed = [{"word": word, "score": score} for word, score in answers]
        console.result({"question": [a, b, c], "method": method, "answers": listed})
        return 0
    console.table(("word", "score"), answers, title=f"{a} is to {b} as {c} is to ...")
    return 0
