"""Ways to learn from CIFAR-10's images without labels, at equal seconds of a processor: what probes say of the codes.

Every method learns from the same 20,000 images for about the same seconds of one thread (how many steps these are, a
short trial finds), with one recipe and one small network; its codes are then probed by logistic regression (of
standardised codes, with an L2 penalty of 0.001) and by neighbours on 5,000 others, with all labels. Beside them stand
the network as it was drawn and the pixels::

    python -m benchmarks.pretext --runs DIR                         14 methods x 3 seeds x 40 seconds, and the probes
    python -m benchmarks.pretext --runs DIR --seconds 2 --seeds 1   a trial, of which no claim is made

Every run that is done is kept in ``--runs``, and the same command goes on with the next. The recipe: AdamW at 0.002,
falling to 0 by a cosine, batches of 256 images (64 where a step looks at four of each image, or contrasts patches), a
convolutional network of width 32 and codes of 128 numbers (a transformer over patches of 4, and 192, for what hides
patches). No method was tuned on these images but SimCLR, whose recipe it is; so little time is little for all, and less
for those whose step costs more.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmarks.cifar_probe import DATA, VIEWS, encode
from benchmarks.report import describe_machine, print_table, require_files
from nlprep.core.files import atomic_file
from nlprep.core.training import TrainingConfig, fit
from nlprep.evaluation.configuration import ProbeConfig
from nlprep.evaluation.linear_probe import probe_features
from vision.backbones.configuration import BackboneConfig
from vision.images.collection import ImageExamples
from vision.images.reading import read_images
from vision.models.configuration import LikelihoodConfig
from vision.models.methods import find_method

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vision.images.collection import Images
    from vision.models.model import ImageModel

PIXELS, RANDOM = "pixels", "random"
TRAINED = (
    "autoencoder", "vae", "masked", "inpainting", "colourization", "rotation", "context-prediction", "cpc", "simclr",
    "barlow-twins", "vicreg", "byol", "dino", "i-jepa",
)  # fmt: skip
BATCHES = {"rotation": 64, "cpc": 64}
SHORT, LONG = 4, 12
DIMENSION = 128
PENALTY: dict[str, dict[str, Any]] = {"linear": {"l2": 1e-3}, "neighbors": {}}


def settings_of(name: str) -> Any:
    """A model's settings: its own, with the network and the size of codes that all have."""
    own: Any = find_method(name).config()
    changes: dict[str, Any] = {"dimension": DIMENSION, "error": "squared"}
    if name != "dino":
        # DINO's large views are larger, and its small ones smaller.
        changes["views"] = VIEWS
    changes["likelihood"] = LikelihoodConfig(kind="gaussian")
    if own.backbone.kind == "convolutional" and own.backbone.depth is None:
        changes["backbone"] = BackboneConfig(width=32)
    names = {field.name for field in fields(own)}
    return replace(own, **{key: value for key, value in changes.items() if key in names})


def make_model(name: str, images: Images, seed: int) -> ImageModel:
    """A model with weights that are the seed's."""
    kind: Any = find_method(name).load()
    made: Any = kind(images.shape, settings_of(name), seed=seed)
    model: ImageModel = made.to(memory_format=torch.channels_last)
    return model


def train(name: str, images: Images, *, steps: int, seed: int) -> tuple[ImageModel, float]:
    """A model after so many steps, and the processor seconds that they took."""
    model = make_model(name, images, seed)
    config = TrainingConfig(
        steps=steps, batch_size=BATCHES.get(name, 256), learning_rate=2e-3, weight_decay=0.01, clip_norm=None,
        average=0.99, final_learning_rate=0.0, keep_best=False, seed=seed,
    )  # fmt: skip
    examples = ImageExamples(images, keys=find_method(name).keyed)
    began = time.process_time()
    fit(model.step(), examples, config=config)
    return model, time.process_time() - began


def steps_for(name: str, images: Images, seconds: float) -> int:
    """How many steps take so many seconds of the processor, by a long and a short trial."""
    train(name, images, steps=2, seed=1)
    short, long = (train(name, images, steps=steps, seed=1)[1] for steps in (SHORT, LONG))
    return max(1, round(seconds / max(1e-6, (long - short) / (LONG - SHORT))))


def probe(name: str, codes: tuple[NDArray[np.float32], NDArray[np.float32]], labels: Any) -> dict[str, float]:
    """Accuracies by classifier."""
    found = {}
    for classifier in ("linear", "neighbors"):
        config = ProbeConfig(labels="100%", classifier=classifier, repeats=1, **PENALTY[classifier])
        (point,) = probe_features(name, (codes[0], labels[0]), (codes[1], labels[1]), config).points
        found[classifier] = point.accuracy
    return found


