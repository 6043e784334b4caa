"""The settings of an alignment: general ones, and those of each method under its name."""

from __future__ import annotations

from dataclasses import dataclass

from nlprep.core.configuration import check, option
from nlprep.translation.aligners.adversarial import AdversarialConfig
from nlprep.translation.aligners.hard_negatives import HardNegativesConfig
from nlprep.translation.aligners.methods import METHODS
from nlprep.translation.aligners.rcsls import RcslsConfig
from nlprep.translation.aligners.self_learning import SelfLearningConfig
from nlprep.translation.aligners.whitened import WhitenedConfig
from nlprep.vectors.normalization import parse_steps


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
