"""One page that shows what a model learned of images: a map of them, neighbours, near-duplicates, the oddest ones."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from nlprep.core.configuration import to_mapping
from nlprep.core.errors import NlprepError
from nlprep.core.progress import SILENT
from nlprep.core.randomness import combine, uniforms
from nlprep.evaluation.encoder import evaluation_mode
from nlprep.figures.images import draw_image_rows, draw_images, draw_reconstructions
from nlprep.figures.item_map import ItemMap
from nlprep.figures.maps import map_features
from nlprep.figures.report import Heading, Paragraph, Picture, Settings, Table, write_report
from nlprep.vectors.nearest import top_k
from nlprep.vectors.normalization import scaled_to_unit
from vision.models.model import CanReconstruct, CanSample, CanScore

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray

    from nlprep.core.progress import Progress
    from nlprep.figures.report import Part
    from vision.encoders.image_encoder import ImageEncoder
    from vision.images.collection import Images

NEAR_DUPLICATE = 0.99
"""The cosine of two centred codes from which their images are shown as near-duplicates."""
_CHOOSING = 51
_NEIGHBORS = 8
_SHOWN = 10
_BATCH = 256


def write_image_report(
    encoder: ImageEncoder,
    images: Images,
    path: str | os.PathLike[str],
    *,
    title: str = "images",
    limit: int = 2000,
    method: str = "tsne",
    seed: int = 1,
    overwrite: bool = False,
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Write the page.

    Neighbours are by the cosine of codes from which the mean was taken. How odd an image is, the model says if it has a
    score (`vision.models.model.CanScore`), else the distance of its code to the eighth nearest.

    Args:
        encoder: What learned.
        images: n images of its shape, at least 4.
        path: An ``.html`` file.
        title: Of the page.
        limit: Most images that are shown; a choice by the seed where there are more.
        method: Of the map, as for `nlprep.figures.maps.map_features`.
        seed: As said.
        overwrite: As for `nlprep.figures.report.write_report`.
        progress: Gets encoding.

    Returns:
        ``images`` shown, ``near_duplicates`` (pairs), and the ``score`` that says what is odd.

    Raises:
        NlprepError: Too few images, or codes that make no map.
        FileError: The place cannot be written or holds something that is not ours.
    """
    if len(images) < 4:
        raise NlprepError(f"{images.source}: {len(images)} images make no map: give at least 4")
    if len(images) > limit:
        draws = uniforms(combine(seed, np.arange(len(images))), 1, purpose=_CHOOSING)[:, 0]
        images = images.select(np.sort(np.argsort(draws, kind="stable")[:limit]))
    codes = encoder.encode(images, _BATCH, progress=progress)
    centred = scaled_to_unit(codes - codes.mean(axis=0, keepdims=True))
    cosines, nearest = _others(centred, min(_NEIGHBORS, len(images) - 1))
    score, oddness = _oddness(encoder, images, codes)
    pairs = _near_duplicates(cosines, nearest)
    names = [images.name(place) for place in range(len(images))]
    with tempfile.TemporaryDirectory() as scratch:
        parts = [
            Paragraph(
                f"{len(images):,} images of {images.source}, and what a model makes of them: "
                f"a code of {codes.shape[1]} numbers each."
            ),
            Heading("Map"),
            ItemMap(
                map_features(codes, method, seed=seed),
                names,
                images.pixels,
                images.labels,
                images.classes,
                details={score: [round(float(value), 4) for value in oddness]},
                neighbors=nearest,
                caption=f"Images near one another have similar codes ({method}): hover to see one, click for more.",
            ),
            *_oddest(images, names, oddness, score, Path(scratch)),
            *_duplicates(images, names, pairs, Path(scratch)),
            *_neighborhoods(images, nearest, seed, Path(scratch)),
            *_made(encoder, images, seed, Path(scratch)),
            Settings(to_mapping(encoder.saved.config) | {"preprocessing": to_mapping(encoder.saved.preprocessing)}),
        ]
        write_report(title, parts, path, overwrite=overwrite)
    return {"images": len(images), "near_duplicates": len(pairs), "score": score}


