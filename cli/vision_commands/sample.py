"""``rep-vision sample``: new images from a model that draws them."""

from pathlib import Path

from cli.console import Console
from cli.options import AtLeastOne, Output, Switch, Threads
from nlprep.core.errors import OptionError

EPILOG = """\
examples:
  rep-vision sample mnist-vae --output samples.png
  rep-vision sample faces --output samples.png --number 64 --seed 7
  rep-vision sample digits-conditional-vae --output threes.png --label 3
"""


def sample(
    run: Path,
    /,
    *,
    output: Output,
    overwrite: Switch = False,
    number: AtLeastOne = 40,
    label: str | None = None,
    seed: int = 1,
    device: str | None = None,
    threads: Threads = None,
    console: Console,
) -> int:
    """Draw new images.

    Args:
        run: A run of rep-vision train, or a model's directory.
        output: The figure: .png, .svg or .pdf.
        overwrite: Replace a figure of ours; never anything else.
        number: How many.
        label: For a conditional model, the class that all are to be of; in turn, if none is named.
        seed: Of what is drawn.
        device: A name such as cpu or cuda; a GPU where there is one, if none is named.
        threads: Processor threads; all by default.
        console: Where results and remarks go.
    """
    import torch

    from cli.vision_commands.runs import open_encoder
    from nlprep.core.ownership import check_replaceable
    from nlprep.core.threads import torch_threads
    from nlprep.figures.files import FIGURE, figure_format
    from nlprep.figures.images import draw_images
    from vision.models.model import CanSample

    figure_format(output)
    check_replaceable(output, FIGURE, inputs=console.inputs(run), overwrite=overwrite)
    encoder = open_encoder(run, device)
    model, classes = encoder.saved.model, encoder.saved.classes
    if not isinstance(model, CanSample):
        raise OptionError(f"{run}: this kind of model draws no new images; a vae does")
    conditional = getattr(model, "num_classes", 0) > 0
    if label is not None and not conditional:
        raise OptionError("--label is for conditional models: leave it out")
    if label is not None and label not in classes:
        raise OptionError(f"--label {label}: choose from {', '.join(classes)}")
    labels = None
    if conditional:
        places = [classes.index(label)] * number if label is not None else [n % len(classes) for n in range(number)]
        labels = torch.tensor(places, device=encoder.device)
    with torch_threads(threads), torch.inference_mode():
        torch.manual_seed(seed)
        drawn = model.sample(number, labels)
    draw_images(drawn, output, overwrite=overwrite)
    if console.json_output:
        console.result({"output": str(output), "images": number})
    else:
        console.note(f"{number} images: {output}")
    return 0
