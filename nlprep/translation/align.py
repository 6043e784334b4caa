"""From two sets of vectors, with a dictionary or without, to an `Alignment`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nlprep.core.configuration import to_mapping
from nlprep.core.progress import SILENT
from nlprep.core.threads import blas_threads
from nlprep.translation.aligners.aligner import Work
from nlprep.translation.aligners.configuration import AlignmentConfig
from nlprep.translation.aligners.methods import find_aligner
from nlprep.translation.alignment import Alignment
from nlprep.translation.spelling import Spellings, embed_spellings
from nlprep.translation.supervision import AlignmentWarning, choose_supervision
from nlprep.vectors.nearest import search_device
from nlprep.vectors.normalization import fit_normalization

if TYPE_CHECKING:
    from nlprep.core.progress import Progress
    from nlprep.embeddings.word_vectors import WordVectors
    from nlprep.translation.lexicon import Lexicon

__all__ = ["AlignmentWarning", "align"]


def align(
    source: WordVectors,
    target: WordVectors,
    lexicon: Lexicon | None = None,
    config: AlignmentConfig | None = None,
    *,
    threads: int | None = None,
    progress: Progress = SILENT,
) -> Alignment:
    """Align two languages.

    Args:
        source: Vectors of the dictionary's first language, frequent words first.
        target: Vectors of its second language.
        lexicon: The dictionary; pairs with unknown words are left out. None: learn without one.
        config: Settings; `AlignmentConfig` by default.
        threads: Processors to use; all by default.
        progress: Where to report.

    Raises:
        NlprepError: No pair of the dictionary is known, too few are for the method, the dimensions differ where the
            method cannot have it, or attempts without a dictionary do not agree.
        OptionError: The method needs a dictionary and there is none, or takes none and there is one.

    Warns:
        AlignmentWarning: Fewer pairs than dimensions, so that a part of an orthogonal map is arbitrary; or so few that
            what is learned from them is doubtful.
    """
    settings = config or AlignmentConfig()
    supervision = choose_supervision(source, target, lexicon, settings)
    with blas_threads(threads), search_device(settings.device):
        normalizations = [fit_normalization(side.matrix, settings.normalization) for side in (source, target)]
        normalized = [fitted.apply(side.matrix) for fitted, side in zip(normalizations, (source, target), strict=True)]
        work = Work(settings, normalized[0], normalized[1], threads, progress)
        spellings = None
        if settings.spelling:
            of_source, of_target = embed_spellings(*(side.words[: settings.cutoff] for side in (source, target)))
            spellings = Spellings(of_source, of_target, 0)
        aligned = find_aligner(supervision.method).align(work, supervision, spellings)
    provenance = {
        "config": to_mapping(settings),
        "method": supervision.method,
        "reason": supervision.reason,
        "supervision": {"kind": supervision.kind, "pairs": len(supervision.pairs)},
        "vectors": {
            "source": {"num_words": len(source), "dimension": source.dimension},
            "target": {"num_words": len(target), "dimension": target.dimension},
        },
        "rounds": aligned.rounds,
        "agreement": aligned.agreement,
        **aligned.told,
        "warnings": list(supervision.notes),
        "versions": _versions(),
    }
    if lexicon is not None:
        provenance["lexicon"] = vars(lexicon.coverage(source, target)) | {"pairs_used": len(supervision.pairs)}
    one, other = (matrix.astype(np.float32) for matrix in aligned.maps)
    weight = 0.0 if aligned.spellings is None else aligned.spellings.weight
    return Alignment(normalizations[0], normalizations[1], one, other, provenance, weight)


def _versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    try:
        ours = version("nlprep-toolkit")
    except PackageNotFoundError:
        ours = "source checkout"
    return {"nlprep-toolkit": ours, "numpy": np.__version__}
