"""Where in an image something is: a heat map laid over it, such as the error of its reconstruction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nlprep.core.errors import NlprepError, OptionError
from nlprep.figures.files import figure_format
from nlprep.figures.images import Scale, as_pixels, draw_image_rows

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

_COLOURS = "inferno"
_BAR = 240
_LEAST, _MOST = 0.15, 0.75
"""How much of the image's grey the coolest and the hottest places cover."""


def draw_heat_maps(
    images: Any,
    heats: ArrayLike,
    path: str | os.PathLike[str],
    *,
    limits: tuple[float, float] | None = None,
    scale_name: str = "heat",
    captions: Sequence[str] | None = None,
    columns: int = 8,
    title: str | None = None,
    overwrite: bool = False,
) -> None:
    """Draw images, and below each the same in grey with its heat over it, all on one scale.

    Args:
        images: As for `nlprep.figures.images.as_pixels`.
        heats: (n, h', w') numbers; coarser maps than the images are smoothed to their size.
        path: The figure; its ending (``.png``, ``.svg``, ``.pdf``) gives the format. Replaced only when whole.
        limits: Numbers for the coldest and the hottest colour, beyond which colours stay; by default the least and the
            greatest of all that is drawn. Give them where figures are to be compared.
        scale_name: What is measured, beside the scale.
        captions: One below each map.
        columns: Images in a row; more go on below.
        title: A line above the figure.
        overwrite: As for `nlprep.figures.files.write_figure`.

    Raises:
        OptionError: No known ending, less than one column, or limits that are not rising.
        NlprepError: No images, not images, or maps that are not as many, or not finite.
        FileError: The place cannot be written.
    """
    figure_format(path)
    pixels = as_pixels(images)
    maps = np.asarray(heats, np.float64)
    if maps.ndim != 3 or len(maps) != len(pixels) or not maps.size:
        raise NlprepError(f"heat maps of shape {maps.shape} for {len(pixels)} images: give (n, h, w), one for each")
    if not np.isfinite(maps).all():
        raise NlprepError(
            f"heat map {int((~np.isfinite(maps)).any(axis=(1, 2)).argmax())} has values that are not finite"
        )
    low, high = (float(maps.min()), float(maps.max())) if limits is None else limits
    if limits is not None and not low < high:
        raise OptionError(f"limits = {limits}: give the lower first, and another above it")
    draw_image_rows(
        {"image": pixels, scale_name: overlay(pixels, maps, low, high)},
        path,
        columns=columns,
        captions=captions,
        scale=Scale(_colours(np.linspace(0, 1, _BAR)), f"{low:.3g}", f"{high:.3g}", scale_name),
        title=title,
        overwrite=overwrite,
    )


def heat_limits(heats: ArrayLike, share: float = 0.99) -> tuple[float, float]:
    """Limits for `draw_heat_maps` that a few hot pixels do not set: from 0 to what a share of all numbers is below.

    Args:
        heats: Numbers from 0.
        share: Of them that keep a colour of their own.
    """
    values = np.asarray(heats, np.float64)
    high = float(np.quantile(values, share)) if values.size else 0.0
    # Where nearly all is 0 the hottest counts, and where all is, anything.
    return 0.0, high or float(values.max(initial=0.0)) or 1.0


def overlay(pixels: NDArray[np.uint8], heats: NDArray[np.float64], low: float, high: float) -> NDArray[np.uint8]:
    """Images in grey under colours, which cover the more the hotter they are.

    Args:
        pixels: (n, h, w, 3).
        heats: (n, h', w') finite.
        low: What the coldest colour stands for.
        high: What the hottest does; where it is no higher, all is cold.

    Returns:
        (n, h, w, 3) uint8.
    """
    from PIL import Image

    height, width = pixels.shape[1:3]
    span = high - low
    shares = np.clip((heats - low) / span, 0, 1) if span > 0 else np.zeros_like(heats)
    sized = np.stack(
        [
            np.asarray(Image.fromarray(share.astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR))
            for share in shares
        ]
    ).astype(np.float64)
    grey = pixels @ np.array([0.299, 0.587, 0.114])
    cover = (_LEAST + (_MOST - _LEAST) * sized)[..., None]
    mixed: NDArray[np.uint8] = np.rint(cover * _colours(sized) + (1 - cover) * grey[..., None]).astype(np.uint8)
    return mixed


def _colours(shares: NDArray[np.float64]) -> NDArray[np.uint8]:
    """(..., 3) for numbers in [0, 1]."""
    import matplotlib as mpl

    found: NDArray[np.uint8] = mpl.colormaps[_COLOURS](shares, bytes=True)[..., :3]
    return found
