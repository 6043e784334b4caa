"""``rep-pretrain encode``: texts to vectors."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from cli.console import Console
from cli.options import AtLeastOne, EncodingErrors, Options, Switch, Threads
from nlprep.core.errors import NlprepError, OptionError
from nlprep.language_models.encoders.configuration import EncoderConfig

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

EPILOG = """\
examples:
  rep-pretrain encode bert sentences.txt --output vectors.npy
  rep-pretrain encode bert lines.txt --output vectors.safetensors --normalize
  zcat sentences.txt.gz | rep-pretrain encode bert - --output vectors.npz
  rep-pretrain encode bert --similarity "A cat sleeps." "The kitten is asleep."

One text a line, and one row of the output for each line, blank ones too. An .npz file
holds the texts beside the vectors.
"""


def encode(
    model: Path,
    texts: Path | None = None,
    /,
    *,
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    overwrite: Switch = False,
    similarity: tuple[str, str] | None = None,
    encoder: Annotated[EncoderConfig, Options(title="encoder")],
    batch_size: AtLeastOne = 32,
    encoding_errors: EncodingErrors = "strict",
    device: str | None = None,
    threads: Threads = None,
    console: Console,
) -> int:
    """Turn texts into vectors.

    Args:
        model: An encoder, or any language model: a run of rep-pretrain, or a transformers directory.
        texts: Texts, one a line; - is standard input.
        output: Where the vectors go: .npy, .npz or .safetensors.
        overwrite: Replace what nlprep wrote even if it is of another kind, or vectors in a file; never anything else.
        similarity: Print the cosine of two texts instead.
        encoder: How vectors are made.
        batch_size: Texts at once.
        encoding_errors: What to do with bytes that are not UTF-8; strict is an error.
        device: A name such as cpu or cuda; a GPU where there is one, if none is named.
        threads: Processor threads; all by default.
        console: Where results and remarks go.
    """
    from nlprep.core.ownership import check_replaceable
    from nlprep.core.threads import torch_threads
    from nlprep.language_models.encoders.text_encoder import TextEncoder
    from nlprep.vectors.vector_arrays import VECTOR_ARRAYS, vector_array_ending, write_vector_arrays

    if similarity is not None and texts is None:
        read, place = list(similarity), None
    elif texts is not None and similarity is None:
        if output is None:
            raise OptionError("nowhere to put the vectors: name a file with --output")
        vector_array_ending(output)
        check_replaceable(output, VECTOR_ARRAYS, inputs=console.inputs(model, texts), overwrite=overwrite)
        place = output
        read = _read(texts, encoding_errors)
    else:
        raise OptionError("give either texts with --output, or two texts with --similarity")
    made = TextEncoder.from_directory(model, encoder, device=device)
    with torch_threads(threads):
        vectors = made.encode(read, batch_size, progress=console.progress)
    if place is None:
        return _report_similarity(read, vectors, console)
    write_vector_arrays(vectors, read, place, overwrite=overwrite)
    if console.json_output:
        told = {"texts": len(read), "dimension": made.dimension, "pooling": made.config.pooling}
        console.result({"output": str(output), **told})
        return 0
    console.note(f"{len(read):,} texts x {made.dimension}: {output}")
    return 0


def _read(texts: Path, encoding_errors: EncodingErrors) -> list[str]:
    from nlprep.core.files import display_name, read_lines

    read = [line for _, line in read_lines(texts, encoding_errors=encoding_errors)]
    if not read:
        raise NlprepError(f"{display_name(texts)}: is empty: give one text a line")
    return read


def _report_similarity(texts: list[str], vectors: "NDArray[np.float32]", console: Console) -> int:
    import numpy as np

    lengths = np.linalg.norm(vectors, axis=1)
    cosine = float(vectors[0] @ vectors[1] / max(float(lengths[0] * lengths[1]), 1e-30))
    if console.json_output:
        console.result({"texts": texts, "cosine": cosine})
    else:
        console.table(("cosine",), [(cosine,)])
    return 0
