"""``rep-vision probe``: what encoders know, by how few labels a classifier on them needs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from cli.console import Console
from cli.options import AtLeastOne, Given, Options, Switch, Threads
from cli.vision_commands.inputs import OnError, skipping_named
from nlprep.core.configuration import to_mapping
from nlprep.core.errors import OptionError
from nlprep.evaluation.configuration import ProbeConfig

if TYPE_CHECKING:
    from vision.images.collection import Images
    from vision.images.configuration import PreprocessingConfig

EPILOG = """\
examples:
  rep-vision probe photos-vae --data photos/
  rep-vision probe vae autoencoder --data digits/ --labels 1/class,10/class,100%
  rep-vision probe vae --train train.npz --test test.npz --plot probe.png
  rep-vision probe photos-vae pretrained-vit --data photos/

The images need classes. With --data, a fifth is set aside to measure on, unless they have a
split test. Each model sees them in its own size, pretrained models of the transformers library
too; they are compared with raw pixels, and the first with itself before training.
"""


def probe(
    *models: Annotated[Path, Parameter(required=True)],
    data: Path | None = None,
    train: Path | None = None,
    test: Path | None = None,
    plot: Path | None = None,
    overwrite: Switch = False,
    baselines: bool = True,
    choices: Annotated[Given[ProbeConfig], Options(title="probe", shown={"labels": "by how many there are"})],
    on_error: OnError = "refuse",
    batch_size: AtLeastOne = 128,
    device: str | None = None,
    threads: Threads = None,
    console: Console,
) -> int:
    """Measure encoders by how few labels they need.

    Args:
        models: Runs of rep-vision, their models, or pretrained models of the transformers library.
        data: Images with classes, as for train.
        train: Images with classes to learn from, instead of data.
        test: Images with classes to measure on, with train.
        plot: Draw accuracy by number of labels: .png, .svg, .pdf.
        overwrite: No more than without it: a figure of ours is replaced, one that was changed or is not ours never.
        baselines: Compare with raw pixels and with the first model's random weights.
        choices: How many labels, and how often.
        on_error: Whether pictures that cannot be read are refused or skipped.
        batch_size: Images at once.
        device: A name such as cpu or cuda; a GPU where there is one, if none is named.
        threads: Processor threads; all by default.
        console: Where results and remarks go.
    """
    from cli.vision_commands.drawing import check_figure
    from nlprep.core.threads import torch_threads
    from vision.encoders.probing import probe_images

    if plot is not None:
        check_figure(plot, console.inputs(models, data, train, test), overwrite=overwrite)
    if (data is None) == (train is None) or (train is None) != (test is None):
        raise OptionError("give images with --data, or with --train and --test")

    def read(wanted: "PreprocessingConfig") -> "tuple[Images, Images]":
        return _read(data, train, test, wanted, on_error, console)

    config = choices.resolve()
    with torch_threads(threads):
        result = probe_images(
            {str(path): path for path in models}, read, config, fit_labels="--labels" not in choices.flags,
            baselines=baselines, batch_size=batch_size, device=device, progress=console.progress,
        )  # fmt: skip
    if plot is not None:
        from nlprep.figures.curves import draw_probe_curves

        draw_probe_curves(result.curves, plot, majority=result.majority, overwrite=overwrite)
    if console.json_output:
        told = {"settings": to_mapping(config), "plot": None if plot is None else str(plot)}
        console.result(result.to_dict() | told)
        return 0
    rows = [
        (curve.name, point.num_labels, f"{point.accuracy:.1%}", f"{point.spread:.1%}", len(point.accuracies))
        for curve in result.curves
        for point in curve.points
    ]
    console.table(("features", "labels", "accuracy", "spread", "choices of labels"), rows)
    console.note(f"the most frequent label alone: {result.majority:.1%}; {result.num_test:,} test images")
    if plot is not None:
        console.note(f"figure: {plot}")
    return 0


def _read(
    data: Path | None,
    train: Path | None,
    test: Path | None,
    preprocessing: "PreprocessingConfig",
    on_error: OnError,
    console: Console,
) -> "tuple[Images, Images]":
    """Images to learn from and images to measure on."""
    from vision.images.reading import read_images
    from vision.images.sources.arrangement import NoSplitError
    from vision.images.splits import split_images

    def read(path: Path, split: str | None = None) -> "Images":
        with skipping_named():
            images = read_images(
                path, split=split, preprocessing=preprocessing, on_error=on_error, progress=console.progress
            )
        images.required_labels("probe")
        return images

    if data is None:
        assert train is not None and test is not None  # noqa: S101, PT018 - looked at by who calls
        return read(train), read(test)
    try:
        measure = read(data, "test")
    except NoSplitError:
        return split_images(read(data), 0.2)
    return read(data), measure
