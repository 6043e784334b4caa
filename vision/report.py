"""One page about a run and its images, which holds all that it shows and opens from disk without a network.

>>> from vision import write_run_report  # doctest: +SKIP
>>> write_run_report("photos-vae", "photos.html")  # doctest: +SKIP
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from nlprep.core.configuration import to_mapping
from nlprep.core.errors import NlprepError
from nlprep.core.progress import SILENT
from nlprep.core.wording import counted
from nlprep.figures.report import Heading, Paragraph, Picture, Settings, Table, write_report
from vision.configuration import RunReportConfig

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from nlprep.core.progress import Progress
    from nlprep.figures.report import Part
    from vision.images.collection import Images
    from vision.models.files import SavedModel
    from vision.uses.anomalies import AnomalyDetector
    from vision.uses.image_search import ImageIndex

_NEIGHBORS, _ODDEST, _RECONSTRUCTED, _SAMPLES = 8, 24, 20, 40
_GROUPS, _OF_A_GROUP = 12, 6
_BATCH = 128


@dataclass(frozen=True)
class RunReport:
    """What a page says in numbers.

    Attributes:
        page: The file.
        images: How many images it is about.
        near_duplicates: Pairs of them.
        score: By which images are odd; None if none could be fitted.
        above_the_line: Images that are odd by it; likewise.
        oddest: Names, the oddest first; likewise.
    """

    page: Path
    images: int
    near_duplicates: int
    score: str | None = None
    above_the_line: int | None = None
    oddest: tuple[str, ...] | None = None


def write_run_report(
    run: str | os.PathLike[str],
    page: str | os.PathLike[str],
    config: RunReportConfig | None = None,
    *,
    data: str | os.PathLike[str] | None = None,
    split: str | None = None,
    on_error: Literal["refuse", "skip"] = "skip",
    device: str | None = None,
    threads: int | None = None,
    overwrite: bool = False,
    progress: Progress = SILENT,
) -> RunReport:
    """Write a page with a map, neighbours, near-duplicates, the oddest images, reconstructions, samples and curves.

    Args:
        run: A run of `vision.training.train_images`, its model, or a model of the transformers library on disk, of
            which the page has no pictures that the model makes and no curves.
        page: A name that ends in ``.html``.
        config: What it shows.
        data: Images, as `vision.images.reading.read_images` takes them; default: those of the run.
        split: Which of their splits.
        on_error: Whether pictures that cannot be read are refused or skipped.
        device: ``cpu``, ``cuda``...; default: a GPU where there is one.
        threads: Processor threads of searches; all by default.
        overwrite: Whether a page of ours that was changed since may be replaced.
        progress: Gets what is done.

    Raises:
        FileError: No model, no images, or a place that is taken.
        NlprepError: Images that do not suit the model.
        OptionError: Images that are no longer where the run found them.
    """
    from nlprep.core.ownership import check_replaceable
    from nlprep.figures.report import REPORT
    from vision.encoders.image_encoder import ImageEncoder
    from vision.run_images import find_images, read_for_model, run_name

    config = config or RunReportConfig()
    place = Path(run)
    check_replaceable(page, REPORT, inputs=[place, *([] if data is None else [data])], overwrite=overwrite)
    saved = ImageEncoder.from_directory(place, device=device).saved
    source, split = find_images(saved, data, split)
    images = read_for_model(saved, source, split=split, on_error=on_error, progress=progress)
    with tempfile.TemporaryDirectory() as scratch:
        made = _Page(saved, place, images, Path(scratch), config, threads, progress)
        parts, told = made.parts()
        write_report(f"{run_name(place)}: {counted(len(images), 'image')}", parts, page, overwrite=overwrite)
    return RunReport(Path(page), len(images), **told)


class _Page:
    """The parts of one page.

    Args:
        saved: The model.
        run: Where it lies.
        images: What the page is about.
        scratch: A folder for figures.
        config: What it shows.
        threads: Of searches.
        progress: Gets what is done.
    """

    def __init__(
        self,
        saved: SavedModel,
        run: Path,
        images: Images,
        scratch: Path,
        config: RunReportConfig,
        threads: int | None,
        progress: Progress,
    ) -> None:
        self.saved, self.run, self.images, self.scratch = saved, run, images, scratch
        self.config, self.threads, self.progress = config, threads, progress

    def parts(self) -> tuple[list[Part], dict[str, Any]]:
        """What the page says, and the same in numbers."""
        from vision.encoders.image_encoder import ImageEncoder
        from vision.images.splits import choose_places
        from vision.uses.image_search import ImageIndex

        images = self.images
        codes = ImageEncoder(self.saved).encode(images, _BATCH, progress=self.progress)
        index = ImageIndex(codes, [images.name(row) for row in range(len(images))])
        # Odd ones before the map, which shows how odd each image is.
        detector, kept, reason = self._detector()
        scores = None if detector is None else detector.scores(images, progress=self.progress)
        chosen = choose_places(len(images), self.config.most, self.config.seed)
        shown = images.select(chosen)
        pairs = index.near_duplicates(self.config.threshold, threads=self.threads, progress=self.progress)
        parts: list[Part] = [self._summary(codes)]
        parts += self._map(codes, chosen, scores)
        parts += self._duplicates(index, pairs)
        told: dict[str, Any] = {"near_duplicates": len(pairs)}
        if detector is None or scores is None:
            parts += [Heading("The oddest images"), Paragraph(f"Not looked for: {reason}")]
        else:
            found, more = self._oddest(detector, scores, kept=kept)
            parts += found
            told |= more
        parts += self._reconstructions(shown)
        parts += self._samples()
        parts += self._curves()
        settings = {"model": self.saved.config, "preprocessing": self.saved.preprocessing}
        parts += [Heading("Settings"), *(Settings(to_mapping(value), name) for name, value in settings.items())]
        return parts, told

    def _summary(self, codes: NDArray[np.float32]) -> Paragraph:
        images = self.images
        channels, height, width = images.shape
        classes = f" in {counted(len(images.classes), 'class', 'classes')}" if images.labels is not None else ""
        colours = "grey" if channels == 1 else "colour"
        return Paragraph(
            f"{counted(len(images), 'image')}{classes} from {images.source}, seen in {colours} at {height} x {width} "
            f"pixels (height, width); each is a code of {codes.shape[1]} numbers."
        )

    def _map(
        self, codes: NDArray[np.float32], chosen: NDArray[np.int64], scores: NDArray[np.float64] | None
    ) -> list[Part]:
        from nlprep.figures.item_map import ItemMap
        from nlprep.figures.maps import map_features
        from vision.uses.image_search import ImageIndex

        if len(chosen) < 3:
            return []
        images, config = self.images, self.config
        shown = images.select(chosen)
        few = ImageIndex(codes[chosen], [images.name(row) for row in chosen.tolist()])
        part = f"{len(chosen):,} of {len(images):,} images; " if len(chosen) < len(images) else ""
        around = max(2, min(30, (len(chosen) - 1) // 3))
        return [
            Heading("Map"),
            ItemMap(
                map_features(codes[chosen], config.plane, neighbors=around, seed=config.seed),
                few.names,
                shown.pixels,
                shown.labels,
                shown.classes if shown.labels is not None else (),
                {} if scores is None else {"oddness": scores[chosen].tolist()},
                few.neighbors(_NEIGHBORS, threads=self.threads)[1],
                f"{part}images whose codes are alike lie near one another ({config.plane}).",
            ),
        ]

    def _detector(self) -> tuple[AnomalyDetector | None, bool, str]:
        """What finds odd images, whether its line is by images that were held out; or why there is none."""
        from vision.run_images import part_images
        from vision.uses.anomalies import fit_anomalies

        try:
            reference, held_out, kept = part_images(self.saved, self.images)
            detector = fit_anomalies(self.saved, reference, held_out, seed=self.config.seed, progress=self.progress)
        except NlprepError as error:
            return None, False, str(error)
        return detector, kept, ""

    def _oddest(
        self, detector: AnomalyDetector, scores: NDArray[np.float64], *, kept: bool
    ) -> tuple[list[Part], dict[str, Any]]:
        from nlprep.figures.heat_maps import draw_heat_maps, heat_limits
        from nlprep.figures.images import draw_images
        from nlprep.figures.scores import draw_scores
        from vision.images.names import name_in_lines

        order = np.argsort(-scores, kind="stable")[:_ODDEST]
        oddest = self.images.select(order)
        names = [self.images.name(row) for row in order.tolist()]
        captions = [
            f"{scores[row]:.4g}\n{name_in_lines(name)}" for row, name in zip(order.tolist(), names, strict=True)
        ]
        figure, histogram = self.scratch / "oddest.png", self.scratch / "scores.png"
        heat = detector.heat(oddest)
        if heat is None:
            draw_images(oddest.pixels, figure, captions=captions)
        else:
            limits = heat_limits(heat.values)
            draw_heat_maps(
                oddest.pixels, heat.values, figure, limits=limits, captions=captions, scale_name=heat.name
            )  # fmt: skip
        line = detector.threshold
        draw_scores({"images": scores}, histogram, thresholds={"line": line.value}, x_label=detector.score)
        flagged = int(line.flag(scores).sum())
        doubt = "" if kept else ", if the model was not trained on the images that draw it"
        words = (
            f"By {detector.score}. Above the line {counted(flagged, 'image is', 'images are')}; at most "
            f"{line.rate:.0%} of usual ones are, with {line.confidence:.1%} confidence{doubt}."
        )
        below = "" if heat is None else f" Below each, {heat.describe(detector.score)}."
        parts: list[Part] = [
            Heading("The oddest images"),
            Paragraph(words),
            Picture(figure, f"The oddest first, with their {detector.score}.{below}"),
            Picture(histogram, "The scores of all images."),
        ]
        return parts, {"score": detector.score, "above_the_line": flagged, "oddest": tuple(names)}

    def _duplicates(self, index: ImageIndex, pairs: list[tuple[int, int, float]]) -> list[Part]:
        from nlprep.figures.images import draw_images
        from vision.images.names import name_in_lines

        cosine = f"a cosine of {self.config.threshold:g} or more"
        heading = Heading("Near-duplicates")
        if not pairs:
            return [heading, Paragraph(f"No two images have codes with {cosine}.")]
        groups = alike_groups(pairs)
        few = groups[:_GROUPS]
        shown = [(number, row) for number, rows in enumerate(few, start=1) for row in rows[:_OF_A_GROUP]]
        figure = self.scratch / "duplicates.png"
        draw_images(
            self.images.pixels[[row for _, row in shown]],
            figure,
            captions=[f"group {number}\n{name_in_lines(index.names[row])}" for number, row in shown],
            columns=8,
        )
        many = counted(len(pairs), "pair has", "pairs have")
        in_groups = counted(len(groups), "group")
        part = f"; the first {len(few)} are shown" if len(groups) > len(few) else ""
        listed = [
            (number, len(rows), ", ".join(index.names[row] for row in rows[:_OF_A_GROUP]) + _more(len(rows)))
            for number, rows in enumerate(few, start=1)
        ]
        return [
            heading,
            Paragraph(
                f"{many} codes with {cosine}, in {in_groups}{part}. By chance, were codes independent, there would be "
                f"about {index.pairs_by_chance(self.config.threshold):,.0f}; of a model that has learned little, "
                "images that only look alike to it are among them."
            ),
            Picture(figure),
            Table(("group", "images", "names"), listed),
        ]

    def _reconstructions(self, shown: Images) -> list[Part]:
        from nlprep.figures.images import draw_reconstructions
        from vision.images.splits import choose_places
        from vision.models.making import reconstruct_images
        from vision.models.model import CanReconstruct

        if not isinstance(self.saved.model, CanReconstruct):
            return []
        if getattr(self.saved.model, "num_classes", 0) and (
            shown.labels is None or shown.classes != self.saved.classes
        ):
            # It makes nothing of an image whose class it does not know.
            return []
        # Spread over the images: those of a folder that come first are often alike.
        few = shown.select(choose_places(len(shown), _RECONSTRUCTED, self.config.seed))
        figure = self.scratch / "reconstructions.png"
        draw_reconstructions(few.pixels, {"made of them": reconstruct_images(self.saved, few)}, figure)
        return [Heading("What the model makes of images"), Picture(figure)]

    def _samples(self) -> list[Part]:
        from nlprep.figures.images import draw_images
        from vision.models.making import sample_images
        from vision.models.model import CanSample

        if not isinstance(self.saved.model, CanSample):
            return []
        figure = self.scratch / "samples.png"
        draw_images(sample_images(self.saved, _SAMPLES, seed=self.config.seed), figure)
        return [Heading("Images that the model draws"), Picture(figure, "As they came; none is left out.")]

    def _curves(self) -> list[Part]:
        from nlprep.core.training.records.journal import read_metrics
        from nlprep.figures.curves import draw_training

        path = self.run / "metrics.jsonl"
        if not path.is_file():
            return []
        figure = self.scratch / "training.png"
        draw_training({"": read_metrics(path)}, figure)
        return [Heading("Training"), Picture(figure, "Loss by step.")]


def alike_groups(pairs: Sequence[tuple[int, int, float]]) -> list[list[int]]:
    """Images that near-duplicates join, directly or through others; the largest groups first.

    Args:
        pairs: (place, place, cosine).

    Returns:
        Ascending places of each group.

    >>> alike_groups([(3, 4, 0.99), (0, 7, 0.99), (4, 5, 0.98)])
    [[3, 4, 5], [0, 7]]
    """
    if not pairs:
        return []
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ends = np.array([pair[:2] for pair in pairs])
    places, nodes = np.unique(ends, return_inverse=True)
    nodes = nodes.reshape(ends.shape)
    joined = coo_array((np.ones(len(nodes)), (nodes[:, 0], nodes[:, 1])), shape=(len(places), len(places)))
    number, of = connected_components(joined, directed=False)
    groups: list[list[int]] = [places[of == group].tolist() for group in range(number)]
    return sorted(groups, key=lambda rows: (-len(rows), rows))


def _more(count: int) -> str:
    return f" and {count - _OF_A_GROUP:,} more" if count > _OF_A_GROUP else ""
