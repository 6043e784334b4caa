"""Deep CCA on the views that papers use: halves of digits, noisy digits, six kinds of features of handwritten digits.

    python -m benchmarks.deep_cca --cca-zoo PYTHON            all of it, twenty minutes of a processor
    python -m benchmarks.deep_cca --only halves               one of halves, noisy, features
    python -m benchmarks.deep_cca --quick                     one pass over the training set each

PYTHON is that of an environment with cca_zoo (``pip install cca_zoo==4.0.1 torch``); without it the peer is left out.

*halves*: the left and the right half of MNIST's digits, codes of 50 numbers, the total correlation of the whole test
set at once (Andrew et al. 2013; 50 would be perfect). Linear CCA, the sum of correlations, the sum of their squares,
and cca_zoo's loss (which is that of squares) with the same networks, optimiser, schedule and number of steps. All are
trained on all 60,000 training digits, with the last weights, and end in the same linear CCA of the training codes.

*noisy*: digits turned by up to 45 degrees, and other digits of the same class under noise (Wang et al. 2015), codes of
10 numbers. A linear SVM is trained on codes of the first view. What pairs the views is the class, so the pairing
carries it: such codes have seen labels, in a way.

*features*: 2,000 handwritten digits in six kinds of features (UCI multiple features); two, three and six of them; codes
of 5 numbers; total correlation, a mean over pairs of views, on 500 digits held out, and what a linear SVM makes of the
codes of all views together, trained on 1,500.

Seconds of a processor are of all threads: the machine may have had other work to do.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.report import describe_machine, make_parser, print_claim, print_table, processor_seconds, require_files
from multimodal.correlation.configuration import DeepCcaConfig, DeepGeneralizedCcaConfig
from multimodal.correlation.training import train_correlation
from nlprep.core.randomness import combine, uniforms
from nlprep.core.threads import resolve_threads, torch_threads
from nlprep.core.training.configuration import TrainingConfig
from nlprep.vectors.canonical_correlation import fit_canonical_correlation, measure_correlations

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from multimodal.correlation.configuration import CorrelationConfig

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
PUBLISHED = {"halves": 39.7, "noisy": 97.2}
GOALS = {"best": 46.5, "sum": 45.0, "noisy": 96.5}
TRAINING = TrainingConfig(
    epochs=10, batch_size=2000, learning_rate=1e-3, final_learning_rate=0.02, weight_decay=1e-2, beta2=0.999,
    precision="fp32",
)  # fmt: skip
PEERS_RIDGE = 1e-4
"""Of cca_zoo's loss, as in its own example."""
_ANGLE, _PARTNER, _NOISE, _SPLIT = 201, 202, 203, 204


def digits(name: str) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """MNIST's images (n, 28, 28) in [0, 1] and labels."""
    path = SHARED / "images" / f"mnist_{name}.npz"
    require_files(path)
    with np.load(path) as arrays:
        return arrays["x"].astype(np.float32) / 255, arrays["y"].astype(np.int64)


