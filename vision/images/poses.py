"""Images of a thing that turns, from known heights and in known lights: what a map of poses is made of.

The kind of NORB's planes (LeCun, Huang and Bottou 2004), of which Hadsell, Chopra and LeCun (2006, section 4.3) made
their map: one toy from all sides and some heights, in some lights. Here it is a flat plane, drawn as it is seen by an
eye that is far away: turned about its middle, and the lower the eye, the narrower.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nlprep.core.errors import OptionError
from vision.images.collection import Images

if TYPE_CHECKING:
    from numpy.typing import NDArray

LIGHTS = ((40, 220), (90, 250), (10, 150), (200, 60), (240, 20), (160, 230))
"""The grey of the ground and of the plane, in each light."""
_LOWEST, _HIGHEST = np.pi / 6, np.pi / 2
_FINE = 4
_LENGTH = 0.46
"""Half of the plane's length, as a share of the image's side."""


@dataclass(frozen=True)
class PoseImages:
    """Images whose poses are known.

    Attributes:
        images: n of them, grey; their classes are poses, numbered through the heights of each turn first.
        turns: (n,) radians, from 0 to a whole turn, clockwise from a nose that points to the right.
        heights: (n,) radians of the eye above the ground, a right angle being straight from above.
        lights: (n,) int64, the place of each image's light in `LIGHTS`.
    """

    images: Images
    turns: NDArray[np.float64]
    heights: NDArray[np.float64]
    lights: NDArray[np.int64]


def draw_poses(*, side: int = 24, turns: int = 18, heights: int = 5, lights: int = 3) -> PoseImages:
    """Draw a plane in every pose and light.

    >>> drawn = draw_poses(side=16, turns=6, heights=2, lights=2)
    >>> len(drawn.images), drawn.images.shape, drawn.images.classes[3], drawn.images.labels[-1]
    (24, (1, 16, 16), 'turn 60, height 90', 11)

    Args:
        side: Height and width in pixels, at least 12.
        turns: From how many sides, 20 degrees apart if there are 18.
        heights: From how many heights, from 30 degrees above the ground to 90.
        lights: In how many of `LIGHTS`.

    Returns:
        The images: those of a pose follow each other, by light.

    Raises:
        OptionError: Fewer than one of anything, more lights than there are, or a side that is too small.
    """
    if side < 12 or min(turns, heights) < 1 or not 1 <= lights <= len(LIGHTS):
        raise OptionError(
            f"side = {side}, turns = {turns}, heights = {heights}, lights = {lights}: give a side of 12 or more, one "
            f"or more of the others, and at most {len(LIGHTS)} lights"
        )
    angles = np.arange(turns) * 2 * np.pi / turns
    above = np.linspace(_LOWEST, _HIGHEST, heights) if heights > 1 else np.full(1, _HIGHEST)
    pose_turns, pose_heights = (grid.ravel() for grid in np.meshgrid(angles, above, indexing="ij"))
    shares = np.stack([_seen(turn, height, side) for turn, height in zip(pose_turns, pose_heights, strict=True)])
    ground, plane = np.asarray(LIGHTS[:lights], np.float64).T[:, :, None, None]
    pixels = np.rint(ground + shares[:, None] * (plane - ground)).astype(np.uint8).reshape(-1, 1, side, side)
    names = tuple(
        f"turn {np.rad2deg(turn):.0f}, height {np.rad2deg(height):.0f}"
        for turn, height in zip(pose_turns, pose_heights, strict=True)
    )
    labels = np.repeat(np.arange(len(names)), lights)
    return PoseImages(
        Images(pixels, labels, names, source="drawn poses"),
        pose_turns[labels],
        pose_heights[labels],
        np.tile(np.arange(lights), len(names)),
    )


def _seen(turn: float, height: float, side: int) -> NDArray[np.float64]:
    """(side, side) shares of each pixel that the plane covers."""
    points = ((np.arange(side * _FINE) + 0.5) / (side * _FINE) - 0.5) / _LENGTH
    across, down = np.meshgrid(points, points / np.sin(height))
    along = np.cos(turn) * across + np.sin(turn) * down
    aside = abs(np.cos(turn) * down - np.sin(turn) * across)
    # The nose is where `along` is 1; wings and tail are swept back.
    body = (abs(along) <= 1) & (aside <= 0.13 * np.sqrt(np.clip(2 * (1 - along), 0, 1)))
    wings = (aside <= 0.9) & (abs(along - 0.25 + 0.55 * aside) <= 0.24 - 0.14 * aside)
    tail = (aside <= 0.4) & (abs(along + 0.75 + 0.4 * aside) <= 0.13)
    covered = body | wings | tail
    shares: NDArray[np.float64] = covered.reshape(side, _FINE, side, _FINE).mean((1, 3))
    return shares
