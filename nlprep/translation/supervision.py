"""What the user supplies to align two languages by, and the method that suits it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nlprep.core.errors import NlprepError, OptionError
from nlprep.translation.lexicon import Lexicon, quoted_examples
from nlprep.translation.spelling import SHORTEST, pair_spelled_alike

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nlprep.embeddings.word_vectors import WordVectors

FITTED_METHODS = ("whitened", "procrustes", "least-squares")
"""Maps in closed form, fitted to a dictionary."""
SUPERVISED_METHODS = (*FITTED_METHODS, "rcsls", "contrastive")
"""Those that cannot do without a dictionary."""
METHODS = (*SUPERVISED_METHODS, "self-learning", "adversarial")
ENOUGH_WORDS = 2.0
"""A dictionary of so many words per dimension is fitted to; from a smaller one, self-learning goes further."""
FEWEST_WORDS = 20
"""A dictionary of fewer is learned from with a warning."""
ENOUGH_ALIKE = 100
"""So many frequent words that are spelled alike are a start; fewer may be accidents."""


class AlignmentWarning(UserWarning):
    """Something about the input that makes an alignment doubtful; the alignment's provenance holds it too."""


@dataclass(frozen=True)
class Supervision:
    """What there is to learn from, in rows of the two vocabularies.

    Attributes:
        method: One of `METHODS`.
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


def choose_supervision(
    source: WordVectors,
    target: WordVectors,
    lexicon: Lexicon | None,
    *,
    method: str = "auto",
    spelling: bool = True,
    cutoff: int = 20_000,
    ridge: float = 0.0,
) -> Supervision:
    """Look at what is supplied, and choose.

    Args:
        source: Vectors of the source language.
        target: Vectors of the target language.
        lexicon: A dictionary, if there is one.
        method: One of `METHODS`, or ``auto``.
        spelling: Whether words spelled alike may be taken for translations where there is no dictionary.
        cutoff: Look for those among so many of the most frequent words.
        ridge: Of the whitened method, which with one takes fewer words than dimensions.

    Raises:
        NlprepError: No pair of the dictionary is known, or too few are for the method.
        OptionError: The method needs a dictionary and there is none, or takes none and there is one.

    Warns:
        AlignmentWarning: Fewer pairs than dimensions, so that a part of an orthogonal map is arbitrary; or so few that
            what is learned from them is doubtful.
    """
    if method == "adversarial":
        if lexicon is not None:
            raise OptionError(
                "the adversarial method takes no dictionary: leave it out, or choose the self-learning method"
            )
        reason = "as asked; learning starts from games of a map against a discriminator"
        return Supervision("adversarial", reason, "none", np.empty((0, 2), np.int64))
    if lexicon is not None:
        return _choose_with(source, target, lexicon, method, ridge)
    if method in SUPERVISED_METHODS:
        raise OptionError(f"the {method} method learns from a dictionary: give one, or choose the self-learning method")
    alike = pair_spelled_alike(source.words, target.words, cutoff=cutoff) if spelling else np.empty((0, 2), np.int64)
    if len(alike) >= ENOUGH_ALIKE:
        reason = (
            f"there is no dictionary, but {len(alike):,} frequent words of {SHORTEST} letters or more are spelled "
            "alike: learning starts from them"
        )
        return Supervision("self-learning", reason, "spellings", alike)
    reason = (
        "there is no dictionary, and "
        + (f"only {len(alike):,} frequent words are spelled alike" if spelling else "spelling is not to be used")
        + ": learning starts from words that stand alike to their own language"
    )
    return Supervision("self-learning", reason, "none", np.empty((0, 2), np.int64))


def _choose_with(source: WordVectors, target: WordVectors, lexicon: Lexicon, method: str, ridge: float) -> Supervision:
    pairs = lexicon.rows(source, target)
    if not len(pairs):
        raise NlprepError(_nothing_shared(source, target, lexicon))
    # Several translations of one word span no more dimensions than one.
    words = min(len(np.unique(pairs[:, 0])), len(np.unique(pairs[:, 1])))
    dimension = max(source.dimension, target.dimension)
    seen = f"the dictionary gives {words:,} words with known translations for vectors of {dimension} dimensions"
    notes: tuple[str, ...] = ()
    if method == "auto" and words >= ENOUGH_WORDS * dimension:
        return Supervision("whitened", f"{seen}: enough to fit to", "dictionary", pairs)
    if method in ("auto", "self-learning"):
        if words < FEWEST_WORDS:
            notes = (f"{seen}: so few that nothing shows whether learning succeeded; look at some translations",)
            warnings.warn(notes[0], AlignmentWarning, stacklevel=4)
        return Supervision("self-learning", f"{seen}: learning starts from them", "dictionary", pairs, notes)
    if words < dimension and method in ("procrustes", "rcsls"):
        notes = (f"{seen}: a part of the map is arbitrary; give more pairs, or choose the self-learning method",)
        warnings.warn(notes[0], AlignmentWarning, stacklevel=4)
    elif words < dimension and (method == "least-squares" or (method in ("whitened", "contrastive") and ridge == 0)):
        raise NlprepError(
            f"{seen}, too few for the {method} method: give more pairs, or choose the self-learning method"
        )
    return Supervision(method, f"as asked; {seen}", "dictionary", pairs, notes)


def _nothing_shared(source: WordVectors, target: WordVectors, lexicon: Lexicon) -> str:
    if not len(lexicon):
        return "the dictionary is empty: give at least some pairs, or no dictionary at all"
    if len(lexicon.inverse().rows(source, target)):
        return (
            f"the dictionary seems to be the wrong way round: it starts with {lexicon.pairs[0]!r}; "
            "swap the two sets of vectors, or invert the dictionary"
        )
    return (
        "the dictionary shares no pair of words with the vectors: it has "
        f"{lexicon.examples(0)} -> {lexicon.examples(1)}, the source vectors "
        f"{quoted_examples(source.words)}, the target vectors "
        f"{quoted_examples(target.words)}: check languages and letter case"
    )
