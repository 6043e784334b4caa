"""Noise that spoils images, for those who learn to undo it.

Three kinds (Vincent et al. 2010, "Stacked Denoising Autoencoders", section 3.3): *gaussian* adds normal numbers to all,
*masking* turns some places black, *salt-and-pepper* some black and some white, all channels of a place together.
"""

from __future__ import annotations

import torch

from nlprep.core.errors import OptionError

NOISES = ("gaussian", "masking", "salt-and-pepper")


def add_noise(pixels: torch.Tensor, kind: str, amount: float) -> torch.Tensor:
    """Spoil images, each differently, with torch's generator; what is given stays as it is.

    Args:
        pixels: (b, channels, height, width) float in [0, 1].
        kind: One of `NOISES`.
        amount: The standard deviation of what ``gaussian`` adds; else the share of places that change, at most 1.

    Returns:
        Of the same form. With ``gaussian`` numbers may leave [0, 1]: cut off, they would no longer be on average the
        image's, and a noise's score could not be learned from them.

    Raises:
        OptionError: Another kind, or an amount that is negative or, for shares, above 1.
    """
    if kind not in NOISES:
        raise OptionError(f"noise {kind!r}: choose from {', '.join(NOISES)}")
    if not amount >= 0 or (kind != "gaussian" and amount > 1):
        raise OptionError(f"noise amount = {amount}: must be at least 0 and, for places that change, at most 1")
    if kind == "gaussian":
        return pixels + amount * torch.randn_like(pixels)
    # One draw tells whether a place changes and, of those that do, to what.
    draws = torch.rand_like(pixels[:, :1])
    if kind == "masking":
        return torch.where(draws < amount, 0.0, pixels)
    return torch.where(draws < amount, (draws < amount / 2).to(pixels.dtype), pixels)
