"""Word vectors as a value: words in frequency order beside the matrix of their vectors."""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from nlprep.core.artifacts import pack_words, read_artifact, unpack_words, write_artifact
from nlprep.core.errors import FileError, NlprepError, OptionError
from nlprep.vectors.normalization import row_lengths, scaled_to_unit

if TYPE_CHECKING:
    import os
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

ARTIFACT_KIND = "word-vectors"

AnalogyMethod = Literal["3cosadd", "3cosmul"]
"""How `WordVectors.analogy` scores candidates."""

_BLOCK_ROWS = 8192
_COSMUL_EPSILON = 1e-3
_MOST_SUGGESTIONS = 3


class UnknownWordError(NlprepError, KeyError):
    """A word that has no vector; the message offers the nearest spellings that have one.

    Args:
        word: The word that was asked for.
        suggestions: Known words spelled nearly alike.
    """

    def __init__(self, word: str, suggestions: Sequence[str] = ()) -> None:
        self.word = word
        self.suggestions = tuple(suggestions)
        if suggestions:
            hint = f"did you mean {' or '.join(map(repr, suggestions))}?"
        else:
            hint = "check its spelling and that it is lower-cased as in the training text"
        super().__init__(f"no vector for the word {word!r}: {hint}")

    # KeyError would show the message in quotes.
    __str__ = Exception.__str__

    def __reduce__(self) -> tuple[object, ...]:
        """Survive the trip from a worker process."""
        return UnknownWordError, (self.word, self.suggestions)


