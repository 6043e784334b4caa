"""Self-learning from what comes of games of a map against a discriminator (Conneau et al., ICLR 2018).

The games are `nlprep.translation.aligners.starts.games`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from nlprep.translation.aligners.self_learning import learn

if TYPE_CHECKING:
    from nlprep.translation.aligners.aligner import Aligned, FewWords, Supervision, Work
    from nlprep.translation.aligners.configuration import AlignmentConfig
    from nlprep.translation.spelling import Spellings


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
