"""What `fit` should come to, written out by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from training_toys import Net, Numbers, make_step, weights_of

from nlprep.core.training.data.orders import ExampleOrder
from nlprep.core.training.steps.schedule import learning_rate_factor


def close(one: dict[str, np.ndarray], other: dict[str, np.ndarray], tolerance: float = 2e-5) -> bool:
    return one.keys() == other.keys() and all(np.allclose(one[n], other[n], atol=tolerance) for n in one)


def reference(config: Any) -> tuple[dict[str, np.ndarray], list[dict[str, float]]]:
    """What `fit` should come to, as one would write it by hand, with AdamW's equations spelt out."""
    model, data = Net(), Numbers()
    order = ExampleOrder(len(data), config.seed)
    first = {p: torch.zeros_like(p) for p in model.parameters()}
    second = {p: torch.zeros_like(p) for p in model.parameters()}
    records = []
    for step in range(config.steps):
        batch = data.batch(*order.at(step * config.batch_size, (step + 1) * config.batch_size))
        model.zero_grad()
        losses = model(**batch)
        losses["loss"].backward()
        norm = math.sqrt(sum(float((p.grad.double() ** 2).sum()) for p in model.parameters()))
        rate = config.learning_rate * learning_rate_factor(step, config.steps, config)
        scale = 1.0 if config.clip_norm is None else min(1.0, config.clip_norm / (norm + 1e-6))
        with torch.no_grad():
            for parameter in model.parameters():
                gradient = parameter.grad * scale
                first[parameter].mul_(config.beta1).add_(gradient, alpha=1 - config.beta1)
                second[parameter].mul_(config.beta2).add_(gradient**2, alpha=1 - config.beta2)
                mean = first[parameter] / (1 - config.beta1 ** (step + 1))
                deviation = (second[parameter] / (1 - config.beta2 ** (step + 1))).sqrt()
                if parameter.dim() >= 2:
                    parameter.mul_(1 - rate * config.weight_decay)
                parameter.sub_(rate * mean / (deviation + 1e-8))
        records.append({"loss": losses["loss"].item(), "gradient_norm": norm, "learning_rate": rate})
    return weights_of(make_step(model)), records