def run(name: str, seed: int, train_images: Images, test_images: Images, options: Any) -> dict[str, Any]:
    """What comes of a method from a seed: read, if it was done before."""
    place = options.runs / f"{name}-{seed}.json"
    if place.is_file():
        kept: dict[str, Any] = json.loads(place.read_text(encoding="utf-8"))
        if kept["asked"] != options.seconds and name not in (PIXELS, RANDOM):
            raise SystemExit(f"{place}: is of {kept['asked']} seconds: name another --runs, or the same --seconds")
        return kept
    images = (train_images, test_images)
    codes: list[NDArray[np.float32]]
    steps, seconds = 0, 0.0
    if name == PIXELS:
        codes = [np.divide(one.pixels.reshape(len(one), -1), 255, dtype=np.float32) for one in images]
    else:
        if name == RANDOM:
            model = make_model("simclr", train_images, seed).eval()
        else:
            # The first run's trial decides for all seeds.
            first = options.runs / f"{name}-1.json"
            known = json.loads(first.read_text(encoding="utf-8")) if first.is_file() else None
            steps = known["steps"] if known else steps_for(name, train_images, options.seconds)
            model, seconds = train(name, train_images, steps=steps, seed=seed)
        codes = [encode(model, one) for one in images]
    labels = [one.required_labels("a probe") for one in images]
    found = {"name": name, "seed": seed, "asked": options.seconds, "steps": steps, "seconds": seconds,
             "numbers": int(codes[0].shape[1]), **probe(name, (codes[0], codes[1]), labels)}  # fmt: skip
    options.runs.mkdir(parents=True, exist_ok=True)
    with atomic_file(place) as stream:
        stream.write(json.dumps(found).encode() + b"\n")
    return found


def spread_of(values: list[float]) -> str:
    """Mean and standard deviation over seeds, in percent."""
    mean = f"{100 * np.mean(values):.1f}"
    return mean if len(values) == 1 else f"{mean} ({100 * np.std(values, ddof=1):.1f})"


def report(results: list[dict[str, Any]], options: Any) -> None:
    """Print the table, and a line of JSON for each method."""
    print(f"{describe_machine()}; {options.seconds:g} seconds of one thread a run, {options.seeds} seed(s)")
    names = dict.fromkeys(one["name"] for one in results)
    grouped = {name: [one for one in results if one["name"] == name] for name in names}
    rows = []
    for name, found in sorted(grouped.items(), key=lambda item: -float(np.mean([one["linear"] for one in item[1]]))):
        steps = np.mean([one["steps"] for one in found])
        seen = steps * BATCHES.get(name, 256) / 20_000
        rows.append([
            name, spread_of([one["linear"] for one in found]), spread_of([one["neighbors"] for one in found]),
            found[0]["numbers"], f"{steps:,.0f}" if steps else "-", f"{seen:.1f}" if steps else "-",
            f"{np.mean([one['seconds'] for one in found]):.0f}" if steps else "-",
        ])  # fmt: skip
    header = ["", "linear", "neighbours", "numbers", "steps", "passes", "seconds"]
    print_table("Accuracy on 5,000 test images, all labels of 20,000 (spread over seeds)", header, rows)
    for name, found in grouped.items():
        accuracies = {kind: [round(100 * one[kind], 2) for one in found] for kind in ("linear", "neighbors")}
        print(json.dumps({"method": name, **accuracies, "steps": [one["steps"] for one in found]}))


def main() -> None:
    """Train and probe whatever is not done, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, required=True, help="where what comes of each run is kept")
    parser.add_argument("--seconds", type=float, default=40.0, help="of a processor, to learn in (default: 40)")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each method (default: 3)")
    parser.add_argument("--methods", nargs="+", default=(RANDOM, *TRAINED, PIXELS), help="which (default: all)")
    options = parser.parse_args()
    require_files(DATA)
    torch.set_num_threads(1)
    images = [read_images(DATA, split=split) for split in ("train", "test")]
    results = []
    for seed in range(1, options.seeds + 1):
        for name in options.methods:
            # Pixels are the same whatever the seed.
            if name != PIXELS or seed == 1:
                results.append(run(name, seed, images[0], images[1], options))
                print(json.dumps(results[-1]), file=sys.stderr, flush=True)
    report(results, options)


if __name__ == "__main__":
    main()
