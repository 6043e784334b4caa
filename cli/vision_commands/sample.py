"""``rep-vision sample``: new images."""

from pathlib import Path

from cli.console import Console
from cli.options import AtLeastOne, Output, Switch, Threads
from cli.vision_commands.drawing import BATCH, check_figure, said
from cli.vision_commands.inputs import open_model
from nlprep.core.errors import OptionError

EPILOG = """\
examples:
  rep-vision sample vae
  rep-vision sample conditional-vae --of cat --number 40 --output cats.png

Models that draw from what they learned can: variational and Wasserstein autoencoders,
GANs, diffusion models and others; a plain autoencoder cannot.
"""


def sample(
    model: Path,
    /,
    *,
    output: Output = Path("samples.png"),
    overwrite: Switch = False,
    number: AtLeastOne = 60,
    of: str | None = None,
    seed: AtLeastOne = 1,
    device: str | None = None,
    threads: Threads = None,
    console: Console,
) -> int:
    """Draw new images.

    Args:
        model: A run of rep-vision, or its model.
        output: The figure: .png, .svg or .pdf.
        overwrite: Replace what nlprep wrote even if it is of another kind, or vectors in a file; never anything else.
        number: How many.
        of: The class to draw, by a model that is conditioned on classes; each in turn if none is named.
        seed: Of the draws.
        device: A name such as cpu or cuda; a GPU where there is one, if none is named.
        threads: Processor threads; all by default.
        console: Where results and remarks go.
    """
    import torch

    from nlprep.core.threads import torch_threads
    from nlprep.figures.images import draw_images
    from vision.models.model import CanSample, seeded

    check_figure(output, console.inputs(model), overwrite=overwrite)
    saved = open_model(model, device)
    made_by = saved.model
    if not isinstance(made_by, CanSample):
        raise OptionError(f"{model}: a model of the kind {type(made_by).__name__} draws no images: train a vae")
    classes = getattr(made_by, "num_classes", 0)
    if of is not None and (not classes or of not in saved.classes):
        known = f"choose from {', '.join(saved.classes)}" if classes else "the model is conditioned on no classes"
        raise OptionError(f"--of {of}: {known}")
    wanted = None
    if classes:
        wanted = torch.arange(number) % classes if of is None else torch.full((number,), saved.classes.index(of))
    drawn = []
    on = next(made_by.parameters()).device
    with torch.no_grad(), torch_threads(threads), seeded(seed):
        for start in range(0, number, BATCH):
            labels = None if wanted is None else wanted[start : start + BATCH].to(on)
            drawn.append(made_by.sample(min(BATCH, number - start), labels).float().clamp(0, 1).cpu())
    draw_images(torch.cat(drawn).numpy(), output, overwrite=overwrite)
    return said(console, output, images=number, seed=seed)