def split_halves(images: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """The left and the right half of each, (n, 392)."""
    return {
        "left": np.ascontiguousarray(images[:, :, :14]).reshape(len(images), -1),
        "right": np.ascontiguousarray(images[:, :, 14:]).reshape(len(images), -1),
    }


def train_ours(
    views: dict[str, NDArray[Any]], config: CorrelationConfig, training: TrainingConfig, model: str = "deep-cca",
    validation: float = 0.0,
) -> tuple[Any, float, float]:  # fmt: skip
    """A model, and the seconds of clock and of processors that the whole run took."""
    began = time.perf_counter(), processor_seconds()
    with tempfile.TemporaryDirectory() as folder:
        run = train_correlation(
            views, Path(folder) / "run", model=model, config=config, training=training, validation=validation
        )
    return run.model, time.perf_counter() - began[0], processor_seconds() - began[1]


def train_peer(
    python: str, views: tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]], config: DeepCcaConfig,
    training: TrainingConfig, threads: int,
) -> tuple[float, float, float]:  # fmt: skip
    """The total correlation of codes by cca_zoo's loss on the test things, and the seconds that training took."""
    train, test = (list(part.values()) for part in views)
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder) / "views.npz", Path(folder) / "codes.npz"
        arrays = {f"train_{place}": view for place, view in enumerate(train)}
        arrays |= {f"test_{place}": view for place, view in enumerate(test)}
        # Scaled as ours are: centred, and divided by one deviation.
        for place in range(2):
            mean = arrays[f"train_{place}"].mean(0)
            deviation = np.sqrt(np.square(arrays[f"train_{place}"] - mean).mean())
            for name in ("train", "test"):
                arrays[f"{name}_{place}"] = ((arrays[f"{name}_{place}"] - mean) / deviation).astype(np.float32)
        np.savez(given, **arrays)  # type: ignore[arg-type]
        command = [python, str(Path(__file__).with_name("cca_zoo_training.py")), str(given), str(made)]
        settings = {
            "width": config.width, "depth": config.depth, "outputs": config.dimension, "batch": training.batch_size,
            "steps": training.num_steps(len(train[0])), "threads": threads, "seed": training.seed,
            "dropout": config.dropout, "rate": training.learning_rate, "last": training.final_learning_rate,
            "warmup": training.warmup, "decay": training.weight_decay, "ridge": PEERS_RIDGE,
        }  # fmt: skip
        command += [word for name, value in settings.items() for word in (f"--{name}", str(value))]
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        if not made.is_file() or not done.stdout.strip():
            raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
        took = json.loads(done.stdout.splitlines()[-1])
        with np.load(made) as codes:
            fitted = fit_canonical_correlation(
                [codes["train_0"], codes["train_1"]], num_directions=config.dimension, ridge=config.ridge
            )
            total = measure_correlations([fitted.project(place, codes[f"test_{place}"]) for place in range(2)]).sum()
    return float(total), took["seconds"], took["processor"]


def compare_halves(python: str | None, training: TrainingConfig, threads: int, *, quick: bool) -> None:
    """The halves of digits."""
    train, test = split_halves(digits("train")[0]), split_halves(digits("test")[0])
    rows: list[list[object]] = []
    totals: dict[str, float] = {}

    def add(name: str, total: float, seconds: float, processor: float) -> None:
        totals[name] = total
        rows.append([name, f"{total:.2f}", f"{seconds:.0f}", f"{processor:.0f}"])
        print(f"{name}: {total:.2f}", flush=True)

    began = time.perf_counter(), processor_seconds()
    linear = fit_canonical_correlation(list(train.values()), num_directions=50, ridge=1e-2)
    total = measure_correlations([linear.project(place, view) for place, view in enumerate(test.values())]).sum()
    add("linear CCA", float(total), time.perf_counter() - began[0], processor_seconds() - began[1])
    config = DeepCcaConfig(dimension=50)
    if python is not None:
        add("cca_zoo's loss", *train_peer(python, (train, test), config, training, threads))
    for objective in ("squares", "sum"):
        model, seconds, processor = train_ours(train, replace(config, objective=objective), training)
        total = measure_correlations([model.encode(name, view) for name, view in test.items()]).sum()
        add(objective, float(total), seconds, processor)
    print_table(
        f"Halves of digits, codes of 50 numbers: total correlation of the test set (published {PUBLISHED['halves']})",
        ["", "correlation", "seconds", "of a processor"],
        rows,
    )
    best = max(totals["squares"], totals["sum"])
    peer = totals.get("cca_zoo's loss")
    print_claim(
        "total correlation of halves of digits, codes of 50 numbers",
        peer="linear CCA" if peer is None else "cca_zoo 4.0.1's loss, the same networks",
        ratio=best / (totals["linear CCA"] if peer is None else peer),
        quality={name: round(value, 2) for name, value in totals.items()} | {"goals": [GOALS["best"], GOALS["sum"]]},
        summary=", ".join(f"{name} {value:.2f}" for name, value in totals.items()),
        quick=quick,
    )


