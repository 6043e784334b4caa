"""Compact bilinear pooling: time and memory against the outer product and against the dense sketch of published code.

Batches of 64 texts of 384 numbers and images of 512, forward and then backward to both sides, on one thread::

    python -m benchmarks.fusion             two minutes of a processor
    python -m benchmarks.fusion --quick     one

Contenders, which take turns:

- *ours*: count sketches by adding into places, real Fourier transforms and a gradient of three of them
  (`multimodal.fusions.compact_bilinear`);
- *torch's gradient*: the same without a gradient of its own;
- *dense sketch*: what published implementations do, and no longer run for want of ``torch.rfft``: a product with a
  matrix of n x d that holds a sign in each row, complex transforms of both, and the real part of the product's inverse;
  the same hashes;
- *outer product*: all 196,608 products, by a product of matrices, whose gradient is quicker than that of numbers
  multiplied and added (*outer, by numbers*).

Each is measured alone and with a linear layer to 1,000 answers above it, which for the outer product has 197 million
weights. Measured are seconds of the processor, the median of the repeats; no signed roots and lengths, which would cost
the outer product more. A large tensor that is given back to the system and asked for anew costs as much as filling it,
which torch does and our training loop does not: both are measured, and claims are of what torch does. Memory is what
one forward and backward pass adds, at the most, to what a process of its own had with its inputs; that of a layer has
its weights and their gradient.

Then every fusion by its name, as large as it is by default, on images of 512 numbers or grids of 7 x 7 such places.
"""

from __future__ import annotations

import os
import time
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from benchmarks.report import apart, describe_machine, high_water, make_parser, median, print_claim, print_table
from multimodal.fusions.bilinear import outer_products
from multimodal.fusions.compact_bilinear import CountSketch, convolve
from multimodal.fusions.configuration import KINDS
from multimodal.fusions.methods import make_fusion
from nlprep.core.memory import kept_memory
from nlprep.core.threads import torch_threads

if TYPE_CHECKING:
    from collections.abc import Callable

    Pool = Callable[[Tensor, Tensor], Tensor]

BATCH, TEXT, IMAGE, SIDE = 64, 384, 512, 7
DIMENSION, SIZES, PRIME = 8000, (1000, 8000, 16_000), 7993
ANSWERS = 1000
GOAL, GOAL_WITH_LAYER = 3.0, 10.0


class Pooling(nn.Module):
    """Ways to pool, by name, with one pair of sketches."""

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.dimension = dimension
        self.text, self.image = CountSketch(TEXT, dimension, seed=1), CountSketch(IMAGE, dimension, seed=2)

    def matrices(self) -> tuple[Tensor, Tensor]:
        """The sketches as matrices (n, d)."""
        return self.text(torch.eye(TEXT)), self.image(torch.eye(IMAGE))

    def ours(self, text: Tensor, image: Tensor) -> Tensor:
        """As the package does."""
        return convolve(self.text(text), self.image(image))

    def torchs_gradient(self, text: Tensor, image: Tensor) -> Tensor:
        """By transforms that torch differentiates."""
        spectra = torch.fft.rfft(self.text(text)) * torch.fft.rfft(self.image(image))
        pooled: Tensor = torch.fft.irfft(spectra, self.dimension)
        return pooled


def dense_sketch(text: Tensor, image: Tensor, *, matrices: tuple[Tensor, Tensor]) -> Tensor:
    """By matrices and complex transforms."""
    pooled: Tensor = torch.fft.ifft(torch.fft.fft(text @ matrices[0]) * torch.fft.fft(image @ matrices[1])).real
    return pooled


def outer_by_numbers(text: Tensor, image: Tensor) -> Tensor:
    """All products, without a product of matrices."""
    return (text[:, :, None] * image[:, None, :]).flatten(1)


def make_pool(name: str, dimension: int = DIMENSION) -> Pool:
    """A contender by name."""
    if name == "outer product":
        return outer_products
    if name == "outer, by numbers":
        return outer_by_numbers
    pooling = Pooling(dimension)
    if name == "dense sketch":
        return partial(dense_sketch, matrices=pooling.matrices())
    return pooling.torchs_gradient if name == "torch's gradient" else pooling.ours


def draw_sides(seed: int = 1) -> tuple[Tensor, Tensor]:
    """Texts and images of a batch, to be differentiated."""
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(BATCH, size, generator=generator).requires_grad_() for size in (TEXT, IMAGE))  # type: ignore[return-value]


def make_layer(pool: Pool) -> nn.Linear:
    """A linear layer to the answers, above what is pooled."""
    with torch.no_grad():
        size = pool(*draw_sides()).shape[1]
    return nn.Linear(size, ANSWERS)


def passes(pool: Pool, layer: nn.Linear | None, wanted: list[Tensor]) -> tuple[float, float]:
    """Seconds of the processor that the way there and back take."""
    begun = time.process_time()
    pooled = pool(wanted[0], wanted[1])
    made = pooled if layer is None else layer(pooled)
    there = time.process_time()
    torch.autograd.grad(made, wanted, torch.ones_like(made))
    return there - begun, time.process_time() - there


def time_pools(
    pools: dict[str, Pool], *, layers: bool, repeats: int, kept: bool = False
) -> dict[str, tuple[float, float]]:
    """Medians of `passes` of contenders that take turns, with memory handed back to the system or kept."""
    made = {name: make_layer(pool) if layers else None for name, pool in pools.items()}
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in pools}
    with kept_memory() if kept else nullcontext():
        for repeat in range(repeats + 1):
            for name, pool in pools.items():
                layer = made[name]
                wanted = [*draw_sides(), *(() if layer is None else layer.parameters())]
                seconds = passes(pool, layer, wanted)
                if repeat:
                    taken[name].append(seconds)
    return {
        name: (median([one[0] for one in found]), median([one[1] for one in found])) for name, found in taken.items()
    }


