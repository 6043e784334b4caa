from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nlprep.core.errors import FileError, OptionError
from nlprep.embeddings.similarity import (
    Analogy,
    SimilarityPair,
    evaluate_analogies,
    evaluate_similarity,
    read_analogies,
    read_similarity_pairs,
    spearman_correlation,
)
from nlprep.embeddings.word_vectors import WordVectors

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHARED = (Path(__file__).parents[2] / "../shared/data/similarity").resolve()
shared_directory = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@pytest.fixture(scope="module")
def vectors() -> WordVectors:
    matrix = np.random.default_rng(0).normal(size=(120, 8)).astype(np.float32)
    return WordVectors([f"w{index}" for index in range(120)], matrix)


@pytest.fixture(scope="module")
def gensim_vectors(vectors: WordVectors) -> Any:
    from gensim.models import KeyedVectors

    keyed = KeyedVectors(vectors.dimension)
    keyed.add_vectors(vectors.words, np.array(vectors.matrix))
    return keyed


few_values = st.lists(st.integers(0, 6), min_size=2, max_size=12)


@given(data=st.data(), first=few_values)
@pytest.mark.slow
def test_spearman_is_the_correlation_of_counted_ranks(data: st.DataObject, first: list[int]) -> None:
    second = data.draw(st.lists(st.integers(0, 6), min_size=len(first), max_size=len(first)))

    def ranks(values: list[int]) -> list[float]:
        """One more than those below, and half of the others that are equal."""
        return [sum(one < value for one in values) + (values.count(value) + 1) / 2 for value in values]

    ours = spearman_correlation(first, second)
    if len(set(first)) == 1 or len(set(second)) == 1:
        assert ours is None
    else:
        assert ours == pytest.approx(np.corrcoef(ranks(first), ranks(second))[0, 1], abs=1e-12)


def test_spearman_of_too_few_values_is_not_defined() -> None:
    assert spearman_correlation([], []) is None
    assert spearman_correlation([1.0], [2.0]) is None


def test_reads_tabs_spaces_and_what_published_sets_have(tmp_path: Path) -> None:
    path = tmp_path / "set.txt"
    lines = [
        "# header",
        "Promised Land\tBaku\t0.42",
        "",
        "sun sunlight 50",
        "joyau\tbijou\t\t3.22",
        "sink bath 2.5\t",
    ]
    path.write_text("\n".join(lines))
    assert read_similarity_pairs(path) == [
        SimilarityPair("Promised Land", "Baku", 0.42),
        SimilarityPair("sun", "sunlight", 50.0),
        SimilarityPair("joyau", "bijou", 3.22),
        SimilarityPair("sink", "bath", 2.5),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a b 1\na b\n", r"set\.txt:2: expected two words and a score, found 2 fields in 'a b'"),
        ("a b c 1\n", r"set\.txt:1: expected two words and a score, found 4 fields"),
        ("a b high\n", r"set\.txt:1: expected a number as third field, found 'high'"),
        ("a b nan\n", r"set\.txt:1: expected a number"),
        ("\n# nothing\n", r"set\.txt: has no word pairs"),
        ("", r"set\.txt: has no word pairs"),
    ],
)
def test_unusable_similarity_sets(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "set.txt").write_text(text)
    with pytest.raises(FileError, match=message):
        read_similarity_pairs(tmp_path / "set.txt")


@shared_directory
@given(data=st.binary(max_size=80) | st.text("ab1. \t\n:#", max_size=40).map(str.encode))
def test_arbitrary_bytes_are_read_or_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "set"
    path.write_bytes(data)
    try:
        pairs = read_similarity_pairs(path)
    except FileError as error:
        assert error.path == str(path)
    else:
        assert pairs
        assert all(pair.first and pair.second and np.isfinite(pair.score) for pair in pairs)
    try:
        categories = read_analogies(path)
    except FileError as error:
        assert error.path == str(path)
    else:
        assert any(categories.values())
        assert all(len(question) == 4 for group in categories.values() for question in group)


term = st.text(st.characters(categories=["L"]), min_size=1, max_size=5)
scores = st.floats(-1e6, 1e6)


