"""A map of a plane from all sides and some heights, in lights that do not count: DrLIM.

The network is told only which pictures are neighbours: a step to the next turn or height, whatever the light. Codes of
three numbers come to lie on a ring of turns that is as wide as there are heights. From the pictures of one light, which
was left out in training, turn and height are then read off by least squares, which saw the other lights.
"""

from tempfile import TemporaryDirectory

import numpy as np
import torch

from nlprep.core.threads import torch_threads
from nlprep.core.training import TrainingConfig
from nlprep.figures.maps import draw_map, map_features
from vision import train_images
from vision.backbones.configuration import BackboneConfig
from vision.images.poses import draw_poses
from vision.models.label_configuration import DrLimConfig

HEIGHTS, LEFT_OUT = 4, 1


def read_off(codes: np.ndarray, known: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """What a linear map of the codes says, which was fitted where ``seen`` is true."""
    inputs = np.c_[codes, np.ones(len(codes))]
    said: np.ndarray = inputs @ np.linalg.lstsq(inputs[seen], known[seen], rcond=None)[0]
    return said


if __name__ == "__main__":
    drawn = draw_poses(side=16, heights=HEIGHTS, lights=4)
    seen = drawn.lights != LEFT_OUT
    with TemporaryDirectory() as scratch, torch_threads(1):
        run = train_images(
            drawn.images.select(np.flatnonzero(seen)), scratch, model="drlim", validation=0,
            config=DrLimConfig(dimension=3, reach=1, heights=HEIGHTS, around=True),
            backbone=BackboneConfig(kind="convolutional", width=8, depth=2),
            training=TrainingConfig(steps=120, batch_size=72, learning_rate=5e-3, precision="fp32"),
        )  # fmt: skip
        with torch.no_grad():
            codes = run.model.encode(torch.from_numpy(drawn.images.pixels)).numpy()
    known = np.c_[np.cos(drawn.turns), np.sin(drawn.turns), drawn.heights]
    said = read_off(codes, known, seen)
    off = np.angle(np.exp(1j * (np.arctan2(said[:, 1], said[:, 0]) - drawn.turns)))
    for name, chosen in (("lights seen", seen), ("light left out", ~seen)):
        correlation = np.corrcoef(said[chosen, 2], known[chosen, 2])[0, 1]
        print(f"{name}: turn within {np.rad2deg(abs(off[chosen]).mean()):.1f} degrees, height r = {correlation:.2f}")
    levels, heights = np.unique(drawn.heights, return_inverse=True)
    names = [f"from {np.rad2deg(level):.0f} degrees" for level in levels]
    draw_map(
        map_features(codes, "pca"), "poses.png", images=drawn.images.pixels, classes=heights, class_names=names,
        thumbnail=64, title="A plane in four lights, by its pose",
    )  # fmt: skip
    print("poses.png")
