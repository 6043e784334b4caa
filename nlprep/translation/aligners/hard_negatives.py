"""Whitened maps, refined, then trained to tell the pairs from what is taken for them (Li et al., ACL 2022).

The training is `nlprep.translation.aligners.contrastive_maps`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from nlprep.translation.aligners.maps import map_words
from nlprep.translation.aligners.refinement import fit_and_refine, induce_pairs, without_words_of
from nlprep.translation.aligners.whitened import fit_whitened_of

if TYPE_CHECKING:
    from nlprep.translation.aligners.aligner import Aligned, FewWords, Supervision, Work
    from nlprep.translation.aligners.configuration import AlignmentConfig
    from nlprep.translation.spelling import Spellings


class HardNegatives:
    """Gains little where words are few, and takes minutes: not the default."""

    name = "hard-negatives"
    needs_dictionary = True
    takes_dictionary = True

    def with_few_words(self, settings: AlignmentConfig) -> FewWords:
        """As with whitened maps, which it begins with."""
        return "enough" if settings.whitened.ridge > 0 else "refused"

    def align(self, work: Work, supervision: Supervision, spellings: Spellings | None) -> Aligned:
        """Fit and refine, then tell the pairs, induced ones included, from what is taken for them."""
        from nlprep.translation.aligners.contrastive_maps import refine_by_contrast

        settings = work.settings
        refined = fit_and_refine(work, fit_whitened_of(work), supervision, spellings)
        one, other = map_words(work.source, work.target, refined.maps, settings.cutoff)
        if refined.spellings is not None:
            one, other = refined.spellings.join(one, other)
        induced = induce_pairs(one, other, neighborhood=settings.neighborhood, threads=work.threads).rows
        maps, losses = refine_by_contrast(
            work.source,
            work.target,
            np.concatenate([supervision.pairs, without_words_of(induced, supervision.pairs)]),
            refined.maps,
            settings.hard_negatives,
            cutoff=settings.cutoff,
            seed=settings.seed,
            neighborhood=settings.neighborhood,
            threads=work.threads,
            progress=work.progress,
        )
        return replace(refined, maps=maps, told={"losses": losses})
