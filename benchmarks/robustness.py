"""What a denoising autoencoder before a classifier of digits is worth against small adversarial noise.

A convolutional classifier and a denoising autoencoder are trained on MNIST (a minute or two of a processor each), and
1,000 test images are attacked in the box of epsilon around them (`vision.uses.robustness`): by one step (FGSM), by
projected gradient descent (PGD, 40 steps, from the image and from a random place), made against the classifier alone,
which the defence has not been told to; and by PGD through both, with the denoiser's gradients and with the denoiser
taken for the identity. What counts is the share that withstands every one of them::

    python -m benchmarks.robustness             some minutes of a processor
    python -m benchmarks.robustness --quick     a tenth of the steps and images, of which no claim is made

There is no peer here, so that no ratio is claimed. Seconds are of the processor.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks.mnist_likelihood import DATA, read_digits
from benchmarks.report import describe_machine, make_parser, print_table, require_files
from nlprep.core.randomness import seeded_torch
from nlprep.core.training import PlainStep, TrainingConfig, fit
from vision.backbones.configuration import BackboneConfig
from vision.backbones.networks import make_backbone
from vision.images.collection import ImageExamples, unit_pixels
from vision.models.configuration import DenoisingAutoencoderConfig
from vision.models.denoising_autoencoder import DenoisingAutoencoder
from vision.uses.configuration import AttackConfig
from vision.uses.robustness import ATTACKS, DefenceResult, measure_defence

if TYPE_CHECKING:
    from torch import Tensor

    from nlprep.core.training.steps.step import Step

SHAPE = (1, 28, 28)
EPSILONS = (0.1, 0.2)
CLASSIFIER_STEPS, DENOISER_STEPS, BATCH, IMAGES = 1000, 3000, 128, 1000
CLASSIFIER = BackboneConfig(width=16, depth=2)
DENOISER = DenoisingAutoencoderConfig(
    dimension=64, noise="gaussian", amount=0.3, backbone=BackboneConfig(kind="mlp", width=512, depth=2)
)


class Classifier(nn.Module):
    """Logits of digits, and their cross-entropy for the loop."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        with seeded_torch(seed):
            self.backbone = make_backbone(CLASSIFIER, SHAPE)
            self.head = nn.Linear(self.backbone.dimension, 10)

    def logits(self, images: Tensor) -> Tensor:
        """(b, 10) of images, uint8 or floats in [0, 1]."""
        made: Tensor = self.head(self.backbone(unit_pixels(images)))
        return made.float()

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Any:
        """Logits; the loss by name where labels are given."""
        if labels is None:
            return self.logits(images)
        return {"loss": functional.cross_entropy(self.logits(images), labels)}


def main() -> None:
    """Train both, attack, and print the tables and a line of JSON."""
    parser = make_parser(__doc__, quick="a tenth of the steps and images")
    parser.add_argument("--threads", type=int, default=1, help="processor threads (default: 1)")
    arguments = parser.parse_args()
    require_files(DATA / "mnist_train.npz")
    torch.set_num_threads(arguments.threads)
    share = 10 if arguments.quick else 1
    print(describe_machine(), f"{arguments.threads} threads", sep="; ")
    classifier, denoiser = Classifier(arguments.seed), DenoisingAutoencoder(SHAPE, DENOISER, seed=arguments.seed)
    seconds = [
        train(PlainStep(classifier, unit="images"), CLASSIFIER_STEPS // share, labels=True, seed=arguments.seed),
        train(denoiser.step(), DENOISER_STEPS // share, labels=False, seed=arguments.seed),
    ]
    test = read_digits("test")
    few = test.select(np.arange(0, len(test), len(test) // (IMAGES // share)))
    began = time.process_time()
    results = [
        measure_defence(classifier, denoiser, few, AttackConfig(epsilon=epsilon, seed=arguments.seed))
        for epsilon in EPSILONS
    ]
    print(
        f"  seconds: classifier {seconds[0]:.0f}, denoiser {seconds[1]:.0f}, attacks {time.process_time() - began:.0f}"
    )
    for result in results:
        show(result)
    told = {
        "measured": "MNIST, accuracy under attack, alone and behind a denoising autoencoder",
        "results": [
            {
                "epsilon": result.config.epsilon,
                "images": result.images,
                **{
                    side: {name: round(interval.value, 4) for name, interval in getattr(result, side).items()}
                    for side in ("undefended", "defended")
                },
            }
            for result in results
        ],
        "quick": arguments.quick,
    }
    print(json.dumps(told), flush=True)


def train(step: Step, steps: int, *, labels: bool, seed: int) -> float:
    """Train by the one loop; returns seconds of the processor."""
    training = TrainingConfig(
        steps=steps, batch_size=BATCH, learning_rate=2e-3, final_learning_rate=0.01, weight_decay=0.01, clip_norm=None,
        average=0.99, precision="fp32", seed=seed,
    )  # fmt: skip
    began = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        fit(step, ImageExamples(read_digits("train"), labels=labels), config=training, directory=Path(folder) / "run")
    return time.process_time() - began


def show(result: DefenceResult) -> None:
    """Print one table for people."""
    rows = []
    for key, name in ATTACKS.items():
        cells = []
        for side in (result.undefended, result.defended):
            found = side.get(key)
            cells.append("" if found is None else f"{found.value:.1%} ({found.low:.1%} to {found.high:.1%})")
        rows.append((name, *cells))
    print_table(
        f"accuracy, epsilon {result.config.epsilon}, {result.config.steps} steps, {result.images:,} test images",
        ("attack", "classifier alone", "behind the denoiser"),
        rows,
    )


if __name__ == "__main__":
    main()
