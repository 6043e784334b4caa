"""Densities of tables: this project's flows against zuko's, in one run.

Masked autoregressive flows and neural spline couplings of five transforms, each with networks of two layers of 64
units, trained alike: the same rows, batches of 128, AdamW with the same learning rate over the run, gradients cut at
the same length, and of all evaluations the weights that suit a tenth of the rows best::

    python -m benchmarks.tabular_flows --zuko PYTHON             nine minutes of a processor
    python -m benchmarks.tabular_flows --zuko PYTHON --quick     two, of which no claim is made

PYTHON is that of an environment with zuko (``pip install torch numpy zuko``); without it ours alone is measured. Tables
are two with a density that is known (eight normal ones around a ring; a curved one of six numbers, each given the one
before), and three that scikit-learn ships (digits of 8 x 8, with uniform noise for their 17 levels; measurements of
breast cancer; of wines). POWER, GAS and their like have to be downloaded. Nats are of a row whose columns have mean 0
and deviation 1 over the training rows; more is better, and of a known density none but by chance are above its own.

Alike does not mean equal: zuko turns the order of numbers between transforms; ours scales them first, and before
couplings mixes them by a learned matrix, which begins by turning the order; zuko's splines reach from -5 to 5 and ours
from -3 to 3. The seconds of a step
are a median of processor seconds, from rows to changed weights; those of all take in evaluations, and ours checks, logs
and what else the one loop does.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmarks.report import describe_machine, median, print_claim, print_table
from nlprep.core.randomness import seeded_torch
from vision.flows.configuration import TableFlowConfig
from vision.flows.density import Density
from vision.flows.tables import TABLE_TRAINING, train_density
from vision.flows.vectors import make_vector_flow

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nlprep.core.training import TrainingConfig

LAYERS, WIDTH, DEPTH, STEPS, SEEDS, TIMED = 5, 64, 2, 400, 3, 60
FLOWS = ("maf", "spline")
NAMES = {"maf": "masked autoregressive", "spline": "spline couplings"}


@dataclass(frozen=True)
class Table:
    """Rows to learn from, to choose weights by and to measure on; and the mean log-density of these, if known."""

    train: NDArray[np.float64]
    validation: NDArray[np.float64]
    test: NDArray[np.float64]
    known: float | None = None


def main() -> None:
    """Train all, in turn, and print the table and the claim."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--zuko", help="the Python of an environment with zuko; without it, only ours")
    parser.add_argument("--quick", action="store_true", help="a third of the steps, one seed")
    options = parser.parse_args()
    torch.set_num_threads(1)
    training = replace(TABLE_TRAINING, steps=STEPS // 3 if options.quick else STEPS)
    seeds = range(1, 2 if options.quick else SEEDS + 1)
    print(f"{describe_machine()}; one thread, {training.steps:,} steps, load {os.getloadavg()[0]:.0f}", flush=True)
    # What is imported for the first training is no part of any.
    tables = make_tables()
    measure_ours(tables["wine"], "maf", replace(training, steps=1))
    rows, ratios, gaps = [], [], []
    for name, table in tables.items():
        for kind in FLOWS:
            ours, theirs = [], []
            for seed in seeds:
                ours.append(measure_ours(table, kind, replace(training, seed=seed)))
                if options.zuko:
                    theirs.append(measure_peer(options.zuko, table, kind, replace(training, seed=seed)))
            known = "" if table.known is None else f"{table.known:.2f}"
            cells = [name, NAMES[kind], str(table.train.shape[1]), f"{len(table.train):,}", known, told(ours, "nats")]
            cells.append(f"{1e3 * middle(ours, 'step'):.1f}")
            if theirs:
                ratio = middle(theirs, "step") / middle(ours, "step")
                ratios.append(ratio)
                gaps.append(mean(ours, "nats") - mean(theirs, "nats"))
                cells += [told(theirs, "nats"), f"{1e3 * middle(theirs, 'step'):.1f}", f"{ratio:.2f}"]
                cells.append(f"{middle(theirs, 'seconds') / middle(ours, 'seconds'):.2f}")
            rows.append(cells)
            print(f"{name}, {kind}: {cells[5:]}", file=sys.stderr, flush=True)
    header = ["table", "flow", "numbers", "rows", "known", "nats", "ms a step"]
    if options.zuko:
        header += ["zuko's nats", "ms", "step, times", "all, times"]
    print_table(f"nats of a test row, mean of {len(seeds)} seed(s) (standard deviation)", header, rows)
    if options.zuko:
        print_claim(
            "density of tables, training steps per processor second",
            peer="zuko 1.6.0",
            ratio=math.exp(sum(map(math.log, ratios)) / len(ratios)),
            quality={"nats a row above zuko's": {f"{row[0]}, {row[1]}": round(gap, 2) for row, gap in zip(rows, gaps,
                                                                                                      strict=True)}},
            summary=f"held-out nats better in {sum(gap > 0 for gap in gaps)} of {len(gaps)} cases",
            least=round(min(ratios), 2),
            quick=options.quick,
        )  # fmt: skip


def measure_ours(table: Table, kind: str, training: TrainingConfig) -> dict[str, float]:
    """What `train_density` makes of a table, and seconds of a plain step."""
    config = TableFlowConfig(kind=kind, layers=LAYERS, width=WIDTH, depth=DEPTH)
    begun = time.process_time()
    density = train_density(table.train, config, training=training, held_out=table.validation)
    seconds = time.process_time() - begun
    return {"nats": float(density.log_density(table.test).mean()), "seconds": seconds,
            "step": step_seconds(table, config, training)}  # fmt: skip


def step_seconds(table: Table, config: TableFlowConfig, training: TrainingConfig) -> float:
    """The median over some steps of a plain loop."""
    numbers = table.train.shape[1]
    with seeded_torch(training.seed):
        flow = Density(make_vector_flow(config.kind, numbers, layers=LAYERS, width=WIDTH, depth=DEPTH), numbers)
    train = torch.from_numpy(table.train.astype(np.float32))
    flow.initialize(train[: training.batch_size])
    optimizer = torch.optim.AdamW(flow.parameters(), lr=1e-3, weight_decay=0.0, fused=True)
    taken = []
    for step in range(TIMED):
        rows = train[torch.randint(len(train), (training.batch_size,), generator=torch.Generator().manual_seed(step))]
        begun = time.process_time()
        optimizer.zero_grad()
        loss = flow(rows)["loss"]
        loss.backward()
        torch.nn.utils.clip_grad_norm_(flow.parameters(), training.clip_norm or math.inf)
        optimizer.step()
        taken.append(time.process_time() - begun)
    return median(taken[1:])


def measure_peer(python: str, table: Table, kind: str, training: TrainingConfig) -> dict[str, float]:
    """The same by zuko, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.npz"
        sides = {name: getattr(table, name).astype(np.float32) for name in ("train", "validation", "test")}
        np.savez(path, **sides)
        given: dict[str, Any] = {
            "table": path, "flow": kind, "steps": training.steps, "seed": training.seed, "layers": LAYERS,
            "width": WIDTH, "depth": DEPTH, "batch": training.batch_size, "evaluate": training.evaluate_every,
            "rate": training.learning_rate, "final": training.final_learning_rate, "warmup": training.warmup,
            "clip": training.clip_norm,
        }  # fmt: skip
        command = [python, str(Path(__file__).with_name("zuko_training.py"))]
        command += [part for name, value in given.items() for part in (f"--{name}", str(value))]
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def make_tables() -> dict[str, Table]:
    """All tables, by name."""
    from sklearn.datasets import load_breast_cancer, load_digits, load_wine

    draws = np.random.default_rng(8)
    digits = load_digits().data
    return {
        "ring of eight": known_table(*ring(6000, draws)),
        "curve of six": known_table(*curve(6000, draws)),
        "digits": parted(digits + draws.uniform(0, 1, digits.shape), draws),
        "breast cancer": parted(load_breast_cancer().data, draws),
        "wine": parted(load_wine().data, draws),
    }


def ring(count: int, draws: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Eight normal densities around a ring: rows, and their log-densities."""
    angles = 2 * np.pi * np.arange(8) / 8
    centres, spread = 2 * np.stack([np.cos(angles), np.sin(angles)], 1), 0.2
    rows = centres[draws.integers(0, 8, count)] + spread * draws.standard_normal((count, 2))
    squares = np.square(rows[:, None] - centres).sum(2) / spread**2
    return rows, np.log(np.exp(-squares / 2).mean(1)) - math.log(2 * math.pi * spread**2)


def curve(count: int, draws: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Six numbers, each normal about a wave of the one before: rows, and their log-densities."""
    noise, spread = draws.standard_normal((count, 6)), np.array([1.0, 0.3, 0.3, 0.3, 0.3, 0.3])
    rows = np.zeros((count, 6))
    for place in range(6):
        middle = 1.5 * np.sin(2 * rows[:, place - 1]) if place else 0.0
        rows[:, place] = middle + spread[place] * noise[:, place]
    return rows, (-np.square(noise) / 2 - math.log(2 * math.pi) / 2 - np.log(spread)).sum(1)


def known_table(rows: NDArray[np.float64], densities: NDArray[np.float64]) -> Table:
    """A third each to train and to measure on, but for a tenth to choose by; scaled, the known density, too."""
    count = len(rows)
    train, validation, test = np.split(rows, [count // 3, count // 3 + count // 10])
    mean, deviation = train.mean(0), train.std(0)
    known = float(densities[count // 3 + count // 10 :].mean() + np.log(deviation).sum())
    train, validation, test = ((part - mean) / deviation for part in (train, validation, test))
    return Table(train, validation, test, known)


def parted(rows: NDArray[np.float64], draws: np.random.Generator) -> Table:
    """60% to train on, 10% to choose by and 30% to measure on; scaled."""
    rows = rows[draws.permutation(len(rows))]
    train, validation, test = np.split(rows, [round(0.6 * len(rows)), round(0.7 * len(rows))])
    mean, deviation = train.mean(0), np.maximum(train.std(0), 1e-3)
    return Table(*((part - mean) / deviation for part in (train, validation, test)))


def mean(runs: list[dict[str, float]], name: str) -> float:
    """Over runs."""
    return float(np.mean([run[name] for run in runs]))


def middle(runs: list[dict[str, float]], name: str) -> float:
    """The median over runs."""
    return median([run[name] for run in runs])


def told(runs: list[dict[str, float]], name: str) -> str:
    """The mean, and the standard deviation of several."""
    spread = f" ({np.std([run[name] for run in runs], ddof=1):.2f})" if len(runs) > 1 else ""
    return f"{mean(runs, name):.2f}{spread}"


if __name__ == "__main__":
    main()
