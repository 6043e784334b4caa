"""Odd images: scores of how little an image is like the usual ones, a line to draw, and where in the image it is odd.

Scores, each higher the odder an image is:

- what the model itself gives (`vision.models.model.CanScore`): reconstruction errors, negative log-likelihoods;
- ``code_neighbors``: the mean distance of a code to its five nearest codes of usual images;
- ``code_mahalanobis``: the squared Mahalanobis distance of a code from the usual ones, their covariance shrunk towards
  its diagonal (Ledoit and Wolf's shrinkage is scikit-learn's, which is used);
- ``pixel_pca`` and ``pixel_neighbors``: baselines that need no model: the squared error of what principal components
  of usual images (95% of their variance, at most 256) make of an image, and the distance of its pixels to its five
  nearest usual images.

The score is chosen without having seen an anomaly. Held-out usual images are spoiled in two ways: a patch of another
usual image is pasted into them (Li et al. 2021, "CutPaste", with patches of a quarter of the area), or they are made
of halves of two images. The score with the highest area under the ROC curve between held-out images and spoiled ones,
in the mean over both ways, is taken; of equal ones the first. Spoiled images stand for defects and wrong parts:
where oddness is of another kind, name the score.

The line is an order statistic of held-out usual images, which keeps its share of false alarms with a stated confidence
(`nlprep.evaluation.detection.fit_threshold`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from nlprep.core.artifacts import fill_artifact, read_artifact
from nlprep.core.devices import find_device
from nlprep.core.errors import FileError, NlprepError, OptionError
from nlprep.core.files import atomic_directory
from nlprep.core.progress import SILENT
from nlprep.core.randomness import combine, uniforms
from nlprep.evaluation.detection import Threshold, area_under_curve, fit_threshold
from nlprep.evaluation.encoder import evaluation_mode
from vision.models.files import SavedModel, check_shape, load_model, save_model
from vision.models.model import CanReconstruct, CanScore, ImageModel, seeded

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray

    from nlprep.core.progress import Progress
    from vision.images.collection import Images

ANOMALY_DETECTOR = "anomaly-detector"
"""What directories of detectors are marked as."""
CODE_SCORES = ("code_neighbors", "code_mahalanobis")
BASELINES = ("pixel_pca", "pixel_neighbors")
_MODEL = "model"
_NEIGHBORS = 5
_VARIANCE = 0.95
_MOST_REFERENCE = 20_000
_MOST_CHOSEN_ON = 1000
_BATCH = 128
_RATES = (0.05, 0.1, 0.2, 0.5)
_SPOILING, _REFERENCE = 61, 62


@dataclass(frozen=True)
class AnomalyDetector:
    """Scores images, and calls those odd that lie above a line.

    Attributes:
        saved: The model and its preprocessing.
        score: The name of the score that counts.
        threshold: The line.
        areas: What the choice was made by: the area of each score for spoiled images, by name; empty if it was named.
        tensors: What was learned from usual images, by name.
        seed: Of what is random in a model's scores.
    """

    saved: SavedModel
    score: str
    threshold: Threshold
    areas: dict[str, float] = field(default_factory=dict)
    tensors: dict[str, NDArray[Any]] = field(default_factory=dict, repr=False)
    seed: int = 1

    def scores(self, images: Images, name: str | None = None, *, progress: Progress = SILENT) -> NDArray[np.float64]:
        """Scores (n,) of images, higher the odder.

        Args:
            images: Of the model's shape.
            name: Another score than `score`.
            progress: Gets images.

        Raises:
            NlprepError: Images of another shape.
            OptionError: No such score.
        """
        wanted = name or self.score
        return score_images(self.saved, images, self.tensors, names=(wanted,), seed=self.seed, progress=progress)[
            wanted
        ]

    def heat(self, images: Images) -> NDArray[np.float32]:
        """Where images are odd: see `heat_of`."""
        return heat_of(self.saved, images, seed=self.seed)

    def save(self, directory: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write a directory that `from_directory` opens: the model, what was learned of usual images, and the line.

        Args:
            directory: The place; another detector there is replaced when this one is whole.
            overwrite: Whether another kind of ours may be replaced, too.

        Raises:
            FileError: It cannot be written or holds something else; what was there is untouched.
        """
        config = {"score": self.score, "threshold": self.threshold.to_dict(), "areas": self.areas, "seed": self.seed}
        with atomic_directory(directory, kind=ANOMALY_DETECTOR, overwrite=overwrite) as assembly:
            save_model(self.saved, assembly / _MODEL)
            fill_artifact(assembly, kind=ANOMALY_DETECTOR, config=config, tensors=self.tensors)

    @classmethod
    def from_directory(cls, directory: str | os.PathLike[str], *, device: str | None = None) -> AnomalyDetector:
        """Open what `save` wrote.

        Args:
            directory: The place.
            device: ``cpu``, ``cuda``...; default: a GPU where there is one.

        Raises:
            FileError: Missing, damaged or something else's.
        """
        artifact = read_artifact(directory, kind=ANOMALY_DETECTOR)
        saved = load_model(artifact.path / _MODEL)
        saved.model.to(find_device(device))
        try:
            values = artifact.config
            threshold = Threshold(**values["threshold"])
            return cls(
                saved,
                str(values["score"]),
                threshold,
                dict(values["areas"]),
                dict(artifact.tensors),
                int(values["seed"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise FileError(directory, f"does not describe a detector ({error}): make it again") from None


def fit_anomalies(
    saved: SavedModel,
    reference: Images,
    held_out: Images,
    *,
    score: str | None = None,
    rate: float | None = None,
    confidence: float = 0.95,
    seed: int = 1,
    progress: Progress = SILENT,
) -> AnomalyDetector:
    """Learn what is usual, choose a score and draw the line, from usual images alone.

    Args:
        saved: A model that was trained on usual images.
        reference: Usual images that others are compared with, of which at most 20,000 are used.
        held_out: Usual images that the model was not trained on: they choose the score and draw the line. A line drawn
            by images that were trained on is too low.
        score: The score that counts; default: chosen as the module says.
        rate: The share of usual images that may be called odd; default: `supported_rate` of the held-out images.
        confidence: How sure it is that no more are.
        seed: Of the spoiled images and of what is random in the model's scores.
        progress: Gets images.

    Raises:
        NlprepError: Images of another shape, or too few for the rate and the confidence.
        OptionError: No such score.
    """
    if len(reference) < 2:
        raise NlprepError(f"{reference.source}: {len(reference)} usual images to compare with: give at least two")
    tensors = _learn(saved, reference, seed, progress)
    names = score_names(saved)
    if score is not None and score not in names:
        raise OptionError(f"score {score!r}: choose from {', '.join(names)}")
    usual = score_images(
        saved, held_out, tensors, names=names if score is None else (score,), seed=seed, progress=progress
    )
    if rate is None:
        rate = supported_rate(len(held_out), confidence)
    # Before the choice, which takes time, and would be for nothing.
    thresholds = {name: fit_threshold(values, rate=rate, confidence=confidence) for name, values in usual.items()}
    areas: dict[str, float] = {}
    if score is None:
        few = np.arange(min(len(held_out), _MOST_CHOSEN_ON), dtype=np.int64)
        spoiled = [
            score_images(saved, images, tensors, names=names, seed=seed, progress=progress)
            for images in spoiled_images(held_out.select(few), seed=seed)
        ]
        areas = {name: float(np.mean([area_under_curve(usual[name], odd[name]) for odd in spoiled])) for name in names}
        score = max(areas, key=lambda name: areas[name])
    return AnomalyDetector(saved, score, thresholds[score], areas, tensors, seed)


def supported_rate(number: int, confidence: float = 0.95) -> float:
    """The least of the shares 0.05, 0.1, 0.2 and 0.5 that a line through so many images can keep with a confidence.

    The highest of n scores leaves at most a share a above it with the chance 1 - (1 - a)^n. Where even a half is too
    little to promise, 0.5 is given, which `nlprep.evaluation.detection.fit_threshold` refuses with a reason.

    >>> supported_rate(59), supported_rate(58), supported_rate(5)
    (0.05, 0.1, 0.5)
    """
    return next((rate for rate in _RATES if 1 - (1 - rate) ** number >= confidence), _RATES[-1])


def score_names(saved: SavedModel) -> tuple[str, ...]:
    """The names of all scores that there are with a model."""
    model = saved.model
    own: tuple[str, ...] = ()
    if isinstance(model, CanScore):
        # Only the model knows what it gives.
        with torch.no_grad(), evaluation_mode(model), seeded(1):
            device = next(model.parameters()).device
            own = tuple(model.scores(torch.zeros(1, *model.shape, dtype=torch.uint8, device=device)))
    codes = CODE_SCORES if isinstance(model, ImageModel) else ()
    return (*own, *codes, *BASELINES)


def score_images(
    saved: SavedModel,
    images: Images,
    tensors: dict[str, NDArray[Any]],
    *,
    names: tuple[str, ...],
    seed: int = 1,
    progress: Progress = SILENT,
) -> dict[str, NDArray[np.float64]]:
    """Several scores of images.

    Args:
        saved: The model.
        images: Of its shape.
        tensors: What a detector learned from usual images.
        names: Which scores.
        seed: Of what is random in a model's scores, which do not depend on the number of images.
        progress: Gets images.

    Returns:
        (n,) by name.

    Raises:
        NlprepError: Images of another shape.
        OptionError: No such score.
    """
    model = saved.model
    check_shape(model, images.shape, where=images.source)
    device = next(model.parameters()).device
    found: dict[str, list[NDArray[np.float64]]] = {name: [] for name in names}
    own = [name for name in names if name not in CODE_SCORES + BASELINES]
    with progress.task("scoring", len(images)) as task, torch.no_grad(), evaluation_mode(model):
        for start in range(0, len(images), _BATCH):
            pixels = np.ascontiguousarray(images.pixels[start : start + _BATCH])
            batch = torch.from_numpy(pixels).to(device)
            if own:
                with seeded(seed + start):
                    given = model.scores(batch) if isinstance(model, CanScore) else {}
                for name in own:
                    if name not in given:
                        raise OptionError(f"score {name!r}: choose from {', '.join(score_names(saved))}")
                    found[name].append(given[name].double().cpu().numpy())
            if any(name in CODE_SCORES for name in names):
                codes = model.encode(batch).double().cpu().numpy()  # type: ignore[operator]
                if "code_neighbors" in found:
                    found["code_neighbors"].append(_neighbor_distances(codes, tensors["codes"]))
                if "code_mahalanobis" in found:
                    centred = codes - tensors["code_mean"]
                    found["code_mahalanobis"].append(
                        np.einsum("ni,ij,nj->n", centred, tensors["code_precision"], centred)
                    )
            if any(name in BASELINES for name in names):
                flat = pixels.reshape(len(pixels), -1) / 255.0
                if "pixel_pca" in found:
                    centred = flat - tensors["pixel_mean"]
                    kept = centred @ tensors["pixel_axes"].T
                    # Axes are orthonormal: what is not kept is what is left of the square.
                    error = (centred**2).sum(1) - (kept**2).sum(1)
                    found["pixel_pca"].append(np.maximum(error, 0))
                if "pixel_neighbors" in found:
                    found["pixel_neighbors"].append(_neighbor_distances(flat, tensors["pixels"] / np.float32(255)))
            task.advance(len(pixels))
    return {name: np.concatenate(parts) if parts else np.zeros(0) for name, parts in found.items()}


def heat_of(saved: SavedModel, images: Images, *, seed: int = 1) -> NDArray[np.float32]:
    """Where images are odd: the squared error of each pixel between an image and what the model makes of it.

    Args:
        saved: A model that reconstructs.
        images: Of its shape.
        seed: Of what is random in the model.

    Returns:
        (n, height, width), means over channels.

    Raises:
        NlprepError: The model does not reconstruct, or takes images of another shape.
    """
    model = saved.model
    check_shape(model, images.shape, where=images.source)
    if not isinstance(model, CanReconstruct):
        raise NlprepError(f"{type(model).__name__} does not give images back, of which heat would be made")
    device = next(model.parameters()).device
    labels = _labels_for(saved, images)
    heats = []
    with torch.no_grad(), evaluation_mode(model):
        for start in range(0, len(images), _BATCH):
            rows = slice(start, start + _BATCH)
            pixels = torch.from_numpy(np.ascontiguousarray(images.pixels[rows])).to(device)
            with seeded(seed + start):
                made = model.reconstruct(pixels, None if labels is None else labels[rows].to(device))
            heats.append((made.float() - pixels.float() / 255).square().mean(1).cpu().numpy())
    return np.concatenate(heats)


def spoiled_images(images: Images, *, seed: int = 1) -> tuple[Images, Images]:
    """Images with a patch of another one pasted in, and images of halves of two: what stands for odd ones.

    Args:
        images: At least two.
        seed: Of what is pasted where.

    Returns:
        Two collections, as many in each as were given.
    """
    from dataclasses import replace

    count, (_, height, width) = len(images), images.shape
    if count < 2:
        raise NlprepError(f"{images.source}: {count} images to spoil with one another: give at least two")
    draws = uniforms(combine(seed, np.arange(count)), 6, purpose=_SPOILING)
    others = (np.arange(count) + 1 + (draws[:, 0] * (count - 1)).astype(np.int64)) % count
    original = np.asarray(images.pixels)
    pasted, halved = original.copy(), original.copy()
    tall, wide = max(1, height // 2), max(1, width // 2)
    for place, other in enumerate(others.tolist()):
        y, x, from_y, from_x = (
            int(draw * (room + 1))
            for draw, room in zip(
                draws[place, 1:5], (height - tall, width - wide, height - tall, width - wide), strict=True
            )
        )
        pasted[place, :, y : y + tall, x : x + wide] = original[
            other, :, from_y : from_y + tall, from_x : from_x + wide
        ]
        if draws[place, 5] < 0.5:
            halved[place, :, :, width // 2 :] = original[other, :, :, width // 2 :]
        else:
            halved[place, :, height // 2 :] = original[other, :, height // 2 :]
    return replace(images, pixels=pasted, digest=None), replace(images, pixels=halved, digest=None)


def _labels_for(saved: SavedModel, images: Images) -> torch.Tensor | None:
    if not getattr(saved.model, "num_classes", 0):
        return None
    if images.labels is None:
        raise NlprepError(f"{images.source}: has no labels, which the model is conditioned on: give classes")
    return torch.from_numpy(images.labels)


def _learn(saved: SavedModel, reference: Images, seed: int, progress: Progress) -> dict[str, NDArray[Any]]:
    from sklearn.covariance import LedoitWolf
    from sklearn.decomposition import PCA

    check_shape(saved.model, reference.shape, where=reference.source)
    places = np.arange(len(reference))
    if len(places) > _MOST_REFERENCE:
        draws = uniforms(combine(seed, places), 1, purpose=_REFERENCE)[:, 0]
        places = np.sort(np.argsort(draws, kind="stable")[:_MOST_REFERENCE])
    used = reference.select(places)
    flat = used.pixels.reshape(len(used), -1)
    tensors: dict[str, NDArray[Any]] = {"pixels": np.ascontiguousarray(flat)}
    unit = flat.astype(np.float32) / np.float32(255)
    most = min(256, *unit.shape)
    components = PCA(most, svd_solver="randomized" if most < min(unit.shape) else "full", random_state=seed).fit(unit)
    enough = int(np.searchsorted(np.cumsum(components.explained_variance_ratio_), _VARIANCE)) + 1
    tensors["pixel_mean"] = components.mean_.astype(np.float32)
    tensors["pixel_axes"] = np.ascontiguousarray(components.components_[:enough].astype(np.float32))
    if isinstance(saved.model, ImageModel):
        from vision.encoders.image_encoder import ImageEncoder

        codes = ImageEncoder(saved).encode(used, _BATCH, progress=progress)
        fitted = LedoitWolf().fit(codes.astype(np.float64))
        tensors["codes"] = codes
        tensors["code_mean"], tensors["code_precision"] = fitted.location_, np.ascontiguousarray(fitted.precision_)
    return tensors


def _neighbor_distances(queries: NDArray[Any], keys: NDArray[Any]) -> NDArray[np.float64]:
    """Mean Euclidean distances (q,) to the five nearest keys, of which one that is the query itself is none.

    Otherwise images that a detector learned from would seem usual for being near themselves.
    """
    from nlprep.vectors.nearest import top_k

    # Of |x - y|^2 = |x|^2 - 2 (x.y - |y|^2 / 2) the last part is a product and an offset.
    keys = np.asarray(keys, np.float32)
    offsets = -0.5 * np.einsum("ij,ij->i", keys, keys, dtype=np.float64)
    _, nearest = top_k(queries.astype(np.float32), keys, _NEIGHBORS + 1, offsets=offsets.astype(np.float32))
    # Anew from the differences: the expansion loses small distances.
    differences = queries[:, None, :] - keys[nearest]
    distances: NDArray[np.float64] = np.sort(np.sqrt((differences**2).sum(2, dtype=np.float64)), axis=1)
    itself = distances[:, 0] <= 1e-6 * (1 + np.sqrt((queries**2).sum(1, dtype=np.float64)))
    others = np.where(itself[:, None], distances[:, 1:], distances[:, :-1] if distances.shape[1] > 1 else distances)
    means: NDArray[np.float64] = others[:, :_NEIGHBORS].mean(1)
    return means