def turned(images: NDArray[np.float32], *, seed: int) -> NDArray[np.float32]:
    """Digits turned by up to 45 degrees, each by its own angle, (n, 784)."""
    import torch

    count = len(images)
    angles = torch.from_numpy((uniforms(combine(seed, np.arange(count)), 1, purpose=_ANGLE)[:, 0] - 0.5) * np.pi / 2)
    zeros = torch.zeros_like(angles)
    rows = [torch.cos(angles), -torch.sin(angles), zeros, torch.sin(angles), torch.cos(angles), zeros]
    maps = torch.stack(rows, 1).view(count, 2, 3).float()
    made = []
    for start in range(0, count, 4096):
        part = torch.from_numpy(images[start : start + 4096, None])
        grid = torch.nn.functional.affine_grid(maps[start : start + 4096], list(part.shape), align_corners=False)
        made.append(torch.nn.functional.grid_sample(part, grid, align_corners=False).flatten(1).numpy())
    return np.concatenate(made)


def noisy_partners(images: NDArray[np.float32], labels: NDArray[np.int64], *, seed: int) -> NDArray[np.float32]:
    """For each digit another one of its class with uniform noise on it, cut off at 1, (n, 784)."""
    draws = uniforms(combine(seed, np.arange(len(images))), 1, purpose=_PARTNER)[:, 0]
    partners = np.zeros(len(images), np.int64)
    for label in np.unique(labels):
        places = np.flatnonzero(labels == label)
        partners[places] = places[(draws[places] * len(places)).astype(np.int64)]
    made = images[partners].reshape(len(images), -1)
    for start in range(0, len(made), 4096):
        keys = combine(seed, np.arange(start, min(start + 4096, len(made))))
        made[start : start + 4096] += uniforms(keys, made.shape[1], purpose=_NOISE).astype(np.float32)
    return np.minimum(made, 1)


def accuracy(train: Any, labels: Any, test: Any, truth: Any) -> float:
    """Of a linear SVM, in percent."""
    from sklearn.svm import LinearSVC

    deviation = train.std(0).clip(1e-6)
    machine = LinearSVC(dual=False).fit(train / deviation, labels)
    return 100 * float((machine.predict(test / deviation) == truth).mean())


def compare_noisy(training: TrainingConfig, *, quick: bool) -> None:
    """Noisy digits."""
    (images, labels), (others, truth) = digits("train"), digits("test")
    views = {"turned": turned(images, seed=1), "noisy": noisy_partners(images, labels, seed=1)}
    test = turned(others, seed=2)
    rows: list[list[object]] = [
        ["pixels", f"{accuracy(views['turned'][:10_000], labels[:10_000], test, truth):.2f}", "", ""]
    ]
    began = time.perf_counter(), processor_seconds()
    linear = fit_canonical_correlation(list(views.values()), num_directions=10, ridge=1e-2)
    found = accuracy(linear.project(0, views["turned"]), labels, linear.project(0, test), truth)
    took = time.perf_counter() - began[0], processor_seconds() - began[1]
    rows.append(["linear CCA", f"{found:.2f}", *(f"{one:.0f}" for one in took)])
    config = DeepCcaConfig(dimension=10, objective="squares", dropout=0.2)
    model, *took_ours = train_ours(views, config, replace(training, batch_size=1000))
    deep = accuracy(model.encode("turned", views["turned"]), labels, model.encode("turned", test), truth)
    rows.append(["deep CCA", f"{deep:.2f}", *(f"{one:.0f}" for one in took_ours)])
    print_table(
        f"Noisy digits, codes of 10 numbers: accuracy of a linear SVM in percent (published {PUBLISHED['noisy']}; "
        "pixels: of 10,000 digits)",
        ["", "accuracy", "seconds", "of a processor"],
        rows,
    )
    print_claim(
        "linear SVM on codes of noisy digits, 10 numbers",
        peer="linear CCA",
        ratio=deep / found,
        quality={"deep CCA": round(deep, 2), "linear CCA": round(found, 2), "goal": GOALS["noisy"]},
        summary=f"{deep:.2f}% against {found:.2f}%; the pairing carries the class",
        quick=quick,
    )


