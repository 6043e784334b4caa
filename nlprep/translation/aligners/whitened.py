"""Whitened, re-weighted and de-whitened maps, refined: see `nlprep.vectors.whitening`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from nlprep.translation.aligners.maps import make_fit
from nlprep.translation.aligners.refinement import fit_and_refine
from nlprep.vectors.whitening import fit_whitened

if TYPE_CHECKING:
    from nlprep.translation.aligners.aligner import Aligned, FewWords, Supervision, Work
    from nlprep.translation.aligners.configuration import AlignmentConfig
    from nlprep.translation.aligners.maps import Fit
    from nlprep.translation.spelling import Spellings


def fit_whitened_of(work: Work, *, least_ridge: float = 0.0) -> Fit:
    """The fit of whitened maps that the settings describe."""
    steps = work.settings.whitened.steps(least_ridge=least_ridge)
    return make_fit(work.source, work.target, partial(fit_whitened, config=steps))


class Whitened:
    """The default where a dictionary is large enough."""

    name = "whitened"
    needs_dictionary = True
    takes_dictionary = True

    def with_few_words(self, settings: AlignmentConfig) -> FewWords:
        """Directions without variance cannot be whitened, but with a ridge."""
        return "enough" if settings.whitened.ridge > 0 else "refused"

    def align(self, work: Work, supervision: Supervision, spellings: Spellings | None) -> Aligned:
        """Fit to the dictionary, and refine."""
        return fit_and_refine(work, fit_whitened_of(work), supervision, spellings)
