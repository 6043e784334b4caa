"""``rep-vision traverse``: what changes in an image as its code does."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from cli.console import Console
from cli.options import AtLeastOne, Switch, Threads
from cli.vision_commands.drawing import check_figure, named_figure, said
from cli.vision_commands.inputs import OnError, open_model, read_images_of
from nlprep.core.configuration import Bounds
from nlprep.core.errors import OptionError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vision.models.files import SavedModel

_LOOKED_AT = 1000
AtLeastTwo = Annotated[int, Bounds(help="", minimum=2)]
EPILOG = """\
examples:
  rep-vision traverse vae               # vae-traversals.png
  rep-vision traverse vae --rows 10 --steps 9 --seed 4 --output numbers.png
  rep-vision traverse vae --between --rows 6

Of one image, the numbers of its code that vary most over the images go, one a row, from two
standard deviations below its own to two above; in the middle it is as it is. With --between, each
row goes straight from the code of one image to that of another. A GAN's rows start from random
numbers instead; a diffusion model's, with --between, go from the noise that it finds for one
image to another's.
"""


def traverse(
    model: Path,
    /,
    *,
    data: Path | None = None,
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    overwrite: Switch = False,
    between: Switch = False,
    rows: AtLeastOne = 8,
    steps: AtLeastTwo = 9,
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
        output: The figure, .png, .svg or .pdf; by the run's name, RUN-traversals.png, if none is named.
        overwrite: No more than without it: a figure of ours is replaced, one that was changed or is not ours never.
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
    from nlprep.figures.images import draw_image_sequences, require_drawable
    from vision.encoders.image_encoder import ImageEncoder
    from vision.images.splits import choose_places
    from vision.models.abilities import describe_lack
    from vision.models.latents import CanGenerate
    from vision.models.making import labels_of
    from vision.models.model import CanDecode

    figure = output or named_figure(model, "traversals")
    check_figure(figure, console.inputs(model, data), overwrite=overwrite)
    saved = open_model(model, device)
    draws = isinstance(saved.model, CanGenerate)
    # Before anything is made: a row is of a number of the code, or of two of the images that are looked at.
    there = (rows if draws else _LOOKED_AT // 2) if between else saved.model.dimension
    require_drawable(min(rows, there) * steps, *saved.model.shape[1:])
    if draws:
        # Images are made of random numbers, which are no codes.
        with torch_threads(threads):
            made, named = _of_latents(saved, data, split, rows, steps, seed, on_error, console, between=between)
        _say_of_fewer(rows, made, console, between=between)
        draw_image_sequences(made, figure, column_names=named, overwrite=overwrite)
        return said(console, figure, rows=list(made))
    if not isinstance(saved.model, CanDecode):
        raise OptionError(describe_lack(saved.model, "makes no images of codes", (CanDecode, CanGenerate)))
    images = read_images_of(saved, data, split, on_error, console, classes=True)
    images = images.select(choose_places(len(images), _LOOKED_AT, seed))
    if between and len(images) < 2:
        raise OptionError("--between: there is one image; give more")
    labels = labels_of(saved.model, images)
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
            spread = codes.std(0)
            for number in np.argsort(-spread, kind="stable")[:rows].tolist():
                path = np.repeat(codes[:1], steps, axis=0)
                # From the image's own number on, so that in the middle is what the model makes of the image itself.
                path[:, number] += np.linspace(-2, 2, steps) * spread[number]
                drawn[f"number {number}"] = _decoded(saved, path, None if labels is None else labels[0])
            names = [f"{away:+.2g} sd" if away else "as it is" for away in np.linspace(-2, 2, steps)]
    _say_of_fewer(rows, drawn, console, between=between)
    draw_image_sequences(drawn, figure, column_names=names, overwrite=overwrite)
    return said(console, figure, rows=list(drawn))


def _say_of_fewer(rows: int, drawn: dict[str, Any], console: Console, *, between: bool) -> None:
    """Say why there are fewer rows than were asked for."""
    if len(drawn) < rows:
        there = "pairs of images to choose from" if between else "numbers in a code"
        console.note(f"--rows {rows:,}: there are {len(drawn):,} {there}, a row for each")


def _of_latents(
    saved: "SavedModel",
    data: Path | None,
    split: str | None,
    rows: int,
    steps: int,
    seed: int,
    on_error: OnError,
    console: Console,
    *,
    between: bool,
) -> tuple[dict[str, Any], list[str]]:
    """Rows of images, and names of their columns, of a model that makes images of random numbers.

    Raises:
        OptionError: A number at a time of a model whose numbers are as many as an image's.
    """
    import numpy as np
    import torch

    from nlprep.core.randomness import seeded_torch
    from vision.images.splits import choose_places
    from vision.models.latents import CanInvert, interpolate_latents, telling_numbers, traverse_latents

    model: Any = saved.model
    device = next(model.parameters()).device
    classes = getattr(model, "num_classes", 0)
    with torch.no_grad(), seeded_torch(seed):
        drawn = model.draw_latents(2 * rows)
        labels = torch.arange(rows, device=device) % classes if classes else None
        if between:
            if isinstance(model, CanInvert):
                images = read_images_of(saved, data, split, on_error, console)
                images = images.select(choose_places(len(images), 2 * rows, seed))
                if len(images) < 2:
                    raise OptionError("--between: there is one image; give more")
                drawn = model.invert(torch.from_numpy(images.pixels).to(device)).latents
            ends = drawn[0 : len(drawn) // 2 * 2 : 2], drawn[1::2]
            made = interpolate_latents(model, *ends, steps, labels=labels)
            found = {str(row + 1): one.cpu().numpy() for row, one in enumerate(made)}
            return found, [f"{share:.0%}" for share in np.linspace(0, 1, steps)]
        if drawn.dim() > 2:
            raise OptionError("this model makes an image of as many numbers as it has itself: give --between")
        first, label = drawn[:1], None if labels is None else labels[:1]
        numbers = telling_numbers(model, first, rows, labels=label)
        values = np.linspace(-2, 2, steps).tolist()
        made = traverse_latents(model, first, numbers, values, labels=label)
    found = {f"number {number}": one.cpu().numpy() for number, one in zip(numbers, made, strict=True)}
    return found, [f"{value:+.2g}" for value in values]


def _decoded(saved: "SavedModel", codes: "NDArray[np.float32]", label: Any) -> "NDArray[np.float32]":
    import numpy as np
    import torch

    on = next(saved.model.parameters()).device
    labels = None if label is None else label.expand(len(codes))
    with torch.no_grad():
        made = saved.model.decode(torch.from_numpy(np.asarray(codes, np.float32)).to(on), labels)  # type: ignore[operator]
    return made.float().clamp(0, 1).cpu().numpy()  # type: ignore[no-any-return]
