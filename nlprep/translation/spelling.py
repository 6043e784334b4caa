"""What spelling says about translation: names, loans, numerals and cognates look alike in both languages.

Words become vectors of their spelling, such that words that share n-grams of letters lie close. Appended to word
vectors in the shared space they let every search weigh both kinds of likeness at once::

    cos((x, w u), (z, w v)) = (cos(x, z) + w^2 cos(u, v)) / (1 + w^2)

How much spelling is worth is measured on the two languages themselves (`weigh_spellings`): between languages that
share no script, or no words, it comes to nothing.
"""

from __future__ import annotations

import itertools
import math
import unicodedata
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from nlprep.vectors.csls import find_candidates, mutual_pairs
from nlprep.vectors.normalization import scaled_to_unit

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    import scipy.sparse
    from numpy.typing import NDArray

    from nlprep.vectors.nearest import MutualNeighbors

SHORTEST = 4
"""Shorter words are often spelled alike by chance: "on", "or", "but"."""
LENGTHS = (2, 3, 4)
"""Lengths of the n-grams of letters that words are compared by."""
DIMENSION = 200
"""Dimensions of a spelling. English-French: 150 cost a point or two of precision against 300, which cost time."""
WEIGHED_ON = 10_000
"""Words of each side on which the worth of spelling is measured: the vectors of rarer ones err more."""
HEAVIEST = 0.5
"""The most that spelling counts where vectors count 1."""
ALIKE = 0.95
"""Words of such a cosine of spellings are spelled alike but for accents."""
FEWEST_ALIKE = 50
"""So many of them say something of the vectors."""
_FITTED_TO = 20_000
"""The directions are fitted to so many words of each side."""
_OVERSAMPLING = 20
_POWER_ITERATIONS = 2


