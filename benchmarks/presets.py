"""What the defaults that follow from the images are worth, beside a model's own, at equal seconds of a processor.

`rep-vision train DATA` chooses a network and the settings of the loop by the size and the number of the images
(`vision.presets`). Beside it stands what a model and the loop are made with where nobody looks at the images: a
convolutional network, and AdamW at 0.0005, 32 images a step. Both learn a variational autoencoder of the same images
with the same likelihood for about the same seconds of one thread (how many steps these are, a short trial finds); what
counts is the bound on images held out::

    python -m benchmarks.presets              four sets of images x 2 x 3 seeds x 30 seconds: a quarter of an hour
    python -m benchmarks.presets --quick      one seed of 3 seconds, of which no claim is made

Digits are of MNIST, grey and made binary; small colour images of CIFAR-10; faces of Olivetti, of which there are 400;
photographs of rooms, of 72 x 96 pixels, which no default was chosen on. A bit fewer is better; of grey values the
likelihood is of all 256 levels.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from benchmarks.report import describe_machine, make_parser, print_table, require_files
from nlprep.core.training import TrainingConfig, fit
from nlprep.evaluation.encoder import evaluation_mode
from vision.images.collection import ImageExamples
from vision.images.configuration import PreprocessingConfig
from vision.images.reading import read_images
from vision.models.configuration import LikelihoodConfig, VaeConfig
from vision.models.vae import Vae
from vision.presets import default_backbone, default_training

if TYPE_CHECKING:
    from vision.images.collection import Images

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
HELD_OUT = 0.1
SHORT, LONG = 5, 25
BATCH = 100


@dataclass(frozen=True)
class Source:
    """A set of images, and of what their pixels are a likelihood."""

    name: str
    file: Path
    likelihood: str
    height: int | None = None
    most: int = 20_000

    def read(self) -> tuple[Images, Images]:
        """Images to learn from, and those held out."""
        wanted = (
            PreprocessingConfig()
            if self.height is None
            else PreprocessingConfig(height=self.height, width=self.height * 4 // 3)
        )
        images = read_images(self.file, preprocessing=wanted)
        chosen = np.random.default_rng(1).permutation(len(images))[: self.most]
        held = round(HELD_OUT * len(chosen))
        return images.select(chosen[held:]), images.select(chosen[:held])


SOURCES = (
    Source("digits", DATA / "images" / "mnist_train.npz", "bernoulli"),
    Source("small colour images", DATA / "images" / "cifar10_jpeg_20k_5k.zip", "logistic"),
    Source("faces", DATA / "images" / "olivetti.npz", "logistic"),
    Source("photographs", DATA / "vqa" / "daquar_images_96x128.zip", "logistic", height=72),
)


def settings_of(way: str, images: Images, likelihood: str) -> tuple[VaeConfig, TrainingConfig]:
    """The model's settings and the loop's, of which the number of steps is set later."""
    plain = VaeConfig(likelihood=LikelihoodConfig(kind=likelihood))
    if way == "plain":
        return plain, TrainingConfig(batch_size=min(32, len(images)))
    network = default_backbone("vae", images.shape)
    if network is None:
        raise AssertionError("a VAE has a network to choose")
    return replace(plain, backbone=network), default_training("vae", len(images), network)


def train(way: str, images: Images, likelihood: str, *, steps: int, seed: int) -> tuple[Vae, float]:
    """A model after so many steps, and the processor seconds that they took."""
    config, training = settings_of(way, images, likelihood)
    model = Vae(images.shape, config, seed=seed)
    began = time.process_time()
    fit(
        model.step(),
        ImageExamples(images),
        config=replace(training, steps=steps, epochs=1.0, seed=seed, keep_best=False),
    )
    return model, time.process_time() - began


def steps_for(way: str, images: Images, likelihood: str, seconds: float) -> int:
    """How many steps take so many seconds of the processor, by a long and a short trial.

    Raises:
        RuntimeError: The long trial took no longer than the short one: the machine has to be quieter.
    """
    # The first run loads what the others find loaded, which would count for the short trial alone.
    _, short, long = (train(way, images, likelihood, steps=steps, seed=1)[1] for steps in (1, SHORT, LONG))
    if long <= short:
        raise RuntimeError(f"{LONG} steps took {long:.2f} s, {SHORT} steps {short:.2f} s: try again")
    return max(1, round(seconds / ((long - short) / (LONG - SHORT))))


def bits(model: Vae, images: Images) -> float:
    """The bound, in bits for each number of an image; what is drawn for it is the same for all models."""
    total = 0.0
    with evaluation_mode(model), torch.random.fork_rng():
        torch.manual_seed(1)
        for part in torch.from_numpy(np.ascontiguousarray(images.pixels)).split(BATCH):  # type: ignore[no-untyped-call]
            total += float(model(part)["negative_elbo"]) * len(part)
    return total / len(images) / float(np.prod(images.shape)) / float(np.log(2))


def main() -> None:
    """Train both ways on all images, and print the table and a line of JSON for each set of images."""
    parser = make_parser(__doc__, quick="one seed of three seconds, of which no claim is made")
    options = parser.parse_args()
    require_files(*(source.file for source in SOURCES))
    seconds, seeds = (3.0, 1) if options.quick else (30.0, 3)
    torch.set_num_threads(1)
    rows, lines = [], []
    for source in SOURCES:
        images, held = source.read()
        found: dict[str, list[float]] = {}
        steps: dict[str, int] = {}
        for way in ("plain", "preset"):
            steps[way] = steps_for(way, images, source.likelihood, seconds)
            models = [
                train(way, images, source.likelihood, steps=steps[way], seed=options.seed + more)[0]
                for more in range(seeds)
            ]
            found[way] = [bits(model, held) for model in models]
        cells = [f"{np.mean(values):.3f} ({np.std(values):.3f})" for values in found.values()]
        rows.append([source.name, f"{len(images):,}", *cells, *(f"{count:,}" for count in steps.values())])
        lines.append({"images": source.name, **{way: np.round(values, 4).tolist() for way, values in found.items()}})
    print(f"{describe_machine()}; {seconds:g} seconds of one thread a run, {seeds} seed(s)")
    header = ["", "images", "plain", "preset", "steps of plain", "of preset"]
    print_table("-ELBO of images held out, bits per dimension (spread over seeds)", header, rows)
    for line in lines:
        print(json.dumps(line))


if __name__ == "__main__":
    main()
