"""What a comparison found, as tables to print and to put on a page: one form for both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vision.comparison.comparison import Comparison, ModelSummary

NOTHING = "-"


@dataclass(frozen=True)
class ComparisonTable:
    """One table.

    Attributes:
        name: What it is about.
        header: Names of the columns.
        rows: Cells, words all of them.
        notes: Sentences that belong to it: what figures are of, and why some are missing.
    """

    name: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]


def comparison_tables(comparison: Comparison) -> list[ComparisonTable]:
    """Training, reconstruction and likelihood; generation; probes; the bias of FID.

    Figures are means over seeds, with their sample standard deviation in brackets where there are several.

    Args:
        comparison: What was found.
    """
    models = comparison.summaries()
    return [
        _costs(models, comparison),
        _images(models, comparison),
        _generation(models, comparison),
        *_probes(models, comparison),
        _bias(comparison),
    ]


def told(summary: ModelSummary, *path: str, form: str = ".3g", scale: float = 1.0) -> str:
    """The mean of a figure over seeds, and its standard deviation in brackets.

    Args:
        summary: The runs of a model.
        path: Leads to the figure.
        form: How a number is written.
        scale: What it is multiplied with.
    """
    found = summary.spread(*path)
    if found is None:
        return NOTHING
    middle, spread = (scale * value for value in found)
    several = len(summary.values(*path)) > 1
    return f"{middle:{form}} ({spread:{form}})" if several else f"{middle:{form}}"


def _costs(models: list[ModelSummary], comparison: Comparison) -> ComparisonTable:
    rows = [
        (
            model.name,
            f"{len(model.runs)}" + (f", {len(model.failed)} failed" if model.failed else ""),
            told(model, "steps", form=",.0f").partition(" ")[0],
            told(model, "seconds", form=",.1f"),
            told(model, "parameters", form=",.0f").partition(" ")[0],
            told(model, "dimension", form=",.0f").partition(" ")[0],
            told(model, "gradient_bytes", form=",.0f", scale=1 / 1024).partition(" ")[0],
        )
        for model in models
    ]
    config = comparison.config
    budget = (
        f"Every run had {config.steps:,} steps."
        if config.steps is not None
        else f"Every run had as many steps as {config.seconds:g} seconds of a processor pay for (of a GPU, seconds), "
        "by a trial; evaluations come on top."
    )
    notes = [
        budget,
        f"Batches of {config.batch_size} images. Figures are means over seeds (standard deviation).",
        "KB an image: what a step keeps for its gradient, weights and optimiser aside; it grows with a model's depth.",
    ]
    notes += [f"{model.name}, seed {seed}, failed: {why}" for model in models for seed, why in model.failed.items()]
    return ComparisonTable(
        "training", ("model", "runs", "steps", "seconds", "weights", "numbers in a code", "KB an image"), tuple(rows),
        tuple(notes),
    )  # fmt: skip


def _images(models: list[ModelSummary], comparison: Comparison) -> ComparisonTable:
    rows = [
        (
            model.name,
            told(model, "reconstruction", "mse", form=".5f"),
            told(model, "reconstruction", "decibels", form=".2f"),
            told(model, "likelihood", "nats", form=",.2f"),
            told(model, "likelihood", "standard_error", form=",.2f").partition(" ")[0],
            told(model, "likelihood", "bits", form=".3f"),
            _first(model, "likelihood", "of"),
        )
        for model in [*models, *(one for one in comparison.baselines() if one.values("reconstruction", "mse"))]
    ]
    notes = [
        f"Of {_tested(comparison)} test images. Squared error of a number in [0, 1], and in dB, -10 log10 of it.",
        "Negative log-likelihood in nats for each image, its standard error by the choice of images, and bits for each "
        "number; figures of other things (binary pixels, bytes, densities) do not compare.",
    ]
    notes += _reasons(models, "reconstruction") + _reasons(models, "likelihood")
    notes += [
        f"{model.name}: {found}." for model in models if (found := _first(model, "likelihood", "measured")) != NOTHING
    ]
    header = ("model", "squared error", "dB", "-log p", "s.e.", "bits/dim", "of")
    return ComparisonTable("reconstruction and likelihood", header, tuple(rows), tuple(notes))


def _generation(models: list[ModelSummary], comparison: Comparison) -> ComparisonTable:
    path = "generation"
    listed = [*models, *(one for one in comparison.baselines() if one.values(path, "kid", "distance"))]
    rows = [
        (
            model.name,
            told(model, path, "fid", "distance", form=".2f"),
            told(model, path, "fid_at_floor", "distance", form=".2f"),
            told(model, path, "floor", "distance", form=".2f").partition(" ")[0],
            told(model, path, "kid", "distance", form=",.4g"),
            told(model, path, "kid", "standard_error", form=",.3g").partition(" ")[0],
            told(model, path, "precision", "value", form=".1%"),
            told(model, path, "recall", "value", form=".1%"),
        )
        for model in listed
    ]
    space = comparison.record["space"]
    sized = next((one for model in listed for run in model.runs if "fid" in (one := run.get(path, {}))), None)
    notes = [f"Space: {space['name']}."]
    if sized is not None:
        fid, floor = sized["fid"], sized["floor"]
        notes += [
            f"FID of {fid['num_second']:,} images against {fid['num_first']:,} real ones; at the floor, of "
            f"{floor['num_second']:,} against {floor['num_first']:,}, where as many other real ones have the floor.",
            "KID with the standard error of one run, by a jackknife. FID of other numbers or spaces does not compare.",
        ]
    drawn: dict[str, list[str]] = {}
    for model in models:
        drawn.setdefault(_first(model, path, "drawn"), []).append(model.name)
    notes += [
        f"{', '.join(names)}: images are drawn {how}."
        for how, names in drawn.items()
        if how not in (NOTHING, "by the model")
    ]
    notes += _reasons(models, path)
    header = ("images of", "FID", "FID at floor", "floor", "KID", "s.e.", "precision", "recall")
    return ComparisonTable("generation", header, tuple(rows), tuple(notes))


def _probes(models: list[ModelSummary], comparison: Comparison) -> list[ComparisonTable]:
    listed = [model for model in [*models, *comparison.baselines()] if _points(model, "linear")]
    if not listed:
        return []
    numbers = [point["num_labels"] for point in _points(listed[0], "linear")]
    kinds = ("linear", "neighbors")
    names = {"linear": "linear", "neighbors": "kNN"}
    rows = []
    for model in listed:
        cells = [f"{model.runs[0]['dimension']:,}"]
        for kind in kinds:
            for place in range(len(numbers)):
                values = [run["probe"][kind]["points"][place]["accuracy"] for run in model.runs]
                summary = type(model)(model.name, tuple({"value": value} for value in values), {})
                cells.append(told(summary, "value", form=".1%"))
        rows.append((model.name, *cells))
    header = ("features", "numbers", *(f"{names[kind]} {number:,}" for kind in kinds for number in numbers))
    tested = listed[0].runs[0]["probe"]["linear"]["points"][0]["num_test"]
    notes = [
        f"Accuracy on {tested:,} test images by the number of labels; the mean over "
        f"{comparison.config.repeats} choices of them, and over seeds (standard deviation)."
    ]
    unfinished = sum(int(value) for model in listed for value in model.values("probe", "unfinished"))
    if unfinished:
        notes.append(f"{unfinished:,} fits, with small penalties most of them, ended before their minimum.")
    return [ComparisonTable("probes", header, tuple(rows), tuple(notes))]


def _bias(comparison: Comparison) -> ComparisonTable:
    rows = [(f"{one['num_first']:,}", f"{one['distance']:.2f}") for one in comparison.record["bias"] or []]
    notes = (
        "FID of two samples of real test images that share none: what few images alone make of it. It is 0 of "
        "infinitely many.",
    )
    return ComparisonTable("bias of FID", ("images on each side", "FID"), tuple(rows), notes)


def _points(model: ModelSummary, kind: str) -> list[dict[str, Any]]:
    for run in model.runs:
        curve = run.get("probe", {}).get(kind)
        if curve is not None:
            return list(curve["points"])
    return []


def _first(model: ModelSummary, *path: str) -> str:
    for run in model.runs:
        value: Any = run
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        if value is not None:
            return str(value)
    return NOTHING


def _reasons(models: list[ModelSummary], of: str) -> list[str]:
    """Why there are no figures, those of one reason together."""
    found: dict[str, list[str]] = {}
    for model in models:
        reason = _first(model, of, "none")
        if reason != NOTHING:
            found.setdefault(reason, []).append(model.name)
    return [f"{', '.join(names)}: no {of}: {why}." for why, names in found.items()]


def _tested(comparison: Comparison) -> str:
    return f"{comparison.record['sources']['test']['images']:,}"
