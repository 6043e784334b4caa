"""What the commands of ``rep-vision`` that draw have in common: a figure's place, and what models make, in batches."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from cli.console import Console
from nlprep.core.errors import OptionError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vision.images.collection import Images
    from vision.models.files import SavedModel

BATCH = 128


def check_figure(path: Path, inputs: Iterable[Path], *, overwrite: bool) -> None:
    """Fail before the work if a figure could not be written."""
    from nlprep.core.ownership import check_replaceable
    from nlprep.figures.files import FIGURE, figure_format

    figure_format(path)
    check_replaceable(path, FIGURE, inputs=inputs, overwrite=overwrite)


def spread_places(count: int, number: int, seed: int) -> "NDArray[np.int64]":
    """Places of some of many, as a function of the seed, in order."""
    import numpy as np

    from nlprep.core.randomness import combine, uniforms

    draws = uniforms(combine(seed, np.arange(count)), 1, purpose=71)[:, 0]
    return np.sort(np.argsort(draws, kind="stable")[:number])


def reconstructed(saved: "SavedModel", images: "Images") -> "NDArray[np.float32]":
    """What a model makes of images, (n, channels, height, width) in [0, 1].

    Raises:
        OptionError: It makes nothing of images.
        NlprepError: Labels that it needs are missing.
    """
    import numpy as np
    import torch

    from cli.vision_commands.inputs import labels_of
    from vision.models.model import CanReconstruct, seeded

    model = saved.model
    if not isinstance(model, CanReconstruct):
        raise OptionError(f"a model of the kind {type(model).__name__} does not give images back")
    labels = labels_of(saved, images)
    device = next(model.parameters()).device
    made = []
    with torch.no_grad():
        for start in range(0, len(images), BATCH):
            rows = slice(start, start + BATCH)
            pixels = torch.from_numpy(np.ascontiguousarray(images.pixels[rows])).to(device)
            with seeded(1 + start):
                given = model.reconstruct(pixels, None if labels is None else labels[rows])
            made.append(given.float().clamp(0, 1).cpu().numpy())
    return np.concatenate(made)


def said(console: Console, figure: Path, **told: object) -> int:
    """Say what a command drew."""
    if console.json_output:
        console.result({"figure": str(figure), **told})
    else:
        for name, value in told.items():
            console.note(f"{name.replace('_', ' ')}: {value}")
        console.note(f"figure: {figure}")
    return 0
