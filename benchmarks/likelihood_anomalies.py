"""Likelihood as a score of oddness: what it misses, and what finds that.

A Glow learns photographs (CIFAR-10's training images, in grey, 16 x 16). Images of other kinds are told from its test
images by minus their log-likelihood, and by the two scores of `vision.uses.likelihood_scores`; beside these by how long
an image's code is, with no model at all, and by distances that need none either::

    python -m benchmarks.likelihood_anomalies              five minutes of a processor
    python -m benchmarks.likelihood_anomalies --quick      half a minute, of which no claim is made

An area under the ROC curve of 0.5 is chance, and one near 0 says that *every* odd image seems more usual than the usual
ones. Odd are: digits, written characters and faces of other collections; images of one grey; ramps of two greys;
photographs with little contrast, and blurred ones; noise. Nothing is chosen by them. Bits for each number are the bound
by uniform dequantisation, at one draw of noise; lengths of codes are of `vision.uses.code_lengths`.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional

from benchmarks.report import describe_machine, print_table, require_files
from nlprep.core.randomness import seeded_torch
from nlprep.core.training import TrainingConfig, fit
from nlprep.evaluation.detection import area_under_curve
from vision.images.collection import ImageExamples, Images
from vision.images.configuration import PreprocessingConfig
from vision.images.preprocessing import Preprocessing
from vision.images.reading import read_images
from vision.images.splits import choose_places
from vision.models.files import SavedModel
from vision.models.flow import Glow
from vision.models.flow_configuration import GlowConfig
from vision.models.methods import find_method
from vision.uses.code_lengths import code_nats
from vision.uses.likelihood_scores import LIKELIHOOD_SCORES
from vision.uses.usual_images import BASELINES, PATCH_SCORES, learn_scores, score_images

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vision.uses.usual_images import LearnedScores

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "images"
SIDE, STEPS, BATCH, MOST = 16, 2000, 64, 1000
SHAPE = (1, SIDE, SIDE)
NATS, LENGTH = "nats", "code length"
SCORES = (NATS, *LIKELIHOOD_SCORES, *BASELINES, *PATCH_SCORES)


def main() -> None:
    """Train, score, and print the tables and the claim."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the steps and of the images")
    parser.add_argument("--seed", type=int, default=1, help="of everything (default: 1)")
    options = parser.parse_args()
    require_files(DATA / "omniglot_small1.npz")
    torch.set_num_threads(1)
    share = 10 if options.quick else 1
    steps, most = STEPS // share, MOST // share
    print(describe_machine(), f"one thread, {steps:,} steps of {BATCH}", sep="; ", flush=True)
    usual = read("cifar10_jpeg_20k_5k.zip", split="train")
    begun = time.process_time()
    model = Glow(SHAPE, GlowConfig(), seed=options.seed)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    suited: dict[str, Any] = dict(find_method("glow").training)
    config = TrainingConfig(
        steps=steps, batch_size=BATCH, average=0.999, keep_best=False, precision="fp32", seed=options.seed, **suited
    )
    fit(model.step(), ImageExamples(usual), config=config)
    trained = time.process_time() - begun
    test = some(read("cifar10_jpeg_20k_5k.zip", split="test"), most)
    kinds = odd_images(test, most)
    preprocessing = Preprocessing(channels=1, height=SIDE, width=SIDE)
    saved = SavedModel(model=model.eval(), config=model.config, preprocessing=preprocessing)
    learned = learn_scores(saved, usual, SCORES, seed=options.seed)
    scores = {name: measured(model, learned, images) for name, images in {"usual": test, **kinds}.items()}
    scored = time.process_time() - begun - trained
    bits = math.log(2) * math.prod(SHAPE)
    print_table(
        f"bits for each number, in the mean over images ({trained:.0f} s of training, {scored:.0f} s of scores)",
        ("images", "number", "by the model", "in the code"),
        [
            (name, f"{len(found[NATS]):,}", f"{found['bound'].mean() / bits:.2f}", f"{found[LENGTH].mean() / bits:.2f}")
            for name, found in scores.items()
        ],
    )
    names = [*SCORES, LENGTH]
    areas = {
        name: {kind: area_under_curve(scores["usual"][name], scores[kind][name]) for kind in kinds} for name in names
    }
    means = {name: float(np.mean(list(of.values()))) for name, of in areas.items()}
    print_table(
        f"AUROC against {len(test):,} usual test images",
        ("score", *kinds, "mean", "worst"),
        [
            (name, *(f"{value:.3f}" for value in of.values()), f"{means[name]:.3f}", f"{min(of.values()):.3f}")
            for name, of in areas.items()
        ],
    )
    claim = {
        "claim": "odd images of eight kinds under a Glow of photographs, mean AUROC",
        "peer": "minus the log-likelihood",
        "ratio": round(max(means[name] for name in LIKELIHOOD_SCORES) / means[NATS], 2),
        "quality": {name: round(value, 3) for name, value in means.items()},
        "summary": f"likelihood {means[NATS]:.3f}, "
        + ", ".join(f"{name.replace('_', ' ')} {means[name]:.3f}" for name in LIKELIHOOD_SCORES),
        "digits": {name: round(of["digits"], 3) for name, of in areas.items()},
        "bits per dimension of usual images": round(float(scores["usual"]["bound"].mean()) / bits, 3),
        "processor seconds": round(trained),
        "quick": options.quick,
    }
    print(json.dumps(claim), flush=True)


