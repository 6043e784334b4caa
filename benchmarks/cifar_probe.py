"""What codes learned from CIFAR-10's images without their labels are worth: probes with 1%, 10% and 100% of the labels.

A model of views (`simclr`, `barlow-twins` or `vicreg`) learns from 20,000 images; its codes are probed by logistic
regression and by neighbours, whose number is chosen on training images, on 5,000 others::

    python -m benchmarks.cifar_probe --run DIR                 25 minutes of a processor or so
    python -m benchmarks.cifar_probe --run DIR --steps 40      a trial, of which no claim is made
    python -m benchmarks.cifar_probe --model dictionary        what to compare with: a dictionary of whitened patches
    python -m benchmarks.cifar_probe --model pixels            and the pixels themselves

Stopped, the same command goes on. While it trains, neighbours say every twentieth of the way how far it is; seconds
are of the processor, and of training alone. Whatever is chosen, is so without the 5,000.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmarks.report import describe_machine, print_table, require_files
from nlprep.core.training import TrainingConfig, fit, read_metrics
from nlprep.evaluation.configuration import ProbeConfig
from nlprep.evaluation.encoder import evaluation_mode
from nlprep.evaluation.linear_probe import probe_features
from nlprep.evaluation.nearest_neighbors import evaluate_neighbors
from vision.backbones.configuration import BackboneConfig
from vision.baselines.configuration import PatchDictionaryConfig
from vision.baselines.patch_dictionary import PatchDictionary
from vision.images.collection import ImageExamples, Images
from vision.images.reading import read_images
from vision.models.methods import find_method
from vision.views.configuration import ViewConfig

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from nlprep.core.training.evaluation import Evaluation
    from vision.models.model import ImageModel

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "images" / "cifar10_jpeg_20k_5k.zip"
MODELS = ("simclr", "barlow-twins", "vicreg")
BASELINES = ("dictionary", "pixels")
BATCH = 256
VIEWS = ViewConfig(least_crop=0.2)
AMOUNTS = "1%,10%,100%"


class Clock:
    """Processor seconds of training alone, over the sessions of a run."""

    def __init__(self, journal: Path) -> None:
        records = read_metrics(journal) if journal.is_file() else []
        self.before = max((float(record["processor_seconds"]) for record in records if "processor_seconds" in record),
                          default=0.0)  # fmt: skip
        self.begun = time.process_time()

    def seconds(self) -> float:
        """So far."""
        return self.before + time.process_time() - self.begun


def encode(model: ImageModel, images: Images) -> NDArray[np.float32]:
    """Codes (n, d)."""
    with evaluation_mode(model):
        parts = torch.from_numpy(np.ascontiguousarray(images.pixels)).split(BATCH)  # type: ignore[no-untyped-call]
        return np.concatenate([model.encode(part).float().numpy() for part in parts])


def make_parser(description: str | None) -> argparse.ArgumentParser:
    """The options of what is learned, and where."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="the directory of the run; models need one")
    parser.add_argument("--model", choices=(*MODELS, *BASELINES), default="simclr", help="what is measured "
                        "(default: simclr)")  # fmt: skip
    parser.add_argument("--steps", type=int, default=3000, help=f"of {BATCH} images (default: 3000)")
    parser.add_argument("--kind", default="convolutional", help="the network (default: convolutional)")
    parser.add_argument("--width", type=int, default=32, help="of the network (default: 32)")
    parser.add_argument("--places", type=int, default=1, help="parts of an image, in each direction, of each of which "
                        "a code has the mean (default: 1)")  # fmt: skip
    parser.add_argument("--threads", type=int, default=1, help="processor threads (default: 1)")
    parser.add_argument("--seed", type=int, default=1, help="of everything (default: 1)")
    return parser


def main() -> None:
    """Train, probe, and print tables and a line of JSON."""
    parser = make_parser(__doc__)
    options = parser.parse_args()
    if (options.run is None) == (options.model in MODELS):
        parser.error("--run: a model needs the directory of its run, and nothing else has one")
    require_files(DATA)
    torch.set_num_threads(options.threads)
    train, test = (read_images(DATA, split=split) for split in ("train", "test"))
    coded: Callable[[Images], NDArray[np.float32]]
    if options.model in MODELS:
        model, done = learn(options, train, test)
        coded = partial(encode, model)
    else:
        coded, done = fit_baseline(options, train)
    results = probe(options.model, (coded(train), coded(test)), (train, test))
    print(json.dumps({"model": options.model, **done, "accuracy": results}))


