"""Training steps of normflows' Glow, run by the Python that has it: see `benchmarks.flows`, which calls this file.

    PYTHON benchmarks/normflows_training.py --steps 5 [--tuned] [--threads 1] [--width 64] [--batch 64]

Nothing but normflows and torch is imported. ``--tuned`` is what somebody who knows it would add: a fused optimiser,
convolutions with channels last. The last line is JSON: for each step the seconds of wall clock and of processors.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings

import torch


def main() -> None:
    """Train on drawn images, and say how long each step took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--levels", type=int, default=3)
    parser.add_argument("--depth", type=int, default=8)
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tuned", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore")
    import normflows

    torch.manual_seed(1)
    # As its example of Glow does it, "Image generation with Glow", without classes.
    bases, merges, flows = [], [], []
    side, levels = options.side, options.levels
    for level in range(levels):
        channels = 3 * 2 ** (levels + 1 - level)
        blocks = [
            normflows.flows.GlowBlock(channels, options.width, split_mode="channel", scale=True)
            for _ in range(options.depth)
        ]
        flows.append([*blocks, normflows.flows.Squeeze()])
        if level:
            merges.append(normflows.flows.Merge())
            shape = (3 * 2 ** (levels - level), side // 2 ** (levels - level), side // 2 ** (levels - level))
        else:
            shape = (3 * 2 ** (levels + 1), side // 2**levels, side // 2**levels)
        bases.append(normflows.distributions.DiagGaussian(shape))
    model = normflows.MultiscaleFlow(bases, flows, merges)
    optimizer: torch.optim.Optimizer
    if options.tuned:
        model = model.to(memory_format=torch.channels_last)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    else:
        optimizer = torch.optim.Adamax(model.parameters(), lr=1e-3, weight_decay=1e-5)
    images = torch.randint(0, 256, (options.batch, 3, side, side), dtype=torch.uint8)
    taken, nats = [], 0.0
    # The first step sets activation normalisation.
    for _ in range(options.steps + 1):
        begun = time.perf_counter(), time.process_time()
        optimizer.zero_grad()
        loss = model.forward_kld((images + torch.rand(images.shape)) / 256)
        loss.backward()
        optimizer.step()
        nats = float(loss.detach())
        taken.append((time.perf_counter() - begun[0], time.process_time() - begun[1]))
    parameters = sum(parameter.numel() for parameter in model.parameters())
    sys.stdout.write("\n" + json.dumps({"steps": taken[1:], "nats": nats, "parameters": parameters}) + "\n")


if __name__ == "__main__":
    main()
