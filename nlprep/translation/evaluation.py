"""How well a `TranslationIndex` translates, against a dictionary it has not seen.

MUSE's convention: every distinct source word of the dictionary that is known and has at least one known
translation asks once, and any of its listed translations is right. What that leaves out stands beside it as
coverage, and the same figures over the whole dictionary count it as wrong, so that a small vocabulary cannot
flatter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nlprep.core.errors import NlprepError
from nlprep.core.progress import SILENT
from nlprep.evaluation.retrieval import summarize_ranks
from nlprep.translation.index.bilingual import RETRIEVAL_METHODS
from nlprep.translation.lexicon import quoted_examples

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from nlprep.core.progress import Progress
    from nlprep.translation.index.bilingual import Side, TranslationIndex
    from nlprep.translation.lexicon import Lexicon

BANDS = (1_000, 5_000, 10_000, 20_000, 50_000, 100_000)
"""Upper ends of the bands of frequency rank."""


def evaluate_translation(
    index: TranslationIndex,
    lexicon: Lexicon,
    *,
    kinds: Mapping[str, str] | None = None,
    threads: int | None = None,
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Precision at 1, 5 and 10 and mean reciprocal rank, in per cent.

    Args:
        index: The model; for the other direction give `TranslationIndex.reversed`.
        lexicon: Pairs of source and target words.
        kinds: The part of the vocabulary that a source word belongs to, for a breakdown by it.
        threads: Processors to use; all by default.
        progress: Where to report.

    Returns:
        Plain values for JSON: ``coverage`` (per cent of the distinct source words that could be asked),
        ``cosine`` and ``csls`` (``precision@1``, ``precision@5``, ``precision@10``, ``mrr``), the same two
        under ``whole_dictionary``, counts under ``lexicon``, and ``breakdown`` by frequency band of the source
        word (its rank in the vocabulary), by spelling (whether a listed translation is spelled like the word), by
        number of known translations, and by ``kinds``.

    Raises:
        NlprepError: No pair of the dictionary is known.
    """
    asked, answers = index.source, index.target
    coverage = lexicon.coverage(asked, answers)
    rows = np.stack(
        [
            asked.indices([pair[0] for pair in lexicon.pairs]),
            answers.indices([pair[1] for pair in lexicon.pairs]),
        ],
        axis=1,
    )
    rows = rows[(rows >= 0).all(axis=1)]
    if not len(rows):
        raise NlprepError(_nothing_to_ask(lexicon, asked, answers))
    questions, of_pairs, num_translations = np.unique(rows[:, 0], return_inverse=True, return_counts=True)
    places: dict[str, NDArray[np.int64]] = {}
    with progress.task("evaluating", total=len(RETRIEVAL_METHODS)) as task:
        for method in RETRIEVAL_METHODS:
            of_answers = index.ranks(rows, method=method, threads=threads)
            best = np.full(len(questions), np.iinfo(np.int64).max)
            np.minimum.at(best, of_pairs, of_answers)
            places[method] = best
            task.advance()
    words = [asked.words[row] for row in questions]
    identical = {word for word, translation in lexicon.pairs if word == translation}
    groups: dict[str, Callable[[int], str]] = {
        "frequency_rank": lambda place: _band(int(questions[place])),
        "spelling": lambda place: "identical" if words[place] in identical else "different",
        "known_translations": lambda place: _count_name(int(num_translations[place])),
    }
    if kinds is not None:
        groups["kind"] = lambda place: kinds.get(words[place], "other")
    return {
        "source_language": asked.language,
        "target_language": answers.language,
        "coverage": round(coverage.percent, 2),
        **{method: precision_figures(places[method], len(questions)) for method in RETRIEVAL_METHODS},
        "whole_dictionary": {
            method: precision_figures(places[method], coverage.num_source_words) for method in RETRIEVAL_METHODS
        },
        "lexicon": vars(coverage),
        "breakdown": {name: _breakdown(places, group) for name, group in groups.items()},
    }


def turned_to(lexicon: Lexicon, index: TranslationIndex) -> TranslationIndex:
    """The model, reversed if it knows more of a dictionary's pairs that way."""
    as_made = lexicon.coverage(index.source, index.target).pairs_found
    swapped = lexicon.coverage(index.target, index.source).pairs_found
    return index.reversed() if swapped > as_made else index


def precision_figures(places: NDArray[np.int64], total: int) -> dict[str, float]:
    """Precision at 1, 5 and 10 and mean reciprocal rank of ``total`` questions, in per cent, as MUSE calls them.

    Args:
        places: The rank of the best right answer to each question that could be asked, 1 the best.
        total: Number of questions; those without a rank count as wrong.
    """
    summary = summarize_ranks(places, total, whole=100.0)
    figures = {f"precision@{k}": value for k, value in summary.hits.items()}
    return {name: round(value, 2) for name, value in (*figures.items(), ("mrr", summary.mean_reciprocal_rank))}


def _breakdown(places: Mapping[str, NDArray[np.int64]], group: Callable[[int], str]) -> dict[str, dict[str, Any]]:
    members: dict[str, list[int]] = {}
    for place in range(len(places[RETRIEVAL_METHODS[0]])):
        members.setdefault(group(place), []).append(place)
    return {
        name: {
            "words": len(chosen),
            **{method: precision_figures(places[method][chosen], len(chosen)) for method in RETRIEVAL_METHODS},
        }
        for name, chosen in members.items()
    }


def _band(row: int) -> str:
    lower = 1
    for upper in BANDS:
        if row < upper:
            return f"{lower}-{upper}"
        lower = upper + 1
    return f"{lower}-"


def _count_name(count: int) -> str:
    return str(count) if count < 3 else "3 or more"


def _nothing_to_ask(lexicon: Lexicon, asked: Side, answers: Side) -> str:
    if any(one in answers and other in asked for one, other in lexicon.pairs):
        return (
            f"the dictionary seems to be the wrong way round: it starts with {lexicon.pairs[0]!r}; "
            "reverse the model, or the dictionary"
        )
    return (
        f"the dictionary shares no pair of words with the model: it has {lexicon.examples(0)} -> "
        f"{lexicon.examples(1)}, the model {quoted_examples(asked.words)} -> "
        f"{quoted_examples(answers.words)}: check languages and letter case"
    )
