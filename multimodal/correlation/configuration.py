"""The settings of deep canonical correlation analysis."""

from __future__ import annotations

from dataclasses import dataclass

from nlprep.core.configuration import check, option
from nlprep.core.errors import OptionError

OBJECTIVES = ("sum", "squares", "soft")
SCALINGS = ("view", "number", "none")


@dataclass(frozen=True, kw_only=True)
class CorrelationConfig:
    """What all models of correlated views are told.

    Settings of networks count for those that are made here, and for none that is given.
    """

    dimension: int = option(10, "numbers in a code", minimum=1)
    outputs: int | None = option(
        None, "numbers that each network makes, of which the linear CCA at the end keeps the most correlated; none: as "
        "many as are in a code", minimum=1,
    )  # fmt: skip
    width: int = option(1024, "units in a hidden layer", minimum=1)
    depth: int = option(2, "hidden layers; 0: a linear map", minimum=0)
    activation: str = option("relu", "of hidden layers", choices=("relu", "gelu", "silu", "tanh", "sigmoid"))
    dropout: float = option(0.0, "share of hidden units left out in each step", minimum=0, maximum=1)
    ridge: float = option(1e-4, "added to the variances of codes, in units of their mean", minimum=1e-8)
    scaling: str = option(
        "view", "what a view is divided by, after its mean was taken off: one deviation of all its numbers, as for "
        "pixels; that of each number, as for columns in units of their own; none: it is taken as it is, with its mean",
        choices=SCALINGS,
    )  # fmt: skip

    def __post_init__(self) -> None:
        check(self)
        if self.dropout >= 1:
            raise OptionError(f"dropout = {self.dropout}: must be below 1")
        if self.outputs is not None and self.outputs < self.dimension:
            raise OptionError(
                f"outputs = {self.outputs}: a code has {self.dimension} numbers: give as many at least, or leave it out"
            )


@dataclass(frozen=True, kw_only=True)
class DeepCcaConfig(CorrelationConfig):
    """Deep CCA of two views."""

    objective: str = option(
        "sum", "sum of correlations (Andrew et al. 2013); of their squares; soft: decorrelation that suits small "
        "batches", choices=OBJECTIVES,
    )  # fmt: skip
    weight: float = option(
        0.1, "of what different numbers of a code have in common", minimum=0, counts_for=("objective", ("soft",))
    )
    memory: float = option(
        0.9, "share of earlier batches in the covariances", minimum=0, maximum=0.9999,
        counts_for=("objective", ("soft",)),
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class DeepCcaAutoencoderConfig(DeepCcaConfig):
    """Deep CCA of two views that can be made again of their codes."""

    reconstruction: float = option(0.1, "weight of what is lost of each view, as a share of its variance", minimum=0)


@dataclass(frozen=True, kw_only=True)
class DeepGeneralizedCcaConfig(CorrelationConfig):
    """Deep generalized CCA of two views or more."""