@shared_directory
@given(
    pairs=st.lists(st.builds(SimilarityPair, term, term, scores), min_size=1, max_size=5),
    gap=st.sampled_from(" \t"),
)
@pytest.mark.slow
def test_written_pairs_come_back(tmp_path: Path, pairs: list[SimilarityPair], gap: str) -> None:
    lines = [gap.join([pair.first, pair.second, repr(pair.score)]) for pair in pairs]
    (tmp_path / "set").write_text("\n".join(lines), encoding="utf-8")
    assert read_similarity_pairs(tmp_path / "set") == pairs


def test_similarity_by_hand() -> None:
    matrix = np.array([[1, 0], [2, 0], [1, 1], [0, 3], [0, 0]], np.float32)
    vectors = WordVectors(["a", "b", "new_york", "d", "zero"], matrix)
    pairs = [
        SimilarityPair("a", "b", 9.0),  # cosine 1
        SimilarityPair("A", "New York", 5.0),  # lower-cased and joined: 0.71
        SimilarityPair("a", "d", 1.0),  # 0
        SimilarityPair("a", "zero", 1.0),  # 0 as well
        SimilarityPair("a", "unknown", 10.0),
    ]
    result = evaluate_similarity(vectors, pairs, name="mine")
    assert (result.name, result.num_pairs, result.pairs_found, result.coverage) == ("mine", 5, 4, 0.8)
    assert result.spearman == pytest.approx(1.0)
    reverse = [pair._replace(score=-pair.score) for pair in pairs]
    assert evaluate_similarity(vectors, reverse).spearman == pytest.approx(-1.0)
    assert evaluate_similarity(vectors, pairs[4:]).spearman is None


def test_cosines_that_differ_by_rounding_only_are_equal() -> None:
    vectors = WordVectors([f"w{n}" for n in range(50)], np.random.default_rng(5).normal(size=(50, 7)))
    pairs = [SimilarityPair(word, word, score) for score, word in enumerate(vectors)]
    assert evaluate_similarity(vectors, pairs).spearman is None


def test_exact_spelling_comes_before_lower_case() -> None:
    vectors = WordVectors(["turkey", "Turkey", "x"], np.array([[1, 0], [0, 1], [0, 1]], np.float32))
    pairs = [SimilarityPair("Turkey", "x", 2), SimilarityPair("turkey", "x", 1)]
    assert evaluate_similarity(vectors, pairs).spearman == pytest.approx(1.0)


def test_similarity_agrees_with_gensim(tmp_path: Path, vectors: WordVectors, gensim_vectors: Any) -> None:
    rng = np.random.default_rng(1)
    lines = [f"w{a}\tw{b}\t{score}\n" for a, b, score in rng.integers(0, 140, (200, 3)) if a != b]
    (tmp_path / "set.txt").write_text("".join(lines))
    result = evaluate_similarity(vectors, tmp_path / "set.txt")
    _, (spearman, _), missing = gensim_vectors.evaluate_word_pairs(str(tmp_path / "set.txt"))
    assert result.name == "set"
    assert result.spearman == pytest.approx(spearman, abs=1e-6)
    assert 100 * (1 - result.coverage) == pytest.approx(missing)
    assert 0 < missing < 100


def test_reads_analogies(tmp_path: Path) -> None:
    path = tmp_path / "questions.txt"
    path.write_text(": family\nboy girl man woman\n\n: gram8-plural\na as b bs\n:family\nking queen he she\n")
    assert read_analogies(path) == {
        "family": [Analogy("boy", "girl", "man", "woman"), Analogy("king", "queen", "he", "she")],
        "gram8-plural": [Analogy("a", "as", "b", "bs")],
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a b c d\n", r"questions:1: found 'a b c d' before any category"),
        (": x\na b c\n", r"questions:2: expected four words, found 3"),
        (": x\n", r"questions: has no questions"),
        ("", r"questions: has no questions"),
    ],
)
def test_unusable_analogies(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "questions").write_text(text)
    with pytest.raises(FileError, match=message):
        read_analogies(tmp_path / "questions")


