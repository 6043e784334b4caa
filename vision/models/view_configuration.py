"""The settings of models that compare views of images: those that all share, and those of each."""

from __future__ import annotations

from dataclasses import dataclass

from nlprep.core.configuration import check, option
from nlprep.core.errors import OptionError
from vision.backbones.configuration import BackboneConfig
from vision.views.configuration import ViewConfig


@dataclass(frozen=True, kw_only=True)
class JointEmbeddingConfig:
    """What every model of views is told: its head, its optimiser, its views and its network."""

    hidden: int = option(512, "units of the head, which is trained along and not part of a code", minimum=1)
    outputs: int = option(512, "numbers of a view that are compared, made by the head", minimum=1)
    optimizer: str = option("adamw", "optimiser; lars: for batches of thousands", choices=("adamw", "lars"))
    places: int = option(
        1,
        "parts of an image from top to bottom, and from left to right, of each of which a code has the mean",
        minimum=1,
    )
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


@dataclass(frozen=True, kw_only=True)
class DinoConfig:
    """A student that learns to sort views as its slower teacher does."""

    prototypes: int = option(512, "what views are sorted by", minimum=2)
    small_views: int = option(2, "that the student alone sees, beside the two that both see", minimum=0)
    least_small_crop: float = option(0.05, "least share of the area that such a view keeps", above=0, maximum=1)
    most_small_crop: float = option(0.4, "largest share of the area that such a view keeps", above=0, maximum=1)
    student_temperature: float = option(0.1, "what the student's cosines are divided by", above=0)
    teacher_temperature: float = option(0.04, "what the teacher's cosines are divided by; lower: surer", above=0)
    momentum: float = option(0.99, "share of the teacher that stays in a step at first; it rises to 1", minimum=0,
                             maximum=1)  # fmt: skip
    centre_momentum: float = option(0.9, "share of the centre that stays in a step", minimum=0, maximum=1)
    hidden: int = option(512, "units of the head, which is trained along and not part of a code", minimum=1)
    outputs: int = option(128, "numbers of a view that are compared with prototypes", minimum=1)
    places: int = option(
        1,
        "parts of an image from top to bottom, and from left to right, of each of which a code has the mean",
        minimum=1,
    )
    views: ViewConfig = option(ViewConfig(least_crop=0.4), "how views of an image differ")
    backbone: BackboneConfig = option(BackboneConfig(), "the network that makes features")

    def __post_init__(self) -> None:
        check(self)
        if self.least_small_crop > self.most_small_crop:
            raise OptionError(
                f"least_small_crop = {self.least_small_crop}: is more than most_small_crop, {self.most_small_crop}"
            )
