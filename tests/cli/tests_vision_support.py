"""A few drawn pictures in two classes, and the settings of models that are trained on them in a moment."""

from __future__ import annotations

from pathlib import Path

import numpy as np

TINY = ["--steps", "12", "--batch-size", "8", "--backbone", "mlp", "--backbone-width", "16", "--dimension", "4"]
"""For ``train``."""


def draw_photos(folder: Path) -> Path:
    """Forty grey pictures of 10 x 12 pixels, ``photos/dark`` and ``photos/bright``."""
    from PIL import Image

    noise = np.random.default_rng(1).integers(0, 60, (40, 10, 12), dtype=np.uint8)
    for number, pixels in enumerate(noise):
        pixels[:5] += np.uint8(150 * (number % 2))
        name = folder / "photos" / ("bright" if number % 2 else "dark") / f"{number}.png"
        name.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(name)
    return folder / "photos"
