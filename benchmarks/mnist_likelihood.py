"""How likely MNIST's test digits are under the variational autoencoders of the house.

The protocol: pixels binarised dynamically (drawn anew whenever an image is met, with its grey value as the probability;
of test images once, as a function of the seed), all 10,000 test images, 5,000 importance samples, nats per image. The
weights are those of the last step, averaged: nothing is chosen on test images, and no image is changed but by being
made binary::

    python -m benchmarks.mnist_likelihood                  a variational autoencoder
    python -m benchmarks.mnist_likelihood --model mlp      one without convolutions, and with a normal prior
    python -m benchmarks.mnist_likelihood --model best     the best of the house
    python -m benchmarks.mnist_likelihood --quick          a hundredth of its steps, of which no claim is made
    python -m benchmarks.mnist_likelihood --directory runs keeps the run there, goes on if it was stopped

Each recipe is one entry of `RECIPES`: its network, its prior and its stages, of which the first is trained on the plain
bound, and one more on the importance-weighted bound, from the weights that the first left.

The likelihood is `vision.models.likelihood.estimate_likelihood`'s: a bound of all images from 64 samples, less the mean
gap between it and that of 5,000 samples on 250 of them; beside it stands the plain mean over those 250. Published with
one layer of codes: pythae's variational autoencoder 89.8 (static binarisation, 200 samples), its MIWAE 85.1 and PIWAE
84.6. Time is wall clock and processor time of training, since other work on the machine lengthens the former; one
thread's processor time is what one processor would need by itself, but that its neighbours take some of its cache and
memory too.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.report import describe_machine, print_table, require_files
from nlprep.core.training import TrainingConfig, fit
from vision.backbones.configuration import BackboneConfig
from vision.images.collection import ImageExamples, Images
from vision.models.configuration import ImportanceWeightedConfig, PriorConfig, VaeConfig
from vision.models.importance_weighted import ImportanceWeightedAutoencoder
from vision.models.likelihood import LikelihoodEstimate, estimate_likelihood
from vision.models.vae import Vae

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "images"
PUBLISHED = {"pythae's VAE, static, 200 samples": 89.8, "pythae's MIWAE": 85.1, "pythae's PIWAE": 84.6}
SHAPE, DIMENSION = (1, 28, 28), 40
SUBSET, BOUND = 250, 64


@dataclass(frozen=True)
class Stage:
    """A run of the loop.

    Attributes:
        steps: Of the optimiser.
        batch: Images in a step.
        rate: The highest learning rate.
        samples: Codes in the bound; 1: the plain one, with its divergence in closed form where there is one.
    """

    steps: int
    batch: int
    rate: float
    samples: int = 1


@dataclass(frozen=True)
class Recipe:
    """A model and how it is trained.

    Attributes:
        backbone: Its network.
        prior: Of its codes.
        stages: One after another.
        goal: Nats, and in words.
    """

    backbone: BackboneConfig
    prior: PriorConfig
    stages: tuple[Stage, ...]
    goal: tuple[float, str]


PLAIN, WEIGHED = (85.0, "the goal of 85 in 40 minutes of a processor"), (83.0, "the goal of 83 in 120 of a processor")
PATCHES = BackboneConfig(kind="patch", width=32, blocks=1, norm="none")
FLOW = PriorConfig(kind="flow")
RECIPES = {
    "vae": Recipe(PATCHES, FLOW, (Stage(12_000, 100, 6e-3),), PLAIN),
    "mlp": Recipe(BackboneConfig(kind="mlp", width=512, depth=2), PriorConfig(), (Stage(14_000, 200, 3e-3),), PLAIN),
    "best": Recipe(PATCHES, FLOW, (Stage(8_000, 100, 6e-3), Stage(1_200, 100, 2e-3, 5)), WEIGHED),
}


def main() -> None:
    """Train, measure, and print the table and the claim."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a hundredth of the steps, a tenth of the samples")
    parser.add_argument("--model", choices=tuple(RECIPES), default="vae", help="which recipe (default: vae)")
    parser.add_argument("--threads", type=int, default=1, help="processor threads (default: 1)")
    parser.add_argument("--seed", type=int, default=1, help="of everything (default: 1)")
    parser.add_argument("--directory", type=Path, help="where the run is kept; default: nowhere")
    arguments = parser.parse_args()
    require_files(DATA / "mnist_train.npz")
    recipe = RECIPES[arguments.model]
    torch.set_num_threads(arguments.threads)
    print(describe_machine(), f"--model {arguments.model}, {arguments.threads} threads", sep="; ", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        directory = arguments.directory or Path(folder) / "runs"
        trained = train(recipe, directory, seed=arguments.seed, quick=arguments.quick)
    began = time.perf_counter(), time.process_time()
    estimate = estimate_likelihood(
        trained.model, read_digits("test"), samples=500 if arguments.quick else 5000,
        subset=40 if arguments.quick else SUBSET, bound_samples=BOUND, seed=arguments.seed,
    )  # fmt: skip
    show(estimate, trained, measured=(time.perf_counter() - began[0], time.process_time() - began[1]))
    goal, peer = recipe.goal
    claim: dict[str, Any] = {
        "claim": "MNIST, dynamic binarisation, negative log-likelihood in nats",
        "model": arguments.model,
        "peer": peer,
        "ratio": round(goal / estimate.negative_log_likelihood, 3),
        "quality": {
            "negative log-likelihood": round(estimate.negative_log_likelihood, 2),
            "standard error": round(estimate.standard_error, 3),
            "negative ELBO": round(-estimate.bound, 2),
            "importance samples": estimate.samples,
            "images": estimate.images,
            "subset": estimate.subset,
            "effective samples": round(estimate.effective_samples, 1),
            "precision": estimate.precision,
        },
        "summary": f"{estimate.negative_log_likelihood:.2f} ({estimate.standard_error:.2f})",
        "steps": trained.steps,
        "seconds": round(trained.wall),
        "processor_seconds": round(trained.processor),
        "resumed": trained.resumed,
        "parameters": sum(parameter.numel() for parameter in trained.model.parameters()),
        "quick": arguments.quick,
    }
    print(json.dumps(claim), flush=True)


def read_digits(part: str) -> Images:
    """MNIST's training or test digits."""
    with np.load(DATA / f"mnist_{part}.npz") as arrays:
        pixels, labels = arrays["x"][:, None], arrays["y"].astype(np.int64)
    return Images(pixels, labels, tuple("0123456789"), source=f"mnist_{part}.npz")


def make_model(recipe: Recipe, samples: int, seed: int) -> Vae:
    """The model of a stage: a variational autoencoder, importance-weighted where there are more codes than one."""
    model: Vae
    if samples == 1:
        model = Vae(SHAPE, VaeConfig(dimension=DIMENSION, backbone=recipe.backbone, prior=recipe.prior), seed=seed)
    else:
        config = ImportanceWeightedConfig(
            dimension=DIMENSION, samples=samples, backbone=recipe.backbone, prior=recipe.prior
        )
        model = ImportanceWeightedAutoencoder(SHAPE, config, seed=seed)
    if any(isinstance(part, torch.nn.Conv2d) for part in model.modules()):
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model


@dataclass(frozen=True)
class Trained:
    """What training came to.

    Attributes:
        model: Of the last stage.
        steps: Of all stages.
        wall: Seconds of this call.
        processor: Seconds of processor time of this call.
        resumed: Whether it went on from what was there.
    """

    model: Vae
    steps: int
    wall: float
    processor: float
    resumed: bool


def train(recipe: Recipe, directory: Path, *, seed: int, quick: bool) -> Trained:
    """Train a recipe's stages, each in its folder of the directory."""
    wall, processor = time.perf_counter(), time.process_time()
    examples = ImageExamples(read_digits("train"))
    model, total, resumed = None, 0, False
    for number, stage in enumerate(recipe.stages, 1):
        steps = max(20, stage.steps // 100) if quick else stage.steps
        following = make_model(recipe, stage.samples, seed)
        if model is not None:
            following.load_state_dict(model.state_dict())
        model = following
        training = TrainingConfig(
            steps=steps, batch_size=stage.batch, learning_rate=stage.rate, final_learning_rate=0.01,
            warmup=min(500, steps // 10), weight_decay=0.01, beta2=0.99, clip_norm=50.0, average=0.999, seed=seed,
            log_every=max(1, steps // 24),
        )  # fmt: skip
        print(f"  stage {number}: {steps:,} steps of {stage.batch} images, {stage.samples} codes of each", flush=True)
        history = fit(model.step(), examples, config=training, directory=directory / f"stage-{number}")
        for record in history.records:
            print(f"  step {record['step']:>7,}: {record['loss']:.2f}", flush=True)
        total, resumed = total + steps, resumed or history.resumed_from is not None
    if model is None:
        raise ValueError("a recipe has at least one stage")
    return Trained(model, total, time.perf_counter() - wall, time.process_time() - processor, resumed)


def show(estimate: LikelihoodEstimate, trained: Trained, *, measured: tuple[float, float]) -> None:
    """Print the table for people."""
    rows: list[tuple[str, str, str]] = [
        ("this recipe, control variate", f"{estimate.negative_log_likelihood:.2f}", f"{estimate.standard_error:.2f}"),
        (
            "  plain mean over its subset",
            f"{-estimate.subset_log_likelihood:.2f}",
            f"{estimate.subset_standard_error:.2f}",
        ),
        ("  negative ELBO, all images", f"{-estimate.bound:.2f}", ""),
    ]
    rows += [(f"{name} (published)", f"{value:.1f}", "") for name, value in PUBLISHED.items()]
    print_table(
        f"MNIST, {estimate.samples:,} importance samples, {estimate.images:,} test images, {estimate.subset} of them "
        f"for the gap; training {trained.wall:.0f} s ({trained.processor:.0f} s of processors), measuring "
        f"{measured[0]:.0f} s ({measured[1]:.0f} s)",
        ("", "nats", "standard error"),
        rows,
    )


if __name__ == "__main__":
    main()
