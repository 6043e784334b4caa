"""Small images and models for the tests of vision."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nlprep.core.training.configuration import TrainingConfig
from vision.backbones.configuration import BackboneConfig
from vision.images.collection import ImageExamples, Images

SMALL = {
    "mlp": BackboneConfig(kind="mlp", width=16, depth=1),
    "convolutional": BackboneConfig(width=4, depth=2),
    "residual": BackboneConfig(kind="residual", width=4, blocks=1, depth=2),
    "patch": BackboneConfig(kind="patch", width=4, blocks=1),
    "resnet18": BackboneConfig(kind="resnet18", width=4),
    "standard resnet18": BackboneConfig(kind="resnet18", width=4, stem="standard"),
    "vit": BackboneConfig(kind="vit", width=12, depth=2, heads=3, patch=4),
}
"""One of each backbone that needs no files."""


def toy_images(count: int = 24, shape: tuple[int, int, int] = (1, 8, 8), *, labels: bool = True) -> Images:
    """Bright squares at places that are a function of their number, of two classes: left and right."""
    channels, height, width = shape
    draws = np.random.default_rng(5)
    pixels = draws.integers(0, 40, (count, *shape), dtype=np.uint8)
    classes = np.arange(count) % 2
    side = max(1, min(height, width) // 3)
    for number in range(count):
        top = draws.integers(0, height - side + 1)
        left = draws.integers(0, max(1, width // 2 - side + 1)) + classes[number] * (width // 2)
        pixels[number, :, top : top + side, left : left + side] = draws.integers(150, 256, (channels, 1, 1))
    if not labels:
        return Images(pixels, source="toy images")
    return Images(pixels, classes.astype(np.int64), ("left", "right"), source="toy images")


class StoppingExamples(ImageExamples):
    """Ones that fail once, at the fourth batch that is fetched: in the middle of a run."""

    left = 4

    def batch(self, indices: Any, seeds: Any) -> Any:
        """Fetch images, or fail."""
        self.left -= 1
        if not self.left:
            raise RuntimeError("stopped")
        return super().batch(indices, seeds)


def settings(**changes: Any) -> TrainingConfig:
    """Ones for tests: few steps, fp32."""
    return TrainingConfig(
        **{"steps": 6, "batch_size": 8, "learning_rate": 1e-2, "precision": "fp32", "log_every": 1} | changes
    )


def write_transformers_model(directory: Path, *, kind: str = "vit", head: bool = False) -> dict[str, Any]:
    """A tiny model as the transformers library writes one, and what its preprocessing is."""
    import transformers

    preprocessing = {
        "do_resize": True, "size": {"height": 16, "width": 16}, "resample": 2, "do_rescale": True,
        "rescale_factor": 1 / 255, "do_normalize": True, "image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.3, 0.25],
    }  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(30)
        if kind == "vit":
            config = transformers.ViTConfig(
                hidden_size=12, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, image_size=16,
                patch_size=4, num_labels=2,
            )  # fmt: skip
            model: Any = transformers.ViTForImageClassification(config) if head else transformers.ViTModel(config)
        else:
            config = transformers.ResNetConfig(embedding_size=4, hidden_sizes=[4, 8], depths=[1, 1], layer_type="basic")
            model = transformers.ResNetModel(config)
        model.save_pretrained(directory)
    (directory / "preprocessor_config.json").write_text(json.dumps(preprocessing))
    return preprocessing
