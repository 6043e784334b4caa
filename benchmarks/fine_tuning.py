"""Few labels of CIFAR-10's images: a probe on codes, the encoder that made them fine-tuned, and no encoder at all.

What Table 7 of Chen et al. (2020, "SimCLR") asks, in the small: a run of `benchmarks.cifar_probe` (20,000 images, no
labels) is probed by logistic regression and fine-tuned (`vision.training.train_images` with ``start``) with 1% and 10%
of the labels; beside it the same network, from random weights, learns from the same labels by the same recipe. Each is
measured on 5,000 other images, for three choices of labels::

    python -m benchmarks.fine_tuning --run DIR --steps 1400      the run is made, or gone on with, by the same options
    python -m benchmarks.fine_tuning --run DIR --steps 40 --quick
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from benchmarks.cifar_probe import BATCH, DATA, MODELS, encode, learn, make_parser
from benchmarks.report import describe_machine, print_table, require_files
from nlprep.core.randomness import combine
from nlprep.core.training import TrainingConfig
from nlprep.evaluation.configuration import ProbeConfig
from nlprep.evaluation.encoder import evaluation_mode
from nlprep.evaluation.labelled import stratified_order
from nlprep.evaluation.linear_probe import probe_features
from vision.images.preprocessing import Preprocessing
from vision.images.reading import read_images
from vision.models.configuration import ImageClassifierConfig
from vision.models.files import SavedModel, save_model
from vision.training import train_images

if TYPE_CHECKING:
    from vision.images.collection import Images
    from vision.models.classifier import ImageClassifier

SHARES, CHOICES = (0.01, 0.1), 3
TUNING = {0.01: 300, 0.1: 1000}
"""Steps of 64 images by the share of labels."""


def tune(train: Images, test: Images, backbone: object, start: Path | None, steps: int, seed: int) -> float:
    """The share of test images that a network is right on which learned from labels."""
    config = ImageClassifierConfig(dimension=128, shift=4, flip=True, pooled=True)
    settings = TrainingConfig(
        steps=steps, batch_size=64, learning_rate=1e-3, weight_decay=0.01, average=0.99, final_learning_rate=0.0,
        keep_best=False, seed=seed, checkpoint_minutes=60,
    )  # fmt: skip
    network = {"start": start} if start is not None else {"backbone": backbone}
    with tempfile.TemporaryDirectory() as folder:
        run = train_images(
            train, Path(folder) / "run", model="classifier", config=config, training=settings, validation=0, **network
        )  # fmt: skip
    model: ImageClassifier = run.model  # type: ignore[assignment]
    with evaluation_mode(model):
        parts = torch.from_numpy(np.ascontiguousarray(test.pixels)).split(BATCH)  # type: ignore[no-untyped-call]
        said = np.concatenate([model.classify(part).argmax(1).numpy() for part in parts])
    return float((said == test.required_labels("a measure")).mean())


def main() -> None:
    """Learn without labels, tune with some, and print the table and a line of JSON."""
    parser = make_parser(__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the steps with labels, one choice of them")
    options = parser.parse_args()
    require_files(DATA)
    if options.run is None or options.model not in MODELS:
        parser.error("--run, --model: a model of views and the directory of its run are needed")
    torch.set_num_threads(options.threads)
    train, test = (read_images(DATA, split=split) for split in ("train", "test"))
    model, done = learn(options, train, test)
    labels, wanted = (part.required_labels("a probe") for part in (train, test))
    codes = encode(model, train), encode(model, test)
    names = ("probe of codes", "fine-tuned", "from random weights")
    found: dict[str, dict[float, list[float]]] = {name: {share: [] for share in SHARES} for name in names}
    begun = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        start = Path(folder) / "encoder"
        channels, height, width = train.shape
        preprocessing = Preprocessing(channels=channels, height=height, width=width)
        save_model(SavedModel(model=model, config=model.config, preprocessing=preprocessing), start)
        for share in SHARES:
            steps = TUNING[share] // 10 if options.quick else TUNING[share]
            for choice in range(1 if options.quick else CHOICES):
                places = np.sort(
                    stratified_order(labels, int(combine(options.seed, choice)))[: round(share * len(train))]
                )
                some = train.select(places)
                curve = probe_features(
                    names[0], (codes[0][places], labels[places]), (codes[1], wanted), ProbeConfig(labels="100%")
                )
                found[names[0]][share].append(curve.points[0].accuracy)
                for name, origin in ((names[1], start), (names[2], None)):
                    found[name][share].append(tune(some, test, model.config.backbone, origin, steps, choice + 1))
    print(f"{describe_machine()}; tuned in {time.process_time() - begun:,.0f} s of the processor")
    rows = [
        [name, *(f"{100 * np.mean(one):.1f} ({100 * np.ptp(one):.1f})" for one in shares.values())]
        for name, shares in found.items()
    ]
    print_table(f"Accuracy on 5,000 test images by share of labels, mean (range) of {CHOICES} choices",
                ["", *(f"{share:.0%}" for share in SHARES)], rows)  # fmt: skip
    results = {name: {f"{share:.0%}": round(100 * float(np.mean(one)), 2) for share, one in shares.items()}
               for name, shares in found.items()}  # fmt: skip
    print(json.dumps({"model": options.model, **done, "accuracy": results, "quick": options.quick}))


if __name__ == "__main__":
    main()