def _others(unit: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """For each row the ``k`` nearest of the others: cosines and places, (n, k)."""
    scores, places = top_k(unit, unit, k + 1)
    # Itself is among them but where so many equal ones precede it: then the last one goes.
    itself = places == np.arange(len(unit))[:, None]
    itself[~itself.any(axis=1), -1] = True
    return scores[~itself].reshape(len(unit), k), places[~itself].reshape(len(unit), k)


def _near_duplicates(cosines: NDArray[np.float32], nearest: NDArray[np.int64]) -> list[tuple[int, int, float]]:
    """Pairs of places, the nearest first."""
    found = {
        (min(row, int(other)), max(row, int(other))): float(cosine)
        for row, (values, others) in enumerate(zip(cosines, nearest, strict=True))
        for cosine, other in zip(values, others, strict=True)
        if cosine >= NEAR_DUPLICATE
    }
    return sorted(((one, other, cosine) for (one, other), cosine in found.items()), key=lambda pair: (-pair[2], pair))


def _oddness(encoder: ImageEncoder, images: Images, codes: NDArray[np.float32]) -> tuple[str, NDArray[np.float64]]:
    """What says how odd an image is, and how odd each is."""
    model = encoder.saved.model
    if isinstance(model, CanScore) and not getattr(model, "num_classes", 0):
        values: dict[str, list[NDArray[np.float64]]] = {}
        with evaluation_mode(model):
            torch.manual_seed(0)
            for start in range(0, len(images), _BATCH):
                batch = torch.tensor(images.pixels[start : start + _BATCH], device=encoder.device)
                for name, scores in model.scores(batch).items():
                    values.setdefault(name, []).append(scores.double().cpu().numpy())
        name = next(iter(values))
        return name.replace("_", " "), np.concatenate(values[name])
    squares = (codes.astype(np.float64) ** 2).sum(axis=1)
    distances = squares[:, None] + squares - 2 * codes.astype(np.float64) @ codes.T
    apart = np.sqrt(np.maximum(np.sort(distances, axis=1)[:, min(_NEIGHBORS, len(codes) - 1)], 0))
    return "distance to the eighth nearest code", apart


def _oddest(images: Images, names: list[str], oddness: NDArray[np.float64], score: str, scratch: Path) -> list[Part]:
    places = np.argsort(-oddness, kind="stable")[: 2 * _SHOWN]
    draw_images(
        images.pixels[places],
        scratch / "oddest.png",
        captions=[Path(names[place]).name for place in places],
        columns=_SHOWN,
    )
    return [Heading("The oddest images"), Picture(scratch / "oddest.png", f"Those with the highest {score}, falling.")]


def _duplicates(images: Images, names: list[str], pairs: list[tuple[int, int, float]], scratch: Path) -> list[Part]:
    heading = Heading("Near-duplicates")
    if not pairs:
        return [heading, Paragraph(f"No two images have codes with a cosine of {NEAR_DUPLICATE} or more.")]
    shown = pairs[:_SHOWN]
    rows = {
        "one": images.pixels[[one for one, _, _ in shown]],
        "the other": images.pixels[[other for _, other, _ in shown]],
    }
    draw_image_rows(rows, scratch / "duplicates.png", columns=_SHOWN)
    table = Table(
        ("one", "the other", "cosine"), [(names[one], names[other], cosine) for one, other, cosine in pairs[:50]]
    )
    caption = f"{len(pairs):,} pairs have a cosine of {NEAR_DUPLICATE} or more; the nearest ones."
    return [heading, Picture(scratch / "duplicates.png", caption), table]


def _neighborhoods(images: Images, nearest: NDArray[np.int64], seed: int, scratch: Path) -> list[Part]:
    draws = uniforms(combine(seed, np.arange(len(images))), 1, purpose=_CHOOSING + 1)[:, 0]
    chosen = np.argsort(draws, kind="stable")[:_SHOWN]
    rows = {"image": images.pixels[chosen]} | {
        f"nearest {rank + 1}": images.pixels[nearest[chosen, rank]] for rank in range(min(5, nearest.shape[1]))
    }
    draw_image_rows(rows, scratch / "neighbors.png", columns=_SHOWN)
    return [
        Heading("Neighbours"),
        Picture(scratch / "neighbors.png", "Some images, and below each those nearest to it."),
    ]


def _made(encoder: ImageEncoder, images: Images, seed: int, scratch: Path) -> list[Part]:
    """What the model makes: images again, and new ones."""
    model, parts = encoder.saved.model, list[Any]()
    if getattr(model, "num_classes", 0):
        return parts
    with evaluation_mode(model):
        torch.manual_seed(seed)
        if isinstance(model, CanReconstruct):
            shown = torch.tensor(images.pixels[: 2 * _SHOWN], device=encoder.device)
            made = model.reconstruct(shown)
            draw_reconstructions(shown, {"made of its code": made}, scratch / "made.png", columns=_SHOWN)
            parts += [
                Heading("Made of codes"),
                Picture(scratch / "made.png", "Images, and what the model makes of them."),
            ]
        if isinstance(model, CanSample):
            draw_images(model.sample(4 * _SHOWN), scratch / "samples.png", columns=_SHOWN)
            parts += [Heading("New images"), Picture(scratch / "samples.png", "Drawn from the model.")]
    return parts
