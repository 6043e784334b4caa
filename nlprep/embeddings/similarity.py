"""Word vectors against human judgement: word similarity (Spearman) and analogies (3CosAdd), with coverage.

A word of a test set is looked up as it is written, then lower-cased; a term of several words also joined by
underscores. What is still unknown is left out of the score and lowers the coverage.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nlprep.core.errors import FileError, OptionError
from nlprep.core.files import display_name, read_lines
from nlprep.core.progress import SILENT
from nlprep.vectors.nearest import top_k
from nlprep.vectors.normalization import row_lengths, scaled_to_unit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from nlprep.core.progress import Progress
    from nlprep.embeddings.word_vectors import WordVectors


class SimilarityPair(NamedTuple):
    """Two words and how alike people find them, on any scale."""

    first: str
    second: str
    score: float


class Analogy(NamedTuple):
    """``a`` is to ``b`` as ``c`` is to ``d``; ``d`` is what has to be found."""

    a: str
    b: str
    c: str
    d: str


@dataclass(frozen=True, kw_only=True)
class SimilarityResult:
    """Agreement with one word similarity set.

    Attributes:
        name: The set's name.
        spearman: Rank correlation of cosines and judgements over the pairs found, in [-1, 1]; None where it
            is not defined: fewer than two pairs found, or all their cosines or all their judgements equal.
        num_pairs: Pairs in the set.
        pairs_found: Pairs of which both words have vectors.
    """

    name: str
    spearman: float | None
    num_pairs: int
    pairs_found: int

    @property
    def coverage(self) -> float:
        """The share of pairs found, in [0, 1]."""
        return self.pairs_found / self.num_pairs if self.num_pairs else 0.0


@dataclass(frozen=True, kw_only=True)
class AnalogyScore:
    """Right answers among some analogy questions.

    Attributes:
        num_questions: Questions asked.
        questions_found: Questions of which all four words are known.
        num_right: Questions answered rightly.
    """

    num_questions: int
    questions_found: int
    num_right: int

    @property
    def accuracy(self) -> float | None:
        """The share of right answers to the questions found, in [0, 1]; None if none was found."""
        return self.num_right / self.questions_found if self.questions_found else None

    @property
    def coverage(self) -> float:
        """The share of questions found, in [0, 1]."""
        return self.questions_found / self.num_questions if self.num_questions else 0.0


@dataclass(frozen=True, kw_only=True)
class AnalogyResult:
    """Answers to an analogy set.

    Attributes:
        name: The set's name.
        overall: All questions.
        semantic: The categories whose name does not start with ``gram``, as the set of Mikolov et al. has it.
        syntactic: The others.
        categories: Each category, in the order of the file.
    """

    name: str
    overall: AnalogyScore
    semantic: AnalogyScore
    syntactic: AnalogyScore
    categories: dict[str, AnalogyScore]

    @property
    def accuracy(self) -> float | None:
        """The share of right answers to all questions found, in [0, 1]; None if none was found."""
        return self.overall.accuracy

    @property
    def coverage(self) -> float:
        """The share of all questions found, in [0, 1]."""
        return self.overall.coverage


def read_similarity_pairs(path: str | os.PathLike[str]) -> list[SimilarityPair]:
    """Read a word similarity set: ``word word score`` on each line.

    A line is split at tabs if that gives three fields, so that terms of several words may stand in it, and
    else at white space. Empty lines and lines that start with ``#`` are left out. Letter case is kept.

    Raises:
        FileError: Unreadable, not UTF-8, no pairs, or a line (named) without two words and a finite number.
    """
    name = display_name(path)
    pairs = []
    for number, text in read_lines(path):
        if not text.strip() or text.startswith("#"):
            continue
        fields = [field.strip() for field in text.split("\t") if field.strip()]
        if len(fields) != 3:
            # Also what published sets have: spaces between the fields and a stray tab at the end.
            fields = text.split()
        if len(fields) != 3:
            raise FileError(
                name,
                f"expected two words and a score, found {len(fields)} fields in {text!r:.80}: separate them "
                "by tabs or spaces",
                line=number,
            )
        try:
            score = float(fields[2])
        except ValueError:
            score = np.nan
        if not np.isfinite(score):
            raise FileError(
                name,
                f"expected a number as third field, found {fields[2]!r:.80}: write `word word score`",
                line=number,
            )
        pairs.append(SimilarityPair(fields[0], fields[1], score))
    if not pairs:
        raise FileError(name, "has no word pairs: give lines of `word word score`")
    return pairs


def evaluate_similarity(
    vectors: WordVectors, pairs: str | os.PathLike[str] | Sequence[SimilarityPair], *, name: str | None = None
) -> SimilarityResult:
    """Correlate cosines with people's judgements.

    Args:
        vectors: The word vectors.
        pairs: A file as for `read_similarity_pairs`, or its content.
        name: The set's name; by default the file's, without its ending.

    Raises:
        FileError: As for `read_similarity_pairs`.
    """
    if isinstance(pairs, str | os.PathLike):
        name = Path(pairs).stem if name is None else name
        pairs = read_similarity_pairs(pairs)
    rows = _known_rows(vectors, [(pair.first, pair.second) for pair in pairs], len(vectors))
    found = np.all(rows >= 0, axis=1)
    left, right = (vectors.matrix[rows[found, side]] for side in (0, 1))
    lengths = row_lengths(left) * row_lengths(right)
    products = np.einsum("ij,ij->i", left, right, dtype=np.float64)
    # Ranks would tell cosines apart that differ by a rounding error only, such as a word's with itself.
    cosines = np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0).round(9)
    judged = np.array([pair.score for pair in pairs], dtype=np.float64)[found]
    return SimilarityResult(
        name=name or "",
        spearman=spearman_correlation(cosines, judged),
        num_pairs=len(pairs),
        pairs_found=int(found.sum()),
    )


def spearman_correlation(first: ArrayLike, second: ArrayLike) -> float | None:
    """Spearman's rank correlation: Pearson's correlation of ranks, equal values sharing their mean rank.

    Args:
        first: (n,) numbers.
        second: (n,) numbers.

    Returns:
        The correlation in [-1, 1], or None where it is not defined: fewer than two values, or all equal.
    """
    first, second = (np.asarray(values, np.float64) for values in (first, second))
    # scipy warns of such values and gives no number: here it is an answer, not a mishap.
    if len(first) < 2 or (first == first[0]).all() or (second == second[0]).all():
        return None
    from scipy.stats import spearmanr

    return float(np.clip(spearmanr(first, second).statistic, -1, 1))


def read_analogies(path: str | os.PathLike[str]) -> dict[str, list[Analogy]]:
    """Read analogies as ``questions-words.txt`` has them: ``: category``, then ``a b c d`` lines.

    Empty lines are left out; a category named twice goes on. Letter case is kept.

    Returns:
        Questions by category, in the order of the file.

    Raises:
        FileError: Unreadable, not UTF-8, no questions, a line (named) that has not four words, or questions
            before the first category.
    """
    name = display_name(path)
    categories: dict[str, list[Analogy]] = {}
    questions: list[Analogy] | None = None
    for number, text in read_lines(path):
        fields = text.split()
        if not fields:
            continue
        if text.startswith(":"):
            questions = categories.setdefault(text[1:].strip(), [])
            continue
        if questions is None:
            raise FileError(
                name,
                f"found {text!r:.80} before any category: start with a line such as `: family`",
                line=number,
            )
        if len(fields) != 4:
            raise FileError(
                name,
                f"expected four words, found {len(fields)} in {text!r:.80}: write `a b c d`",
                line=number,
            )
        questions.append(Analogy(*fields))
    if not any(categories.values()):
        raise FileError(name, "has no questions: give lines of `a b c d` under lines of `: category`")
    return categories


def evaluate_analogies(
    vectors: WordVectors,
    analogies: str | os.PathLike[str] | Mapping[str, Sequence[Analogy]],
    *,
    restrict: int | None = 30_000,
    name: str | None = None,
    threads: int | None = None,
    progress: Progress = SILENT,
) -> AnalogyResult:
    """Answer analogies by 3CosAdd: of all words but a, b and c, that with the greatest cosine to b - a + c.

    The method and the question set are those of Mikolov, Chen, Corrado and Dean, 2013 (arXiv:1301.3781);
    vectors have length one before they are added, as in word2vec's own program.

    Args:
        vectors: The word vectors, most frequent words first.
        analogies: A file as for `read_analogies`, or its content.
        restrict: Only the first so many words can be asked about and answered with; None for all.
        name: The set's name; by default the file's, without its ending.
        threads: Processors to use; all by default.
        progress: Where to report.

    Raises:
        FileError: As for `read_analogies`.
        OptionError: ``restrict`` is below 1.
    """
    if restrict is not None and restrict < 1:
        raise OptionError(f"restrict = {restrict}: must be at least 1, or None for all words")
    if isinstance(analogies, str | os.PathLike):
        name = Path(analogies).stem if name is None else name
        analogies = read_analogies(analogies)
    num_words = len(vectors) if restrict is None else min(restrict, len(vectors))
    questions = [question for group in analogies.values() for question in group]
    rows = _known_rows(vectors, questions, num_words)
    found = np.all(rows >= 0, axis=1)
    right = np.zeros(len(questions), dtype=bool)
    right[found] = _answer(vectors, rows[found, :3], num_words, threads, progress) == rows[found, 3]

    categories, start = {}, 0
    for category, group in analogies.items():
        part = slice(start, start + len(group))
        start += len(group)
        categories[category] = AnalogyScore(
            num_questions=len(group),
            questions_found=int(found[part].sum()),
            num_right=int(right[part].sum()),
        )
    return AnalogyResult(
        name=name or "",
        overall=_sum(categories.values()),
        semantic=_sum(score for category, score in categories.items() if not _is_syntactic(category)),
        syntactic=_sum(score for category, score in categories.items() if _is_syntactic(category)),
        categories=categories,
    )


def _is_syntactic(category: str) -> bool:
    return category.startswith("gram")


def _sum(scores: Iterable[AnalogyScore]) -> AnalogyScore:
    listed = list(scores)
    return AnalogyScore(
        num_questions=sum(score.num_questions for score in listed),
        questions_found=sum(score.questions_found for score in listed),
        num_right=sum(score.num_right for score in listed),
    )


def _answer(
    vectors: WordVectors,
    rows: NDArray[np.int64],
    num_words: int,
    threads: int | None,
    progress: Progress,
) -> NDArray[np.int64]:
    """For rows (q, 3) of a, b, c: the row (q,) of the best other word; -1 where there is none."""
    unit = scaled_to_unit(vectors.matrix[:num_words])
    queries = unit[rows[:, 1]] - unit[rows[:, 0]] + unit[rows[:, 2]]
    # The three words of the question may well be the best three.
    _, best = top_k(queries, unit, 4, threads=threads, progress=progress)
    allowed = (best[:, :, None] != rows[:, None, :]).all(axis=2)
    first = allowed.argmax(axis=1)[:, None]
    answers = np.take_along_axis(best, first, axis=1)[:, 0]
    return np.where(allowed.any(axis=1), answers, -1)


def _known_rows(vectors: WordVectors, tuples: Sequence[tuple[str, ...]], num_words: int) -> NDArray[np.int64]:
    """Rows (n, words in a tuple) of words among the first ``num_words``, -1 for unknown ones."""

    def row(word: str) -> int:
        joined = "_".join(word.split())
        for form in (word, word.lower(), joined, joined.lower()):
            index = vectors.index(form)
            if index is not None and index < num_words:
                return index
        return -1

    known = {word: row(word) for word in {word for words in tuples for word in words}}
    width = len(tuples[0]) if tuples else 1
    return np.array([[known[word] for word in words] for words in tuples], np.int64).reshape(-1, width)
