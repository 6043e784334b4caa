"""``rep-vision sample``: new images."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from cli.console import Console
from cli.options import AtLeastOne, Switch, Threads
from cli.vision_commands.drawing import check_figure, named_figure, said
from cli.vision_commands.inputs import open_model
from nlprep.core.configuration import Bounds

TemperatureIfAny = Annotated[float | None, Bounds(help="", above=0)]
EPILOG = """\
examples:
  rep-vision sample vae                 # vae-samples.png
  rep-vision sample conditional-vae --of cat --number 40 --output cats.png
  rep-vision sample glow --temperature 0.9

Models that draw from what they learned can: variational and Wasserstein autoencoders,
GANs, diffusion models, flows and others; a plain autoencoder cannot.
"""


def sample(
    model: Path,
    /,
    *,
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    overwrite: Switch = False,
    number: AtLeastOne = 60,
    of: str | None = None,
    seed: AtLeastOne = 1,
    temperature: TemperatureIfAny = None,
    device: str | None = None,
    threads: Threads = None,
    console: Console,
) -> int:
    """Draw new images.

    Args:
        model: A run of rep-vision, or its model.
        output: The figure, .png, .svg or .pdf; by the run's name, RUN-samples.png, if none is named.
        overwrite: No more than without it: a figure of ours is replaced, one that was changed or is not ours never.
        number: How many.
        of: The class to draw, by a model that is conditioned on classes; each in turn if none is named.
        seed: Of the draws.
        temperature: Of a flow: what its noise is multiplied by; below 1, images are likelier and more alike.
        device: A name such as cpu or cuda; a GPU where there is one, if none is named.
        threads: Processor threads; all by default.
        console: Where results and remarks go.
    """
    from nlprep.core.threads import torch_threads
    from nlprep.figures.images import draw_images, require_drawable
    from vision.models.making import sample_images

    figure = output or named_figure(model, "samples")
    check_figure(figure, console.inputs(model), overwrite=overwrite)
    saved = open_model(model, device)
    # Before they are made, which may take hours.
    require_drawable(number, *saved.model.shape[1:])
    with torch_threads(threads):
        drawn = sample_images(
            saved, number, of=of, seed=seed, temperature=temperature, progress=console.progress
        )  # fmt: skip
    draw_images(drawn, figure, overwrite=overwrite)
    return said(console, figure, images=number, seed=seed)
