"""Odd images: scores of how little an image is like the usual ones, a line to draw, and where in the image it is odd.

Scores, each higher the odder an image is, are those of `vision.uses.usual_images`. Nothing in them is random, and each
is a function of its image alone.

The score is chosen without having seen an anomaly. Held-out usual images are spoiled in three ways: a patch of another
usual image is pasted into them (Li et al. 2021, "CutPaste", with patches of a quarter of the area), they are made of
halves of two images, or turned by a quarter or more (Golan and El-Yaniv 2018). `FAVOURITE`, which needs no training and
of whose kind published detectors are (Bergman et al. 2020, "Deep Nearest Neighbor Anomaly Detection"; Roth et al. 2022,
"PatchCore"; that it is this one was settled on digits), is taken, unless the area under the ROC curve between held-out
images and spoiled ones, in the mean over the three ways, is higher by `MARGIN` or more for another score: then that
with the highest. A smaller lead is within what another draw of images would change. Spoiled images stand for defects
and wrong parts: where oddness is of another kind, name the score.

The line is an order statistic of held-out usual images, which keeps its share of false alarms with a stated confidence
(`nlprep.evaluation.detection.fit_threshold`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

from nlprep.core.artifacts import fill_artifact, read_artifact
from nlprep.core.devices import find_device
from nlprep.core.errors import FileError, NlprepError
from nlprep.core.files import atomic_directory
from nlprep.core.progress import SILENT
from nlprep.core.randomness import combine, uniforms
from nlprep.evaluation.detection import Threshold, area_under_curve, fit_threshold
from nlprep.evaluation.encoder import evaluation_mode
from vision.images.collection import unit_pixels
from vision.models.files import SavedModel, check_shape, load_model, save_model
from vision.models.model import CanReconstruct
from vision.uses.anomaly_scores import DetectorModule
from vision.uses.usual_images import (
    PATCH_SCORES,
    LearnedScores,
    check_names,
    learn_scores,
    pack_score,
    score_images,
    score_names,
    unpack_score,
)

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray

    from nlprep.core.progress import Progress
    from vision.images.collection import Images

ANOMALY_DETECTOR = "anomaly-detector"
"""What directories of detectors are marked as."""
FAVOURITE = "patch_neighbors"
"""The score that counts if no other is clearly better."""
MARGIN = 0.02
_MODEL = "model"
_MOST_CHOSEN_ON = 1000
_BATCH = 128
_RATES = (0.05, 0.1, 0.2, 0.5)
_SPOILING = 61


@dataclass(frozen=True)
class AnomalyDetector:
    """Scores images, and calls those odd that lie above a line.

    Attributes:
        saved: The model and its preprocessing.
        score: The name of the score that counts.
        threshold: The line.
        learned: The score, as it was learned from usual images.
        areas: What the choice was made by: the area of each score for spoiled images, by name; empty if it was named.
    """

    saved: SavedModel
    score: str
    threshold: Threshold
    learned: LearnedScores = field(repr=False)
    areas: dict[str, float] = field(default_factory=dict)

    @property
    def module(self) -> DetectorModule:
        """The score as a module, to be exported.

        Called on images (b, channels, height, width), uint8 or floats in [0, 1], it gives (b,) float32, of which those
        above ``threshold.value`` are odd: what `scores` gives of images that were not learned from.
        """
        return DetectorModule(self.learned.modules[self.score]).eval()

    def scores(self, images: Images, *, progress: Progress = SILENT) -> NDArray[np.float64]:
        """Scores (n,) of images, higher the odder; images that were learned from are judged as if they were not.

        Args:
            images: Of the model's shape.
            progress: Gets images.

        Raises:
            NlprepError: Images of another shape.
        """
        check_shape(self.saved.model, images.shape, where=images.source)
        return score_images(self.learned, images, progress=progress)[self.score]

    def heat(self, images: Images) -> NDArray[np.float32]:
        """Where images are odd: see `heat_of`."""
        return heat_of(self.saved, images)

    def save(self, directory: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write a directory that `from_directory` opens: the model, what was learned of usual images, and the line.

        Args:
            directory: The place; another detector there is replaced when this one is whole.
            overwrite: Whether another kind of ours may be replaced, too.

        Raises:
            FileError: It cannot be written or holds something else; what was there is untouched.
        """
        tensors, settings = pack_score(self.learned, self.score)
        config = {
            "score": self.score,
            "threshold": self.threshold.to_dict(),
            "areas": self.areas,
            "settings": settings,
        }
        with atomic_directory(directory, kind=ANOMALY_DETECTOR, overwrite=overwrite) as assembly:
            save_model(self.saved, assembly / _MODEL)
            fill_artifact(assembly, kind=ANOMALY_DETECTOR, config=config, tensors=tensors)

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
            score = str(values["score"])
            learned = unpack_score(saved, score, artifact.tensors, dict(values["settings"]))
            return cls(saved, score, Threshold(**values["threshold"]), learned, dict(values["areas"]))
        except (KeyError, TypeError, ValueError, NlprepError) as error:
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
        seed: Of the spoiled images and of what is random in fits.
        progress: Gets images.

    Raises:
        NlprepError: Images of another shape, or too few for the rate and the confidence.
        OptionError: No such score.
    """
    if len(reference) < 2:
        raise NlprepError(f"{reference.source}: {len(reference)} usual images to compare with: give at least two")
    check_shape(saved.model, held_out.shape, where=held_out.source)
    if score is not None:
        check_names(saved, [score])
    names = score_names(saved) if score is None else (score,)
    if score is None and not (reference.pixels.min((1, 2, 3)) < reference.pixels.max((1, 2, 3))).any():
        # Of images of one colour each there are no patches to tell apart.
        names = tuple(name for name in names if name not in PATCH_SCORES)
    if rate is None:
        rate = supported_rate(len(held_out), confidence)
    # Before what takes time, which would be for nothing: whether there are enough does not hang on their scores.
    fit_threshold(np.zeros(len(held_out)), rate=rate, confidence=confidence)
    learned = learn_scores(saved, reference, names, seed=seed, progress=progress)
    areas: dict[str, float] = {}
    if score is None:
        score, areas = choose_score(learned, held_out, seed=seed, progress=progress)
    learned = learned.select(score)
    usual = score_images(learned, held_out, progress=progress)[score]
    return AnomalyDetector(saved, score, fit_threshold(usual, rate=rate, confidence=confidence), learned, areas)


def choose_score(
    learned: LearnedScores, held_out: Images, *, seed: int = 1, progress: Progress = SILENT
) -> tuple[str, dict[str, float]]:
    """The score that counts, chosen as the module says, and the area of each for spoiled images.

    Args:
        learned: All scores.
        held_out: Usual images that they were not learned from, of which the first 1,000 are looked at.
        seed: Of the spoiled images.
        progress: Gets images.
    """
    few = held_out.select(np.arange(min(len(held_out), _MOST_CHOSEN_ON), dtype=np.int64))
    usual, *spoiled = (
        score_images(learned, images, progress=progress) for images in (few, *spoiled_images(few, seed=seed))
    )
    areas = {
        name: float(np.mean([area_under_curve(values, odd[name]) for odd in spoiled])) for name, values in usual.items()
    }
    best = max(areas, key=lambda name: areas[name])
    return (FAVOURITE if areas[best] < areas.get(FAVOURITE, 0) + MARGIN else best), areas


def supported_rate(number: int, confidence: float = 0.95) -> float:
    """The least of the shares 0.05, 0.1, 0.2 and 0.5 that a line through so many images can keep with a confidence.

    The highest of n scores leaves at most a share a above it with the chance 1 - (1 - a)^n. Where even a half is too
    little to promise, 0.5 is given, which `nlprep.evaluation.detection.fit_threshold` refuses with a reason.

    >>> supported_rate(59), supported_rate(58), supported_rate(5)
    (0.05, 0.1, 0.5)
    """
    return next((rate for rate in _RATES if 1 - (1 - rate) ** number >= confidence), _RATES[-1])


def heat_of(saved: SavedModel, images: Images) -> NDArray[np.float32]:
    """Where images are odd: the squared error of each pixel between an image and what the model makes of it.

    Of a model that is conditioned on classes, what it makes of an image given the class that suits it best.

    Args:
        saved: A model that reconstructs.
        images: Of its shape.

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
    classes = getattr(model, "num_classes", 0)
    heats = []
    with evaluation_mode(model):
        for start in range(0, len(images), _BATCH):
            pixels = unit_pixels(torch.from_numpy(np.array(images.pixels[start : start + _BATCH])).to(device))
            best: torch.Tensor | None = None
            for label in range(max(1, classes)):
                given = torch.full((len(pixels),), label, dtype=torch.int64, device=device) if classes else None
                heat = (model.reconstruct(pixels, given).float() - pixels).square().mean(1)
                if best is None:
                    best = heat
                nearer = heat.sum((1, 2), keepdim=True) < best.sum((1, 2), keepdim=True)
                best = torch.where(nearer, heat, best)
            assert best is not None  # noqa: S101 - there is at least one
            heats.append(best.cpu().numpy())
    return np.concatenate(heats)


def spoiled_images(images: Images, *, seed: int = 1) -> tuple[Images, Images, Images]:
    """Images with a patch of another one pasted in, of halves of two, and turned: what stands for odd ones.

    Square images are turned by one, two or three quarters, others by two.

    Args:
        images: At least two.
        seed: Of what is pasted where, and how far images are turned.

    Returns:
        Three collections, as many in each as were given.
    """
    from dataclasses import replace

    count, (_, height, width) = len(images), images.shape
    if count < 2:
        raise NlprepError(f"{images.source}: {count} images to spoil with one another: give at least two")
    draws = uniforms(combine(seed, np.arange(count)), 7, purpose=_SPOILING)
    others = (np.arange(count) + 1 + (draws[:, 0] * (count - 1)).astype(np.int64)) % count
    original = np.asarray(images.pixels)
    pasted, halved, turned = original.copy(), original.copy(), original.copy()
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
        quarters = 1 + int(3 * draws[place, 6]) if height == width else 2
        turned[place] = np.rot90(original[place], quarters, (1, 2))
    one, two, three = (replace(images, pixels=pixels, digest=None) for pixels in (pasted, halved, turned))
    return one, two, three
