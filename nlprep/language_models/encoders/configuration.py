"""The settings of encoders: how vectors are made of texts, and how encoders are trained by contrast."""

from __future__ import annotations

from dataclasses import dataclass

from nlprep.core.configuration import check, option
from nlprep.core.training.configuration import TrainingConfig

POOLINGS = ("mean", "weighted-mean", "first", "last", "max")


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """How vectors are made of texts."""

    pooling: str | None = option(
        None,
        "how the tokens' states become one vector; none: mean for encoders, weighted-mean for decoders",
        choices=POOLINGS,
    )
    layer: int = option(-1, "whose states to take: -1 the last, -2 the one before, 0 the input embeddings")
    normalize: bool = option(False, "bring vectors to unit length")
    max_length: int | None = option(None, "cut texts after so many tokens; none: what the model takes", minimum=1)
    precision: str = option(
        "fp32", "number format; auto: bf16 where the hardware computes it", choices=("fp32", "bf16", "auto")
    )

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, kw_only=True)
class ContrastiveConfig:
    """The contrastive loss."""

    temperature: float = option(0.05, "what cosines are divided by; lower minds the hardest negatives more", above=0)
    symmetric: bool = option(False, "also look for the first text of a pair, given the second")
    dropout: float = option(
        0.1, "dropout of the model when a sentence is paired with itself, if it was built with less", minimum=0,
        maximum=0.9,
    )  # fmt: skip

    def __post_init__(self) -> None:
        check(self)


CONTRASTIVE_TRAINING = TrainingConfig(
    epochs=1, batch_size=64, learning_rate=1e-4, final_learning_rate=0.0, schedule="linear", warmup=0.1,
    weight_decay=0.01, beta2=0.999,
)  # fmt: skip
"""How an encoder is trained by contrast, unless told otherwise."""
