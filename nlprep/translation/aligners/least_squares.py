"""The best linear map of the source onto the target, refined: see `nlprep.vectors.least_squares`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nlprep.translation.aligners.maps import make_fit, onto_target
from nlprep.translation.aligners.refinement import fit_and_refine
from nlprep.vectors.least_squares import fit_least_squares

if TYPE_CHECKING:
    from nlprep.translation.aligners.aligner import Aligned, FewWords, Supervision, Work
    from nlprep.translation.aligners.configuration import AlignmentConfig
    from nlprep.translation.spelling import Spellings


class LeastSquares:
    """For comparison: the first published method."""

    name = "least-squares"
    needs_dictionary = True
    takes_dictionary = True

    def with_few_words(self, settings: AlignmentConfig) -> FewWords:  # noqa: ARG002 - it has none of its own
        """The pairs would be met exactly, by a map that says nothing of other words."""
        return "refused"

    def align(self, work: Work, supervision: Supervision, spellings: Spellings | None) -> Aligned:
        """Fit to the dictionary, and refine."""
        fit = make_fit(work.source, work.target, onto_target(fit_least_squares))
        return fit_and_refine(work, fit, supervision, spellings)
