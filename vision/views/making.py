"""Views of images, of a batch at a time.

>>> import torch
>>> from vision.views.configuration import ViewConfig
>>> images = torch.arange(3 * 8 * 8, dtype=torch.uint8).view(1, 3, 8, 8)
>>> make_views(images, torch.tensor([7]), ViewConfig(), view=0).shape
torch.Size([1, 3, 8, 8])

They are the augmentations of Chen et al. (2020, "A Simple Framework for Contrastive Learning of Visual
Representations", figure 4): crops brought to the image's size, mirrored; quarter turns; changes of brightness,
contrast, saturation and hue in an order of each image's own; colours dropped; Gaussian blur and noise; Sobel's filter;
a square cut out. Deviations: crops are resampled bilinearly, where the paper's code is bicubic; how much noise and how
large a hole is said nowhere in it.

Where images are in a processor's memory, a compiled function makes the view of each while it is in cache
(`vision.views.compiled_views`); on other devices operators do each thing to all of a batch.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch

from vision.views.colours import HUE, changed, jitter, without_colour
from vision.views.compiled_views import can_compile, compiled_views
from vision.views.draws import draw_views
from vision.views.filters import blurred, cut_out, edges, noisy
from vision.views.resampling import resized_crops

if TYPE_CHECKING:
    from torch import Tensor

    from vision.views.configuration import ViewConfig
    from vision.views.draws import ViewDraws

# Numbers that are worked on at a time by a processor: what stays in its second cache is soon at hand again.
_AT_ONCE = 1 << 18


@torch.no_grad()
def make_views(images: Tensor, keys: Tensor, config: ViewConfig, *, view: int = 0) -> Tensor:
    """A view of each image, a function of the image, its key and the number of the view.

    Args:
        images: (b, channels, height, width) uint8, or floats in [0, 1].
        keys: (b,) int64, on the same device.
        config: What may be done to them.
        view: Which view.

    Returns:
        (b, channels, height, width) float32 in [0, 1].

    Raises:
        OptionError: As `vision.views.draws.draw_views`.
    """
    channels, height, width = images.shape[1:]
    draws = draw_views(keys, (channels, height, width), config, view=view)
    size = max(1, _AT_ONCE // max(1, images[:1].numel())) if images.device.type == "cpu" else max(1, len(images))
    if can_compile(images):
        made = compiled_views(images, draws)
        if config.noise or config.sobel or config.cutout:
            for rows in torch.split(torch.arange(len(images)), size):
                made[rows] = _filtered(made[rows], draws.select(rows), config)
        return made
    made = torch.empty(images.shape, dtype=torch.float32, device=images.device)
    # Those of which the hue is turned first, second... stand together; the views do not depend on it.
    together = _places_of_hue(draws).argsort(stable=True)
    for rows in torch.split(together, size):
        views = batched_views(images.index_select(0, rows), draws.select(rows), config)
        made.index_copy_(0, rows, _filtered(views, draws.select(rows), config))
    return made


def _places_of_hue(draws: ViewDraws) -> Tensor:
    places = (draws.order == HUE).int().argmax(1)
    return torch.where(draws.factors[:, HUE] == 0, draws.order.shape[1], places)


def apply_draws(images: Tensor, draws: ViewDraws, config: ViewConfig) -> Tensor:
    """The views that draws say.

    Args:
        images: As for `make_views`.
        draws: One for each.
        config: Of which they were drawn: what cannot have been drawn is not looked for.
    """
    pixels = compiled_views(images, draws) if can_compile(images) else batched_views(images, draws, config)
    return _filtered(pixels, draws, config)


def batched_views(images: Tensor, draws: ViewDraws, config: ViewConfig) -> Tensor:
    """What `vision.views.compiled_views.compiled_views` makes, on any device.

    Args:
        images: As for `make_views`.
        draws: One for each. What comes after the blur is not looked at.
        config: Of which they were drawn.
    """
    height, width = images.shape[2:]
    pixels = resized_crops(images, draws.boxes, draws.flips, (height, width))
    if config.rotation:
        for turns in (1, 2, 3):
            rows = (draws.turns == turns).nonzero()[:, 0]
            pixels = changed(pixels, rows, partial(torch.rot90, k=turns, dims=(2, 3)))
    if config.jitter and config.strength:
        pixels = jitter(pixels, draws.factors, draws.order)
    if config.grey:
        pixels = without_colour(pixels, draws.grey)
    if config.blur:
        rows = draws.widths.nonzero()[:, 0]
        pixels = changed(pixels, rows, partial(blurred, widths=draws.widths[rows]))
    # Weights add up to 1 but for the last bit.
    return pixels.clamp_(0, 1)


def _filtered(pixels: Tensor, draws: ViewDraws, config: ViewConfig) -> Tensor:
    if config.noise:
        rows = draws.deviations.nonzero()[:, 0]
        pixels = changed(pixels, rows, partial(noisy, deviations=draws.deviations[rows], keys=draws.keys[rows]))
    if config.sobel:
        pixels = changed(pixels, draws.sobel.nonzero()[:, 0], edges)
    if config.cutout:
        pixels = cut_out(pixels, draws.cuts, config.cutout_side)
    return pixels
