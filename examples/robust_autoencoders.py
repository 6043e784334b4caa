"""Outliers planted in images, and what each loss of an autoencoder lets them do.

Images are waves that two numbers describe. Either a sixth of all pixels is stuck at white, or an eighth of the images
is one strange picture over and over. An autoencoder with a code of two numbers is trained on what was spoiled, with
each loss, and its images are compared with what was there before; and, of strange pictures, how well their error tells
them (AUROC). Losses that forget what is far off gain most, if their scale lets them begin: correntropy of 0.1 does not.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from nlprep.core.threads import torch_threads
from nlprep.core.training import TrainingConfig
from nlprep.evaluation.detection import area_under_curve
from nlprep.objectives.robust_losses import ROBUST_LOSSES
from vision import Images, train_images
from vision.backbones.configuration import BackboneConfig
from vision.models.configuration import RobustAutoencoderConfig

COUNT, SIDE = 240, 6
SCALES = {"pixels": 0.1, "images": 0.3}


def spoil(residuals: str) -> tuple[Images, np.ndarray, np.ndarray]:
    """Spoiled images, what they were before (n, pixels), and which are strange."""
    draws = np.random.default_rng(2)
    places = np.arange(SIDE**2) / 3
    clean = 0.5 + 0.2 * draws.uniform(-1, 1, (COUNT, 2)) @ np.stack([np.sin(places), np.cos(2 * places)])
    spoiled, strange = clean.copy(), np.zeros(COUNT, bool)
    if residuals == "pixels":
        spoiled[draws.random(clean.shape) < 1 / 6] = 1.0
    else:
        strange[::8] = True
        spoiled[strange] = draws.random((1, SIDE**2)) > 0.5
    return Images((255 * spoiled).round().astype(np.uint8).reshape(-1, 1, SIDE, SIDE)), clean, strange


def measure(residuals: str, loss: str, directory: Path) -> tuple[float, float]:
    """The squared error of what is not strange, against what was there before; and the AUROC of what is."""
    images, clean, strange = spoil(residuals)
    run = train_images(
        images, directory / f"{residuals}-{loss}", model="robust", validation=0,
        config=RobustAutoencoderConfig(dimension=2, loss=loss, scale=SCALES[residuals], residuals=residuals),
        backbone=BackboneConfig(kind="mlp", depth=0),
        training=TrainingConfig(steps=200, batch_size=COUNT, learning_rate=3e-2, precision="fp32", weight_decay=0.0),
    )  # fmt: skip
    shown = torch.from_numpy(images.pixels)
    model: Any = run.model
    with torch.no_grad():
        made = model.reconstruct(shown).flatten(1).numpy()
        scores = model.scores(shown)["reconstruction_error"].numpy()
    error = float(np.square(made - clean)[~strange].sum(1).mean())
    return error, area_under_curve(scores[~strange], scores[strange]) if strange.any() else float("nan")


if __name__ == "__main__":
    print(f"{'loss':<14}{'stuck pixels':>14}{'strange images':>16}{'AUROC':>8}")
    with TemporaryDirectory() as scratch, torch_threads(1):
        for name in ROBUST_LOSSES:
            (stuck, _), (others, area) = (measure(residuals, name, Path(scratch)) for residuals in SCALES)
            print(f"{name:<14}{stuck:>14.3f}{others:>16.3f}{area:>8.3f}")