class WordVectors:
    """Words and their vectors, read-only.

    A word out of the vocabulary has no vector and none is made up: `vectors[word]` and everything that takes
    words raise `UnknownWordError`, `index` gives None and `indices` gives -1.

    Cosines with an all-zero vector are 0.

    Args:
        words: The words, most frequent first where that is known; no two alike, none with a line feed.
        matrix: One row per word, (n, d), n and d at least 1; kept as float32 without a copy where it already
            is float32 in C order, and memory-mapped if it was. Other floating types are converted.
        check: False skips all checks but those of shape and type, for a caller who has made them; later
            answers are undefined if one would have failed.

    Raises:
        NlprepError: Duplicate words, a word that is not UTF-8 text on one line, a matrix of another shape or
            of no floating type, or NaN or infinity in it (looked for unless the matrix is memory-mapped).
    """

    def __init__(self, words: Sequence[str], matrix: NDArray[Any], *, check: bool = True) -> None:
        if isinstance(words, str):
            raise NlprepError(f"words is the single string {words[:30]!r}: pass a list of words")
        self._words = list(words)
        self._matrix = _as_matrix(matrix, len(self._words))
        self._index: dict[str, int] | None = None
        self._norms: NDArray[np.float64] | None = None
        if check:
            self._check_contents()

    def _check_contents(self) -> None:
        try:
            pack_words(self._words)
        except (ValueError, TypeError) as error:
            raise NlprepError(f"words cannot be stored ({error}): pass text without line feeds") from None
        if len(self._lookup) != len(self._words):
            word = self._first_duplicate()
            raise NlprepError(f"the word {word!r} is given twice: keep one vector for each word")
        bad = None if _is_mapped(self._matrix) else first_non_finite_row(self._matrix)
        if bad is not None:
            raise NlprepError(
                f"the vector of {self._words[bad]!r} (row {bad}) holds NaN or infinity, or numbers beyond "
                "float32: pass finite numbers"
            )

    @property
    def words(self) -> list[str]:
        """The words, in row order. Do not change the list."""
        return self._words

    @property
    def matrix(self) -> NDArray[np.float32]:
        """The vectors, (n, d) float32, read-only."""
        return self._matrix

    @property
    def dimension(self) -> int:
        """Numbers in one vector."""
        return int(self._matrix.shape[1])

    def __len__(self) -> int:
        return len(self._words)

    def __iter__(self) -> Iterator[str]:
        return iter(self._words)

    def __contains__(self, word: object) -> bool:
        return word in self._lookup

    def __getitem__(self, word: str) -> NDArray[np.float32]:
        vector: NDArray[np.float32] = self._matrix[self._row(word)]
        return vector

    def __repr__(self) -> str:
        return f"WordVectors({len(self):,} words x {self.dimension})"

    @property
    def _lookup(self) -> dict[str, int]:
        # Built on first use, so that opening an artifact takes milliseconds.
        if self._index is None:
            self._index = dict(zip(self._words, range(len(self._words)), strict=True))
        return self._index

    def _first_duplicate(self) -> str:
        seen: set[str] = set()
        return next(word for word in self._words if word in seen or seen.add(word))  # type: ignore[func-returns-value]

    def _row(self, word: str) -> int:
        row = self._lookup.get(word)
        if row is None:
            raise UnknownWordError(word, self._close_spellings(word))
        return row

    def _close_spellings(self, word: object) -> list[str]:
        """Known words that differ in letter case or by one edit, most frequent first."""
        if not isinstance(word, str) or not word or len(word) > 100:
            return []
        alphabet = sorted(set().union(*self._words[:1000]))
        forms = {word, word.lower(), word.capitalize(), word.upper(), word.strip()}
        for form in (word, word.lower()):
            splits = [(form[:cut], form[cut:]) for cut in range(len(form) + 1)]
            forms.update(head + tail[1:] for head, tail in splits if tail)
            forms.update(head + tail[1] + tail[0] + tail[2:] for head, tail in splits if len(tail) > 1)
            forms.update(head + letter + tail[1:] for head, tail in splits if tail for letter in alphabet)
            forms.update(head + letter + tail for head, tail in splits for letter in alphabet)
        rows = sorted(self._lookup[form] for form in forms if form in self._lookup)
        return [self._words[row] for row in rows[:_MOST_SUGGESTIONS]]

    def index(self, word: str) -> int | None:
        """The row of ``word``, or None if it has no vector."""
        return self._lookup.get(word)

    def indices(self, words: Sequence[str]) -> NDArray[np.int64]:
        """The rows of ``words``, (len(words),) int64, -1 for those without a vector."""
        lookup = self._lookup
        return np.fromiter((lookup.get(word, -1) for word in words), dtype=np.int64, count=len(words))

    def limit(self, num_words: int) -> WordVectors:
        """The first ``num_words`` words (all, if there are fewer), sharing this matrix.

        Raises:
            OptionError: ``num_words`` is less than 1.
        """
        if num_words < 1:
            raise OptionError(f"limit = {num_words}: keep at least 1 word")
        return WordVectors(self._words[:num_words], self._matrix[:num_words], check=False)

    def normalized(self) -> NDArray[np.float32]:
        """A copy of the matrix with rows of length 1, (n, d) float32; zero rows stay zero."""
        return scaled_to_unit(self._matrix)

    def similarity(self, one: str, other: str) -> float:
        """The cosine between two words.

        Raises:
            UnknownWordError: One of them has no vector.
        """
        pair = scaled_to_unit(np.stack([self[one], self[other]])).astype(np.float64)
        return float(pair[0] @ pair[1])

    def neighbors(
        self, query: str | ArrayLike, top: int = 10, exclude: Collection[str] = ()
    ) -> list[tuple[str, float]]:
        """The words whose vectors have the greatest cosine with the query.

        Args:
            query: A word, which is left out of its own neighbours, or a vector (d,).
            top: How many to return; fewer if there are not as many words.
            exclude: Words to leave out; those without a vector are ignored.

        Returns:
            Pairs of word and cosine, best first; equal cosines in vocabulary order.

        Raises:
            UnknownWordError: The word has no vector.
            NlprepError: The vector is not (d,) or holds NaN or infinity.
        """
        excluded = set(exclude)
        if isinstance(query, str):
            vector = self[query]
            excluded.add(query)
        else:
            vector = np.asarray(query, dtype=np.float32)
            if vector.shape != (self.dimension,):
                raise NlprepError(f"the query has shape {vector.shape}: pass a word or {self.dimension} numbers")
            if not np.isfinite(vector).all():
                raise NlprepError("the query holds NaN or infinity: pass finite numbers")
        return self._best(self._cosines(vector), top, excluded)

    def analogy(
        self, a: str, b: str, c: str, *, top: int = 10, method: AnalogyMethod = "3cosadd"
    ) -> list[tuple[str, float]]:
        """Answer "``a`` is to ``b`` as ``c`` is to ...?"; the three words themselves are never answers.

        Args:
            a: As in "man".
            b: As in "king".
            c: As in "woman".
            top: How many answers.
            method: ``3cosadd`` ranks by cos(x, b) - cos(x, a) + cos(x, c) (Mikolov et al. 2013), reported as
                the cosine with the vector b - a + c of unit-length words, which ranks alike. ``3cosmul``
                ranks by s(x, b) s(x, c) / (s(x, a) + 0.001) with s = (1 + cos) / 2 (Levy & Goldberg 2014,
                equation 4).

        Returns:
            Pairs of word and score, best first.

        Raises:
            UnknownWordError: One of the words has no vector.
            OptionError: Another method.
        """
        unit = scaled_to_unit(np.stack([self[a], self[b], self[c]]))
        if method == "3cosadd":
            scores = self._cosines(unit[1] - unit[0] + unit[2])
        elif method == "3cosmul":
            far, near, other = ((1 + self._cosines(row)) / np.float32(2) for row in unit)
            scores = near * other / (far + np.float32(_COSMUL_EPSILON))
        else:
            raise OptionError(f"analogy method {method!r}: choose 3cosadd or 3cosmul")
        return self._best(scores, top, {a, b, c})

    def _cosines(self, vector: NDArray[np.float32]) -> NDArray[np.float32]:
        """Cosine of every word with a vector, without a normalised copy of the matrix."""
        if self._norms is None:
            self._norms = row_lengths(self._matrix)
        unit = scaled_to_unit(vector[None])[0]
        with np.errstate(over="ignore", invalid="ignore"):
            products: NDArray[np.float32] = self._matrix @ unit
        cosines = np.zeros_like(products)
        np.divide(products, self._norms, out=cosines, where=self._norms > 0)
        return cosines

    def _best(self, scores: NDArray[np.float32], top: int, excluded: set[str]) -> list[tuple[str, float]]:
        from nlprep.vectors.nearest import top_k

        if top < 1:
            raise OptionError(f"top = {top}: ask for at least 1 word")
        wanted = min(len(self), top + len(excluded))
        # One dimension and the query 1: the scores are the inner products.
        values, rows = top_k(np.ones((1, 1), dtype=np.float32), scores.reshape(-1, 1), wanted)
        found = ((self._words[row], float(value)) for row, value in zip(rows[0], values[0], strict=True))
        return [pair for pair in found if pair[0] not in excluded][:top]

    def save(
        self, path: str | os.PathLike[str], *, config: Mapping[str, Any] | None = None, overwrite: bool = False
    ) -> None:
        """Write an artifact directory of kind ``word-vectors``, replacing an older one only when whole.

        Args:
            path: The directory.
            config: Plain values to keep in its ``config.json``, such as the training settings.
            overwrite: Whether another kind of ours may be replaced, too.

        Raises:
            FileError: The place cannot be written or holds something else.
        """
        # Line feeds and lone surrogates were refused at construction.
        write_artifact(
            path,
            kind=ARTIFACT_KIND,
            config=dict(config or {}) | {"num_words": len(self), "dimension": self.dimension},
            tensors={"matrix": self._matrix, "words": pack_words(self._words)},
            overwrite=overwrite,
        )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> WordVectors:
        """Open an artifact that `save` wrote; the matrix stays on disk and is read as it is used.

        Raises:
            FileError: Missing, of another kind, from a newer version, damaged or cut short.
        """
        artifact = read_artifact(path, kind=ARTIFACT_KIND)
        matrix = artifact.tensor("matrix", dtype="float32", shape=(None, None))
        if 0 in matrix.shape:
            raise FileError(path, f"holds a matrix of shape {matrix.shape}: the artifact is damaged; make it again")
        return cls(unpack_words(artifact, "words", len(matrix)), matrix, check=False)


