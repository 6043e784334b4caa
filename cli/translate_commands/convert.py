"""``rep-translate convert``: word vectors from one format to another."""

from pathlib import Path
from typing import Literal

from cli.console import Console
from cli.options import AtLeastOneIfAny, EncodingErrors, Switch, Threads

EPILOG = """\
examples:
  rep-translate convert cc.en.300.vec.gz vectors.en  # opens in milliseconds
  rep-translate convert glove.6B.100d.txt glove --limit 200000
  rep-translate convert vectors.en vectors.bin       # for other programs
"""


def convert(
    input: Path,  # noqa: A002 - it is called so in --help
    output: Path,
    /,
    *,
    from_format: Literal["auto", "word2vec", "word2vec-binary", "glove", "fasttext", "artifact"] = "auto",
    to_format: Literal["word2vec", "word2vec-binary", "artifact"] | None = None,
    limit: AtLeastOneIfAny = None,
    skip_bad_lines: Switch = False,
    encoding_errors: EncodingErrors = "strict",
    overwrite: Switch = False,
    threads: Threads = None,
    console: Console,
) -> int:
    """Change the format of word vectors.

    Args:
        input: Word vectors.
        output: Where they go; .vec, .txt and .bin give the format.
        from_format: Format of INPUT; auto goes by its content.
        to_format: Format of OUTPUT; by its name if none is given.
        limit: Only the first so many words.
        skip_bad_lines: Leave out lines that cannot be read.
        encoding_errors: What to do with bytes that are not UTF-8; strict is an error.
        overwrite: Replace what nlprep wrote even if it is of another kind, or vectors in a file; never anything else.
        threads: Processor threads; all by default.
        console: Where results and remarks go.
    """
    from nlprep.embeddings.vector_files import check_vectors_output, format_of_name, read_vectors, write_vectors

    kind = to_format or format_of_name(output)
    check_vectors_output(output, kind, inputs=console.inputs(input), overwrite=overwrite)
    vectors = read_vectors(
        input,
        format=from_format,
        limit=limit,
        skip_bad_lines=skip_bad_lines,
        encoding_errors=encoding_errors,
        threads=threads,
        progress=console.progress,
    )
    write_vectors(vectors, output, format=kind, threads=threads, overwrite=overwrite, progress=console.progress)
    if console.json_output:
        told = {"output": str(output), "format": kind, "words": len(vectors), "dimension": vectors.dimension}
        console.result(told)
        return 0
    console.note(f"{len(vectors):,} words x {vectors.dimension}: {output} ({kind})")
    return 0
