"""Context prediction: where does this patch lie, seen from the other one?

Of nine patches in three rows, the one in the middle is paired with each of its eight neighbours, and a head that is
given the codes of both says which of the eight it is (Doersch, Gupta and Efros 2015, "Unsupervised Visual
Representation Learning by Context Prediction", section 3):

    loss = 1/n sum_i 1/8 sum_(k = 0..7)  - log softmax(h(z(middle_i), z(neighbour_ik)))[k].

At chance it is log 8. Lines that run on from patch to patch would give the answer away, so there are gaps between
patches, and each is moved by a draw of its own in every step, never so far that two overlap: patches have a quarter of
the shorter side, gaps three eighths of what is left in a row, and moves take the rest (the paper's gaps are half a
patch). Deviations: all eight pairs of one middle patch in each step, where the paper draws one; colours are not dropped
against the aberration of lenses, which small images do not show. A code is the mean over the patches of an image's
grid.

Promised, and tested: the loss is that of a loop over pairs; patches never overlap; the head leaves no trace in a code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from vision.images.collection import unit_pixels
from vision.models.patch_codes import PatchModel
from vision.models.pretext import seeded_head

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from vision.images.collection import Shape
    from vision.models.pretext_configuration import ContextPredictionConfig

_ACROSS, _MIDDLE = 3, 4


class ContextPrediction(PatchModel):
    """A model that says where a patch lies.

    Args:
        shape: Of the images.
        config: Its settings.
        num_classes: Must be 0: it sees no labels.
        seed: Of its weights.

    Attributes:
        gaps: Pixels between patches that were not moved, downwards and to the right.
        reach: Pixels by which a patch is moved at the most, in either direction.
    """

    config: ContextPredictionConfig

    def __init__(self, shape: Shape, config: ContextPredictionConfig, *, num_classes: int = 0, seed: int = 1) -> None:
        super().__init__(shape, config, num_classes=num_classes, seed=seed)
        left = [length - _ACROSS * self.side for length in shape[1:]]
        self.gaps = tuple(3 * room // 8 for room in left)
        self.reach = tuple(
            min(gap // 2, (room - 2 * gap) // 2) for room, gap in zip(left, self.gaps, strict=True)
        )  # fmt: skip
        with seeded_head(seed):
            self.head = nn.Sequential(
                nn.SiLU(), nn.Linear(2 * config.dimension, config.hidden), nn.SiLU(),
                nn.Linear(config.hidden, _ACROSS**2 - 1),
            )  # fmt: skip

    def forward(self, images: Tensor, **given: Tensor) -> Mapping[str, Tensor]:  # noqa: ARG002 - sees no labels
        """The ``loss``, in nats, and the ``accuracy``."""
        pixels = unit_pixels(images)
        logits = self.classify(self.cut(pixels, self.draw_corners(len(pixels), pixels.device)))
        right = torch.arange(logits.shape[1], device=pixels.device).expand(len(pixels), -1)
        return {
            "loss": functional.cross_entropy(logits.flatten(0, 1), right.flatten()),
            "accuracy": (logits.argmax(2) == right).float().mean(),
        }

    def classify(self, patches: Tensor) -> Tensor:
        """Logits (b, 8, 8) of the neighbours of the middle patch, of (b, 9, channels, side, side)."""
        codes = self.codes_of(patches)
        middle = codes[:, _MIDDLE : _MIDDLE + 1]
        others = torch.cat([codes[:, :_MIDDLE], codes[:, _MIDDLE + 1 :]], 1)
        logits: Tensor = self.head(torch.cat([middle.expand_as(others), others], 2))
        return logits.float()

    def draw_corners(self, count: int, device: torch.device) -> Tensor:
        """Tops and lefts (count, 9, 2) of the patches, row by row, with torch's generator."""
        corners = []
        for axis in (0, 1):
            moves = torch.randint(2 * self.reach[axis] + 1, (count, _ACROSS**2), device=device)
            spare = self.shape[1 + axis] - _ACROSS * self.side - 2 * self.gaps[axis] - 2 * self.reach[axis]
            numbers = torch.arange(_ACROSS**2, device=device)
            numbers = numbers // _ACROSS if axis == 0 else numbers % _ACROSS
            corners.append(spare // 2 + numbers * (self.side + self.gaps[axis]) + moves)
        return torch.stack(corners, 2)

    def cut(self, pixels: Tensor, corners: Tensor) -> Tensor:
        """Patches (b, 9, channels, side, side) whose top left corners are (b, 9, 2)."""
        places = torch.arange(self.side, device=pixels.device)
        rows = (corners[:, :, 0, None] + places)[:, :, :, None]
        columns = (corners[:, :, 1, None] + places)[:, :, None]
        images = torch.arange(len(pixels), device=pixels.device)[:, None, None, None]
        # Channels come last where rows and columns are picked together.
        return pixels.permute(0, 2, 3, 1)[images, rows, columns].permute(0, 1, 4, 2, 3)
