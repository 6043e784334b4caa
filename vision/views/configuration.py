"""The settings of views."""

from __future__ import annotations

from dataclasses import dataclass

from nlprep.core.configuration import check, option
from nlprep.core.errors import OptionError


@dataclass(frozen=True, kw_only=True)
class ViewConfig:
    """How views of an image differ, in the order in which it is done to it.

    Shares are of the views to which something is done. Defaults are those of Chen et al. (2020) for images of 32 pixels
    (appendix B.9); for large ones they blur every second view and jitter twice as strongly.
    """

    least_crop: float = option(0.08, "least share of the area that a crop keeps; 1: views are not cropped", above=0,
                               maximum=1)  # fmt: skip
    most_crop: float = option(1.0, "largest share of the area that a crop keeps", above=0, maximum=1)
    stretch: float = option(4 / 3, "most that a crop's width is longer than its height, or shorter", minimum=1)
    flip: float = option(0.5, "share of views that are mirrored, left to right", minimum=0, maximum=1)
    rotation: float = option(0.0, "share turned by 90, 180 or 270 degrees; of square images", minimum=0, maximum=1)
    jitter: float = option(0.8, "share whose brightness, contrast, saturation and hue change", minimum=0, maximum=1)
    strength: float = option(0.5, "of these changes", minimum=0, maximum=1.25)
    grey: float = option(0.2, "share that loses its colours", minimum=0, maximum=1)
    blur: float = option(0.0, "share that is blurred", minimum=0, maximum=1)
    noise: float = option(0.0, "share that gets Gaussian noise", minimum=0, maximum=1)
    noise_deviation: float = option(0.1, "largest standard deviation of this noise, pixels being in [0, 1]", minimum=0)
    sobel: float = option(0.0, "share of which edges alone are left, by Sobel's filter", minimum=0, maximum=1)
    cutout: float = option(0.0, "share out of which a grey square is cut", minimum=0, maximum=1)
    cutout_side: float = option(0.5, "side of that square, as a share of the shorter side", above=0, maximum=1)

    def __post_init__(self) -> None:
        check(self)
        if self.least_crop > self.most_crop:
            raise OptionError(f"least_crop = {self.least_crop}: is more than most_crop, {self.most_crop}")