def _as_matrix(matrix: NDArray[Any], num_words: int) -> NDArray[np.float32]:
    array = np.asarray(matrix)
    if array.ndim != 2 or 0 in array.shape:
        raise NlprepError(f"the matrix has shape {array.shape}: pass one row of numbers for each word")
    if len(array) != num_words:
        raise NlprepError(f"{num_words:,} words but {len(array):,} vectors: pass one row for each word")
    if not np.issubdtype(array.dtype, np.floating):
        raise NlprepError(f"the matrix is of type {array.dtype}: pass float32")
    with np.errstate(over="ignore"):
        converted: NDArray[np.float32] = np.ascontiguousarray(array, dtype=np.float32)
    view = converted.view()
    view.flags.writeable = False
    return view


def _is_mapped(array: NDArray[Any]) -> bool:
    base: object = array
    while isinstance(base, np.ndarray):
        base = base.base
    return isinstance(base, mmap.mmap)


def first_non_finite_row(matrix: NDArray[np.float32]) -> int | None:
    """The first row of (n, d) that holds NaN or infinity, or None."""
    ones = np.ones(matrix.shape[1], dtype=np.float32)
    for start in range(0, len(matrix), _BLOCK_ROWS):
        block = matrix[start : start + _BLOCK_ROWS]
        # A row whose sum is finite is finite; a finite row's sum may overflow, so look closely at the others.
        with np.errstate(over="ignore", invalid="ignore"):
            suspects = np.flatnonzero(~np.isfinite(block @ ones))
        bad = suspects[~np.isfinite(block[suspects]).all(axis=1)]
        if len(bad):
            return start + int(bad[0])
    return None
