"""The settings of an alignment: general ones, and those of each method under its name."""

from __future__ import annotations

from dataclasses import dataclass

from nlprep.core.configuration import check, option
from nlprep.vectors.configuration import WhiteningConfig, parse_steps

METHODS = ("whitened", "procrustes", "least-squares", "rcsls", "hard-negatives", "self-learning", "adversarial")
"""The names of `nlprep.translation.aligners.methods.ALIGNERS`, in their order; importing those would load arrays."""


@dataclass(frozen=True, kw_only=True)
class WhitenedConfig:
    """How whitened maps are fitted; both sides alike."""

    reweighting: float = option(0.5, "power of the correlations that weighs directions", minimum=0)
    dewhitening: float = option(0.75, "share of their variances that directions get back, as a power", minimum=0)
    ridge: float = option(0.0, "added to the variances, in units of their mean", minimum=0)

    def __post_init__(self) -> None:
        check(self)

    def steps(self, *, least_ridge: float = 0.0) -> WhiteningConfig:
        """The same in full, with a ridge of ``least_ridge`` at least."""
        return WhiteningConfig(
            source_power=self.reweighting,
            target_power=self.reweighting,
            dewhitening=self.dewhitening,
            ridge=max(least_ridge, self.ridge),
        )


@dataclass(frozen=True, kw_only=True)
class RcslsConfig:
    """How the loss of RCSLS is descended."""

    steps: int = option(10, "the most steps that lower the loss", minimum=1)
    rate: float = option(1.0, "of the first step, for the mean gradient of the pairs", above=0)

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, kw_only=True)
class HardNegativesConfig:
    """How maps learn to tell pairs from negatives."""

    rounds: int = option(2, "searches for negatives, each followed by training", minimum=1)
    epochs: float = option(3.0, "passes over the pairs in a round", above=0)
    negatives: int = option(20, "wrong words for each side of a pair", minimum=1)
    temperature: float = option(0.1, "what cosines are divided by", above=0)
    learning_rate: float = option(3e-3, "learning rate (Adam), for maps whose entries are about one", above=0)
    batch_size: int = option(256, "pairs in an update", minimum=1)

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, kw_only=True)
class SelfLearningConfig:
    """How attempts go, and when they are believed. By chance, two attempts agree on less than a fiftieth."""

    candidates: int = option(8, "best counterparts of a word among which chance leaves some out", minimum=1)
    patience: int = option(3, "iterations without a rise after which a stage ends", minimum=1)
    tolerance: float = option(0.01, "share of itself that the criterion must rise by", minimum=0)
    enough_pairs: int = option(500, "so many pairs, known or likely, leave nothing for chance to find", minimum=1)
    compared: int = option(4_000, "most frequent words of each side on which attempts are compared", minimum=1)
    agreement: float = option(
        0.05, "share of them that two attempts must translate alike to be believed", minimum=0, maximum=1
    )
    clear: float = option(
        0.4, "with a smaller share, learning starts again from what attempts agree on", minimum=0, maximum=1
    )

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, kw_only=True)
class AdversarialConfig:
    """How games are played."""

    games: int = option(6, "the most games", minimum=2)
    steps: int = option(6_000, "updates of each player in a game", minimum=1)
    batch_size: int = option(32, "words of each language in an update", minimum=1)
    map_rate: float = option(0.05, "learning rate of the map (gradient descent)", above=0)
    discriminator_rate: float = option(0.1, "learning rate of the discriminator (gradient descent)", above=0)
    hidden: int = option(512, "units of the discriminator's two layers", minimum=1)
    input_dropout: float = option(0.5, "share of its input that the discriminator does not see", minimum=0, maximum=0.9)
    smoothing: float = option(0.1, "how far its targets are from 0 and 1", minimum=0, maximum=0.4)
    orthogonality: float = option(0.01, "pull of the map towards an orthogonal one after each update", minimum=0)
    frequent: int = option(10_000, "most frequent words of each side that are played with", minimum=1)
    judged: int = option(4_000, "most frequent words of each side that the criterion looks at", minimum=1)
    behind: float = option(0.03, "a game is given up whose criterion is so much less than the best's", minimum=0)

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, kw_only=True)
class AlignmentConfig:
    """How to align. The defaults are what was most accurate on held-out pairs: see ``docs/alignment.md``."""

    method: str = option("auto", "how to align; auto goes by the dictionary", choices=("auto", *METHODS))
    normalization: str = option("iterative", "steps before the maps: unit, center, iterative or none, split by commas")
    refine: int = option(5, "most rounds of refinement on induced pairs; 0 for the dictionary alone", minimum=0)
    cutoff: int = option(20_000, "induce pairs among this many of the most frequent words", minimum=1)
    spelling: bool = option(True, "let likeness of spelling count, as much as it is found to be worth")
    seed: int = option(1, "of what chance decides in learning", minimum=0)
    device: str = option("cpu", "where to search for neighbours: cpu, or a torch device such as cuda")
    neighborhood: int = option(10, "nearest neighbours that CSLS averages", minimum=1)
    tolerance: float = option(0.01, "stop refining when the criterion rises by less than this share", minimum=0)
    induced_weight: float = option(0.5, "weight of an induced pair in refinement, a dictionary pair having 1", above=0)
    temperature: float = option(
        0.1, "trust the nearest of a word's several translations most; 0 trusts all alike", minimum=0
    )
    whitened: WhitenedConfig = option(
        WhitenedConfig(),
        "how whitened maps are fitted",
        # All that learns more than the dictionary tells fits whitened maps on the way.
        counts_for=("method", ("auto", "whitened", "hard-negatives", "self-learning", "adversarial")),
    )
    rcsls: RcslsConfig = option(RcslsConfig(), "how the loss of RCSLS is descended", counts_for=("method", ("rcsls",)))
    hard_negatives: HardNegativesConfig = option(
        HardNegativesConfig(),
        "how maps learn to tell pairs from negatives",
        counts_for=("method", ("hard-negatives",)),
    )
    self_learning: SelfLearningConfig = option(
        SelfLearningConfig(),
        "how attempts go, and when they are believed",
        # Games are learned from as other starts are.
        counts_for=("method", ("auto", "self-learning", "adversarial")),
    )
    adversarial: AdversarialConfig = option(
        AdversarialConfig(), "how games are played", counts_for=("method", ("adversarial",))
    )

    def __post_init__(self) -> None:
        check(self)
        parse_steps(self.normalization)
