"""``rep-vision probe``: what codes are worth, by how few labels they need."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from cli.console import Console
from cli.options import AtLeastOne, Options, Switch, Threads
from nlprep.core.configuration import to_mapping
from nlprep.core.errors import NlprepError
from nlprep.evaluation.configuration import ProbeConfig

if TYPE_CHECKING:
    from nlprep.evaluation.encoder import Encoder

EPILOG = """\
examples:
  rep-vision probe mnist-vae --train mnist.npz --test mnist-test.npz
  rep-vision probe run-a run-b --train photos.zip --test photos.zip \\
      --test-split test --labels 50,500,5000 --plot probe.png

Both need classes: folders, or y in a file. The models are compared with the first one before
training (random weights), and with raw pixels.
"""


def probe(
    *runs: Annotated[Path, Parameter(required=True)],
    train: Path,
    test: Path,
    train_split: str | None = None,
    test_split: str | None = None,
    choices: Annotated[ProbeConfig, Options(title="probe")],
    baselines: bool = True,
    features: Switch = False,
    plot: Path | None = None,
    overwrite: Switch = False,
    batch_size: AtLeastOne = 64,
    device: str | None = None,
    threads: Threads = None,
    console: Console,
) -> int:
    """Measure what codes are worth, by how few labels they need.

    Args:
        runs: Runs of rep-vision train, or models' directories.
        train: Images with classes to learn from.
        test: Images with classes to measure on.
        train_split: Which split of the one; train, where there are some.
        test_split: Which of the other; train, where there are some.
        choices: How probes are fitted.
        baselines: Compare with the first model's random weights and with raw pixels.
        features: Measure the features that the network makes before the code, instead of codes.
        plot: Draw the curves into this file.
        overwrite: Replace a figure of ours; never anything else.
        batch_size: Images at once.
        device: A name such as cpu or cuda; a GPU where there is one, if none is named.
        threads: Processor threads; all by default.
        console: Where results and remarks go.
    """
    from cli.vision_commands.runs import read_for
    from nlprep.core.threads import torch_threads
    from nlprep.evaluation.label_curves import measure_label_curves
    from nlprep.evaluation.labelled import Labelled
    from vision.encoders.image_encoder import ImageEncoder
    from vision.encoders.raw_pixels import RawPixels

    if plot is not None:
        from nlprep.core.ownership import check_replaceable
        from nlprep.figures.files import FIGURE, figure_format

        figure_format(plot)
        check_replaceable(plot, FIGURE, inputs=console.inputs(runs, train, test), overwrite=overwrite)
    encoders = {
        str(run): ImageEncoder.from_directory(run, output="features" if features else None, device=device)
        for run in runs
    }
    first = next(iter(encoders.values()))
    labelled: list[Labelled[Any]] = []
    for place, split in ((train, train_split), (test, test_split)):
        images = read_for(first, place, console, split=split)
        if images.labels is None:
            raise NlprepError(
                f"{place}: has no classes to learn or to measure: give folders of classes, or y in a file"
            )
        names = [images.classes[label] for label in images.labels]
        items: Any = images.pixels
        labelled.append(Labelled(items, names, name=str(place)))
    compared: dict[str, Encoder[Any]] = dict(encoders)
    if baselines:
        compared["raw pixels"] = RawPixels(first.saved.preprocessing)
    with torch_threads(threads):
        result = measure_label_curves(
            compared, labelled[0], labelled[1], choices, from_scratch=baselines, batch_size=batch_size,
            progress=console.progress,
        )  # fmt: skip
    if plot is not None:
        from nlprep.figures.curves import draw_probe_curves

        draw_probe_curves(result.curves, plot, majority=result.majority, overwrite=overwrite)
    if console.json_output:
        told = {"settings": to_mapping(choices), "plot": None if plot is None else str(plot)}
        console.result(result.to_dict() | told)
        return 0
    rows = [
        (curve.name, point.num_labels, f"{point.accuracy:.1%}", f"{point.spread:.1%}", len(point.accuracies))
        for curve in result.curves
        for point in curve.points
    ]
    console.table(("codes", "labels", "accuracy", "spread", "choices of labels"), rows)
    console.note(f"the most frequent class alone: {result.majority:.1%}; {result.num_test:,} test images")
    return 0
