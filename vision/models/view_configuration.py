"""The settings of models that compare views of images: those that all share, and those of each."""

from __future__ import annotations

from dataclasses import dataclass

from nlprep.core.configuration import check, option
from vision.backbones.configuration import BackboneConfig
from vision.views.configuration import ViewConfig


@dataclass(frozen=True, kw_only=True)
class JointEmbeddingConfig:
    """What every model of views is told: its head, its optimiser, its views and its network."""

    hidden: int = option(512, "units of the head, which is trained along and not part of a code", minimum=1)
    outputs: int = option(512, "numbers of a view that are compared, made by the head", minimum=1)
    optimizer: str = option("adamw", "optimiser; lars: for batches of thousands", choices=("adamw", "lars"))
    views: ViewConfig = option(ViewConfig(), "how two views of an image differ")
    backbone: BackboneConfig = option(BackboneConfig(), "the network that makes features")

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, kw_only=True)
class SimClrConfig(JointEmbeddingConfig):
    """A contrastive model: views of an image are told from those of others."""

    temperature: float = option(0.2, "what cosines are divided by; lower: near ones count for more", above=0)
    outputs: int = option(128, "numbers of a view that are compared, made by the head", minimum=1)


@dataclass(frozen=True, kw_only=True)
class BarlowTwinsConfig(JointEmbeddingConfig):
    """A model of views whose numbers are correlated with themselves alone."""

    weight: float = option(5e-3, "of what different numbers have in common", minimum=0)


@dataclass(frozen=True, kw_only=True)
class VicRegConfig(JointEmbeddingConfig):
    """A model of views whose numbers vary, are alike in both, and do not vary together."""

    invariance: float = option(25.0, "weight of how two views differ", minimum=0)
    variance: float = option(25.0, "of numbers that vary too little", minimum=0)
    covariance: float = option(1.0, "of numbers that vary together", minimum=0)


@dataclass(frozen=True, kw_only=True)
class ByolConfig(JointEmbeddingConfig):
    """A model that predicts what a slower copy of itself says of the other view."""

    momentum: float = option(
        0.99, "share of the slower copy that stays in a step at first; it rises to 1", minimum=0, maximum=1
    )
    outputs: int = option(128, "numbers of a view that are predicted, made by the head", minimum=1)
