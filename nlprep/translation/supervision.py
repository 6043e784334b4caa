"""What the user supplies to align two languages by, and the method that suits it."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from nlprep.core.errors import NlprepError, OptionError
from nlprep.translation.aligners.aligner import Supervision
from nlprep.translation.aligners.configuration import AlignmentConfig
from nlprep.translation.aligners.methods import find_aligner
from nlprep.translation.aligners.self_learning import SelfLearning
from nlprep.translation.aligners.whitened import Whitened
from nlprep.translation.lexicon import Lexicon, quoted_examples
from nlprep.translation.spelling import SHORTEST, pair_spelled_alike

if TYPE_CHECKING:
    from nlprep.embeddings.word_vectors import WordVectors
    from nlprep.translation.aligners.aligner import Aligner

ENOUGH_WORDS = 2.0
"""A dictionary of so many words per dimension is fitted to; from a smaller one, self-learning goes further."""
FEWEST_WORDS = 20
"""A dictionary of fewer is learned from with a warning."""
ENOUGH_ALIKE = 100
"""So many frequent words that are spelled alike are a start; fewer may be accidents."""


_NO_PAIRS = np.empty((0, 2), np.int64)


class AlignmentWarning(UserWarning):
    """Something about the input that makes an alignment doubtful; the alignment's provenance holds it too."""


def choose_supervision(
    source: WordVectors, target: WordVectors, lexicon: Lexicon | None, settings: AlignmentConfig | None = None
) -> Supervision:
    """Look at what is supplied, and choose.

    Args:
        source: Vectors of the source language.
        target: Vectors of the target language.
        lexicon: A dictionary, if there is one.
        settings: `AlignmentConfig` by default: the method, or ``auto``; whether words spelled alike may be taken for
            translations where there is no dictionary, and among how many of the most frequent words.

    Raises:
        NlprepError: No pair of the dictionary is known, or too few are for the method.
        OptionError: The method needs a dictionary and there is none, or takes none and there is one.

    Warns:
        AlignmentWarning: Fewer pairs than dimensions, so that a part of an orthogonal map is arbitrary; or so few that
            what is learned from them is doubtful.
    """
    settings = settings or AlignmentConfig()
    asked = None if settings.method == "auto" else find_aligner(settings.method)
    if lexicon is not None:
        if asked is not None and not asked.takes_dictionary:
            raise OptionError(
                f"the {asked.name} method takes no dictionary: leave it out, or choose the self-learning method"
            )
        return _choose_with(source, target, lexicon, asked, settings)
    if asked is None:
        asked = SelfLearning()
    if asked.needs_dictionary:
        raise OptionError(
            f"the {asked.name} method learns from a dictionary: give one, or choose the self-learning method"
        )
    if not asked.takes_dictionary:
        return Supervision(asked.name, "as asked; learning starts from the vectors alone", "none", _NO_PAIRS)
    alike = pair_spelled_alike(source.words, target.words, cutoff=settings.cutoff) if settings.spelling else _NO_PAIRS
    if len(alike) >= ENOUGH_ALIKE:
        reason = (
            f"there is no dictionary, but {len(alike):,} frequent words of {SHORTEST} letters or more are spelled "
            "alike: learning starts from them"
        )
        return Supervision(asked.name, reason, "spellings", alike)
    reason = (
        "there is no dictionary, and "
        + (
            f"only {len(alike):,} frequent words are spelled alike"
            if settings.spelling
            else "spelling is not to be used"
        )
        + ": learning starts from words that stand alike to their own language"
    )
    return Supervision(asked.name, reason, "none", _NO_PAIRS)


def _choose_with(
    source: WordVectors, target: WordVectors, lexicon: Lexicon, asked: Aligner | None, settings: AlignmentConfig
) -> Supervision:
    pairs = lexicon.rows(source, target)
    if not len(pairs):
        raise NlprepError(_nothing_shared(source, target, lexicon))
    # Several translations of one word span no more dimensions than one.
    words = min(len(np.unique(pairs[:, 0])), len(np.unique(pairs[:, 1])))
    dimension = max(source.dimension, target.dimension)
    seen = f"the dictionary gives {words:,} words with known translations for vectors of {dimension} dimensions"
    notes: tuple[str, ...] = ()
    if asked is None and words >= ENOUGH_WORDS * dimension:
        return Supervision(Whitened.name, f"{seen}: enough to fit to", "dictionary", pairs)
    if asked is None or not asked.needs_dictionary:
        if words < FEWEST_WORDS:
            notes = (f"{seen}: so few that nothing shows whether learning succeeded; look at some translations",)
            warnings.warn(notes[0], AlignmentWarning, stacklevel=4)
        return Supervision(SelfLearning.name, f"{seen}: learning starts from them", "dictionary", pairs, notes)
    few = asked.with_few_words(settings) if words < dimension else "enough"
    if few == "refused":
        raise NlprepError(
            f"{seen}, too few for the {asked.name} method: give more pairs, or choose the self-learning method"
        )
    if few == "arbitrary":
        notes = (f"{seen}: a part of the map is arbitrary; give more pairs, or choose the self-learning method",)
        warnings.warn(notes[0], AlignmentWarning, stacklevel=4)
    return Supervision(asked.name, f"as asked; {seen}", "dictionary", pairs, notes)


def _nothing_shared(source: WordVectors, target: WordVectors, lexicon: Lexicon) -> str:
    if not len(lexicon):
        return "the dictionary is empty: give at least some pairs, or no dictionary at all"
    if len(lexicon.reversed().rows(source, target)):
        return (
            f"the dictionary seems to be the wrong way round: it starts with {lexicon.pairs[0]!r}; "
            "swap the two sets of vectors, or reverse the dictionary"
        )
    return (
        "the dictionary shares no pair of words with the vectors: it has "
        f"{lexicon.examples(0)} -> {lexicon.examples(1)}, the source vectors "
        f"{quoted_examples(source.words)}, the target vectors "
        f"{quoted_examples(target.words)}: check languages and letter case"
    )
