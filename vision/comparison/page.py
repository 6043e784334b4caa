"""A comparison as figures, and as one page that holds them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nlprep.core.configuration import to_mapping
from nlprep.figures.curves import Line, draw_lines
from nlprep.figures.images import draw_image_rows
from nlprep.figures.panels import Panel, draw_panels
from nlprep.figures.report import Heading, Paragraph, Picture, Settings, Table, write_report
from vision.comparison.comparison import FIGURES, PAGE, RUNS
from vision.comparison.tables import comparison_tables

if TYPE_CHECKING:
    from pathlib import Path

    from nlprep.figures.report import Part
    from vision.comparison.comparison import Comparison, ModelSummary
    from vision.images.collection import Images

COLUMNS = 12
"""Images of a model that are shown."""
_SAMPLES, _SCORES, _PROBES, _BIAS = FIGURES


def draw_comparison(comparison: Comparison, train: Images, test: Images, *, overwrite: bool = False) -> list[Path]:
    """Draw samples of each model below real images, scores of every run, probes, and the bias of FID.

    Args:
        comparison: What was found.
        train: Training images, by whose codes models without a distribution of codes are drawn from.
        test: Test images, of which some are shown.
        overwrite: As for `nlprep.figures.files.write_figure`.

    Returns:
        The figures, in the comparison's directory.
    """
    place = comparison.directory
    drawn = [place / _SAMPLES]
    draw_image_rows(_samples(comparison, train, test), drawn[0], columns=COLUMNS, overwrite=overwrite)
    models, baselines = comparison.summaries(), comparison.baselines()
    panels = _panels(models, baselines)
    if any(len(values) for panel in panels for values in panel.values.values()):
        drawn.append(place / _SCORES)
        draw_panels(panels, drawn[-1], overwrite=overwrite)
    lines = _probe_lines([*models, *baselines])
    if lines:
        drawn.append(place / _PROBES)
        draw_lines(
            lines, drawn[-1], x_label="labels learned from", y_label="accuracy of a linear probe, %", logarithmic=True,
            x_ticks={float(number): f"{number:,.0f}" for number in lines[0].x}, overwrite=overwrite,
        )  # fmt: skip
    bias = comparison.record["bias"]
    if len(bias) > 1:
        drawn.append(place / _BIAS)
        sizes = [float(one["num_first"]) for one in bias]
        draw_lines(
            [Line("real against real", sizes, [one["distance"] for one in bias])], drawn[-1],
            x_label="images on each side", y_label="FID", logarithmic=True,
            x_ticks={size: f"{size:,.0f}" for size in sizes}, overwrite=overwrite,
        )  # fmt: skip
    return drawn


def write_page(comparison: Comparison, figures: list[Path], *, overwrite: bool = False) -> Path:
    """Write the page.

    Args:
        comparison: What was found.
        figures: What `draw_comparison` drew.
        overwrite: As for `nlprep.figures.report.write_report`.

    Returns:
        Its place, in the comparison's directory.
    """
    captions = {
        _SAMPLES: "Real test images, and images drawn by each model (seed 1), not chosen.",
        _SCORES: "Each dot is a run, each line the mean of its model's runs.",
        _PROBES: "A linear probe of codes, by the number of labels; bands are one standard deviation over seeds.",
        _BIAS: "Real images against real images: what FID is where nothing is wrong.",
    }
    sources = comparison.record["sources"]
    shape = " x ".join(map(str, sources["train"]["shape"]))
    parts: list[Part] = [
        Paragraph(
            f"{', '.join(comparison.names)}: {comparison.config.seeds} runs each on {sources['train']['images']:,} "
            f"images of {shape} (channels, height, width) from {sources['train']['source']}, measured on "
            f"{sources['test']['images']:,} from {sources['test']['source']}."
        ),
        *(Picture(path, captions[path.name]) for path in figures if path.name in (_SAMPLES, _SCORES)),
    ]
    for table in comparison_tables(comparison):
        parts += [Heading(table.name), Table(table.header, table.rows)]
        parts += [Picture(path, captions[path.name]) for path in figures if path.name == _FIGURE_OF.get(table.name)]
        parts += [Paragraph(note) for note in table.notes]
    parts += [Heading("settings"), Settings(to_mapping(comparison.config))]
    parts += [
        Settings(comparison.record["settings"][name], told)
        for name, told in (("backbone", "network"), ("unet", "network of the diffusion model"))
        if comparison.record["settings"][name] is not None
    ]
    page = comparison.directory / PAGE
    write_report(f"Comparison: {', '.join(comparison.names)}", parts, page, overwrite=overwrite)
    return page


_FIGURE_OF = {"probes": _PROBES, "bias of FID": _BIAS}


def _samples(comparison: Comparison, train: Images, test: Images) -> dict[str, Any]:
    """Real images, and some of each model that draws any."""
    from vision.comparison.comparison import choose_some
    from vision.comparison.measuring import draw_pixels, way_of_drawing
    from vision.models.files import load_model

    shown = np.arange(min(COLUMNS, len(test)))
    if test.labels is not None:
        # One of each class in turn, as conditional models draw them.
        members = [np.flatnonzero(test.labels == label) for label in range(len(test.classes))]
        turns = [one[turn] for turn in range(COLUMNS) for one in members if turn < len(one)]
        shown = np.array(turns[: len(shown)])
    rows: dict[str, Any] = {"real": test.pixels[shown]}
    codes_of = choose_some(train, comparison.config.most_labels)
    for name in comparison.names:
        run = f"{name}-1"
        if "failed" in comparison.record["runs"][run]:
            continue
        saved = load_model(comparison.directory / RUNS / run)
        if way_of_drawing(saved.model) is not None:
            rows[name] = draw_pixels(saved, len(shown), codes_of, seed=1)
    return rows


def _panels(models: list[ModelSummary], baselines: list[ModelSummary]) -> list[Panel]:
    def of(*path: str, scale: float = 1.0) -> dict[str, list[float]]:
        return {model.name: [scale * value for value in model.values(*path)] for model in models}

    def level(name: str, *path: str, scale: float = 1.0) -> dict[str, float] | None:
        for one in baselines:
            if one.name == name and (found := one.spread(*path)):
                return {name: scale * found[0]}
        return None

    last = {model.name: [100 * value for value in _last_accuracies(model)] for model in models}
    pixels = {one.name: float(np.mean(found)) * 100 for one in baselines if (found := _last_accuracies(one))}
    fid = ("generation", "fid", "distance")
    return [
        Panel("FID (less is better)", of(*fid), level("training images", *fid)),
        Panel("KID (less is better)", of("generation", "kid", "distance")),
        Panel("reconstruction, dB (more)", of("reconstruction", "decibels"),
              level("principal components", "reconstruction", "decibels")),
        Panel("precision, % (more)", of("generation", "precision", "value", scale=100)),
        Panel("recall, % (more)", of("generation", "recall", "value", scale=100)),
        Panel("linear probe, all labels, % (more)", last,
              {"raw pixels": pixels["raw pixels"]} if "raw pixels" in pixels else None),
    ]  # fmt: skip


def _last_accuracies(model: ModelSummary) -> list[float]:
    return [run["probe"]["linear"]["points"][-1]["accuracy"] for run in model.runs if "linear" in run.get("probe", {})]


def _probe_lines(models: list[ModelSummary]) -> list[Line]:
    lines = []
    for model in models:
        curves = [run["probe"]["linear"]["points"] for run in model.runs if "linear" in run.get("probe", {})]
        if not curves:
            continue
        values = 100 * np.array([[point["accuracy"] for point in curve] for curve in curves])
        middle, spread = values.mean(0), values.std(0, ddof=1) if len(values) > 1 else np.zeros(values.shape[1])
        numbers = [float(point["num_labels"]) for point in curves[0]]
        lines.append(Line(model.name, numbers, middle, middle - spread, middle + spread))
    return lines