def compare_features(*, quick: bool) -> None:
    """Six kinds of features."""
    path = SHARED / "multiview" / "uci_mfeat.npz"
    require_files(path)
    with np.load(path) as arrays:
        labels = arrays["y"].astype(np.int64)
        every = {name: arrays[name] for name in ("pix", "fou", "kar", "fac", "zer", "mor")}
    order = np.argsort(uniforms(combine(1, np.arange(len(labels))), 1, purpose=_SPLIT)[:, 0])
    train, test = order[:1500], order[1500:]
    training = TrainingConfig(
        steps=30 if quick else 300, batch_size=750, learning_rate=1e-3, final_learning_rate=0.02, weight_decay=0.1,
        beta2=0.999, precision="fp32",
    )  # fmt: skip
    rows: list[list[object]] = []
    figures: dict[str, Any] = {}
    for count in (2, 3, 6):
        views = {name: every[name][train] for name in list(every)[:count]}
        others = {name: every[name][test] for name in views}
        scales = {name: view.std(0).clip(1e-6) for name, view in views.items()}
        linear = fit_canonical_correlation(
            [view / scales[name] for name, view in views.items()], num_directions=5, ridge=1e-2, criterion="shared"
        )
        codes = {
            "linear": tuple(
                [linear.project(place, view / scales[name]) for place, (name, view) in enumerate(part.items())]
                for part in (views, others)
            )
        }
        config = DeepGeneralizedCcaConfig(dimension=5, width=256, depth=1, dropout=0.2, scaling="number", ridge=1e-2)
        model, seconds, processor = train_ours(views, config, training, "deep-generalized-cca")
        codes["deep"] = tuple(
            [model.encode(name, view).astype(np.float64) for name, view in part.items()] for part in (views, others)
        )
        for name, (of_train, of_test) in codes.items():
            total = measure_correlations(of_test).sum()
            found = accuracy(np.concatenate(of_train, 1), labels[train], np.concatenate(of_test, 1), labels[test])
            figures[f"{name}, {count} views"] = [round(float(total), 2), round(found, 1)]
            took = [f"{seconds:.0f}", f"{processor:.0f}"] if name == "deep" else ["", ""]
            rows.append([f"{count} views, {name} generalized CCA", f"{total:.2f}", f"{found:.1f}", *took])
    print_table(
        "Kinds of features of handwritten digits, codes of 5 numbers: total correlation (5 would be perfect), and "
        "accuracy in percent, of 500 digits",
        ["", "correlation", "accuracy", "seconds", "of a processor"],
        rows,
    )
    print_claim(
        "total correlation of six kinds of features, codes of 5 numbers",
        peer="linear generalized CCA",
        ratio=figures["deep, 6 views"][0] / figures["linear, 6 views"][0],
        quality=figures,
        summary=", ".join(f"{name}: {total:.2f}, {found:.1f}%" for name, (total, found) in figures.items()),
        quick=quick,
    )


def main() -> None:
    """Run what is asked for."""
    parser = make_parser(__doc__, quick="one pass over the training set")
    parser.add_argument("--cca-zoo", help="the Python of an environment with cca_zoo")
    parser.add_argument("--only", choices=("halves", "noisy", "features"), help="one of the three")
    parser.add_argument("--epochs", type=float, default=TRAINING.epochs, help="passes over the digits (default: 10)")
    parser.add_argument("--threads", type=int, default=1, help="(default: 1)")
    given = parser.parse_args()
    threads = resolve_threads(given.threads)
    training = replace(TRAINING, seed=given.seed, epochs=1 if given.quick else given.epochs)
    print(describe_machine(), flush=True)
    tasks: dict[str, Callable[[], None]] = {
        "halves": lambda: compare_halves(given.cca_zoo, training, threads, quick=given.quick),
        "noisy": lambda: compare_noisy(training, quick=given.quick),
        "features": lambda: compare_features(quick=given.quick),
    }
    with torch_threads(threads):
        for name, task in tasks.items():
            if given.only in (None, name):
                task()


if __name__ == "__main__":
    main()
