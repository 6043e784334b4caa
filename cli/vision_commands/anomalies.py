"""``rep-vision anomalies``: odd images, and where they are odd."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from cli.console import Console
from cli.options import AtLeastOne, Switch, Threads
from cli.vision_commands.inputs import OnError, open_model, read_images_of
from nlprep.core.configuration import Bounds
from nlprep.core.errors import OptionError

if TYPE_CHECKING:
    from vision.images.collection import Images
    from vision.uses.anomalies import AnomalyDetector
    from vision.uses.heat import Heat

ShareIfAny = Annotated[float | None, Bounds(help="", above=0, maximum=0.999)]
Share = Annotated[float, Bounds(help="", above=0, maximum=0.999)]
EPILOG = """\
examples:
  rep-vision anomalies photos-vae
  rep-vision anomalies good-run --data parts/ --detector detector --plot odd.png
  rep-vision anomalies detector --data more/ -o scores.csv
  rep-vision anomalies good-run --data test/ --odd broken,scratched
  rep-vision anomalies good-run --usual parts/ --usual-split train \\
      --data parts/ --split test

What is usual is learned from the images of the run, or of --usual; no odd image is looked at.
Without --score it is neighbors: how far an image is, in its patches or in its pixels, from the
usual ones that are nearest. The line is drawn by usual images that were held out: at most
the share --rate of usual images lies above it, with the confidence asked for. By scores of a
model's own and of its codes, images that it was trained on seem more usual than others do.
With --odd, the classes that are odd, AUROC is measured. --output has a row for every image:
image, score, odd, and label where there are some.
"""


def anomalies(
    model: Path,
    /,
    *,
    data: Path | None = None,
    usual: Path | None = None,
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    detector: Path | None = None,
    plot: Path | None = None,
    overwrite: Switch = False,
    score: str | None = None,
    rate: ShareIfAny = None,
    confidence: Share = 0.95,
    odd: Annotated[str | None, Parameter()] = None,
    number: AtLeastOne = 20,
    seed: AtLeastOne = 1,
    split: str | None = None,
    usual_split: str | None = None,
    on_error: OnError = "refuse",
    device: str | None = None,
    threads: Threads = None,
    console: Console,
) -> int:
    """Find odd images, and where they are odd.

    Args:
        model: A run of rep-vision, its model, or a detector that was kept.
        data: Images to look at, as for train; those of the run if none are named.
        usual: Images that are usual; those of the run if none are named.
        output: Write the scores of all images: .csv, .jsonl or .parquet.
        detector: Keep the detector in this directory.
        plot: Draw the oddest images and where they are odd: .png, .svg, .pdf.
        overwrite: Replace what nlprep wrote even if it is of another kind, or scores in a file; never anything else.
        score: The score that counts; neighbors if none is named.
        rate: Share of usual images that may be called odd; 0.05, more where few are held out.
        confidence: How sure it is that no more are.
        odd: Classes that are odd, split by commas, to measure by.
        number: The oddest images to list.
        seed: Of what is random in learning what is usual.
        split: Which split of the images to look at; train where there are some.
        usual_split: Which split of the usual images; likewise.
        on_error: Whether pictures that cannot be read are refused or skipped.
        device: A name such as cpu or cuda; a GPU where there is one, if none is named.
        threads: Processor threads; all by default.
        console: Where results and remarks go.
    """
    import numpy as np

    from cli.vision_commands.drawing import check_figure
    from nlprep.core.artifacts import artifact_kind
    from nlprep.core.ownership import check_replaceable
    from nlprep.core.threads import torch_threads
    from vision.run_images import part_images
    from vision.uses.anomalies import ANOMALY_DETECTOR, AnomalyDetector, fit_anomalies
    from vision.uses.score_files import check_score_file, write_scores

    inputs = console.inputs(model, data, usual)
    if plot is not None:
        check_figure(plot, inputs, overwrite=overwrite)
    if output is not None:
        check_score_file(output, inputs=inputs, overwrite=overwrite)
    if detector is not None:
        check_replaceable(detector, ANOMALY_DETECTOR, inputs=inputs, overwrite=overwrite)
    with torch_threads(threads):
        if artifact_kind(model) == ANOMALY_DETECTOR:
            made = AnomalyDetector.from_directory(model, device=device)
        else:
            saved = open_model(model, device)
            images = read_images_of(saved, usual, usual_split, on_error, console)
            reference, held_out, kept = part_images(saved, images)
            if not kept:
                console.note("the model may have been trained on the images that draw the line: it may be too low")
            made = fit_anomalies(
                saved, reference, held_out, score=score, rate=rate, confidence=confidence, seed=seed,
                progress=console.progress,
            )  # fmt: skip
        images = read_images_of(made.saved, data, split, on_error, console)
        scores = made.scores(images, progress=console.progress)
        measured = None if odd is None else _measure(made, images, scores, odd)
        order = np.argsort(-scores, kind="stable")[:number]
        heat = None
        if plot is not None:
            heat = _draw(made, images.select(order), scores[order], plot, overwrite=overwrite)
    flagged = made.threshold.flag(scores)
    if output is not None:
        write_scores(images, scores, flagged, output, overwrite=overwrite)
    if detector is not None:
        made.save(detector, overwrite=overwrite)
    if console.json_output:
        console.result(
            {
                "score": made.score,
                "threshold": made.threshold.to_dict(),
                "images": len(images),
                "odd": int(flagged.sum()),
                "oddest": [
                    {"image": images.name(row), "score": float(scores[row]), "odd": bool(flagged[row])}
                    for row in order.tolist()
                ],
                "detection": measured,
                "output": None if output is None else str(output),
                "detector": None if detector is None else str(detector),
                "plot": None if plot is None else str(plot),
                "heat": None if heat is None else {"name": heat.name, "of_score": heat.of_score},
            }
        )
        return 0
    rows = [(images.name(row), float(scores[row]), "odd" if flagged[row] else "") for row in order.tolist()]
    console.table(("image", made.score, "above the line"), rows)
    console.note(f"the oddest first, by {made.score}")
    line = made.threshold
    console.note(
        f"line: {line.value:.4g}; at most {line.rate:.0%} of usual images lie above it, with {line.confidence:.1%} "
        f"confidence from {line.num_examples:,} images; {int(flagged.sum()):,} of {len(images):,} here do"
    )
    if measured is not None:
        area: Any = measured["auroc"]
        console.note(f"AUROC for {odd}: {area['value']:.4f} ({area['low']:.4f} to {area['high']:.4f})")
    for what, path in (("scores", output), ("detector", detector), ("figure", plot)):
        if path is not None:
            console.note(f"{what}: {path}")
    if plot is not None:
        console.note(_told(made, heat))
    return 0


def _told(detector: "AnomalyDetector", heat: "Heat | None") -> str:
    """What the colours of the figure are of."""
    if heat is None:
        return f"no heat: {detector.score} has no map, nor does the model give images back"
    return heat.describe(detector.score)


def _measure(detector: "AnomalyDetector", images: "Images", scores: "object", odd: str) -> "dict[str, object]":
    import numpy as np

    from nlprep.evaluation.detection import evaluate_detection

    labels = images.required_labels("--odd")
    names = [name.strip() for name in odd.split(",")]
    for name in names:
        if name not in images.classes:
            raise OptionError(f"--odd {name}: choose from {', '.join(images.classes)}")
    values = np.asarray(scores)
    is_odd = np.isin(labels, [images.classes.index(name) for name in names])
    return evaluate_detection(values[~is_odd], values[is_odd], threshold=detector.threshold).to_dict()


def _draw(
    detector: "AnomalyDetector", shown: "Images", scores: "object", plot: Path, *, overwrite: bool
) -> "Heat | None":
    """Draw the oddest images, and where they are odd, as far as there is a map of that."""
    import numpy as np

    from nlprep.figures.heat_maps import draw_heat_maps, heat_limits
    from nlprep.figures.images import draw_images
    from vision.images.names import name_in_lines

    captions = [
        f"{value:.4g}\n{name_in_lines(shown.name(row))}" for row, value in enumerate(np.asarray(scores).tolist())
    ]
    heat = detector.heat(shown)
    title = f"ranked by {detector.score}, which is the number below each"
    if heat is None:
        draw_images(shown.pixels, plot, captions=captions, title=title, overwrite=overwrite)
    else:
        draw_heat_maps(
            shown.pixels, heat.values, plot, limits=heat_limits(heat.values), captions=captions, scale_name=heat.name,
            title=f"{title}\n{heat.describe(detector.score)}", overwrite=overwrite,
        )  # fmt: skip
    return heat