def read(name: str, split: str | None = None) -> Images:
    """Images of a collection, in grey and of the one size."""
    return read_images(DATA / name, split=split, preprocessing=PreprocessingConfig(channels=1, height=SIDE, width=SIDE))


def some(images: Images, most: int) -> Images:
    """So many at the most, chosen by their places."""
    return images.select(choose_places(len(images), most))


def odd_images(photographs: Images, most: int) -> dict[str, Images]:
    """What is unlike photographs, by its name, some of it made of these."""
    draws = np.random.default_rng(7)
    pixels = torch.from_numpy(np.array(photographs.pixels)).float()
    count = len(pixels)
    greys = np.broadcast_to(draws.integers(0, 256, (count, 1, 1, 1)), (count, *SHAPE))
    angles, ends = draws.uniform(0, 2 * np.pi, (2, count, 1, 1)), draws.integers(0, 256, (2, count, 1, 1))
    places = np.linspace(-1, 1, SIDE)
    along = np.cos(angles[0]) * places[:, None] + np.sin(angles[0]) * places[None]
    ramps = ends[0] + (ends[1] - ends[0]) * (along / 2**0.5 + 1) / 2
    middle = pixels.mean((2, 3), keepdim=True)
    blurred = functional.avg_pool2d(functional.pad(pixels, (2, 2, 2, 2), mode="replicate"), 5, 1)
    made = {
        "one grey": greys,
        "ramps": ramps[:, None],
        "low contrast": (middle + (pixels - middle) / 4).numpy(),
        "blurred": blurred.numpy(),
        "noise": draws.integers(0, 256, (count, *SHAPE)),
    }
    return {
        "digits": some(read("mnist_test.npz"), most),
        "characters": some(read("omniglot_small1.npz"), most),
        "faces": some(read("olivetti.npz"), most),
        **{name: Images(np.rint(values).astype(np.uint8), source=name) for name, values in made.items()},
    }


@torch.no_grad()
def measured(model: Glow, learned: LearnedScores, images: Images) -> dict[str, NDArray[np.float64]]:
    """All scores of images, the length of their code, and the bound of their likelihood."""
    found = score_images(learned, images)
    pixels = torch.from_numpy(np.array(images.pixels))
    with seeded_torch(1):
        bound = torch.cat([model.nats(batch) for batch in torch.split(pixels, 250)]).double().numpy()
    return found | {"bound": bound, LENGTH: code_nats(images.pixels)}


if __name__ == "__main__":
    main()
