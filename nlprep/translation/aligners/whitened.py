"""Whitened, re-weighted and de-whitened maps, refined: see `nlprep.vectors.whitening`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from nlprep.core.configuration import check, option
from nlprep.translation.aligners.maps import make_fit
from nlprep.translation.aligners.refinement import fit_and_refine
from nlprep.vectors.whitening import WhiteningConfig, fit_whitened

if TYPE_CHECKING:
    from nlprep.translation.aligners.aligner import Aligned, FewWords, Supervision, Work
    from nlprep.translation.aligners.configuration import AlignmentConfig
    from nlprep.translation.aligners.maps import Fit
    from nlprep.translation.spelling import Spellings


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