def answer_slowly(matrix: NDArray[np.float32], a: int, b: int, c: int) -> int:
    unit = matrix.astype(np.float64) / np.linalg.norm(matrix, axis=1, keepdims=True)
    scores = unit @ (unit[b] - unit[a] + unit[c])
    scores[[a, b, c]] = -np.inf
    return int(scores.argmax())


def analogy_text(vectors: WordVectors) -> str:
    """Questions with right, wrong, unknown and beyond-the-limit answers, from a slow reference."""
    rng = np.random.default_rng(2)
    lines = []
    for category in ("capitals", "gram1-x"):
        lines.append(f": {category}")
        for number in range(40):
            a, b, c = (int(index) for index in rng.choice(100, 3, replace=False))
            d = answer_slowly(vectors.matrix[:100], a, b, c) if number % 2 else int(rng.integers(130))
            lines.append(f"w{a} W{b} w{c} w{d}")
    return "\n".join(lines)


def test_analogies_agree_with_a_slow_reference_and_gensim(
    tmp_path: Path, vectors: WordVectors, gensim_vectors: Any
) -> None:
    path = tmp_path / "questions.txt"
    path.write_text(analogy_text(vectors))
    result = evaluate_analogies(vectors, path, restrict=100)
    for category, questions in read_analogies(path).items():
        rows = [[int(word[1:]) for word in question] for question in questions]
        known = [row for row in rows if max(row) < 100]
        score = result.categories[category]
        assert (score.num_questions, score.questions_found) == (40, len(known))
        assert 20 <= len(known) < 40
        assert score.num_right == sum(answer_slowly(vectors.matrix[:100], a, b, c) == d for a, b, c, d in known)
        assert 20 <= score.num_right < len(known)
    accuracy, sections = gensim_vectors.evaluate_word_analogies(str(path), restrict_vocab=100)
    assert result.accuracy == pytest.approx(accuracy)
    by_name = {section["section"]: len(section["correct"]) for section in sections}
    assert {name: score.num_right for name, score in result.categories.items()} == {
        name: by_name[name] for name in ("capitals", "gram1-x")
    }
    assert result.semantic == result.categories["capitals"]
    assert result.syntactic == result.categories["gram1-x"]
    assert result.overall.num_questions == 80
    assert result.coverage == result.overall.questions_found / 80


def test_question_words_are_never_answers() -> None:
    # b - a + c is closest to c, then to b, then to d.
    matrix = np.array([[0, 0.1, 1], [1, 0.2, 0], [1, 0.1, 0], [1, 0.5, 0], [-1, 0, 0]], np.float32)
    vectors = WordVectors(["a", "b", "c", "d", "e"], matrix)
    questions = {"x": [Analogy("a", "b", "c", "d"), Analogy("a", "b", "c", "c")]}
    assert evaluate_analogies(vectors, questions).overall.num_right == 1


def test_fewer_words_than_a_question_has() -> None:
    vectors = WordVectors(["a", "b", "c"], np.eye(3, dtype=np.float32))
    result = evaluate_analogies(vectors, {"x": [Analogy("a", "b", "c", "a"), Analogy("a", "b", "c", "z")]})
    assert (result.accuracy, result.coverage) == (0.0, 0.5)


def test_no_known_question_has_no_accuracy(vectors: WordVectors) -> None:
    result = evaluate_analogies(vectors, {"x": [Analogy("a", "b", "c", "d")]})
    assert result.accuracy is None
    assert result.coverage == 0
    assert result.syntactic.coverage == 0
    with pytest.raises(OptionError, match="restrict = 0"):
        evaluate_analogies(vectors, {}, restrict=0)


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the shared data beside the repository")
def test_every_published_set_is_read() -> None:
    sizes = {path.stem: len(read_similarity_pairs(path)) for path in sorted(SHARED.glob("*/??_*.txt"))}
    assert sizes["EN_WS-353-ALL"] == 353
    assert sizes["EN_SEMEVAL17"] == 500
    assert sizes["FR_RG-65"] == 65
    categories = read_analogies(SHARED / "en/questions-words.txt")
    assert (len(categories), sum(map(len, categories.values()))) == (14, 19_544)
