"""The settings of classifiers: what of a model is trained, and how."""

from __future__ import annotations

from dataclasses import dataclass, replace

from nlprep.core.configuration import check, option
from nlprep.core.training.configuration import TrainingConfig

FINE_TUNING = TrainingConfig(
    epochs=3, learning_rate=1e-4, final_learning_rate=0.0, schedule="linear", warmup=0.1, weight_decay=0.01, beta2=0.999
)
"""How a whole model is fine-tuned, unless told otherwise."""

HEAD_TRAINING = replace(FINE_TUNING, epochs=10, learning_rate=3e-3)
"""How a head alone is trained."""


@dataclass(frozen=True, kw_only=True)
class ClassificationConfig:
    """What is trained; how is `nlprep.core.training.configuration.TrainingConfig`'s."""

    train: str = option("all", "the whole model, or its new head on the frozen rest", choices=("all", "head"))
    max_length: int | None = option(None, "cut texts after so many tokens; none: what the model takes", minimum=4)

    def __post_init__(self) -> None:
        check(self)

    def default_training(self) -> TrainingConfig:
        """`FINE_TUNING` or `HEAD_TRAINING`."""
        return FINE_TUNING if self.train == "all" else HEAD_TRAINING
