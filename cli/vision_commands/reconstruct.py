"""``rep-vision reconstruct``: images beside what a model makes of them."""

from pathlib import Path

from cli.console import Console
from cli.options import AtLeastOne, Output, Switch, Threads
from nlprep.core.errors import OptionError

EPILOG = """\
examples:
  rep-vision reconstruct mnist-vae mnist-test.npz --output reconstructions.png
  rep-vision reconstruct faces photos/ --output faces.png --number 20
"""


def reconstruct(
    run: Path,
    data: Path,
    /,
    *,
    output: Output,
    overwrite: Switch = False,
    number: AtLeastOne = 30,
    split: str | None = None,
    device: str | None = None,
    threads: Threads = None,
    console: Console,
) -> int:
    """Draw images beside what the model makes of them.

    Args:
        run: A run of rep-vision train, or a model's directory.
        data: Images, as rep-vision train takes them.
        output: The figure: .png, .svg or .pdf.
        overwrite: Replace a figure of ours; never anything else.
        number: How many images, the first ones.
        split: Which of the data's splits; train, where there are some.
        device: A name such as cpu or cuda; a GPU where there is one, if none is named.
        threads: Processor threads; all by default.
        console: Where results and remarks go.
    """
    import torch

    from cli.vision_commands.runs import open_encoder, read_for
    from nlprep.core.ownership import check_replaceable
    from nlprep.core.threads import torch_threads
    from nlprep.figures.files import FIGURE, figure_format
    from nlprep.figures.images import draw_reconstructions
    from vision.models.model import CanReconstruct

    figure_format(output)
    check_replaceable(output, FIGURE, inputs=console.inputs(run, data), overwrite=overwrite)
    encoder = open_encoder(run, device)
    model = encoder.saved.model
    if not isinstance(model, CanReconstruct):
        raise OptionError(f"{run}: this kind of model gives no image back; an autoencoder or a vae does")
    images = read_for(encoder, data, console, split=split)
    shown = torch.tensor(images.pixels[:number], device=encoder.device)
    labels = None
    if getattr(model, "num_classes", 0):
        if images.labels is None:
            raise OptionError(f"{data}: has no classes, which this model is conditioned on")
        labels = torch.tensor(images.labels[:number], device=encoder.device)
    with torch_threads(threads), torch.inference_mode():
        made = model.reconstruct(shown, labels)
    error = float((made - shown.float() / 255).square().flatten(1).sum(1).mean())
    draw_reconstructions(shown, {"reconstructed": made}, output, overwrite=overwrite)
    if console.json_output:
        console.result({"output": str(output), "images": len(shown), "squared_error": error})
    else:
        console.note(f"{len(shown)} images, squared error {error:.4g} an image: {output}")
    return 0
