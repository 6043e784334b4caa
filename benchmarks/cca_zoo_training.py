"""Deep CCA by cca_zoo's loss, run by `benchmarks.deep_cca` in an environment with cca_zoo and without nlprep.

    PYTHON benchmarks/cca_zoo_training.py VIEWS.npz CODES.npz --width 1024 --depth 2 ...

The same networks, optimiser, schedule and number of steps as ours, in the fewest lines; what the networks make of the
training and of the test things goes to a file, and the last line printed says what it took.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from typing import Any

import numpy as np
import torch
from cca_zoo.deep.objectives import CCALoss
from torch import nn


def make_network(inputs: int, width: int, depth: int, outputs: int, dropout: float) -> nn.Sequential:
    """As `multimodal.correlation.networks.make_perceptron`."""
    layers: list[nn.Module] = []
    for layer in range(depth):
        layers += [nn.Linear(width if layer else inputs, width), nn.ReLU()]
        if dropout:
            layers.append(nn.Dropout(dropout))
    return nn.Sequential(*layers, nn.Linear(width, outputs, bias=False))


def processor_seconds() -> float:
    """Of this process."""
    times = os.times()
    return times.user + times.system


def main() -> None:
    """Train and say what it took."""
    parser = argparse.ArgumentParser()
    parser.add_argument("views")
    parser.add_argument("codes")
    for name in ("width", "depth", "outputs", "batch", "steps", "threads", "seed"):
        parser.add_argument(f"--{name}", type=int, required=True)
    for name in ("dropout", "rate", "last", "warmup", "decay", "ridge"):
        parser.add_argument(f"--{name}", type=float, required=True)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(given.seed)
    with np.load(given.views) as arrays:
        train = [torch.from_numpy(arrays[f"train_{place}"]) for place in range(2)]
        test = [torch.from_numpy(arrays[f"test_{place}"]) for place in range(2)]
    networks = nn.ModuleList(
        make_network(view.shape[1], given.width, given.depth, given.outputs, given.dropout) for view in train
    )
    loss = CCALoss(reg_covar=given.ridge)
    parameters = list(networks.parameters())
    groups = [
        {"params": [one for one in parameters if one.dim() >= 2], "weight_decay": given.decay},
        {"params": [one for one in parameters if one.dim() < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=given.rate, betas=(0.9, 0.999), fused=True)
    began = time.perf_counter(), processor_seconds()
    order, place = torch.randperm(len(train[0])), 0
    warmup = round(given.warmup * given.steps)
    for step in range(given.steps):
        if place + given.batch > len(order):
            order, place = torch.randperm(len(train[0])), 0
        chosen = order[place : place + given.batch]
        place += given.batch
        done = max(0.0, (step - warmup) / max(1, given.steps - warmup))
        factor = (
            (step + 1) / warmup if step < warmup else given.last + (1 - given.last) * (1 + math.cos(math.pi * done)) / 2
        )
        for group in optimizer.param_groups:
            group["lr"] = given.rate * factor
        found = loss([network(view[chosen]) for network, view in zip(networks, train, strict=True)])
        optimizer.zero_grad()
        found.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
    took = time.perf_counter() - began[0], processor_seconds() - began[1]
    networks.eval()
    codes: dict[str, Any] = {}
    with torch.no_grad():
        for name, views in (("train", train), ("test", test)):
            for place, (network, view) in enumerate(zip(networks, views, strict=True)):
                codes[f"{name}_{place}"] = torch.cat(
                    [network(view[start : start + 4096]) for start in range(0, len(view), 4096)]
                ).numpy()
    np.savez(given.codes, **codes)
    print(json.dumps({"seconds": took[0], "processor": took[1], "loss": float(found.detach())}), flush=True)


if __name__ == "__main__":
    main()