def fit_baseline(
    options: argparse.Namespace, train: Images
) -> tuple[Callable[[Images], NDArray[np.float32]], dict[str, Any]]:
    """What codes images, and what is to be said of how it came about."""
    begun = time.process_time()
    if options.model == "pixels":
        return (lambda images: images.pixels.reshape(len(images), -1).astype(np.float32) / 255), {"seconds": 0}
    dictionary = PatchDictionary.fit(train, PatchDictionaryConfig(seed=options.seed))
    seconds = round(time.process_time() - begun)
    print(f"{describe_machine()}; {len(dictionary.atoms)} atoms, {dictionary.dimension:,} numbers in a code")
    return dictionary.encode, {"seconds": seconds}


def learn(options: argparse.Namespace, train: Images, test: Images) -> tuple[ImageModel, dict[str, Any]]:
    """Train a model and print its curve; the model, and what is to be said of how it came about."""
    labels = train.required_labels("a probe"), test.required_labels("a probe")
    method = find_method(options.model)
    config: Any = replace(
        method.config(), views=VIEWS, places=options.places,
        backbone=BackboneConfig(kind=options.kind, width=options.width),
    )  # fmt: skip
    made: Any = method.load()
    model = made(train.shape, config, seed=options.seed).to(memory_format=torch.channels_last)
    settings = TrainingConfig(
        steps=options.steps, batch_size=min(BATCH, len(train)), learning_rate=2e-3, weight_decay=0.01, clip_norm=None,
        average=0.99, final_learning_rate=0.0, keep_best=False, seed=options.seed, checkpoint_minutes=1.0,
        evaluate_every=max(1, options.steps // 20),
    )  # fmt: skip
    clock = Clock(options.run / "metrics.jsonl")

    def evaluate(_: Evaluation) -> dict[str, float]:
        seconds, before = clock.seconds(), time.process_time()
        found = evaluate_neighbors((encode(model, train), labels[0]), (encode(model, test), labels[1]))
        clock.begun += time.process_time() - before
        return {"neighbors": found.accuracy.value, "processor_seconds": seconds}

    history = fit(model.step(), ImageExamples(train, keys=True), config=settings, directory=options.run,
                  evaluate=evaluate)  # fmt: skip
    print(f"{describe_machine()}; {options.model}, {options.kind} of width {options.width}, {model.dimension} numbers, "
          f"{options.steps:,} steps of {BATCH}, {options.threads} thread(s)")  # fmt: skip
    curve = [record for record in history.records if "neighbors" in record]
    print_table(
        "On the way: neighbours, all labels",
        ["step", "seconds", "accuracy"],
        [[one["step"], f"{one['processor_seconds']:,.0f}", f"{100 * one['neighbors']:.1f}"] for one in curve],
    )
    return model, {"steps": history.steps, "seconds": round(curve[-1]["processor_seconds"])}


def probe(
    name: str, codes: tuple[NDArray[np.float32], NDArray[np.float32]], images: tuple[Images, Images]
) -> dict[str, dict[str, float]]:
    """Print the accuracies of probes; the same, by classifier and share of the labels."""
    labels = [part.required_labels("a probe") for part in images]
    results: dict[str, dict[str, float]] = {}
    rows = []
    for classifier in ("linear", "neighbors"):
        config = ProbeConfig(labels=AMOUNTS, classifier=classifier, repeats=3)
        points = probe_features(name, (codes[0], labels[0]), (codes[1], labels[1]), config).points
        rows.append([classifier, *(f"{100 * point.accuracy:.1f} ({100 * point.spread:.1f})" for point in points)])
        results[classifier] = {f"{100 * point.share:.0f}%": round(100 * point.accuracy, 2) for point in points}
    print_table("Accuracy on 5,000 test images by share of labels (spread over choices)",
                ["", *AMOUNTS.split(",")], rows)  # fmt: skip
    return results


if __name__ == "__main__":
    main()
