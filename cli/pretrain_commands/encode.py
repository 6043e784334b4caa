"""``rep-pretrain encode``: texts to vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.options import (
    add_common_options,
    add_configuration,
    add_output,
    complete,
    inputs_of,
    positive_integer,
    resolve_configuration,
)
from cli.pretrain_commands.inputs import add_device, add_encoding_errors, add_model
from nlprep.core.errors import NlprepError, OptionError
from nlprep.core.ownership import check_replaceable
from nlprep.language_models.encoders.text_encoder import EncoderConfig
from nlprep.language_models.encoders.vector_arrays import (
    ENDINGS,
    VECTOR_ARRAYS,
    vector_array_ending,
    write_vector_arrays,
)

if TYPE_CHECKING:
    import argparse

    import numpy as np
    from numpy.typing import NDArray

    from cli.console import Console
    from cli.options import Parser

EPILOG = """\
examples:
  rep-pretrain encode bert sentences.txt --output vectors.npy
  rep-pretrain encode bert sentences.txt --output vectors.safetensors --pooling first --normalize
  zcat sentences.txt.gz | rep-pretrain encode bert - --output vectors.npz
  rep-pretrain encode bert --similarity "A cat sleeps." "The kitten is asleep."

One text a line, and one row of the output for each line, blank ones too. An .npz file
holds the texts beside the vectors.
"""


def add_arguments(parser: Parser) -> None:
    """Add the arguments of this command."""
    parser.epilog = EPILOG
    add_model(parser, "an encoder, or any language model")
    complete(parser.add_argument("texts", nargs="?", metavar="TEXTS", help="texts, one a line; - is standard input"))
    add_output(parser, f"where they go: {', '.join(ENDINGS)}", metavar="FILE")
    parser.add_argument("--similarity", nargs=2, metavar="TEXT", help="print the cosine of two texts instead")
    add_configuration(parser, EncoderConfig, title="encoder")
    parser.add_argument(
        "--batch-size", type=positive_integer, default=32, metavar="N", help="texts at once (default: 32)"
    )
    add_encoding_errors(parser)
    add_device(parser)
    add_common_options(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Encode."""
    from nlprep.core.threads import torch_threads
    from nlprep.language_models.encoders.text_encoder import TextEncoder

    config = resolve_configuration(EncoderConfig, arguments)
    if (arguments.texts is None) == (arguments.similarity is None):
        raise OptionError("give either texts with --output, or two texts with --similarity")
    if arguments.similarity is None:
        _check_output(arguments)
    encoder = TextEncoder.from_directory(arguments.model, config, device=arguments.device)
    texts = arguments.similarity or _texts(arguments)
    with torch_threads(arguments.threads):
        vectors = encoder.encode(texts, arguments.batch_size, progress=console.progress)
    if arguments.similarity:
        return _report_similarity(texts, vectors, console)
    write_vector_arrays(vectors, texts, arguments.output, overwrite=arguments.overwrite)
    if console.json_output:
        console.result(
            {
                "output": arguments.output,
                "texts": len(texts),
                "dimension": encoder.dimension,
                "pooling": encoder.config.pooling,
            }
        )
        return 0
    console.note(f"{len(texts):,} texts x {encoder.dimension}: {arguments.output}")
    return 0


def _check_output(arguments: argparse.Namespace) -> None:
    if arguments.output is None:
        raise OptionError("nowhere to put the vectors: name a file with --output")
    vector_array_ending(arguments.output)
    inputs = inputs_of(arguments, "model", "texts")
    check_replaceable(arguments.output, VECTOR_ARRAYS, inputs=inputs, overwrite=arguments.overwrite)


def _texts(arguments: argparse.Namespace) -> list[str]:
    from nlprep.core.files import display_name, read_lines

    texts = [line for _, line in read_lines(arguments.texts, encoding_errors=arguments.encoding_errors)]
    if not texts:
        raise NlprepError(f"{display_name(arguments.texts)}: is empty: give one text a line")
    return texts


def _report_similarity(texts: list[str], vectors: NDArray[np.float32], console: Console) -> int:
    import numpy as np

    lengths = np.linalg.norm(vectors, axis=1)
    cosine = float(vectors[0] @ vectors[1] / max(float(lengths[0] * lengths[1]), 1e-30))
    if console.json_output:
        console.result({"texts": texts, "cosine": cosine})
    else:
        console.table(("cosine",), [(cosine,)])
    return 0
