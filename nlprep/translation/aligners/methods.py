"""All methods of alignment, in one tuple: supervision and the contract tests are derived from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nlprep.core.errors import OptionError
from nlprep.translation.aligners.adversarial import Adversarial
from nlprep.translation.aligners.configuration import METHODS
from nlprep.translation.aligners.hard_negatives import HardNegatives
from nlprep.translation.aligners.least_squares import LeastSquares
from nlprep.translation.aligners.procrustes import Procrustes
from nlprep.translation.aligners.rcsls import Rcsls
from nlprep.translation.aligners.self_learning import SelfLearning
from nlprep.translation.aligners.whitened import Whitened

if TYPE_CHECKING:
    from nlprep.translation.aligners.aligner import Aligner

ALIGNERS: tuple[Aligner, ...] = (
    Whitened(),
    Procrustes(),
    LeastSquares(),
    Rcsls(),
    HardNegatives(),
    SelfLearning(),
    Adversarial(),
)
"""In the order of `nlprep.translation.aligners.configuration.METHODS`, which choices are made from."""


def find_aligner(name: str) -> Aligner:
    """The method of a name.

    Raises:
        OptionError: There is none.
    """
    for aligner in ALIGNERS:
        if aligner.name == name:
            return aligner
    raise OptionError(f"method {name!r}: choose from {', '.join(METHODS)}")
