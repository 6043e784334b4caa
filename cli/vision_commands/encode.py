"""``rep-vision encode``: images to vectors."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from cli.console import Console
from cli.options import AtLeastOne, Switch, Threads
from cli.vision_commands.inputs import OnError, open_model, read_for
from nlprep.core.errors import OptionError
from nlprep.core.wording import counted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vision.images.collection import Images

PARQUET = ".parquet"
EPILOG = """\
examples:
  rep-vision encode photos-vae photos/ --output codes.npz
  rep-vision encode photos-vae other.zip --output codes.safetensors
  rep-vision encode photos-vae photos/ --output codes.parquet
  embedding-atlas codes.parquet --vector vector --image image

An .npz file holds vectors and images, their names; .parquet has the columns name,
vector, image (a PNG and its path), label, and x and y, a plane for embedding-atlas.
"""


def encode(
    model: Path,
    data: Path,
    /,
    *,
    output: Annotated[Path, Parameter(alias="-o")],
    overwrite: Switch = False,
    features: Switch = False,
    split: str | None = None,
    on_error: OnError = "refuse",
    batch_size: AtLeastOne = 128,
    device: str | None = None,
    threads: Threads = None,
    console: Console,
) -> int:
    """Turn images into vectors.

    Args:
        model: A run of rep-vision, or its model.
        data: Images, as for train.
        output: Where the vectors go: .npy, .npz, .safetensors or .parquet.
        overwrite: Replace what nlprep wrote even if it is of another kind, or vectors in a file; never anything else.
        features: What the network makes before the code, instead of the code.
        split: Which split of the images; train where there are some.
        on_error: Whether pictures that cannot be read are refused or skipped.
        batch_size: Images at once.
        device: A name such as cpu or cuda; a GPU where there is one, if none is named.
        threads: Processor threads; all by default.
        console: Where results and remarks go.
    """
    from nlprep.core.ownership import check_replaceable
    from nlprep.core.threads import torch_threads
    from nlprep.vectors.vector_arrays import VECTOR_ARRAYS, vector_array_ending, write_vector_arrays

    inputs = console.inputs(model, data)
    if output.suffix == PARQUET:
        from vision.encoders.parquet_files import PARQUET_FILE, require_pyarrow

        require_pyarrow()
        check_replaceable(output, PARQUET_FILE, inputs=inputs, overwrite=overwrite)
    else:
        try:
            vector_array_ending(output)
        except OptionError as error:
            raise OptionError(f"{error}, or {PARQUET}") from None
        check_replaceable(output, VECTOR_ARRAYS, inputs=inputs, overwrite=overwrite)
    from vision.encoders.image_encoder import ImageEncoder

    saved = open_model(model, device)
    images = read_for(saved, data, split, on_error, console)
    encoder = ImageEncoder(saved, output="features" if features else str(saved.notes.get("output", "codes")))
    with torch_threads(threads):
        vectors = encoder.encode(images, batch_size, progress=console.progress)
    names = [images.name(place) for place in range(len(images))]
    if output.suffix == PARQUET:
        _write_parquet(vectors, images, output, overwrite=overwrite)
    else:
        write_vector_arrays(vectors, names, output, noun="images", overwrite=overwrite)
    if console.json_output:
        console.result({"output": str(output), "images": len(images), "dimension": encoder.dimension})
        return 0
    console.note(f"{counted(len(images), 'image')} x {encoder.dimension}: {output}")
    return 0


def _write_parquet(vectors: "NDArray[np.float32]", images: "Images", output: Path, *, overwrite: bool) -> None:
    from nlprep.figures.planes import principal_plane
    from vision.encoders.parquet_files import write_parquet

    plane = principal_plane(vectors)[0] if min(vectors.shape) > 1 else None
    write_parquet(vectors, images, output, plane=plane, overwrite=overwrite)
