"""Odd images: scores of how little an image is like the usual ones, a line to draw, and where in the image it is odd.

Scores, each higher the odder an image is, are those of `vision.uses.usual_images`. Nothing in them is random, and each
is a function of its image alone.

The score that counts, unless another is named, is `LARGEST_SCORE`, which needs no training; its parts are of the kind
of published detectors (Bergman et al. 2020, "Deep Nearest Neighbor Anomaly Detection"; Roth et al. 2022, "PatchCore").
It is the same for all data. A choice by data without anomalies was tried and does harm: how well scores tell usual
images that are spoiled on purpose (a patch of another image pasted in, halves of two, turned) says little of how well
they tell things of another kind, and on small photographs it took scores little better than chance
(``benchmarks/one_class.py``). Where you know of what kind odd images are, name the score.

The line is an order statistic of held-out usual images, which keeps its share of false alarms with a stated confidence
(`nlprep.evaluation.detection.fit_threshold`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from nlprep.core.artifacts import fill_artifact, read_artifact
from nlprep.core.devices import find_device
from nlprep.core.errors import FileError, NlprepError
from nlprep.core.files import atomic_directory
from nlprep.core.progress import SILENT
from nlprep.evaluation.detection import Threshold, fit_threshold
from vision.images.amounts import require_images
from vision.models.files import SavedModel, check_shape, load_model, save_model
from vision.uses.anomaly_scores import DetectorModule
from vision.uses.heat import Heat, heat_of_score
from vision.uses.usual_images import (
    LARGEST_SCORE,
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
_MODEL = "model"
_RATES = (0.05, 0.1, 0.2, 0.5)


@dataclass(frozen=True)
class AnomalyDetector:
    """Scores images, and calls those odd that lie above a line.

    Attributes:
        saved: The model and its preprocessing.
        score: The name of the score that counts.
        threshold: The line.
        learned: The score, as it was learned from usual images.
    """

    saved: SavedModel
    score: str
    threshold: Threshold
    learned: LearnedScores = field(repr=False)

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

    def heat(self, images: Images) -> Heat | None:
        """Where images are odd: see `vision.uses.heat.heat_of_score`."""
        return heat_of_score(self.saved, self.learned, self.score, images)

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
            return cls(saved, score, Threshold(**values["threshold"]), learned)
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
    """Learn what is usual and draw the line, from usual images alone.

    Args:
        saved: A model that was trained on usual images.
        reference: Usual images that others are compared with, of which at most 20,000 are used.
        held_out: Usual images that the model was not trained on, which draw the line. One drawn by images that were
            trained on is too low.
        score: The score that counts; default: `LARGEST_SCORE`, or `pixel_neighbors` where images have no patches that
            could be told apart.
        rate: The share of usual images that may be called odd; default: `supported_rate` of the held-out images.
        confidence: How sure it is that no more are.
        seed: Of what is random in fits.
        progress: Gets images.

    Raises:
        NlprepError: Images of another shape, or too few for the rate and the confidence.
        OptionError: No such score.
    """
    if rate is None:
        rate = supported_rate(len(held_out), confidence)
    # Before what takes time, which would be for nothing: whether there are enough does not hang on their scores.
    fit_threshold(np.zeros(len(held_out)), rate=rate, confidence=confidence)
    require_images(
        len(reference), len(held_out), source=reference.source,
        what=("usual image to compare with", "usual images to compare with"), use="draw the line by",
    )  # fmt: skip
    check_shape(saved.model, held_out.shape, where=held_out.source)
    if score is not None:
        check_names(saved, [score])
    if score is None:
        # Images of one colour each have no patches to tell apart, nor has one of a row of pixels.
        varied = bool((reference.pixels.min((1, 2, 3)) < reference.pixels.max((1, 2, 3))).any())
        score = LARGEST_SCORE if varied and LARGEST_SCORE in score_names(saved) else "pixel_neighbors"
    learned = learn_scores(saved, reference, [score], seed=seed, progress=progress)
    usual = score_images(learned, held_out, progress=progress)[score]
    return AnomalyDetector(saved, score, fit_threshold(usual, rate=rate, confidence=confidence), learned)


def supported_rate(number: int, confidence: float = 0.95) -> float:
    """The least of the shares 0.05, 0.1, 0.2 and 0.5 that a line through so many images can keep with a confidence.

    The highest of n scores leaves at most a share a above it with the chance 1 - (1 - a)^n. Where even a half is too
    little to promise, 0.5 is given, which `nlprep.evaluation.detection.fit_threshold` refuses with a reason.

    >>> supported_rate(59), supported_rate(58), supported_rate(5)
    (0.05, 0.1, 0.5)
    """
    return next((rate for rate in _RATES if 1 - (1 - rate) ** number >= confidence), _RATES[-1])
