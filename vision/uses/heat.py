"""Where in an image a score finds it odd, and where a model gives back something else.

A distance of pixels or of patches is made of squares, each of which belongs to a place: a pixel, or a region in which
patches were counted. The map of such a score is the share of each place, so scaled that **its mean over an image is the
image's score**; an image that scores below 0, which is less odd than usual, has none. Of `LARGEST_SCORE` it is the map
of the part that decided for the image. Other scores, such as a likelihood, have no map; where the model gives images
back, the squared error of that is shown instead, and said to be no map of the score.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from nlprep.core.errors import NlprepError
from nlprep.evaluation.encoder import evaluation_mode
from vision.images.collection import unit_pixels
from vision.models.files import check_shape
from vision.models.model import CanReconstruct
from vision.uses.anomaly_scores import DistanceScore, LargestScore, Neighbors, PatchFeatures, Pixels, Quadratic
from vision.uses.usual_images import LearnedScores, halves_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vision.images.collection import Images
    from vision.models.files import SavedModel

_BATCH, _FEW = 128, 16
ERROR = "squared error"


@dataclass(frozen=True)
class Heat:
    """Maps of images.

    Attributes:
        values: (n, height, width) float32, from 0.
        name: What they are of, for a scale.
        of_score: Whether they are of the score by which images are ranked.
    """

    values: NDArray[np.float32]
    name: str
    of_score: bool

    def describe(self, score: str) -> str:
        """A line on what is seen.

        Args:
            score: By which images are ranked.
        """
        if self.of_score:
            return f"heat: {self.name}, the score that ranks; its mean over an image is the image's score"
        return f"heat: {self.name} of what the model makes of an image; ranked by {score}, which has no map"


def heat_of_score(saved: SavedModel, learned: LearnedScores, score: str, images: Images) -> Heat | None:
    """Maps of the score by which images are ranked; of the error of reconstructions, if it has none; else None.

    Args:
        saved: The model.
        learned: The score, as it was learned.
        score: Its name.
        images: Of the model's shape; those that were learned from are judged as if they were not.

    Raises:
        NlprepError: Images of another shape.
    """
    check_shape(saved.model, images.shape, where=images.source)
    module = learned.modules[score]
    if not has_map(module):
        return Heat(heat_of(saved, images), ERROR, False) if isinstance(saved.model, CanReconstruct) else None
    halves = halves_of(learned, images)
    device = next(module.buffers()).device
    maps = []
    with evaluation_mode(module):
        for start in range(0, len(images), _FEW):
            part = slice(start, start + _FEW)
            pixels = torch.from_numpy(np.array(images.pixels[part])).to(device)
            maps.append(_map(module, pixels, torch.from_numpy(halves[part]).to(device)).cpu().numpy())
    return Heat(np.concatenate(maps), f"{score} by place", True)


def has_map(module: nn.Module) -> bool:
    """Whether a score is made of what belongs to places in an image."""
    if isinstance(module, LargestScore):
        return all(has_map(part) for part in module.parts)
    return isinstance(module, DistanceScore) and isinstance(module.features, Pixels | PatchFeatures)


def heat_of(saved: SavedModel, images: Images) -> NDArray[np.float32]:
    """The squared error of each pixel between an image and what the model makes of it.

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


def _map(module: nn.Module, images: Tensor, halves: Tensor) -> Tensor:
    """(b, height, width) whose means are scores, of images (b, channels, height, width) bytes."""
    if isinstance(module, LargestScore):
        values = torch.cat([part(images) for part in module.parts], 1)
        scores, places = module.combine(values)[:, 0], module.standardized(values).argmax(1)
        parts = [part for part in module.parts if isinstance(part, DistanceScore)]
        every = torch.stack([_shares(part, images, halves) for part in parts], 1)
        shares = every[torch.arange(len(images), device=images.device), places]
    else:
        assert isinstance(module, DistanceScore)  # noqa: S101 - there are no others with a map
        scores, shares = _judged(module(images), halves), _shares(module, images, halves)
    return scores.clamp(min=0)[:, None, None] * shares


def _shares(score: DistanceScore, images: Tensor, halves: Tensor) -> Tensor:
    """(b, height, width) of how much of the distance is in each place, 1 in the mean over an image."""
    features = score.features(images)
    if isinstance(score.distance, Neighbors):
        squares = score.distance.squares(features)
    else:
        assert isinstance(score.distance, Quadratic)  # noqa: S101 - there are no others
        squares = _judged(score.distance.left(features), halves)
    size = (int(images.shape[2]), int(images.shape[3]))
    if isinstance(score.features, PatchFeatures):
        # Regions, in each of which every atom was counted.
        side = score.features.pooling
        coarse = squares.view(len(images), 1, side, side, -1).sum(4)
        maps = functional.interpolate(coarse, size=size, mode="bilinear", align_corners=False)[:, 0]
    else:
        maps = squares.view(len(images), -1, *size).sum(1)
    means = maps.mean((1, 2), keepdim=True)
    return torch.where(means > 0, maps / means.clamp(min=torch.finfo(torch.float32).tiny), torch.ones_like(maps))


def _judged(values: Tensor, halves: Tensor) -> Tensor:
    """What is said of images (b, F, ...) by each fit: the mean, or the fit's to which an image was not given."""
    means = values.mean(1)
    if values.shape[1] == 1:
        return means
    other = values[torch.arange(len(values), device=values.device), 1 - halves.clamp(min=0)]
    return torch.where((halves < 0).view(-1, *[1] * (means.dim() - 1)), means, other)
