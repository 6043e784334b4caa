"""``rep-vision report``: one page about a run and its images."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from cli.console import Console
from cli.options import AtLeastOne, Switch, Threads
from cli.vision_commands.inputs import OnError, held_out_of, latest_run, open_model, read_for, source_of
from nlprep.core.errors import NlprepError

if TYPE_CHECKING:
    from vision.images.collection import Images
    from vision.models.files import SavedModel

Plane = Literal["tsne", "umap", "pca"]
EPILOG = """\
examples:
  rep-vision report                     # the latest run of this directory
  rep-vision report vae --data others/ --output others.html
  rep-vision report vae --most 5000 --map pca

The page holds all that it shows and opens from disk without a network: learning curves, what
the model makes of images, a map to search and to point at, near-duplicates and the oddest
images. Of more images than --most, a part is chosen for the map.
"""
_NEIGHBORS = 8
_ODDEST = 24
_PAIRS = 20


def report(
    model: Path | None = None,
    /,
    *,
    data: Path | None = None,
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    overwrite: Switch = False,
    most: AtLeastOne = 2000,
    map: Plane = "tsne",  # noqa: A002 - the option's name
    threshold: float = 0.98,
    seed: AtLeastOne = 1,
    split: str | None = None,
    on_error: OnError = "skip",
    device: str | None = None,
    threads: Threads = None,
    console: Console,
) -> int:
    """Write a page with a map, neighbours, near-duplicates and the oddest images.

    Args:
        model: A run of rep-vision, or its model; the latest run in this directory if none is named.
        data: Images, as for train; those of the run if none are named.
        output: The page, .html; the model's name with .html, in this directory, if none is named.
        overwrite: Replace a page that was changed since; never one that is not ours.
        most: Images on the map.
        map: How they are laid out.
        threshold: Cosine of codes from which two images are nearly the same.
        seed: Of what is drawn.
        split: Which split of the images; train where there are some.
        on_error: Whether pictures that cannot be read are refused or skipped.
        device: A name such as cpu or cuda; a GPU where there is one, if none is named.
        threads: Processor threads; all by default.
        console: Where results and remarks go.
    """
    import tempfile

    from nlprep.core.ownership import check_replaceable
    from nlprep.core.threads import torch_threads
    from nlprep.figures.report import REPORT, write_report

    place = model or latest_run(console)
    page = output or Path(f"{place.resolve().name}.html")
    check_replaceable(page, REPORT, inputs=console.inputs(place, data), overwrite=overwrite)
    saved = open_model(place, device)
    source, split = source_of(saved, data, split)
    images = read_for(saved, source, split, on_error, console)
    with torch_threads(threads), tempfile.TemporaryDirectory() as scratch:
        parts, told = _parts(saved, place, images, Path(scratch), most, map, threshold, seed, threads, console)
        write_report(f"{place.resolve().name}: {len(images):,} images", parts, page, overwrite=overwrite)
    if console.json_output:
        console.result({"page": str(page), "images": len(images), **told})
    else:
        console.note(f"page: {page}")
    return 0


def _parts(
    saved: "SavedModel",
    run: Path,
    images: "Images",
    scratch: Path,
    most: int,
    plane: Plane,
    threshold: float,
    seed: int,
    threads: int | None,
    console: Console,
) -> tuple[list[Any], dict[str, Any]]:
    from cli.vision_commands.drawing import spread_places
    from nlprep.core.configuration import to_mapping
    from nlprep.figures.item_map import ItemMap
    from nlprep.figures.maps import map_features
    from nlprep.figures.report import Heading, Paragraph, Settings
    from vision.encoders.image_encoder import ImageEncoder
    from vision.uses.image_search import ImageIndex

    codes = ImageEncoder(saved).encode(images, 128, progress=console.progress)
    names = [images.name(row) for row in range(len(images))]
    index = ImageIndex(codes, names)
    classes = f" in {len(images.classes)} classes" if images.classes else ""
    parts: list[Any] = [
        Paragraph(
            f"{len(images):,} images{classes} from {images.source}, of {images.shape[0]} x {images.shape[1]} x "
            f"{images.shape[2]} (channels, height, width), each as a code of {codes.shape[1]} numbers."
        )
    ]
    # The oddest first: their scores go on the map.
    scores, odd_parts, told = _oddest(saved, images, scratch, seed, console)
    chosen = spread_places(len(images), most, seed)
    shown = images.select(chosen)
    if len(chosen) > 2:
        details: dict[str, Any] = {} if scores is None else {"oddness": scores[chosen].tolist()}
        few = ImageIndex(codes[chosen], [names[row] for row in chosen.tolist()])
        part = f"{len(chosen):,} of {len(images):,} images; " if len(chosen) < len(images) else ""
        parts += [
            Heading("Map"),
            ItemMap(
                map_features(codes[chosen], plane, neighbors=max(2, min(30, (len(chosen) - 1) // 3)), seed=seed),
                few.names,
                shown.pixels,
                shown.labels,
                shown.classes if shown.labels is not None else (),
                details,
                few.neighbors(_NEIGHBORS, threads=threads)[1],
                f"{part}images whose codes are alike lie near one another ({plane}).",
            ),
        ]
    parts += _reconstructions(saved, shown, scratch)
    pairs = index.near_duplicates(threshold, threads=threads, progress=console.progress)
    parts += _duplicates(images, index, pairs, threshold, scratch)
    parts += odd_parts
    parts += _curves(run, scratch)
    parts += [Heading("Settings"), Settings(to_mapping(saved.config)), Settings(to_mapping(saved.preprocessing))]
    return parts, {"near_duplicates": len(pairs), **told}


def _oddest(saved: "SavedModel", images: "Images", scratch: Path, seed: int, console: Console) -> tuple[Any, Any, Any]:
    """Scores of all images, what the page says of them, and what the command does."""
    import numpy as np

    from nlprep.figures.heat_maps import draw_heat_maps
    from nlprep.figures.images import draw_images
    from nlprep.figures.report import Heading, Paragraph, Picture
    from nlprep.figures.scores import draw_scores
    from vision.models.model import CanReconstruct
    from vision.uses.anomalies import fit_anomalies

    reference, held_out, kept = held_out_of(saved, images)
    try:
        detector = fit_anomalies(saved, reference, held_out, seed=seed, progress=console.progress)
    except NlprepError as error:
        return None, [Heading("The oddest images"), Paragraph(f"Not looked for: {error}")], {"oddest": None}
    scores = detector.scores(images, progress=console.progress)
    order = np.argsort(-scores, kind="stable")[:_ODDEST]
    oddest = images.select(order)
    captions = [f"{scores[row]:.4g} {Path(images.name(row)).name}" for row in order.tolist()]
    figure, histogram = scratch / "oddest.png", scratch / "scores.png"
    if isinstance(saved.model, CanReconstruct):
        draw_heat_maps(oddest.pixels, detector.heat(oddest), figure, captions=captions, scale_name="squared error")
    else:
        draw_images(oddest.pixels, figure, captions=captions)
    line = detector.threshold
    draw_scores({"images": scores}, histogram, thresholds={"line": line.value}, x_label=detector.score)
    flagged = int(line.flag(scores).sum())
    words = (
        f"By {detector.score}, which of {len(detector.areas)} scores tells images spoiled on purpose best. Above the "
        f"line are {flagged:,} images; at most {line.rate:.0%} of usual ones are, with {line.confidence:.1%} confidence"
        f"{'' if kept else ', if the model was not trained on the images that draw it'}."
    )
    parts = [
        Heading("The oddest images"),
        Paragraph(words),
        Picture(figure, "The oddest first; below each, where the model gives back something else."),
        Picture(histogram, "The scores of all images."),
    ]
    told = {
        "score": detector.score,
        "above_the_line": flagged,
        "oddest": [images.name(row) for row in order.tolist()],
    }
    return scores, parts, told


def _reconstructions(saved: "SavedModel", shown: "Images", scratch: Path) -> list[Any]:
    import numpy as np

    from cli.vision_commands.drawing import reconstructed
    from nlprep.figures.images import draw_images, draw_reconstructions
    from nlprep.figures.report import Heading, Picture
    from vision.models.model import CanReconstruct, CanSample, seeded

    parts: list[Any] = []
    few = shown.select(np.arange(min(20, len(shown))))
    if isinstance(saved.model, CanReconstruct):
        draw_reconstructions(few.pixels, {"made of them": reconstructed(saved, few)}, scratch / "reconstructions.png")
        parts += [Heading("What the model makes of images"), Picture(scratch / "reconstructions.png")]
    if isinstance(saved.model, CanSample):
        import torch

        classes = getattr(saved.model, "num_classes", 0)
        on = next(saved.model.parameters()).device
        with torch.no_grad(), seeded(1):
            drawn = saved.model.sample(40, torch.arange(40, device=on) % classes if classes else None)
        draw_images(drawn.float().clamp(0, 1).cpu().numpy(), scratch / "samples.png")
        parts += [Heading("Images that the model draws"), Picture(scratch / "samples.png", "Not chosen.")]
    return parts


def _duplicates(images: "Images", index: Any, pairs: list[Any], threshold: float, scratch: Path) -> list[Any]:
    from nlprep.figures.images import draw_image_rows
    from nlprep.figures.report import Heading, Paragraph, Picture, Table

    parts: list[Any] = [Heading("Near-duplicates")]
    if not pairs:
        return [*parts, Paragraph(f"No two images have codes with a cosine of {threshold:g} or more.")]
    few = pairs[:_PAIRS]
    one, other = (images.pixels[[pair[side] for pair in few]] for side in (0, 1))
    draw_image_rows({"one": one, "another": other}, scratch / "duplicates.png")
    named = [(index.names[first], index.names[second], cosine) for first, second, cosine in few]
    return [
        *parts,
        Paragraph(f"{len(pairs):,} pairs have codes with a cosine of {threshold:g} or more; the nearest are shown."),
        Picture(scratch / "duplicates.png"),
        Table(("image", "nearly the same", "cosine"), named),
    ]


def _curves(run: Path, scratch: Path) -> list[Any]:
    from nlprep.core.training.records.journal import read_metrics
    from nlprep.figures.curves import draw_training
    from nlprep.figures.report import Heading, Picture

    path = run / "metrics.jsonl"
    if not path.is_file():
        return []
    draw_training({"": read_metrics(path)}, scratch / "training.png")
    return [Heading("Training"), Picture(scratch / "training.png", "Loss by step.")]