def added_memory(name: str, *, layers: bool, threads: int) -> int:
    """Bytes that a pass there and back adds at the most; call it in a process of its own."""
    with torch_threads(threads):
        pool, sides = make_pool(name), draw_sides()
        # What the libraries load when they are first used is not the contender's.
        torch.autograd.grad(pool(*(side[:2] for side in sides)).sum(), sides)
        (torch.ones(8, 8) @ torch.ones(8, 8)).sum()
        before = high_water()
        layer = make_layer(pool) if layers else None
        passes(pool, layer, [*sides, *(() if layer is None else layer.parameters())])
    return high_water() - before


def compare_pools(*, layers: bool, repeats: int, threads: int) -> None:
    """Print a table of contenders, and its claims."""
    names = ["ours", "torch's gradient", "dense sketch", "outer product"] + ([] if layers else ["outer, by numbers"])
    pools = {name: make_pool(name) for name in names}
    taken = time_pools(pools, layers=layers, repeats=repeats)
    memory = {name: apart(partial(added_memory, name, layers=layers, threads=threads)) / 2**20 for name in names}
    whole = {name: sum(seconds) for name, seconds in taken.items()}
    # A layer's weights are what takes long, and their memory would be kept a second time.
    others = {} if layers else time_pools(pools, layers=layers, repeats=repeats, kept=True)
    above = f", a linear layer to {ANSWERS:,} above" if layers else ""
    for title, found in (("", taken), ("; memory kept, as in training by our loop", others)):
        if found:
            ours = sum(found["ours"])
            print_table(
                f"d = {DIMENSION:,}, batches of {BATCH}, {TEXT} x {IMAGE} numbers{above}{title}",
                ["", "forward ms", "backward ms", "of ours", "MB more"],
                [
                    [name, *(f"{1e3 * way:.1f}" for way in ways), f"{sum(ways) / ours:.1f}", f"{memory[name]:.0f}"]
                    for name, ways in found.items()
                ],
            )
    with torch.no_grad():
        sides = draw_sides()
        apart_by = float((pools["ours"](*sides) - pools["dense sketch"](*sides)).abs().max())
    for peer, goal in (("outer product", GOAL_WITH_LAYER if layers else GOAL), ("dense sketch", None)):
        told = [f"{memory[peer] / memory['ours']:.1f} times less memory"]
        told += [f"{sum(others[peer]) / sum(others['ours']):.2f} where memory is kept"] if others else []
        told += [] if goal is None else [f"goal {goal:g}"]
        print_claim(
            f"compact bilinear pooling/s, forward and backward, d = {DIMENSION:,}{above}",
            peer=f"{peer}, torch {torch.__version__}",
            ratio=whole[peer] / whole["ours"],
            quality={"megabytes": round(memory["ours"]), "peer's": round(memory[peer])}
            | ({"apart from ours by": float(f"{apart_by:.1g}")} if goal is None else {}),
            summary="; ".join(told),
            threads=threads,
        )
    print()


def compare_sizes(*, repeats: int) -> None:
    """Print what sketches of several sizes cost."""
    pools = {
        f"{name}, {size:,}": make_pool(name, size)
        for size in (*SIZES, PRIME)
        for name in (("ours",) if size == PRIME else ("ours", "dense sketch"))
    }
    taken = time_pools(pools, layers=False, repeats=repeats)
    print_table(
        f"By the size of the sketch ({PRIME:,} is a prime)",
        ["", "forward ms", "backward ms"],
        [[name, f"{1e3 * there:.1f}", f"{1e3 * back:.1f}"] for name, (there, back) in taken.items()],
    )


def compare_fusions(*, repeats: int) -> None:
    """Print what every fusion costs."""
    generator = torch.Generator().manual_seed(1)
    rows = []
    for kind in KINDS:
        fusion = make_fusion(TEXT, IMAGE, kind)
        places = (SIDE, SIDE) if fusion.gridded else ()
        text = torch.randn(BATCH, TEXT, generator=generator).requires_grad_()
        image = torch.randn(BATCH, *places, IMAGE, generator=generator).requires_grad_()
        taken = [passes(fusion, None, [text, image, *fusion.parameters()]) for _ in range(repeats + 1)][1:]
        there, back = (median([one[way] for one in taken]) for way in (0, 1))
        parameters = sum(parameter.numel() for parameter in fusion.parameters())
        shape = f"{SIDE} x {SIDE} x {IMAGE}" if fusion.gridded else str(IMAGE)
        rows.append(
            [kind, shape, f"{fusion.dimension:,}", f"{parameters:,}", f"{1e3 * there:.1f}", f"{1e3 * back:.1f}"]
        )
    print_table(
        f"Every fusion as it is by default, batches of {BATCH}, texts of {TEXT} numbers",
        ["", "image", "fused", "parameters", "forward ms", "backward ms"],
        rows,
    )


def main() -> None:
    """Measure, and print tables and claims."""
    parser = make_parser(__doc__, quick="fewer repeats")
    parser.add_argument("--threads", type=int, default=1, help="processor threads (default: 1)")
    options = parser.parse_args()
    repeats = 3 if options.quick else 9
    print(f"{describe_machine()}, {options.threads} thread(s), load {os.getloadavg()[0]:.0f}")
    with torch_threads(options.threads):
        compare_sizes(repeats=repeats)
        compare_fusions(repeats=3 if options.quick else 5)
        compare_pools(layers=False, repeats=repeats, threads=options.threads)
        compare_pools(layers=True, repeats=1 if options.quick else 3, threads=options.threads)


if __name__ == "__main__":
    main()
