"""``rep-vision traverse``: what changes in an image as its code does."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.console import Console
from cli.options import AtLeastOne, Output, Switch, Threads
from cli.vision_commands.drawing import check_figure, said
from cli.vision_commands.inputs import OnError, labels_of, open_model, read_for, source_of, spread_places
from nlprep.core.errors import OptionError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vision.models.files import SavedModel

EPILOG = """\
examples:
  rep-vision traverse vae
  rep-vision traverse vae --rows 10 --steps 9 --seed 4 --output numbers.png
  rep-vision traverse vae --between --rows 6

Of one image, the numbers of its code that vary most over the images go, one a row, from two
standard deviations below their mean to two above. With --between, each row goes straight from
the code of one image to that of another.
"""


def traverse(
    model: Path,
    /,
    *,
    data: Path | None = None,
    output: Output = Path("traversals.png"),
    overwrite: Switch = False,
    between: Switch = False,
    rows: AtLeastOne = 8,
    steps: AtLeastOne = 9,
    seed: AtLeastOne = 1,
    split: str | None = None,
    on_error: OnError = "refuse",
    device: str | None = None,
    threads: Threads = None,
    console: Console,
) -> int:
    """Move through codes, one number at a time or between images.

    Args:
        model: A run of rep-vision, or its model.
        data: Images to start from, as for train; those of the run if none are named.
        output: The figure: .png, .svg or .pdf.
        overwrite: Replace what nlprep wrote even if it is of another kind, or vectors in a file; never anything else.
        between: From image to image, instead of number by number.
        rows: How many numbers, or pairs of images.
        steps: Images in a row.
        seed: Of the choice of images.
        split: Which split of the images; train where there are some.
        on_error: Whether pictures that cannot be read are refused or skipped.
        device: A name such as cpu or cuda; a GPU where there is one, if none is named.
        threads: Processor threads; all by default.
        console: Where results and remarks go.
    """
    import numpy as np

    from nlprep.core.threads import torch_threads
    from nlprep.figures.images import draw_image_sequences
    from vision.encoders.image_encoder import ImageEncoder
    from vision.models.model import CanDecode

    check_figure(output, console.inputs(model, data), overwrite=overwrite)
    saved = open_model(model, device)
    if not isinstance(saved.model, CanDecode):
        raise OptionError(f"{model}: a model of the kind {type(saved.model).__name__} makes no images of codes")
    place, split = source_of(saved, data, split)
    images = read_for(saved, place, split, on_error, console)
    images = images.select(spread_places(len(images), 1000, seed))
    if between and len(images) < 2:
        raise OptionError("--between: there is one image; give more")
    labels = labels_of(saved, images)
    with torch_threads(threads):
        codes = ImageEncoder(saved).encode(images, progress=console.progress)
        drawn: dict[str, Any] = {}
        if between:
            for row in range(min(rows, len(images) // 2)):
                ends = codes[2 * row], codes[2 * row + 1]
                path = np.stack([ends[0] + share * (ends[1] - ends[0]) for share in np.linspace(0, 1, steps)])
                drawn[str(row + 1)] = _decoded(saved, path, None if labels is None else labels[2 * row])
            names: list[str] = [f"{share:.0%}" for share in np.linspace(0, 1, steps)]
        else:
            spread, mean = codes.std(0), codes.mean(0)
            for number in np.argsort(-spread, kind="stable")[:rows].tolist():
                path = np.repeat(codes[:1], steps, axis=0)
                path[:, number] = mean[number] + np.linspace(-2, 2, steps) * spread[number]
                drawn[f"number {number}"] = _decoded(saved, path, None if labels is None else labels[0])
            names = [f"{away:+.2g} sd" for away in np.linspace(-2, 2, steps)]
    draw_image_sequences(drawn, output, column_names=names, overwrite=overwrite)
    return said(console, output, rows=list(drawn))


def _decoded(saved: "SavedModel", codes: "NDArray[np.float32]", label: Any) -> "NDArray[np.float32]":
    import torch

    on = next(saved.model.parameters()).device
    labels = None if label is None else label.expand(len(codes))
    with torch.no_grad():
        made = saved.model.decode(torch.from_numpy(codes).to(on), labels)  # type: ignore[operator]
    return made.float().clamp(0, 1).cpu().numpy()  # type: ignore[no-any-return]
