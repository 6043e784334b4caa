"""``rep-vision reconstruct``: images over what a model makes of them."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from cli.console import Console
from cli.options import AtLeastOne, Switch, Threads
from cli.vision_commands.drawing import check_figure, named_figure, said
from cli.vision_commands.inputs import OnError, open_model, read_images_of

EPILOG = """\
examples:
  rep-vision reconstruct photos-vae     # photos-vae-reconstructions.png
  rep-vision reconstruct photos-vae --data others/ --output others.png

Without --data the images are those that the model was trained on.
"""


def reconstruct(
    model: Path,
    /,
    *,
    data: Path | None = None,
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    overwrite: Switch = False,
    number: AtLeastOne = 20,
    seed: AtLeastOne = 1,
    split: str | None = None,
    on_error: OnError = "refuse",
    device: str | None = None,
    threads: Threads = None,
    console: Console,
) -> int:
    """Show what a model makes of images.

    Args:
        model: A run of rep-vision, or its model.
        data: Images, as for train.
        output: The figure, .png, .svg or .pdf; by the run's name, RUN-reconstructions.png, if none is named.
        overwrite: No more than without it: a figure of ours is replaced, one that was changed or is not ours never.
        number: Images to show.
        seed: Of their choice.
        split: Which split of the images; train where there are some.
        on_error: Whether pictures that cannot be read are refused or skipped.
        device: A name such as cpu or cuda; a GPU where there is one, if none is named.
        threads: Processor threads; all by default.
        console: Where results and remarks go.
    """
    from nlprep.core.threads import torch_threads
    from nlprep.figures.images import draw_reconstructions, require_drawable
    from vision.images.splits import choose_places
    from vision.models.making import reconstruct_images

    figure = output or named_figure(model, "reconstructions")
    check_figure(figure, console.inputs(model, data), overwrite=overwrite)
    saved = open_model(model, device)
    images = read_images_of(saved, data, split, on_error, console, classes=True)
    require_drawable(2 * min(number, len(images)), *images.shape[1:])
    shown = images.select(choose_places(len(images), number, seed))
    with torch_threads(threads):
        made = reconstruct_images(saved, shown)
    draw_reconstructions(shown.pixels, {"reconstructions": made}, figure, overwrite=overwrite)
    error = float(((made - shown.pixels / 255.0) ** 2).mean())
    # An error of what is mostly given says little of the rest.
    known = {"told": f"{saved.model.told}, which is in the error as right"} if saved.model.told else {}
    return said(console, figure, images=len(shown), mean_squared_error=round(error, 6), **known)
