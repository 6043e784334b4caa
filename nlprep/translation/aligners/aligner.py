"""What a method of alignment is given and gives back: the contract of the modules beside this one.

A method is a module with a class that satisfies `Aligner` and, where it has settings, a frozen dataclass of them in
`nlprep.translation.aligners.configuration`, whose `AlignmentConfig` holds it under the method's name. `ALIGNERS` in
`nlprep.translation.aligners.methods` lists them all.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from nlprep.core.progress import SILENT
from nlprep.translation.aligners.maps import map_words
from nlprep.translation.spelling import WEIGHED_ON

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from nlprep.core.progress import Progress
    from nlprep.translation.aligners.configuration import AlignmentConfig
    from nlprep.translation.aligners.maps import Maps
    from nlprep.translation.spelling import Spellings

FewWords = Literal["enough", "arbitrary", "refused"]
"""What a dictionary of fewer words than dimensions is to a method."""


@dataclass(frozen=True)
class Supervision:
    """What there is to learn from, in rows of the two vocabularies.

    Attributes:
        method: The name of an aligner.
        reason: Why that one, for people.
        kind: ``dictionary``, ``spellings`` or ``none``.
        pairs: (p, 2) int64 rows to start from; none for ``none``.
        notes: Warnings.
    """

    method: str
    reason: str
    kind: str
    pairs: NDArray[np.int64]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Work:
    """Normalised vectors of two languages, and the settings.

    Attributes:
        settings: Of all methods; each looks at the general ones and its own.
        source: (n, d) float32, frequent words first.
        target: (m, e) likewise.
        threads: Processors to use; all by default.
        progress: Where to report.
    """

    settings: AlignmentConfig
    source: NDArray[np.float32]
    target: NDArray[np.float32]
    threads: int | None = None
    progress: Progress = SILENT

    def weigh(self, spellings: Spellings | None, maps: Maps) -> Spellings | None:
        """Spellings with the weight that they are found to have under these maps."""
        if spellings is None:
            return None
        some = map_words(self.source, self.target, maps, min(self.settings.cutoff, WEIGHED_ON))
        return spellings.weighed(*some, neighborhood=self.settings.neighborhood, threads=self.threads)


@dataclass(frozen=True)
class Aligned:
    """What a method arrived at.

    Attributes:
        maps: Of the two sides, into the shared space.
        spellings: Those given, weighed.
        rounds: What rounds or iterations saw, as plain values.
        agreement: Share of the frequent words that attempts translated alike; None where pairs were known.
        told: More plain values for provenance.
    """

    maps: Maps
    spellings: Spellings | None
    rounds: list[dict[str, Any]] = field(default_factory=list)
    agreement: float | None = None
    told: Mapping[str, Any] = field(default_factory=dict)


@runtime_checkable
class Aligner(Protocol):
    """A method of alignment.

    Attributes:
        name: What it is asked for by.
        needs_dictionary: Whether it cannot do without one.
        takes_dictionary: Whether it can make use of one.
    """

    name: str
    needs_dictionary: bool
    takes_dictionary: bool

    def with_few_words(self, settings: AlignmentConfig) -> FewWords:
        """What comes of a dictionary of fewer words than the vectors have dimensions.

        ``enough``: the method makes do. ``arbitrary``: a part of the map is, which earns a warning. ``refused``: there
        is no solution.
        """
        ...

    def align(self, work: Work, supervision: Supervision, spellings: Spellings | None) -> Aligned:
        """Find the maps of both sides.

        Args:
            work: Normalised vectors and settings.
            supervision: What to learn from.
            spellings: Of the words within the cut-off, not weighed; None where spelling is not to be used.

        Raises:
            NlprepError: What is supplied does not suffice, or dimensions differ where the method cannot have it.
        """
        ...
