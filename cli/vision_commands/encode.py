"""``rep-vision encode``: images to vectors."""

from pathlib import Path
from typing import Literal

from cli.console import Console
from cli.options import AtLeastOne, Output, Switch, Threads

EPILOG = """\
examples:
  rep-vision encode photos-vae photos/ --output codes.npz
  rep-vision encode photos-vae photos/ --output codes.safetensors --features
  rep-vision encode mnist mnist.npz --split all --output codes.npy

A row for each image, in the order in which they are read; an .npz file holds their names
beside the vectors.
"""


def encode(
    run: Path,
    data: Path,
    /,
    *,
    output: Output,
    overwrite: Switch = False,
    features: Switch = False,
    on_error: Literal["refuse", "skip"] = "refuse",
    split: str | None = None,
    batch_size: AtLeastOne = 64,
    device: str | None = None,
    threads: Threads = None,
    console: Console,
) -> int:
    """Turn images into vectors.

    Args:
        run: A run of rep-vision train, or a model's directory.
        data: Images, as rep-vision train takes them.
        output: Where the vectors go: .npy, .npz or .safetensors.
        overwrite: Replace vectors in a file; never anything else.
        features: The features that the network makes before the code, instead of codes.
        on_error: What to do with a picture that cannot be read.
        split: Which of the data's splits; train, where there are some.
        batch_size: Images at once.
        device: A name such as cpu or cuda; a GPU where there is one, if none is named.
        threads: Processor threads; all by default.
        console: Where results and remarks go.
    """
    from cli.vision_commands.runs import read_for
    from nlprep.core.ownership import check_replaceable
    from nlprep.core.threads import torch_threads
    from nlprep.vectors.vector_arrays import VECTOR_ARRAYS, vector_array_ending, write_vector_arrays
    from vision.encoders.image_encoder import ImageEncoder

    vector_array_ending(output)
    check_replaceable(output, VECTOR_ARRAYS, inputs=console.inputs(run, data), overwrite=overwrite)
    encoder = ImageEncoder.from_directory(run, output="features" if features else None, device=device)
    images = read_for(encoder, data, console, split=split, skip=on_error == "skip")
    with torch_threads(threads):
        vectors = encoder.encode(images, batch_size, progress=console.progress)
    write_vector_arrays(
        vectors, [images.name(place) for place in range(len(images))], output, noun="images", overwrite=overwrite
    )
    if console.json_output:
        console.result({"output": str(output), "images": len(images), "dimension": encoder.dimension})
    else:
        console.note(f"{len(images):,} images x {encoder.dimension}: {output}")
    return 0
