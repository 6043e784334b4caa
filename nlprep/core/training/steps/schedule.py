"""Learning rates as functions of the step."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nlprep.core.training.configuration import TrainingConfig


def learning_rate_factor(step: int, steps: int, config: TrainingConfig) -> float:
    """What the learning rate is multiplied by at a step: a linear rise to 1, then a fall to the final share.

    Args:
        step: Optimiser step, from 0.
        steps: Steps of the run.
        config: Warm-up, shape and final share.

    Returns:
        A number in (0, 1], 0 only at the end of a fall to 0.
    """
    warmup = config.num_warmup_steps(steps)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    done = min(1.0, (step - warmup) / max(1, steps - warmup))
    if config.schedule == "constant":
        return 1.0
    remaining = 1 - done if config.schedule == "linear" else (1 + math.cos(math.pi * done)) / 2
    return config.final_learning_rate + (1 - config.final_learning_rate) * remaining
