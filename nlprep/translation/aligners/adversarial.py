"""Self-learning from what comes of games of a map against a discriminator (Conneau et al., ICLR 2018).

The games are `nlprep.translation.aligners.starts.games`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from nlprep.core.configuration import check, option
from nlprep.translation.aligners.self_learning import learn

if TYPE_CHECKING:
    from nlprep.translation.aligners.aligner import Aligned, FewWords, Supervision, Work
    from nlprep.translation.aligners.configuration import AlignmentConfig
    from nlprep.translation.spelling import Spellings


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


class Adversarial:
    """As good as self-learning from distributions, and three times as slow: never chosen by itself."""

    name = "adversarial"
    needs_dictionary = False
    takes_dictionary = False

    def with_few_words(self, settings: AlignmentConfig) -> FewWords:  # noqa: ARG002 - it takes no dictionary
        """It learns from none."""
        return "enough"

    def align(self, work: Work, supervision: Supervision, spellings: Spellings | None) -> Aligned:
        """Play games, and learn from what comes of them."""
        from nlprep.translation.aligners.starts.games import AdversarialStarts, describe_games

        settings = work.settings
        starts = AdversarialStarts(
            work.source,
            work.target,
            settings.adversarial,
            seed=settings.seed,
            neighborhood=settings.neighborhood,
            threads=work.threads,
            progress=work.progress,
        )
        aligned = learn(work, supervision, spellings, starts)
        return replace(aligned, told={"games": describe_games(starts.games)})
