"""Sentences as weighted averages of aligned word vectors, and finding their translations."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from nlprep.core.errors import NlprepError
from nlprep.core.files import read_lines
from nlprep.core.progress import SILENT
from nlprep.corpus import tokenize
from nlprep.embeddings.averaged_vectors import AveragedWordVectors
from nlprep.embeddings.word_vectors import WordVectors
from nlprep.translation.evaluation import precision_figures
from nlprep.vectors.nearest import mutual_neighborhood_means, ranks
from nlprep.vectors.normalization import scaled_to_unit

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from nlprep.core.progress import Progress
    from nlprep.translation.index.bilingual import Side, TranslationIndex


def inverse_document_frequencies(sentences: Iterable[Sequence[str]]) -> dict[str, float]:
    """The logarithm of the number of sentences over the number that hold a word, for each word."""
    counts: Counter[str] = Counter()
    total = 0
    for sentence in sentences:
        counts.update(set(sentence))
        total += 1
    return {word: math.log(total / count) for word, count in counts.items()}


def embed_sentences(
    sentences: Sequence[Sequence[str]], side: Side, frequencies: Mapping[str, float]
) -> NDArray[np.float32]:
    """Sentences in the shared space, (n, r) float32 rows of length one.

    A sentence is the average of its known words' vectors, each as often as it occurs, times its inverse
    document frequency (see `nlprep.embeddings.averaged_vectors`). A word without one is taken to be as rare as the
    rarest; a sentence without known words is zero.

    Args:
        sentences: Tokenised as the vectors' training text was.
        side: The language of the sentences in a `TranslationIndex`.
        frequencies: From `inverse_document_frequencies`.
    """
    rarest = max(frequencies.values(), default=1.0)
    weights = np.array([frequencies.get(word, rarest) for word in side.words], np.float32)
    vectors = WordVectors(side.words, side.matrix, check=False)
    return scaled_to_unit(AveragedWordVectors(vectors, weights).encode_words(sentences))


def read_aligned_texts(
    source: str | os.PathLike[str], target: str | os.PathLike[str]
) -> tuple[list[list[str]], list[list[str]]]:
    """Read two texts that are translations line by line, as words.

    Raises:
        FileError: One cannot be read.
        NlprepError: They do not have as many lines.
    """
    one, other = ([tokenize(line) for _, line in read_lines(path)] for path in (source, target))
    if len(one) != len(other):
        raise NlprepError(
            f"{source} has {len(one):,} lines and {target} {len(other):,}: give translations line by line"
        )
    return one, other


def evaluate_sentence_retrieval(
    index: TranslationIndex,
    source: Sequence[Sequence[str]],
    target: Sequence[Sequence[str]],
    *,
    source_frequencies: Mapping[str, float] | None = None,
    target_frequencies: Mapping[str, float] | None = None,
    threads: int | None = None,
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Find each sentence's translation among all sentences of the other language.

    Args:
        index: The model.
        source: Tokenised sentences of the index's source language.
        target: Their translations, in the same order.
        source_frequencies: Inverse document frequencies; from ``source`` itself by default.
        target_frequencies: Likewise from ``target``.
        threads: Processors to use; all by default.
        progress: Where to report.

    Returns:
        Plain values for JSON: ``sentences``, and under ``source-to-target`` and ``target-to-source``, for
        ``cosine`` and ``csls``, ``precision@1``, ``precision@5``, ``precision@10``, ``mrr`` in per cent.

    Raises:
        NlprepError: The two sides differ in number, or are empty.
    """
    if len(source) != len(target) or not len(source):
        raise NlprepError(
            f"{len(source):,} source and {len(target):,} target sentences: give translations line by line"
        )
    vectors = [
        embed_sentences(
            sentences,
            side,
            frequencies if frequencies is not None else inverse_document_frequencies(sentences),
        )
        for sentences, side, frequencies in (
            (source, index.source, source_frequencies),
            (target, index.target, target_frequencies),
        )
    ]
    means = mutual_neighborhood_means(vectors[0], vectors[1], index.neighborhood, threads=threads, progress=progress)
    own = np.arange(len(source))
    pairs = np.stack([own, own], axis=1)
    result: dict[str, Any] = {"sentences": len(source)}
    for direction, asked, answers in (("source-to-target", 0, 1), ("target-to-source", 1, 0)):
        result[direction] = {
            method: precision_figures(
                ranks(vectors[asked], vectors[answers], pairs, offsets=offsets, threads=threads), len(source)
            )
            for method, offsets in (("cosine", None), ("csls", -means[answers] / 2))
        }
    return result
