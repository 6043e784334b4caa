"""``rep-vision traverse``: what each number of a code changes."""

from pathlib import Path

from cli.console import Console
from cli.options import AtLeastOne, Output, Switch, Threads
from nlprep.core.errors import OptionError

EPILOG = """\
examples:
  rep-vision traverse mnist-vae mnist-test.npz --output traversals.png
  rep-vision traverse faces photos/ --output faces.png --image 12 --rows 6

A row for each number of the code, those that vary most over the images first: the number goes
from low to high (three standard deviations around its mean), the others stay the image's.
"""


def traverse(
    run: Path,
    data: Path,
    /,
    *,
    output: Output,
    overwrite: Switch = False,
    image: int = 0,
    rows: AtLeastOne = 8,
    steps: AtLeastOne = 9,
    split: str | None = None,
    device: str | None = None,
    threads: Threads = None,
    console: Console,
) -> int:
    """Draw what each number of a code changes.

    Args:
        run: A run of rep-vision train, or a model's directory.
        data: Images, as rep-vision train takes them.
        output: The figure: .png, .svg or .pdf.
        overwrite: Replace a figure of ours; never anything else.
        image: Whose code is changed, by its place from 0.
        rows: How many numbers.
        steps: How many values of each.
        split: Which of the data's splits; train, where there are some.
        device: A name such as cpu or cuda; a GPU where there is one, if none is named.
        threads: Processor threads; all by default.
        console: Where results and remarks go.
    """
    import numpy as np
    import torch

    from cli.vision_commands.runs import open_encoder, read_for
    from nlprep.core.ownership import check_replaceable
    from nlprep.core.threads import torch_threads
    from nlprep.figures.files import FIGURE, figure_format
    from nlprep.figures.images import draw_image_sequences
    from vision.models.model import CanDecode

    figure_format(output)
    check_replaceable(output, FIGURE, inputs=console.inputs(run, data), overwrite=overwrite)
    encoder = open_encoder(run, device)
    model = encoder.saved.model
    if not isinstance(model, CanDecode):
        raise OptionError(f"{run}: this kind of model makes no image of a code; a vae does")
    images = read_for(encoder, data, console, split=split)
    if not 0 <= image < len(images):
        raise OptionError(f"--image {image}: choose from 0 to {len(images) - 1}")
    labels = None
    if getattr(model, "num_classes", 0):
        if images.labels is None:
            raise OptionError(f"{data}: has no classes, which this model is conditioned on")
        labels = torch.full((steps,), int(images.labels[image]), device=encoder.device)
    with torch_threads(threads), torch.inference_mode():
        codes = encoder.encode(images, 256, progress=console.progress)
        means, spreads = codes.mean(0), codes.std(0)
        drawn = {}
        for place in np.argsort(-spreads, kind="stable")[:rows].tolist():
            changed = np.repeat(codes[image : image + 1], steps, axis=0)
            changed[:, place] = means[place] + spreads[place] * np.linspace(-3, 3, steps, dtype=np.float32)
            drawn[f"number {place}"] = model.decode(torch.from_numpy(changed).to(encoder.device), labels).cpu()
    draw_image_sequences(drawn, output, overwrite=overwrite)
    if console.json_output:
        console.result({"output": str(output), "numbers": [int(name.split()[1]) for name in drawn]})
    else:
        console.note(f"{len(drawn)} numbers of {codes.shape[1]}: {output}")
    return 0
