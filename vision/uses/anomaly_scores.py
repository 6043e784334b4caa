"""How odd an image is, as modules: what they compute here, an exported file of them computes too.

A score is features of an image and a distance of these from the usual ones'. Features are pixels, a model's codes, or
`PatchFeatures`; distances are `Neighbors` and `Quadratic`; a model's own scores need neither (`OwnScore`).

**Images that were learned from.** A subspace or a covariance lies nearer to the images that it was fitted to than to
others of their kind, the more so the fewer they were, and a line that others draw would be too high for them. So a
`Quadratic` is fitted to each half of the usual images: one that was learned from is judged by the half that it was not
in, any other by the mean of both. `Neighbors` do not count an image as its own neighbour.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from vision.images.collection import unit_pixels

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vision.models.model import CanScore, ImageModel

NEIGHBORS = 5
"""How many nearest usual images are looked at."""
_SAME = 1e-5
_MOST_WINDOWS = 32


class Neighbors(nn.Module):
    """The mean Euclidean distance to the five nearest keys, of which one that is the query itself is none.

    Args:
        keys: (n, d) float32, or bytes that stand for 1/255 each.
    """

    keys: Tensor
    halved_squares: Tensor

    def __init__(self, keys: Tensor) -> None:
        super().__init__()
        self.register_buffer("keys", keys)
        self.register_buffer("halved_squares", unit_pixels(keys).double().square().sum(1).float() / 2, persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """(b, 1) of features (b, d)."""
        squares = [apart.sum(1) for apart in self._squares(features)]
        distances = torch.stack(squares, 1).sqrt().sort(1).values
        if len(squares) == 1:
            return distances
        itself = self._is_itself(distances[:, :1], features)
        return torch.where(itself, distances[:, 1:], distances[:, :-1]).mean(1, keepdim=True)

    def squares(self, features: Tensor) -> Tensor:
        """(b, d) how far features (b, d) are from each of these neighbours, squared: the mean over them."""
        every = torch.stack(list(self._squares(features)), 1)
        distances, order = every.sum(2).sqrt().sort(1)
        every = every.take_along_dim(order[..., None], 1)
        if every.shape[1] == 1:
            return every[:, 0]
        itself = self._is_itself(distances[:, :1], features)
        return torch.where(itself, every[:, 1:].mean(1), every[:, :-1].mean(1))

    def _squares(self, features: Tensor) -> Iterator[Tensor]:
        """(b, d) by feature, for each of the nearest keys, of which there is one more than is wanted."""
        keys = unit_pixels(self.keys)
        # |x - y|^2 / 2 but for |x|^2 / 2, which all keys share.
        found = min(NEIGHBORS + 1, len(keys))
        nearest = (self.halved_squares - features @ keys.T).topk(found, largest=False).indices
        for rank in range(found):
            # Anew from the differences: the expansion loses small distances.
            yield (features - unit_pixels(self.keys[nearest[:, rank]])).square()

    def _is_itself(self, least: Tensor, features: Tensor) -> Tensor:
        """(b, 1) whether the nearest key, at the distance ``least`` (b, 1), is the query itself."""
        return least <= _SAME * (1 + features.square().sum(1, keepdim=True).sqrt())


class Quadratic(nn.Module):
    """Squares along some directions, weighted, and of what is left beside them, for each of F fits.

    sum_k w_k z_k^2 + r (|x - m|^2 - sum_k z_k^2) with z_k = a_k (x - m): the error of principal components with w = 0
    and r = 1; Mahalanobis' distance with w_k = 1 / variance along a_k; that of probabilistic principal components
    (Tipping and Bishop 1999) if 1 / r is the mean variance of what is left.

    Args:
        means: (F, d).
        axes: (F, k, d), orthonormal or 0.
        weights: (F, k).
        rest: (F,).
    """

    means: Tensor
    axes: Tensor
    weights: Tensor
    rest: Tensor

    def __init__(self, means: Tensor, axes: Tensor, weights: Tensor, rest: Tensor) -> None:
        super().__init__()
        for name, value in (("means", means), ("axes", axes), ("weights", weights), ("rest", rest)):
            self.register_buffer(name, value.float())

    def left(self, features: Tensor) -> Tensor:
        """(b, F, d) squares of what the directions of each fit leave of features (b, d)."""
        centred = features[:, None] - self.means
        along = torch.einsum("bfd,fkd->bfk", centred, self.axes)
        return (centred - torch.einsum("bfk,fkd->bfd", along, self.axes)).square()

    def forward(self, features: Tensor) -> Tensor:
        """(b, F) of features (b, d)."""
        found = []
        for mean, axes, weights, rest in zip(self.means, self.axes, self.weights, self.rest, strict=True):
            centred = features - mean
            squares = (centred @ axes.T).square()
            left = (centred.square().sum(1) - squares.sum(1)).clamp(min=0)
            found.append(squares @ weights + rest * left)
        return torch.stack(found, 1)


class PatchFeatures(nn.Module):
    """How much of each atom of a dictionary of patches is in each region of an image: the ``triangle`` code.

    As `vision.baselines.patch_dictionary` has it, but of large images at most 32 patches are looked at from top to
    bottom, and from left to right.

    Args:
        mean: (p,) of normalised patches.
        whitener: (p, p).
        atoms: (k, p).
        contrast: Added to a patch's variance.
        patch: Its side.
        pooling: Regions from top to bottom, and from left to right.
    """

    mean: Tensor
    whitener: Tensor
    atoms: Tensor

    def __init__(
        self, mean: Tensor, whitener: Tensor, atoms: Tensor, *, contrast: float, patch: int, pooling: int
    ) -> None:
        super().__init__()
        for name, value in (("mean", mean), ("whitener", whitener), ("atoms", atoms)):
            self.register_buffer(name, value.float())
        self.contrast, self.patch, self.pooling = contrast, patch, pooling

    def forward(self, images: Tensor) -> Tensor:
        """(b, pooling pooling k) of images (b, channels, height, width), uint8, or floats in [0, 1]."""
        pixels = unit_pixels(images)
        rows, columns = (size - self.patch + 1 for size in pixels.shape[2:])
        steps = (-(-rows // _MOST_WINDOWS), -(-columns // _MOST_WINDOWS))
        windows = functional.unfold(pixels, self.patch, stride=steps).transpose(1, 2)
        windows = windows - windows.mean(2, keepdim=True)
        windows = windows / (windows.square().mean(2, keepdim=True) + self.contrast).sqrt()
        whitened = (windows - self.mean) @ self.whitener
        squares = whitened.square().sum(2, keepdim=True) + self.atoms.square().sum(1) - 2 * (whitened @ self.atoms.T)
        distances = squares.clamp(min=0).sqrt()
        nearness = (distances.mean(2, keepdim=True) - distances).relu()
        sizes = (-(-rows // steps[0]), -(-columns // steps[1]))
        # Not by the number of images, which would fix it in an exported graph.
        grid = nearness.view(-1, *sizes, len(self.atoms))
        tops, lefts = ([round(part * size / self.pooling) for part in range(self.pooling + 1)] for size in sizes)
        regions = [
            grid[:, top:bottom, left:right].mean((1, 2))
            for top, bottom in itertools.pairwise(tops)
            for left, right in itertools.pairwise(lefts)
        ]
        return torch.cat(regions, 1)


class Pixels(nn.Module):
    """The numbers of an image in [0, 1], as features."""

    def forward(self, images: Tensor) -> Tensor:
        """(b, numbers) of images."""
        return unit_pixels(images).flatten(1)


class Codes(nn.Module):
    """A model's codes, as features.

    Args:
        model: The model.
    """

    def __init__(self, model: ImageModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """(b, d) float32 of images."""
        return self.model.encode(images).float()


class OwnScore(nn.Module):
    """One of the scores that a model gives of itself.

    Args:
        model: The model.
        name: Of the score.
    """

    def __init__(self, model: ImageModel, name: str) -> None:
        super().__init__()
        self.model, self.name = model, name

    def forward(self, images: Tensor) -> Tensor:
        """(b, 1) of images."""
        return self.judged(own_scores(self.model, images)[self.name], images)

    def judged(self, own: Tensor, images: Tensor) -> Tensor:  # noqa: ARG002 - what is made of it may depend on these
        """(b, 1) of what the model gives (b,) of images."""
        return own[:, None]


class DistanceScore(nn.Module):
    """A distance of features.

    Args:
        features: Of images.
        distance: Of features.
    """

    def __init__(self, features: nn.Module, distance: nn.Module) -> None:
        super().__init__()
        self.features, self.distance = features, distance

    def forward(self, images: Tensor) -> Tensor:
        """(b, F) of images, one of each fit."""
        found: Tensor = self.distance(self.features(images))
        return found


class LargestScore(nn.Module):
    """The largest of some scores, each in standard deviations of the usual ones' above their mean, and weighted.

    Args:
        parts: Scores of one fit each.
        means: (p,) of each among usual images.
        scales: (p,) standard deviations likewise, divided by the weights.
    """

    means: Tensor
    scales: Tensor

    def __init__(self, parts: Sequence[DistanceScore], means: Tensor, scales: Tensor) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.register_buffer("means", means.float())
        self.register_buffer("scales", scales.float())

    def standardized(self, values: Tensor) -> Tensor:
        """(b, p) of the parts' scores (b, p): what is compared."""
        return (values - self.means) / self.scales

    def combine(self, values: Tensor) -> Tensor:
        """(b, 1) of the parts' scores (b, p)."""
        return self.standardized(values).amax(1, keepdim=True)

    def forward(self, images: Tensor) -> Tensor:
        """(b, 1) of images."""
        return self.combine(torch.cat([part(images) for part in self.parts], 1))


