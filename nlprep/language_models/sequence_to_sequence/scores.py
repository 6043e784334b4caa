"""How translations compare with references: BLEU and chrF."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from nlprep.core.errors import NlprepError

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class TranslationScores:
    """How translations compare with references.

    Attributes:
        bleu: BLEU, 0 to 100.
        chrf: chrF, 0 to 100.
        bleu_signature: What sacrebleu says of how it was measured.
        chrf_signature: Likewise.
        sentences: Their number.
    """

    bleu: float
    chrf: float
    bleu_signature: str
    chrf_signature: str
    sentences: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON."""
        return asdict(self)


def score_translations(translations: Sequence[str], references: Sequence[str]) -> TranslationScores:
    """BLEU and chrF by sacrebleu (Post 2018), with its defaults.

    Raises:
        NlprepError: Not as many references as translations, or none.
    """
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    if len(translations) != len(references) or not translations:
        raise NlprepError(f"{len(translations)} translations and {len(references)} references: give one for each")
    bleu, chrf = BLEU(), CHRF()
    first = bleu.corpus_score(list(translations), [list(references)])
    second = chrf.corpus_score(list(translations), [list(references)])
    return TranslationScores(
        first.score, second.score, str(bleu.get_signature()), str(chrf.get_signature()), len(translations)
    )