@dataclass(frozen=True)
class Spellings:
    """The spellings of two vocabularies as vectors, in one space.

    Attributes:
        source: (n, m) float32, rows of length one; zero for a word that shares no n-gram with any other.
        target: (k, m) likewise.
        weight: What their cosine counts for where the cosine of word vectors counts 1.
    """

    source: NDArray[np.float32]
    target: NDArray[np.float32]
    weight: float

    def join(
        self, source: NDArray[np.float32], target: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Append spellings to the vectors of each side's first words, (a, r) and (b, r) of length one.

        Returns:
            (a, r + m) and (b, r + m), of length one where neither part is zero.
        """
        if self.weight == 0:
            return source, target
        share = np.float32(math.sqrt(1 / (1 + self.weight)))
        rest = np.float32(math.sqrt(self.weight / (1 + self.weight)))
        one, other = (
            np.concatenate([share * vectors, rest * spellings[: len(vectors)]], axis=1)
            for vectors, spellings in ((source, self.source), (target, self.target))
        )
        return one, other

    def weighed(
        self,
        source: NDArray[np.float32],
        target: NDArray[np.float32],
        *,
        neighborhood: int = 10,
        threads: int | None = None,
    ) -> Spellings:
        """The same with the weight that `weigh_spellings` finds, given the first words of each side, aligned."""
        weight = weigh_spellings(
            source,
            target,
            self.source[: len(source)],
            self.target[: len(target)],
            neighborhood=neighborhood,
            threads=threads,
        )
        return replace(self, weight=weight)


def pair_spelled_alike(
    source_words: Sequence[str],
    target_words: Sequence[str],
    *,
    cutoff: int = 20_000,
    excluded_source: Container[int] = (),
    excluded_target: Container[int] = (),
) -> NDArray[np.int64]:
    """Find the words of four characters or more that stand in both vocabularies.

    Args:
        source_words: Words of the source, frequent ones first.
        target_words: Words of the target.
        cutoff: Look among this many of the most frequent words of each side: rare ones are spelled alike by
            accident, such as foreign words in both texts.
        excluded_source: Rows of source words to leave out.
        excluded_target: Rows of target words to leave out.

    Returns:
        (p, 2) int64 rows, by falling frequency of the source word.
    """
    target_rows = {word: row for row, word in enumerate(target_words[:cutoff])}
    pairs = [
        (row, target_rows[word])
        for row, word in enumerate(source_words[:cutoff])
        if len(word) >= SHORTEST and word in target_rows
    ]
    kept = [(one, other) for one, other in pairs if one not in excluded_source and other not in excluded_target]
    return np.array(kept, np.int64).reshape(-1, 2)


def embed_spellings(*vocabularies: Sequence[str], dimension: int = DIMENSION) -> list[NDArray[np.float32]]:
    """Turn the words of two or more vocabularies into vectors of their spelling.

    A word is the set of its n-grams of letters, accents left out and its ends marked, each weighted by its inverse
    frequency among the words. The leading directions of these sets, found by a randomised singular value
    decomposition (Halko, Martinsson and Tropp 2011), with singular values to the power of a half, are the vectors.

    Args:
        vocabularies: Words of each language, most frequent first.
        dimension: Directions kept; fewer where there are fewer n-grams or words.

    Returns:
        For each vocabulary of n words (n, m) float32 rows of length one. The same for the same words.
    """
    grams, weighted = _count_grams(vocabularies)
    fitted = _stack([side[:_FITTED_TO] for side in weighted])
    dimension = min(dimension, *fitted.shape)
    if dimension == 0 or not grams:
        return [np.zeros((len(words), 0), np.float32) for words in vocabularies]
    directions, values = _leading_directions(fitted, dimension)
    projection = directions / np.sqrt(values)
    return [scaled_to_unit(side @ projection) for side in weighted]


def weigh_spellings(
    source: NDArray[np.float32],
    target: NDArray[np.float32],
    source_spellings: NDArray[np.float32],
    target_spellings: NDArray[np.float32],
    *,
    neighborhood: int = 10,
    threads: int | None = None,
) -> float:
    """How much likeness of spelling should count, from vectors that are aligned more or less; no dictionary.

    Each kind of likeness is judged on pairs that the other chose. Words whose vectors are each other's nearest are
    mostly translations, the runners-up mostly not, and of spelling neither choice knew anything: the slope of a
    logistic regression from spelling to which of the two a pair is, in nats per unit of cosine, says what spelling
    is evidence of. Words spelled alike against the runners-up in spelling say the same of the vectors. The ratio of
    the slopes is the weight.

    Args:
        source: (n, r) aligned vectors of the most frequent words, of length one.
        target: (m, r) likewise.
        source_spellings: (n, s) of the same words.
        target_spellings: (m, s) likewise.
        neighborhood: Neighbours averaged by CSLS, and runners-up.
        threads: Processors to use; all by default.

    Returns:
        The weight for `Spellings`, 0 where spelling says nothing. At most `HEAVIEST`, and at most a twentieth of the
        squared slope of spelling: where languages share little, words spelled alike are not translations either and
        say nothing of the vectors. With the spellings of none, half, nine tenths and all of the French words
        shuffled, that was nearest the weight that served English and French best.
    """
    if min(len(source), len(target)) <= 1 or not source_spellings.shape[1]:
        return 0.0
    sides, spellings = (source, target), (source_spellings, target_spellings)
    found = find_candidates(*sides, neighborhood, neighborhood=neighborhood, threads=threads)
    of_spelling = _slope(_likeness(spellings, found, mutual_pairs(found)[:, 0]))
    weight = min(HEAVIEST, of_spelling**2 / 20)
    found = find_candidates(*spellings, neighborhood, neighborhood=neighborhood, threads=threads)
    mutual = mutual_pairs(found)
    alike = np.einsum("ij,ij->i", source_spellings[mutual[:, 0]], target_spellings[mutual[:, 1]]) > ALIKE
    if np.count_nonzero(alike) >= FEWEST_ALIKE:
        of_vectors = _slope(_likeness(sides, found, mutual[alike, 0]))
        if of_vectors > 0:
            weight = min(weight, of_spelling / of_vectors)
    return weight


def _likeness(
    sides: tuple[NDArray[np.float32], NDArray[np.float32]], found: MutualNeighbors, rows: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Cosines of some source rows with their candidates, (rows, candidates)."""
    source, target = sides
    cosines: NDArray[np.float64] = np.einsum("ijk,ik->ij", target[found.targets[rows]], source[rows], dtype=np.float64)
    return cosines


def _slope(likeness: NDArray[np.float64]) -> float:
    """The slope from likeness to being the first candidate rather than a later one, less two standard errors."""
    if not len(likeness):
        return 0.0
    slope, error = _fit_logistic(likeness[:, 0], likeness[:, 1:].ravel())
    return max(0.0, slope - 2 * error)


def _fit_logistic(positives: NDArray[np.float64], negatives: NDArray[np.float64]) -> tuple[float, float]:
    """The slope of a logistic regression on one variable, both classes weighing alike, and its standard error.

    Fitted by Newton's method; the error is the sandwich estimate (White 1982), as the weights call for.
    """
    values = np.concatenate([positives, negatives])
    labels = np.repeat([1.0, 0.0], [len(positives), len(negatives)])
    weights = np.repeat([0.5 / len(positives), 0.5 / len(negatives)], [len(positives), len(negatives)])
    design = np.stack([values, np.ones_like(values)])
    # A little ridge keeps it finite where spelling tells the classes apart without exception.
    ridge = np.diag([1e-4, 1e-9])
    solution = np.zeros(2)
    for _ in range(50):
        chances = 1 / (1 + np.exp(-solution @ design))
        curvature = (design * (weights * chances * (1 - chances))) @ design.T + ridge
        step = np.linalg.solve(curvature, design @ (weights * (chances - labels)) + ridge @ solution)
        solution -= step
        if np.abs(step).max() < 1e-9:
            break
    scores = design * (weights * (chances - labels))
    bread = np.linalg.inv(curvature)
    return float(solution[0]), float(np.sqrt((bread @ (scores @ scores.T) @ bread)[0, 0]))


def _letters(word: str) -> str:
    """A word in small letters without accents, its ends marked."""
    # Only the marks of alphabets such as Latin and Greek are accents; those of Indic scripts are vowels.
    plain = "".join(c for c in unicodedata.normalize("NFD", word.casefold()) if not "\u0300" <= c <= "\u036f")
    return f"\x02{unicodedata.normalize('NFC', plain)}\x03"


def _count_grams(
    vocabularies: Sequence[Sequence[str]],
) -> tuple[int, list[scipy.sparse.csr_matrix]]:
    """Rows of n-gram weights of each vocabulary, of length one, over the n-grams that at least two words have."""
    from scipy.sparse import csr_matrix

    names: dict[str, int] = {}
    places: list[list[int]] = []
    for words in vocabularies:
        for word in words:
            text = _letters(word)
            # A dictionary, not a set, whose order would change from one process to the next.
            grams = dict.fromkeys(text[i : i + n] for n in LENGTHS for i in range(len(text) - n + 1))
            places.append([names.setdefault(gram, len(names)) for gram in grams])
    lengths = np.fromiter(map(len, places), np.int64, len(places))
    columns = np.fromiter((place for row in places for place in row), np.int64, int(lengths.sum()))
    counts = np.bincount(columns, minlength=len(names))
    rarity = np.where(counts > 1, np.log(max(1, len(places)) / np.maximum(counts, 1)), 0.0)
    shape = (len(places), len(names))
    matrix = csr_matrix((rarity[columns], columns, np.concatenate([[0], np.cumsum(lengths)])), shape=shape)
    matrix = matrix[:, np.flatnonzero(counts > 1)]
    norms = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    norms[norms == 0] = 1
    matrix.data /= np.repeat(norms, np.diff(matrix.indptr))
    matrix = matrix.astype(np.float32)
    ends = np.cumsum([0, *map(len, vocabularies)])
    return matrix.shape[1], [matrix[start:end] for start, end in itertools.pairwise(ends)]


def _stack(matrices: Sequence[scipy.sparse.csr_matrix]) -> scipy.sparse.csr_matrix:
    from scipy.sparse import vstack

    return vstack(matrices).tocsr()


def _leading_directions(matrix: scipy.sparse.csr_matrix, count: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The leading right singular vectors (columns, count) and values of a sparse matrix, the last ones roughly."""
    generator = np.random.default_rng(0)
    width = min(count + _OVERSAMPLING, *matrix.shape)
    sketch = matrix @ generator.standard_normal((matrix.shape[1], width), np.float32)
    for _ in range(_POWER_ITERATIONS):
        sketch = matrix @ (matrix.T @ np.linalg.qr(sketch)[0])
    basis = np.linalg.qr(sketch)[0]
    # The small side of the decomposition is solved through its Gram matrix.
    small = matrix.T @ basis
    squares, turns = np.linalg.eigh((small.T @ small).astype(np.float64))
    order = np.argsort(-squares)[:count]
    order = order[squares[order] > 1e-6 * squares.max()]
    values = np.sqrt(squares[order])
    directions = small @ (turns[:, order] / values)
    return directions.astype(np.float32), values.astype(np.float32)
