"""Bits per dimension of MNIST's test digits under a Glow.

The protocol: bytes of 28 x 28 as they are, uniform dequantisation (y = (byte + u) / 256, one draw of u for each image,
keyed by the seed), all 10,000 test images. What is printed bounds the bits of the bytes from above (Theis et al. 2016);
the mean over several draws is the same bound with less noise. The weights are those of the last step, averaged, and
nothing is chosen on test images: the curve is of a thousand of the training images that are not trained on::

    python -m benchmarks.mnist_flow                       two levels of eight steps, 64 channels
    python -m benchmarks.mnist_flow --steps 2000          fewer steps than the recipe's
    python -m benchmarks.mnist_flow --quick               a hundredth of its steps, of which no claim is made
    python -m benchmarks.mnist_flow --directory runs      keeps the run there, goes on if it was stopped
    python -m benchmarks.mnist_flow --picture glow.png    draws samples at three temperatures

Published, on GPUs: Glow 1.05, residual flow 0.97. An i-ResNet's 1.06 is of images padded to 32 x 32 and repeated to
three channels, and compares with nothing here. Time is of processors: other work on the machine lengthens the wall
clock, and takes some of the cache and memory as well.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from benchmarks.mnist_likelihood import DATA, read_digits
from benchmarks.report import describe_machine, print_claim, print_table, require_files
from nlprep.core.randomness import seeded_torch
from nlprep.core.training import TrainingConfig, fit
from nlprep.core.training.evaluation import Assessment
from vision.images.collection import ImageExamples
from vision.models.flow import Glow
from vision.models.flow_configuration import GlowConfig
from vision.models.methods import find_method
from vision.training import tiled

if TYPE_CHECKING:
    from collections.abc import Callable

    from nlprep.core.training.evaluation import Evaluation
    from nlprep.core.training.loop import History

SHAPE, HELD, BATCH = (1, 28, 28), 1000, 64
STEPS, GOAL = 4000, 1.35
DRAWS = 3
PUBLISHED = {"Glow": 1.05, "residual flow": 0.97}


def main() -> None:
    """Train, measure, and print the curve, the table and the claim."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a hundredth of the steps")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"steps of training (default: {STEPS:,})")
    parser.add_argument("--threads", type=int, default=1, help="processor threads (default: 1)")
    parser.add_argument("--seed", type=int, default=1, help="of everything (default: 1)")
    parser.add_argument("--directory", type=Path, help="where the run is kept; default: nowhere")
    parser.add_argument("--picture", type=Path, help="PNG file for samples")
    arguments = parser.parse_args()
    require_files(DATA / "mnist_train.npz")
    torch.set_num_threads(arguments.threads)
    steps = max(20, arguments.steps // 100) if arguments.quick else arguments.steps
    print(describe_machine(), f"{steps:,} steps, {arguments.threads} threads", sep="; ", flush=True)
    model = Glow(SHAPE, GlowConfig(), seed=arguments.seed)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    with tempfile.TemporaryDirectory() as folder:
        history = train(model, arguments.directory or Path(folder) / "run", steps=steps, seed=arguments.seed)
    curve = [record for record in history.records if "processor_seconds" in record]
    print_table(
        f"{HELD:,} digits held out of training, by the averaged weights",
        ("step", "processor seconds", "bits/dim"),
        [
            (
                f"{record['step']:,}",
                f"{record['processor_seconds']:.0f}",
                f"{record['validation_bits_per_dimension']:.3f}",
            )
            for record in curve
        ],
    )
    if arguments.picture is not None:
        write_samples(model, arguments.picture, seed=arguments.seed)
    draws = test_bits(model, 1 if arguments.quick else DRAWS, seed=arguments.seed)
    bits, spread = float(np.mean(draws)), float(np.ptp(draws))
    seconds = curve[-1]["processor_seconds"]
    rows = [("this recipe", f"{bits:.3f}"), *((f"{name} (published)", f"{of:.2f}") for name, of in PUBLISHED.items())]
    print_table(
        f"MNIST, 8 bits, uniform dequantisation, {len(read_digits('test')):,} test images, mean of {len(draws)} draws "
        f"of noise ({spread:.4f} between them)",
        ("", "bits/dim"),
        rows,
    )
    print_claim(
        "MNIST, 8 bits, bits per dimension of the test set, Glow",
        peer=f"the goal of {GOAL} in 40 minutes of two processors",
        ratio=GOAL / bits,
        quality={"bits per dimension": round(bits, 3), "draws": len(draws), "images": 10_000},
        summary=f"{bits:.3f} bits/dim after {seconds / 60:.1f} minutes of a processor",
        steps=history.steps,
        processor_seconds=round(seconds),
        resumed=history.resumed_from is not None,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        quick=arguments.quick,
    )


def train(model: Glow, directory: Path, *, steps: int, seed: int) -> History:
    """Train by the house's recipe for flows."""
    digits = read_digits("train")
    examples = ImageExamples(digits.select(np.arange(len(digits) - HELD)))
    held = ImageExamples(digits.select(np.arange(len(digits) - HELD, len(digits))))
    config = TrainingConfig(
        **{"steps": steps, "batch_size": BATCH, "average": 0.999, "keep_best": False, "checkpoint_minutes": 2.0}
        | dict(find_method("glow").training)
        | {"seed": seed}
    )
    return fit(
        model.step(), examples, config=config, directory=directory, validation=held, evaluate=clocked(model, directory)
    )


def clocked(model: Glow, directory: Path) -> Callable[[Evaluation], Assessment]:
    """An evaluation that says how long the run took by now, what went before a stop included, and draws samples."""
    metrics = directory / "metrics.jsonl"
    lines = metrics.read_text(encoding="utf-8").splitlines() if metrics.is_file() else []
    before = max((json.loads(line).get("processor_seconds", 0.0) for line in lines), default=0.0)
    begun = time.process_time()

    def evaluate(_: Evaluation) -> Assessment:
        seconds = before + time.process_time() - begun
        return Assessment({"processor_seconds": seconds}, {"samples": tiled(list(model.sample(30).chunk(3)))})

    return evaluate


@torch.no_grad()
def test_bits(model: Glow, draws: int, *, seed: int) -> list[float]:
    """Bits per dimension of all test images, at each draw of noise."""
    pixels = torch.from_numpy(read_digits("test").pixels)
    found = []
    for draw in range(draws):
        with seeded_torch(seed + draw):
            nats = sum(float(model.nats(batch).double().sum()) for batch in torch.split(pixels, 250))
        found.append(nats / (len(pixels) * math.prod(SHAPE) * math.log(2)))
    return found


@torch.no_grad()
def write_samples(model: Glow, file: Path, *, seed: int) -> None:
    """Two rows of samples at each of the temperatures 0.7, 0.85 and 1."""
    from nlprep.core.training.records.pictures import encode_pictures

    rows = []
    for temperature in (0.7, 0.85, 1.0):
        with seeded_torch(seed):
            rows += list(model.sample(24, temperature=temperature).chunk(2))
    (content,) = encode_pictures({"samples": tiled(rows)}).values()
    file.write_bytes(content)


if __name__ == "__main__":
    main()
