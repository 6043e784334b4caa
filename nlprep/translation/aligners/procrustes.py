"""The best rotation of the source onto the target, refined: see `nlprep.vectors.procrustes`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nlprep.translation.aligners.maps import make_fit, onto_target
from nlprep.translation.aligners.refinement import fit_and_refine
from nlprep.vectors.procrustes import fit_procrustes

if TYPE_CHECKING:
    from nlprep.translation.aligners.aligner import Aligned, FewWords, Supervision, Work
    from nlprep.translation.aligners.configuration import AlignmentConfig
    from nlprep.translation.spelling import Spellings


class Procrustes:
    """For dictionaries that span too little for other maps."""

    name = "procrustes"
    needs_dictionary = True
    takes_dictionary = True

    def with_few_words(self, settings: AlignmentConfig) -> FewWords:  # noqa: ARG002 - it has none of its own
        """A rotation is found, though not by the pairs alone."""
        return "arbitrary"

    def align(self, work: Work, supervision: Supervision, spellings: Spellings | None) -> Aligned:
        """Fit to the dictionary, and refine."""
        fit = make_fit(work.source, work.target, onto_target(fit_procrustes))
        return fit_and_refine(work, fit, supervision, spellings)
