"""The settings of translation models and of the auto-encoders that they can begin as."""

from __future__ import annotations

from dataclasses import dataclass

from nlprep.core.configuration import check, option
from nlprep.core.training.configuration import TrainingConfig


@dataclass(frozen=True, kw_only=True)
class TranslationConfig:
    """How a translation model is trained on pairs."""

    train: str = option("all", "what learns from the pairs", choices=("all", "cross-attention"))
    pretrained_rate: float = option(
        0.1, "learning rate of what was pretrained, as a share of the cross-attention's", above=0, maximum=1
    )
    dropout: float = option(0.1, "dropout of both sides, which were pretrained without", minimum=0, maximum=0.9)
    label_smoothing: float = option(0.1, "share of the probability spread over all tokens", minimum=0, maximum=0.9)
    longest: int = option(64, "tokens kept of a sentence", minimum=1)
    keep: str = option(
        "chrf",
        "weights to end with: of the best chrF of greedy validation translations, or loss",
        choices=("chrf", "loss"),
    )

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, kw_only=True)
class DenoisingConfig:
    """How an auto-encoder is trained on noised sentences."""

    longest: int = option(64, "tokens kept of a sentence", minimum=1)
    drop: float = option(0.15, "probability that noise drops a token", minimum=0, maximum=0.9)
    distance: float = option(3.0, "places by which noise moves tokens", minimum=0)

    def __post_init__(self) -> None:
        check(self)


TRANSLATION_TRAINING = TrainingConfig(epochs=10, learning_rate=3e-3, warmup=0.1)
"""The rate is the cross-attention's, which begins at nothing; what was pretrained has `pretrained_rate` of it."""
