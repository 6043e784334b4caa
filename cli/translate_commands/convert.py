"""``rep-translate convert``: word vectors from one format to another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cli.options import add_common_options, add_overwrite, complete, inputs_of, positive_integer
from cli.translate_commands.train import output_format

if TYPE_CHECKING:
    import argparse

    from cli.console import Console
    from cli.options import Parser
    from nlprep.embeddings.vector_files import WriteFormat

READ_FORMATS = ("auto", "word2vec", "word2vec-binary", "glove", "fasttext", "artifact")
WRITTEN_FORMATS = ("word2vec", "word2vec-binary", "artifact")

EPILOG = """\
examples:
  rep-translate convert cc.en.300.vec.gz vectors.en        # a directory that opens in milliseconds
  rep-translate convert glove.6B.100d.txt glove --limit 200000
  rep-translate convert vectors.en vectors.bin             # for other programs
"""


def add_arguments(parser: Parser) -> None:
    """Add the arguments of this command."""
    parser.epilog = EPILOG
    complete(parser.add_argument("input", metavar="INPUT", help="word vectors"))
    complete(parser.add_argument("output", metavar="OUTPUT", help="where they go; .vec, .txt and .bin give the format"))
    add_overwrite(parser)
    parser.add_argument(
        "--from-format",
        choices=READ_FORMATS,
        default="auto",
        help="format of INPUT (default: auto, by content)",
    )
    parser.add_argument("--to-format", choices=WRITTEN_FORMATS, help="format of OUTPUT (default: by its name)")
    parser.add_argument("--limit", type=positive_integer, metavar="N", help="only the first N words")
    parser.add_argument("--skip-bad-lines", action="store_true", help="leave out lines that cannot be read")
    parser.add_argument(
        "--encoding-errors",
        choices=("strict", "replace", "ignore", "skip-line"),
        default="strict",
        help="what to do with bytes that are not UTF-8 (default: strict, an error)",
    )
    add_common_options(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Read and write."""
    from nlprep.embeddings.vector_files import check_vectors_output, read_vectors, write_vectors

    kind: WriteFormat = arguments.to_format or output_format(Path(arguments.output))
    check_vectors_output(arguments.output, kind, inputs=inputs_of(arguments, "input"), overwrite=arguments.overwrite)
    vectors = read_vectors(
        arguments.input,
        format=arguments.from_format,
        limit=arguments.limit,
        skip_bad_lines=arguments.skip_bad_lines,
        encoding_errors=arguments.encoding_errors,
        threads=arguments.threads,
        progress=console.progress,
    )
    write_vectors(
        vectors,
        arguments.output,
        format=kind,
        threads=arguments.threads,
        overwrite=arguments.overwrite,
        progress=console.progress,
    )
    if console.json_output:
        console.result(
            {
                "output": arguments.output,
                "format": kind,
                "words": len(vectors),
                "dimension": vectors.dimension,
            }
        )
        return 0
    console.note(f"{len(vectors):,} words x {vectors.dimension}: {arguments.output} ({kind})")
    return 0
