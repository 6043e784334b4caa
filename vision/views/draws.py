"""What is done to each image of a batch: numbers that follow from its key, whatever else is in the batch.

A key is an example's seed (`nlprep.core.training.data.examples`), which is one of (run, epoch, example), and the
number of the view. Random numbers are those of `nlprep.core.randomness`, bit for bit, computed by torch, so that they
are at hand wherever the images are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from nlprep.core.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from vision.images.collection import Shape
    from vision.views.configuration import ViewConfig

_GOLDEN, _FIRST, _SECOND = (
    value - (1 << 64) if value >> 63 else value
    for value in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
)
_PURPOSE, _PURPOSE_NOISE = 51, 52
_TRIES = 10
# Where each number stands among an image's draws. They keep their places whatever is switched off.
_AREA, _RATIO = slice(0, _TRIES), slice(_TRIES, 2 * _TRIES)
_FACTORS, _ORDER = slice(30, 34), slice(34, 38)
_TOP, _LEFT, _FLIP, _TURNED, _TURNS, _JITTERED, _GREY = 20, 21, 22, 23, 24, 25, 26
_BLURRED, _WIDTH, _NOISY, _DEVIATION, _SOBEL, _CUT, _ROW, _COLUMN = 38, 39, 40, 41, 42, 43, 44, 45
_NUMBER = 46
# Of Chen et al. (2020), appendix A: changes at a strength of 1, and widths of the blur in pixels.
_CHANGES = (0.8, 0.8, 0.8, 0.2)
_LEAST_WIDTH, _MOST_WIDTH = 0.1, 2.0


@dataclass(frozen=True)
class ViewDraws:
    """What is done to each of b images, in the order of its settings (`vision.views.configuration.ViewConfig`).

    Attributes:
        keys: (b,) int64, of which the noise is made.
        boxes: (b, 4) int64, the crop's top, left, height and width.
        flips: (b,) bool.
        turns: (b,) int64, quarter turns against the clock.
        factors: (b, 4) float32: what brightness, contrast and saturation are multiplied by and, as a share of the
            circle, what is added to the hue; 1, 1, 1 and 0 change nothing.
        order: (b, 4) int64, the places in `factors` in the order of their use.
        grey: (b,) bool.
        widths: (b,) float32, standard deviations of the blur in pixels; 0: none.
        deviations: (b,) float32, of the noise; 0: none.
        sobel: (b,) bool.
        cuts: (b, 2) int64, the middle of the square that is cut out, row and column; -1: none.
    """

    keys: Tensor
    boxes: Tensor
    flips: Tensor
    turns: Tensor
    factors: Tensor
    order: Tensor
    grey: Tensor
    widths: Tensor
    deviations: Tensor
    sobel: Tensor
    cuts: Tensor

    def __len__(self) -> int:
        return len(self.keys)

    def select(self, rows: Tensor) -> ViewDraws:
        """Those of some of the images, (n,) places, in that order."""
        return ViewDraws(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})


def draw_views(keys: Tensor, shape: Shape, config: ViewConfig, *, view: int = 0) -> ViewDraws:
    """Draw what makes a view of each image.

    The crop's area is uniform and the logarithm of its ratio of sides too; of ten such crops the first that fits into
    the image is taken, else the largest in its middle (Szegedy et al. 2015, as it is done everywhere).

    Args:
        keys: (b,) int64, the examples' seeds.
        shape: (channels, height, width) of the images.
        config: What may be done.
        view: Which view of the image.

    Raises:
        OptionError: Turns of images that are not square.
    """
    if config.rotation and shape[1] != shape[2]:
        raise OptionError(
            f"rotation = {config.rotation}: images of {shape[1]} x {shape[2]} are not square: set it to 0"
        )
    own = combine(keys, view)
    draws = uniforms(own, _NUMBER, purpose=_PURPOSE)
    jittered = (draws[:, _JITTERED] < config.jitter)[:, None]
    reach = torch.tensor(_CHANGES, dtype=draws.dtype, device=draws.device) * config.strength
    changes = torch.where(jittered, (2 * draws[:, _FACTORS] - 1) * reach, 0.0)
    base = torch.tensor([1.0, 1.0, 1.0, 0.0], dtype=draws.dtype, device=draws.device)
    widths = _LEAST_WIDTH + (_MOST_WIDTH - _LEAST_WIDTH) * draws[:, _WIDTH]
    sides = torch.tensor(shape[1:], device=draws.device)
    middles = (draws[:, [_ROW, _COLUMN]] * sides).long()
    return ViewDraws(
        keys=own,
        boxes=_boxes(draws, shape, config),
        flips=draws[:, _FLIP] < config.flip,
        turns=torch.where(draws[:, _TURNED] < config.rotation, 1 + (3 * draws[:, _TURNS]).long(), 0),
        factors=(base + changes).clamp(min=0).where(base > 0, changes).float(),
        order=draws[:, _ORDER].argsort(1),
        grey=draws[:, _GREY] < config.grey,
        widths=torch.where(draws[:, _BLURRED] < config.blur, widths, 0.0).float(),
        deviations=torch.where(
            draws[:, _NOISY] < config.noise, config.noise_deviation * draws[:, _DEVIATION], 0.0
        ).float(),
        sobel=draws[:, _SOBEL] < config.sobel,
        cuts=torch.where((draws[:, _CUT] < config.cutout)[:, None], middles, -1),
    )


def _boxes(draws: Tensor, shape: Shape, config: ViewConfig) -> Tensor:
    _, height, width = shape
    whole = torch.tensor([height, width], device=draws.device)
    if config.least_crop == 1:
        return torch.cat([torch.zeros_like(whole), whole]).expand(len(draws), 4)
    areas = height * width * (config.least_crop + (config.most_crop - config.least_crop) * draws[:, _AREA])
    ratios = _apart(np.exp, torch.exp, (2 * draws[:, _RATIO] - 1) * math.log(config.stretch))
    # Height and width, (b, tries, 2).
    lengths = _apart(np.sqrt, torch.sqrt, torch.stack([areas / ratios, areas * ratios], 2))
    sides = _apart(np.rint, torch.round, lengths).long()
    fits = ((sides > 0) & (sides <= whole)).all(2)
    # What fits of itself stands at the end.
    ratio = min(max(width / height, 1 / config.stretch), config.stretch)
    last = torch.tensor([min(height, round(width / ratio)), min(width, round(height * ratio))], device=draws.device)
    tried = torch.cat([sides, last.expand(len(draws), 1, 2)], 1)
    first = torch.cat([fits, fits.new_ones(len(draws), 1)], 1).int().argmax(1)
    chosen = tried[torch.arange(len(draws), device=draws.device), first]
    room = whole - chosen
    places = (draws[:, [_TOP, _LEFT]] * (room + 1)).long()
    places = torch.where((first == _TRIES)[:, None], room // 2, places)
    return torch.cat([places, chosen], 1)


def _apart(
    here: Callable[[NDArray[np.float64]], NDArray[np.float64]], there: Callable[[Tensor], Tensor], values: Tensor
) -> Tensor:
    # On a processor NumPy's: torch shares out even two thousand numbers between its threads, and where other programs
    # run too, to wait for these took five times as long as all draws.
    return torch.from_numpy(here(values.numpy())) if values.device.type == "cpu" else there(values)


def normals(keys: Tensor, count: int) -> Tensor:
    """Standard normal numbers (b, count) float32 of keys (b,), by Box and Muller's transformation of uniform ones."""
    half = -(-count // 2)
    one, other = uniforms(keys, 2 * half, purpose=_PURPOSE_NOISE).view(-1, 2, half).unbind(1)
    lengths, angles = (-2 * (1 - one).log()).sqrt(), 2 * math.pi * other
    return torch.cat([lengths * angles.cos(), lengths * angles.sin()], 1)[:, :count].float()


def uniforms(keys: Tensor, count: int, *, purpose: int) -> Tensor:
    """`nlprep.core.randomness.uniforms` of keys (b,), bit for bit: (b, count) float64 in [0, 1)."""
    own = combine(keys, purpose)[:, None]
    bits = combine(own, torch.arange(count, device=keys.device))
    return _shifted(bits, 11).double() * 2.0**-53


def combine(keys: Tensor, more: int | Tensor) -> Tensor:
    """`nlprep.core.randomness.combine` of keys and one number more: int64 with the same bits."""
    return _mixed(_mixed(keys) ^ more)


def _mixed(values: Tensor) -> Tensor:
    values = values + _GOLDEN
    values = (values ^ _shifted(values, 30)) * _FIRST
    values = (values ^ _shifted(values, 27)) * _SECOND
    return values ^ _shifted(values, 31)


def _shifted(values: Tensor, places: int) -> Tensor:
    """Bits moved to the right with zeros behind them: torch has signed numbers alone, whose sign would follow."""
    return (values >> places) & ((1 << (64 - places)) - 1)
