"""Encoders that learned from digits without labels, used on other drawings with 1, 5 and 10 labels of each class.

Encoders are trained on the images of MNIST's training set; characters of Omniglot's small set (136 of them, each drawn
by 20 people; 28 x 28 pixels) are the other data: of each character ten drawings may have labels, and the ten by other
people are tested. A character is that of the nearest labelled drawings by cosine, their number chosen on labels alone;
intervals hold other choices of labels and other test drawings (`nlprep.evaluation.linear_probe.ProbePoint`)::

    python -m benchmarks.few_shots             a minute or two of a processor
    python -m benchmarks.few_shots --quick     a tenth of the steps, of which no claim is made

From the command line the same is ``rep-vision probe RUN --train DATA --test DATA --labels 1/class,5/class,10/class
--classifier neighbors``. Seconds are of the processor.
"""

from __future__ import annotations

import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmarks.mnist_likelihood import DATA, read_digits
from benchmarks.report import describe_machine, make_parser, print_table, require_files
from nlprep.core.training import TrainingConfig
from nlprep.evaluation.configuration import ProbeConfig
from nlprep.evaluation.label_curves import FROM_SCRATCH, measure_label_curves
from nlprep.evaluation.labelled import Labelled
from vision.backbones.configuration import BackboneConfig
from vision.baselines.configuration import PatchDictionaryConfig
from vision.baselines.linear_encoder import fit_pca
from vision.baselines.patch_dictionary import PatchDictionary
from vision.encoders.image_encoder import ImageEncoder
from vision.encoders.raw_pixels import RawPixels
from vision.images.preprocessing import Preprocessing
from vision.training import train_images

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vision.images.collection import Images

STEPS, BATCH, DIMENSION = 800, 128, 64
BACKBONE = BackboneConfig(kind="mlp", width=512, depth=2)
MODELS = ("vae", "denoising")
PREPROCESSING = Preprocessing(channels=1, height=28, width=28)
PROBE = ProbeConfig(labels="1/class,5/class,10/class", classifier="neighbors", repeats=10)
# Of a character's twenty drawings these many may have labels.
LABELLED = 10


@dataclass(frozen=True)
class Trained:
    """An encoder and the seconds it took."""

    encoder: Any
    seconds: float


def main() -> None:
    """Train on digits, measure on characters, and print the table and a line of JSON."""
    parser = make_parser(__doc__, quick="a tenth of the steps")
    parser.add_argument("--threads", type=int, default=1, help="processor threads (default: 1)")
    arguments = parser.parse_args()
    require_files(DATA / "mnist_train.npz", DATA / "omniglot_small1.npz")
    torch.set_num_threads(arguments.threads)
    steps = STEPS // 10 if arguments.quick else STEPS
    print(describe_machine(), f"{arguments.threads} threads, {steps:,} steps of {BATCH}", sep="; ")
    digits = read_digits("train")
    encoders = {model: train(model, digits, steps, arguments.seed) for model in MODELS}
    encoders["patch dictionary"] = fit_dictionary(digits, arguments.seed)
    began = time.process_time()
    encoders["principal components"] = Trained(fit_pca(digits, DIMENSION), time.process_time() - began)
    encoders["raw pixels"] = Trained(RawPixels(PREPROCESSING), 0.0)
    labelled, tested = read_characters()
    result = measure_label_curves({name: one.encoder for name, one in encoders.items()}, labelled, tested, PROBE)
    rows, told = [], {}
    for curve in result.curves:
        points = [point.interval for point in curve.points]
        seconds = encoders[curve.name].seconds if curve.name != FROM_SCRATCH else 0.0
        cells = [f"{point.value:.1%} ({point.low:.1%} to {point.high:.1%})" for point in points]
        rows.append((curve.name, f"{curve.dimension:,}", *cells, f"{seconds:.0f}"))
        told[curve.name] = [round(point.value, 4) for point in points]
    print_table(
        f"accuracy on {result.num_test:,} drawings of {len(result.labels)} characters; by chance "
        f"{1 / len(result.labels):.1%}",
        ("learned from digits", "numbers", "1 label", "5 labels", "10 labels", "seconds"),
        rows,
    )
    print(json.dumps({"measured": "MNIST to Omniglot, few labels", "accuracy": told, "quick": arguments.quick}))


def train(model: str, digits: Images, steps: int, seed: int) -> Trained:
    """A model trained on digits, as an encoder."""
    training = TrainingConfig(
        steps=steps, batch_size=BATCH, learning_rate=1e-3, final_learning_rate=0.01, weight_decay=0.01, clip_norm=50.0,
        average=0.99, precision="fp32", seed=seed,
    )  # fmt: skip
    began = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        run = train_images(
            digits, Path(folder) / "run", model=model, backbone=BACKBONE, training=training, validation=0.02
        )
        encoder = ImageEncoder.from_directory(run.directory)
    return Trained(encoder, time.process_time() - began)


def fit_dictionary(digits: Images, seed: int) -> Trained:
    """A dictionary of patches of digits."""
    began = time.process_time()
    config = PatchDictionaryConfig(atoms=100, pooling=4, patches=50_000, iterations=20, seed=seed)
    return Trained(PatchDictionary.fit(digits, config), time.process_time() - began)


def read_characters() -> tuple[Labelled[NDArray[np.uint8]], Labelled[NDArray[np.uint8]]]:
    """Characters with ink white as that of digits, 28 x 28: those that may have labels, and those that are tested."""
    with np.load(DATA / "omniglot_small1.npz") as arrays:
        drawn, labels = arrays["x"], arrays["y"].astype(np.int64)
    # Ink is what there is less of.
    ink = drawn if drawn.mean() < 0.5 else 1 - drawn
    pixels = np.stack([PREPROCESSING(255 * one) for one in ink.astype(np.uint8)])
    # Which drawing of its character each one is: people are in the same order in all of them.
    order = np.array([(labels[:place] == label).sum() for place, label in enumerate(labels)])
    parts = []
    for chosen in (order < LABELLED, order >= LABELLED):
        items: Any = pixels[chosen]
        parts.append(Labelled(items, [str(label) for label in labels[chosen]], name="omniglot_small1.npz"))
    return parts[0], parts[1]


if __name__ == "__main__":
    main()
