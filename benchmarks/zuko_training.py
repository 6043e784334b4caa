"""Densities of tables by zuko, run by the Python that has it: see `benchmarks.tabular_flows`, which calls this file.

    PYTHON benchmarks/zuko_training.py --table FILE --flow maf [--steps 600] [--seed 1]

FILE is an npz of ``train``, ``validation`` and ``test`` rows. Nothing but zuko, torch and NumPy is imported. The last
line is JSON: nats of a test row, processor seconds of training steps and of all of it, and the number of weights.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import sys
import time

import numpy as np
import torch


def main() -> None:
    """Train by likelihood, keep the weights that suit the validation rows best, and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", required=True)
    parser.add_argument("--flow", choices=("maf", "spline"), required=True)
    for name in ("steps", "seed", "layers", "width", "depth", "batch", "evaluate"):
        parser.add_argument(f"--{name}", type=int, required=True)
    for name in ("rate", "final", "warmup", "clip"):
        parser.add_argument(f"--{name}", type=float, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    import zuko

    torch.manual_seed(options.seed)
    with np.load(options.table) as table:
        train, validation, test = (torch.from_numpy(table[name]) for name in ("train", "validation", "test"))
    settings = {
        "transforms": options.layers, "hidden_features": options.depth * (options.width,),
        "activation": torch.nn.SiLU,
    }  # fmt: skip
    features = train.shape[1]
    # Two passes are a coupling; as many as there are numbers, an autoregressive transform.
    flow = zuko.flows.MAF(features, **settings) if options.flow == "maf" else zuko.flows.NSF(
        features, passes=2, bins=8, **settings
    )  # fmt: skip
    optimizer = torch.optim.AdamW(flow.parameters(), lr=options.rate, betas=(0.9, 0.98), weight_decay=0.0, fused=True)
    warmup = max(1, round(options.warmup * options.steps))
    best, kept, taken, order = math.inf, copy.deepcopy(flow.state_dict()), [], torch.empty(0, dtype=torch.long)
    begun = time.process_time()
    for step in range(options.steps):
        while len(order) < options.batch:
            order = torch.cat([order, torch.randperm(len(train))])
        rows, order = train[order[: options.batch]], order[options.batch :]
        started = time.process_time()
        share = (step - warmup) / max(1, options.steps - warmup)
        factor = options.final + (1 - options.final) * (1 + math.cos(math.pi * share)) / 2
        optimizer.param_groups[0]["lr"] = options.rate * ((step + 1) / warmup if step < warmup else factor)
        optimizer.zero_grad()
        loss = -flow().log_prob(rows).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(flow.parameters(), options.clip)
        optimizer.step()
        taken.append(time.process_time() - started)
        if (step + 1) % options.evaluate == 0:
            with torch.no_grad():
                now = -float(flow().log_prob(validation).mean())
            if now < best:
                best, kept = now, copy.deepcopy(flow.state_dict())
    seconds = time.process_time() - begun
    flow.load_state_dict(kept)
    with torch.no_grad():
        nats = float(flow().log_prob(test).double().mean())
    found = {
        "nats": nats, "step": float(np.median(taken[1:])), "seconds": seconds,
        "weights": sum(parameter.numel() for parameter in flow.parameters()),
    }  # fmt: skip
    sys.stdout.write("\n" + json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
