"""Training speed of a Glow: this project's against normflows'.

The same architecture (32 x 32 in colour, three levels of eight steps, 64 channels inside couplings), batch, images and
threads, in one run, each contender in turn::

    python -m benchmarks.flows --normflows PYTHON              three minutes of a processor
    python -m benchmarks.flows --normflows PYTHON --quick      one

PYTHON is that of an environment with normflows (``pip install torch numpy`` and ``pip install --no-deps normflows``);
without it ours alone is measured. Contenders:

- *normflows*: its Glow as its own example builds and trains it, with Adamax;
- *normflows, tuned*: with channels last and a fused optimiser;
- *ours*: the same steps with the gradient's length cut and the weights averaged besides, as the loop does;
- *ours, bf16*: the same with networks computed in bf16, where the processor has units for it;
- *ours, MNIST*: the Glow of `benchmarks.mnist_flow`, for which there is no peer.

Measured are steps after the first, from bytes to changed weights. Processor seconds are those of the fastest step: what
to compare where the machine has other work to do. normflows' couplings scale by a sigmoid, and so can only shrink;
ours by exp(2 tanh), either way, which costs a little more. Both draw uniform noise for the bytes; nats are of the
density of real numbers in [0, 1) after a few steps.

In fp32 both are what the convolutions are, two thirds of a step, and no choice of layout or of products of matrices in
their place was found that makes these faster than channels last.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from benchmarks.report import describe_machine, median, print_claim, print_table
from nlprep.core.memory import kept_memory
from nlprep.core.threads import resolve_threads, torch_threads
from nlprep.core.training.steps.precision import has_bf16
from vision.flows.dequantization import LEVELS
from vision.models.flow import Glow
from vision.models.flow_configuration import GlowConfig

if TYPE_CHECKING:
    from collections.abc import Callable

BATCH, WIDTH, DEPTH, GOAL = 64, 64, 8, 2.0
COLOUR, DIGITS = (3, 32, 32), (1, 28, 28)


@dataclass
class Measured:
    """What steps took.

    Attributes:
        steps: Seconds of wall clock and of processors of each.
        nats: The last loss.
        parameters: Of the model.
    """

    steps: list[tuple[float, float]]
    nats: float
    parameters: int


def train_peer(python: str, steps: int, threads: int, *more: str) -> Measured:
    """Steps of normflows' Glow, in a process of its own."""
    command = [python, str(Path(__file__).with_name("normflows_training.py")), "--steps", str(steps)]
    command += ["--batch", str(BATCH), "--width", str(WIDTH), "--depth", str(DEPTH), "--threads", str(threads), *more]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    found = json.loads(done.stdout.splitlines()[-1])
    return Measured([tuple(pair) for pair in found["steps"]], found["nats"], found["parameters"])


def train_ours(shape: tuple[int, int, int], levels: int, steps: int, *, bf16: bool = False) -> Measured:
    """Steps of our Glow."""
    torch.manual_seed(1)
    model = Glow(shape, GlowConfig(levels=levels, steps=DEPTH, width=WIDTH))
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    parameters = list(model.parameters())
    averages = [parameter.detach().clone() for parameter in parameters]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.0, fused=True)
    images = torch.randint(0, 256, (BATCH, *shape), dtype=torch.uint8)
    taken, nats = [], 0.0
    with kept_memory():
        model.initialize(images)
        for _ in range(steps + 1):
            begun = time.perf_counter(), time.process_time()
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                loss = model(images)["loss"]
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 2000.0)
            optimizer.step()
            with torch.no_grad():
                torch._foreach_lerp_(averages, [parameter.detach() for parameter in parameters], 0.001)
            nats = float(loss.detach()) - math.prod(shape) * math.log(LEVELS)
            taken.append((time.perf_counter() - begun[0], time.process_time() - begun[1]))
    return Measured(taken[1:], nats, sum(parameter.numel() for parameter in parameters))


def measure(*, steps: int, repeats: int, threads: int, peer: str | None) -> None:
    """Print the table and the claim."""
    who: dict[str, Callable[[], Measured]] = {}
    if peer is not None:
        who["normflows"] = lambda: train_peer(peer, steps, threads)
        who["normflows, tuned"] = lambda: train_peer(peer, steps, threads, "--tuned")
    who["ours"] = lambda: train_ours(COLOUR, 3, steps)
    if has_bf16(torch.device("cpu")):
        who["ours, bf16"] = lambda: train_ours(COLOUR, 3, steps, bf16=True)
    who["ours, MNIST"] = lambda: train_ours(DIGITS, 2, steps)
    taken: dict[str, list[Measured]] = {name: [] for name in who}
    for _ in range(repeats):
        for name, train in who.items():
            taken[name].append(train())
    wall = {name: median([step[0] for one in found for step in one.steps]) for name, found in taken.items()}
    processor = {name: min(step[1] for one in found for step in one.steps) for name, found in taken.items()}
    rows = [
        [
            name, f"{BATCH / wall[name]:,.0f}", f"{BATCH / processor[name]:,.0f}", f"{found[-1].parameters:,}",
            f"{found[-1].nats:,.0f}",
        ]
        for name, found in taken.items()
    ]  # fmt: skip
    print_table(
        f"Glow, batches of {BATCH}, {threads} thread(s), {repeats} x {steps} steps",
        ["", "images/s", "per processor second", "parameters", "nats at the end"],
        rows,
    )
    if peer is None:
        return
    best = "ours, bf16" if "ours, bf16" in processor else "ours"
    ratio = processor["normflows"] / processor[best]
    print_claim(
        "Glow, training images per processor second, 32 x 32 in colour, three levels of eight, 64 channels",
        peer="normflows 1.7.3",
        ratio=ratio,
        quality={"parameters": taken["ours"][-1].parameters, "peer's": taken["normflows"][-1].parameters},
        summary=f"{best}; {processor['normflows, tuned'] / processor[best]:.2f} against the tuned one; goal {GOAL}",
        wall=round(wall["normflows"] / wall[best], 2),
        threads=threads,
    )


def main() -> None:
    """Measure, and print the table and the claim."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--normflows", help="the Python of an environment with normflows; without it, only ours")
    parser.add_argument("--quick", action="store_true", help="fewer steps and repeats")
    parser.add_argument("--threads", type=int, default=None, help="processor threads (default: all)")
    parser.add_argument("--repeats", type=int, default=3, help="of every contender, in turn")
    options = parser.parse_args()
    threads = resolve_threads(options.threads)
    print(f"{describe_machine()}, load {os.getloadavg()[0]:.0f}")
    with torch_threads(threads):
        measure(
            steps=3 if options.quick else 6, repeats=1 if options.quick else options.repeats, threads=threads,
            peer=options.normflows,
        )  # fmt: skip


if __name__ == "__main__":
    main()
