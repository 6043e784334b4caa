"""The settings of the training loop."""

from __future__ import annotations

import math
from dataclasses import dataclass

from nlprep.core.configuration import check, option
from nlprep.core.errors import OptionError


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How long, how fast and how often; what is trained is the step's.

    Two runs with equal settings, data and number of processes give equal weights, however often they were stopped.
    """

    steps: int | None = option(None, "optimiser steps, instead of epochs", minimum=1, instead_of="epochs")
    epochs: float = option(1.0, "passes over the examples, when no steps are given", above=0)
    batch_size: int = option(32, "examples of one optimiser step, over all processes", minimum=1)
    micro_batch_size: int | None = option(
        None, "most examples that a process computes at once; gradients accumulate over the rest", minimum=1
    )
    learning_rate: float = option(5e-4, "learning rate after warm-up", above=0)
    final_learning_rate: float = option(
        0.1, "learning rate at the end, as a share of the highest", minimum=0, maximum=1
    )
    schedule: str = option("cosine", "learning rate after warm-up", choices=("cosine", "linear", "constant"))
    warmup: float = option(0.05, "steps of linear warm-up; below 1, a share of all steps", minimum=0)
    weight_decay: float = option(0.1, "decay of weight matrices (AdamW); none for biases and norms", minimum=0)
    beta1: float = option(0.9, "AdamW: memory of the gradient", minimum=0, maximum=1)
    beta2: float = option(0.98, "AdamW: memory of the squared gradient", minimum=0, maximum=1)
    clip_norm: float | None = option(
        1.0, "longest gradient; longer ones are scaled down, none: never, as where losses are sums over many terms, "
        "such as pixels, whose gradients are long", above=0,
    )  # fmt: skip
    average: float = option(
        0.0, "memory of a moving average of the weights (0.999), which is evaluated and kept instead of the last ones; "
        "0: none", minimum=0, maximum=1,
    )  # fmt: skip
    precision: str = option(
        "auto", "number format; auto: bf16 where the hardware computes it", choices=("auto", "fp32", "bf16")
    )
    compile: bool = option(False, "compile the model first, half a minute; for GPUs, a processor gains nothing")
    seed: int = option(1, "seed of data order, masks and dropout", minimum=0)
    workers: int = option(0, "processes that prepare batches; 0: the training process itself", minimum=0)
    log_every: int = option(10, "steps between lines of metrics.jsonl", minimum=1)
    evaluate_every: int | None = option(None, "steps between evaluations; none: ten in a run", minimum=1)
    keep_best: bool = option(True, "end with the weights of the best evaluation, not the last ones")
    patience: int | None = option(None, "evaluations without improvement after which to stop; none: never", minimum=1)
    checkpoint_every: int | None = option(
        None, "steps between checkpoints; none: by minutes", minimum=1, instead_of="checkpoint_minutes"
    )
    checkpoint_minutes: float = option(
        5.0, "most minutes between checkpoints, when not by steps; early in a run fewer", above=0
    )
    keep_checkpoints: int = option(2, "latest checkpoints to keep", minimum=1)
    halve_on_out_of_memory: bool = option(
        False, "halve the micro-batch when memory runs out, instead of stopping; the result is the same"
    )
    tracker: str | None = option(None, "also report to this tracker of Accelerate, such as tensorboard or wandb")

    def __post_init__(self) -> None:
        check(self)
        if self.beta1 >= 1 or self.beta2 >= 1:
            raise OptionError(f"beta1 = {self.beta1}, beta2 = {self.beta2}: both must be below 1")
        if self.average >= 1:
            raise OptionError(f"average = {self.average}: must be below 1, or the weights would stay as they began")
        for name in ("epochs", "learning_rate", "warmup", "weight_decay"):
            if not math.isfinite(getattr(self, name)):
                raise OptionError(f"{name} = {getattr(self, name)}: must be finite")

    def num_steps(self, num_examples: int) -> int:
        """Optimiser steps of a run over ``num_examples``; a batch begun is finished."""
        if self.steps is not None:
            return self.steps
        # Rounded, because 30 * 1.1 is a little over 33 and would begin one batch more.
        return max(1, math.ceil(round(num_examples * self.epochs / self.batch_size, 6)))

    def num_warmup_steps(self, steps: int) -> int:
        """Warm-up steps of a run of ``steps``."""
        return round(self.warmup * steps if self.warmup < 1 else self.warmup)