class DetectorModule(nn.Module):
    """What an exported detector computes: scores of images that were not learned from.

    Args:
        score: `OwnScore`, `DistanceScore` or `LargestScore`.
    """

    def __init__(self, score: nn.Module) -> None:
        super().__init__()
        self.score = score

    def forward(self, images: Tensor) -> Tensor:
        """(b,) float32, higher the odder, of images (b, channels, height, width), uint8, or floats in [0, 1]."""
        found: Tensor = self.score(images)
        return found.float().mean(1)


def own_scores(model: ImageModel, images: Tensor) -> dict[str, Tensor]:
    """The scores (b,) that a model gives of itself, by name; nothing is random.

    Of a model that is conditioned on classes each is that of the class that suits an image best: labels are not looked
    at, as an odd image need not be of any class, and those that come later have none.

    Args:
        model: One that `vision.models.model.CanScore`.
        images: As it takes them.
    """
    scorer = cast("CanScore", model)
    if not model.num_classes:
        return dict(scorer.scores(images))
    labelled: Any = scorer.scores
    every = [
        labelled(images, torch.full((len(images),), label, dtype=torch.int64, device=images.device))
        for label in range(model.num_classes)
    ]
    return {name: torch.stack([given[name] for given in every]).amin(0) for name in every[0]}
