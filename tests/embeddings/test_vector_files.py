from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import sys
import warnings

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from nlprep.core.errors import FileError, NlprepError, OptionError
from nlprep.embeddings.vector_files import VectorFileWarning, read_vectors, word2vec_text, write_vectors
from nlprep.embeddings.word_vectors import WordVectors

FORMATS = ["word2vec", "word2vec-binary", "artifact"]


@pytest.fixture
def place(tmp_path):
    """Write bytes to a file that can be read."""

    def write(data: bytes, name: str = "v.vec"):
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return write


def read_text(place, text: str | bytes, **options) -> WordVectors:
    return read_vectors(place(text if isinstance(text, bytes) else text.encode()), **options)


def binary(rows: list[tuple[bytes, list[float]]], *, line_feed: bytes = b"", header: bytes | None = None) -> bytes:
    dimension = len(rows[0][1]) if rows else 2
    body = b"".join(w + b" " + np.array(v, dtype="<f4").tobytes() + line_feed for w, v in rows)
    return (b"%d %d\n" % (len(rows), dimension) if header is None else header) + body


def same(one: WordVectors, other: WordVectors) -> bool:
    return one.words == other.words and one.matrix.tobytes() == other.matrix.tobytes()


# Formats


def test_word2vec_text(place):
    vectors = read_text(place, "2 3\nthe 0.1 -0.2 3e-05\nété 1 2 3\n")
    assert vectors.words == ["the", "été"]
    np.testing.assert_array_equal(vectors.matrix, np.array([[0.1, -0.2, 3e-05], [1, 2, 3]], np.float32))


def test_glove(place):
    vectors = read_text(place, "the 0.1 0.2\nof 1 2\n")
    assert vectors.words == ["the", "of"]
    assert vectors.dimension == 2
    assert same(vectors, read_text(place, "the 0.1 0.2\nof 1 2\n", format="glove"))
    assert read_text(place, "7 2\n1 3\n", format="glove").words == ["7", "1"]


@pytest.mark.parametrize(
    "text",
    [
        "2 2\r\na 1 2\r\nb 3 4\r\n",
        "2 2 \na 1 2 \nb 3 4 \n",
        "2\t2\na\t1\t2\nb\t3\t4\n",
        "2 2\na 1 2\nb 3 4",
        "2 2\na 1 2\nb 3 4\n\n \n\r\n",
        "\ufeff2 2\na 1 2\nb 3 4\n",
        "2 2\na  1   2\nb 3 4\n",
        "a 1 2\nb 3 4",
        "\ufeffa 1 2\nb 3 4\n",
        "a 1 2\nb +3.0 4e0\n",
    ],
)
def test_accepted_spellings(place, text):
    vectors = read_text(place, text)
    assert vectors.words == ["a", "b"]
    np.testing.assert_array_equal(vectors.matrix, [[1, 2], [3, 4]])


@pytest.mark.parametrize("line_feed", [b"", b"\n"])
def test_word2vec_binary(place, line_feed):
    data = binary([(b"the", [1, 2, 3]), ("été".encode(), [0.5, -1, 1e-30])], line_feed=line_feed)
    vectors = read_vectors(place(data))
    assert vectors.words == ["the", "été"]
    np.testing.assert_array_equal(vectors.matrix, np.array([[1, 2, 3], [0.5, -1, 1e-30]], np.float32))


@pytest.mark.parametrize(
    "compress", [gzip.compress, lzma.compress, bz2.compress, lambda b: zstandard.ZstdCompressor().compress(b)]
)
def test_compressed(place, compress):
    rows = [(f"w{n}".encode(), [n, n / 3]) for n in range(5000)]
    text = b"5000 2\n" + b"".join(b"%b %d %.9g\n" % (w, *v) for w, v in rows)
    plain = read_vectors(place(text))
    assert len(plain) == 5000
    assert same(plain, read_vectors(place(compress(text))))
    assert same(plain, read_vectors(place(compress(binary(rows)))))
    with pytest.raises(FileError, match="damaged or cut short"):
        read_vectors(place(compress(text)[:-200]))


def test_standard_input(monkeypatch):
    class Input:
        buffer = io.BufferedReader(io.BytesIO(b"1 2\na 3 4\n"))

    monkeypatch.setattr(sys, "stdin", Input())
    assert read_vectors("-").words == ["a"]


def test_artifact_directory(tmp_path, place):
    vectors = read_text(place, "a 1 2\nb 3 4\n")
    write_vectors(vectors, tmp_path / "artifact", format="artifact")
    assert same(read_vectors(tmp_path / "artifact"), vectors)
    assert read_vectors(tmp_path / "artifact", limit=1).words == ["a"]
    with pytest.raises(FileError, match="directory but no artifact"):
        read_vectors(tmp_path)
    with pytest.raises(FileError, match="name the directory"):
        read_vectors(tmp_path / "v.vec", format="artifact")


def test_many_blocks_and_threads_keep_the_order(place, monkeypatch):
    rng = np.random.default_rng(1)
    matrix = rng.standard_normal((3000, 7)).astype(np.float32)
    words = [f"mot{n}é" for n in range(3000)]
    path = place(b"")
    monkeypatch.setattr(word2vec_text, "_WRITTEN_ROWS", 70)
    write_vectors(WordVectors(words, matrix), path, threads=3)
    monkeypatch.setattr(word2vec_text, "_FIRST_BLOCK", 1000)
    monkeypatch.setattr(word2vec_text, "_LARGEST_BLOCK", 3000)
    monkeypatch.setattr(word2vec_text, "_ROWS_AT_FIRST", 2)
    for threads in (1, 3):
        vectors = read_vectors(path, threads=threads)
        assert vectors.words == words
        np.testing.assert_array_equal(vectors.matrix, matrix)
    assert read_vectors(path, limit=1234).words == words[:1234]
    path.write_bytes(gzip.compress(path.read_bytes()))
    assert same(read_vectors(path), vectors)


def test_limit(place):
    path = place(b"3 1\na 1\nb 2\nc broken\n")
    assert read_vectors(path, limit=2).words == ["a", "b"]
    with pytest.raises(FileError, match=":4: value 1 after 'c'"):
        read_vectors(path, limit=3)
    assert read_vectors(place(b"2 1\na 1\nb 2\n"), limit=99).words == ["a", "b"]
    assert read_vectors(place(binary([(b"a", [1]), (b"b", [2])])), limit=1).words == ["a"]
    assert read_vectors(place(binary([(b"a", [1]), (b"b", [2])])), limit=9).words == ["a", "b"]
    with pytest.raises(OptionError, match="limit = 0"):
        read_vectors(path, limit=0)


def test_options_are_checked(place):
    path = place(b"1 1\na 1\n")
    with pytest.raises(OptionError, match="format 'vec'"):
        read_vectors(path, format="vec")
    with pytest.raises(OptionError, match="encoding errors"):
        read_vectors(path, encoding_errors="latin")
    with pytest.raises(OptionError, match="threads = 0"):
        read_vectors(path, threads=0)
    with pytest.raises(OptionError, match="format 'glove'"):
        write_vectors(read_vectors(path), path, format="glove")


# Irregular files


BAD = [
    ("3 2\na 1 2\nb 1\nc 3 4\n", 3, "expected 2 values after 'b', found 1: the file may be cut short"),
    ("3 2\na 1 2\nb 1 2 3\nc 3 4\n", 3, "expected 2 values after 'b', found 3"),
    ("3 2\na 1 2\nb 1 x\nc 3 4\n", 3, "value 2 after 'b' is 'x', not a number"),
    ("3 2\na 1 2\nb 1 1_0\nc 3 4\n", 3, "'1_0', not a number"),
    ("3 2\na 1 2\nb nan 2\nc 3 4\n", 3, "value 1 after 'b' is 'nan', not a finite"),
    ("3 2\na 1 2\nb 1 -inf\nc 3 4\n", 3, "value 2 after 'b' is '-inf', not a finite"),
    ("3 2\na 1 2\nb 1 1e39\nc 3 4\n", 3, "'1e39', not a finite float32"),
    ("2 2\na 1 2\n\nc 3 4\n", 3, "found an empty line"),
    ("2 2\na 1 2\nc 3 4\nd 1 2\n", 4, "the header promises 2 words, found more"),
    ("3 2\na 1 2\nc 3 4\n", 3, "the header promises 3 words, found 2: the file may be cut short"),
    ("3 2\na 1 2\n 1 2\nc 3 4\n", 3, "expected 2 values after '1', found 1"),
]


@pytest.mark.parametrize(("text", "line", "message"), BAD)
@pytest.mark.slow
def test_bad_rows_are_errors_with_their_line(place, text, line, message):
    with pytest.raises(FileError, match=re.escape(message)) as caught:
        read_text(place, text)
    assert caught.value.line == line
    assert re.search(rf"v\.vec:{line}: .*: .*", str(caught.value))
    assert "\n" not in str(caught.value)
    assert "skip-bad-lines" in str(caught.value)


@pytest.mark.parametrize(("text", "line", "message"), BAD)
def test_bad_rows_can_be_skipped_with_a_warning(place, text, line, message):
    with pytest.warns(VectorFileWarning) as caught:
        vectors = read_text(place, text, skip_bad_lines=True)
    assert vectors.words == ["a", "c"]
    np.testing.assert_array_equal(vectors.matrix, [[1, 2], [3, 4]])
    assert len(caught) == 1
    assert caught[0].filename == __file__  # It points at who asked, through read_text here.
    assert f"v.vec:{line}: " in str(caught[0].message)
    assert message in str(caught[0].message)


def test_a_file_cut_within_its_last_row(place):
    with pytest.raises(FileError, match=r":3: expected 2 values after 'c', found 1: the file may be cut short"):
        read_text(place, "3 2\na 1 2\nc 3")
    # Cut within the number, nothing shows but the count.
    with pytest.raises(FileError, match="promises 3 words, found 2"):
        read_text(place, "3 2\na 1 2\nc 3 4")


def test_repeated_words_keep_the_first(place):
    with pytest.warns(VectorFileWarning, match=r"v\.vec:4: the word 'a' comes again.*dropped 2 repeated words"):
        vectors = read_text(place, "4 1\na 1\nb 2\na 3\nb 4\n")
    assert vectors.words == ["a", "b"]
    np.testing.assert_array_equal(vectors.matrix, [[1], [2]])
    with pytest.warns(VectorFileWarning, match="the word 'a' comes again.*dropped 1 repeated word$"):
        vectors = read_vectors(place(binary([(b"a", [1]), (b"a", [2]), (b"b", [3])])))
    np.testing.assert_array_equal(vectors.matrix, [[1], [3]])


def test_repeated_words_do_not_count_towards_the_limit(place):
    with pytest.warns(VectorFileWarning):
        assert read_text(place, "a 1\na 2\nb 3\nc 4\n", limit=2).words == ["a", "b"]


def test_words_with_spaces(place):
    text = "4 2\nat name@x.org 1 2\n. . . 3 4\nnew  york\t5 6\na\u00a0b 7 8\n"
    vectors = read_text(place, text)
    assert vectors.words == ["at name@x.org", ". . .", "new  york", "a\u00a0b"]
    np.testing.assert_array_equal(vectors.matrix, np.arange(1, 9).reshape(4, 2))
    assert read_text(place, text.split("\n", 1)[1]).words == vectors.words


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b"3 2\n", "holds no usable vector|found 0"),
        (b"3 2", "holds no usable vector|found 0"),
        (b"0 2\n", "promises 0 words"),
        (b"2 0\na\nb\n", "of 0 numbers"),
        (b"2 99999999999\na 1\nb 2\n", "99,999,999,999 numbers"),
        (b"999999999999999999 2\na 1 2\n", "found 1: the file may be cut short"),
        (b"5 1048576\n" + b"a 1 2\n" * 1000, "expected 1048576 values after 'a', found 2"),
        (b"just some words\n", "name a file of word vectors"),
        (b"word\n", "name a file of word vectors"),
        (b"PK\x03\x04rest", "zip archive"),
        (b"\x80\x04\x95rest", "pickle"),
        (b"\x93NUMPY\x01\x00", "NumPy"),
        (b"\x00\x01\x02", "name a file"),
    ],
)
def test_files_without_vectors(place, data, message):
    with pytest.raises(FileError, match=message) as caught:
        read_vectors(place(data))
    assert "\n" not in str(caught.value)


def test_missing_file_and_explicit_formats(tmp_path, place):
    with pytest.raises(FileError, match="no such file"):
        read_vectors(tmp_path / "absent")
    for kind in ("word2vec", "word2vec-binary"):
        with pytest.raises(FileError, match="expected the header"):
            read_vectors(place(b"the 1 2\n"), format=kind)
    with pytest.raises(FileError, match="not as a fastText model"):
        read_vectors(place(b"1 1\nthe 1\n"), format="fasttext")


def test_a_line_without_end(place, monkeypatch):
    monkeypatch.setattr(word2vec_text, "_LONGEST_LINE", 1 << 19)
    with pytest.raises(FileError, match="a line is longer than"):
        read_vectors(place(b"1 2\n" + b"x" * (1 << 21)), format="word2vec")


@pytest.mark.parametrize("kind", ["text", "binary"])
def test_words_that_are_not_utf8(place, kind):
    rows = [(b"a", [1]), (b"caf\xe9", [2]), (b"b", [3])]
    data = b"3 1\n" + b"".join(b"%b %d\n" % (w, *v) for w, v in rows) if kind == "text" else binary(rows)
    where = r"v\.vec:3: " if kind == "text" else "word 2: "
    with pytest.raises(FileError, match=where + r".*byte 0xe9.*encoding-errors"):
        read_vectors(place(data))
    assert read_vectors(place(data), encoding_errors="replace").words == ["a", "caf\ufffd", "b"]
    assert read_vectors(place(data), encoding_errors="ignore").words == ["a", "caf", "b"]
    assert read_vectors(place(data), encoding_errors="skip-line").words == ["a", "b"]
    with pytest.warns(VectorFileWarning, match="skipped 1 bad line"):
        vectors = read_vectors(place(data), skip_bad_lines=True)
    np.testing.assert_array_equal(vectors.matrix, [[1], [3]])


def test_binary_that_is_cut_short_or_lies(place):
    data = binary([(b"a", [1, 2]), (b"b", [3, 4])])
    for cut in (1, 5, 9):
        with pytest.raises(FileError, match="promises 2 words, found 1 whole ones: the file may be cut short"):
            read_vectors(place(data[:-cut]))
    with pytest.warns(VectorFileWarning, match="found 1 whole"):
        assert read_vectors(place(data[:-1]), skip_bad_lines=True).words == ["a"]
    with pytest.raises(FileError, match="found more bytes behind them"):
        read_vectors(place(data + b"c xxxxyyyy"))
    assert read_vectors(place(data + b"\n")).words == ["a", "b"]
    lying = binary([(b"a", [1, 2]), (b"b", [3, 4])], header=b"99999999999999 2\n")
    with pytest.raises(FileError, match="found 2 whole"):
        read_vectors(place(lying))
    with pytest.raises(FileError, match=r"no space within|found 0 whole"):
        read_vectors(place(b"1 2\n" + b"\x01" * 200_000), format="word2vec-binary")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_binary_with_numbers_that_are_not_finite(place, bad):
    data = binary([(b"a", [1, 2]), (b"b", [3, bad]), (b"c", [5, 6])])
    with pytest.raises(FileError, match="word 2: the vector of 'b' holds NaN or infinity"):
        read_vectors(place(data))
    with pytest.warns(VectorFileWarning, match="skipped 1 bad line"):
        vectors = read_vectors(place(data), skip_bad_lines=True)
    np.testing.assert_array_equal(vectors.matrix, [[1, 2], [5, 6]])


# Any bytes at all


number_text = st.sampled_from(["1", "-0.5", "1e-5", "nan", "inf", "x", "1e999", "", "0.1234567890123456789"])
text_rows = st.lists(
    st.tuples(st.sampled_from(["a", "b", "c d", "é", " ", "7", "\ufeff"]), st.lists(number_text, max_size=4)),
    max_size=6,
)


@st.composite
def nearly_text(draw):
    rows = [" ".join([word, *numbers]) for word, numbers in draw(text_rows)]
    header = draw(st.sampled_from(["", "2 2\n", "1 1\n", "6 3\n", "99999999999999999 2\n", "0 0\n", "3 1048576\n"]))
    return (header + draw(st.sampled_from(["\n", "\r\n"])).join(rows)).encode() + draw(st.binary(max_size=6))


@st.composite
def nearly_binary(draw):
    header = b"%d %d\n" % (draw(st.integers(0, 5)), draw(st.integers(0, 4)))
    return header + draw(st.binary(max_size=80))


@settings(max_examples=400, deadline=None)
@given(
    data=st.one_of(st.binary(max_size=200), nearly_text(), nearly_binary()),
    kind=st.sampled_from(["auto", "word2vec", "word2vec-binary", "glove", "fasttext"]),
    skip=st.booleans(),
    policy=st.sampled_from(["strict", "replace", "ignore", "skip-line"]),
    limit=st.sampled_from([None, 1, 3]),
)
@pytest.mark.slow
def test_any_bytes_give_vectors_or_a_file_error(tmp_path_factory, data, kind, skip, policy, limit):
    path = tmp_path_factory.getbasetemp() / "any.vec"
    path.write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VectorFileWarning)
        try:
            vectors = read_vectors(
                path, format=kind, skip_bad_lines=skip, encoding_errors=policy, limit=limit, threads=2
            )
        except FileError:
            return
    # What is returned passes the checks that readers are trusted with.
    WordVectors(vectors.words, vectors.matrix)
    assert all(vectors.words)
    assert limit is None or len(vectors) <= limit


text_word = st.text(st.characters(exclude_categories=["Cs"], exclude_characters=" \t\n"), min_size=1, max_size=8)
spaced_word = st.lists(text_word, min_size=1, max_size=3).map(" ".join)
finite = st.floats(width=32, allow_nan=False, allow_infinity=False)


@st.composite
def some_vectors(draw, words=text_word):
    names = draw(st.lists(words, min_size=1, max_size=6, unique=True))
    dimension = draw(st.integers(2, 5))
    values = draw(st.lists(finite, min_size=len(names) * dimension, max_size=len(names) * dimension))
    return WordVectors(names, np.array(values, dtype=np.float32).reshape(len(names), dimension))


@settings(max_examples=150, deadline=None)
@given(vectors=some_vectors(), kind=st.sampled_from(FORMATS), auto=st.booleans())
@pytest.mark.slow
def test_write_and_read_are_inverse(tmp_path_factory, vectors, kind, auto):
    path = tmp_path_factory.mktemp("round") / "v"
    write_vectors(vectors, path, format=kind)
    assert same(read_vectors(path, format="auto" if auto else kind), vectors)


@settings(max_examples=100, deadline=None)
@given(vectors=some_vectors(spaced_word))
@pytest.mark.slow
def test_words_with_spaces_come_back_or_are_refused(tmp_path_factory, vectors):
    path = tmp_path_factory.mktemp("round") / "v"
    try:
        write_vectors(vectors, path)
    except NlprepError:
        assert any(word2vec_text.is_number(part.encode()) for word in vectors.words for part in word.split(" ")[1:])
        assert not path.exists()
    else:
        assert same(read_vectors(path, format="word2vec"), vectors)


@pytest.mark.parametrize("word", ["", " a", "a ", "a 1", "a\t2", "a nan"])
def test_words_that_text_cannot_hold(tmp_path, word):
    with pytest.raises(NlprepError, match="cannot be written as text"):
        write_vectors(WordVectors([word], np.ones((1, 2), np.float32)), tmp_path / "v")
    assert list(tmp_path.iterdir()) == []


def test_words_that_binary_cannot_hold(tmp_path):
    for word in ("", "a b"):
        with pytest.raises(NlprepError, match="cannot be written as word2vec binary"):
            write_vectors(WordVectors([word], np.ones((1, 2), np.float32)), tmp_path / "v", format="word2vec-binary")


@pytest.mark.parametrize("kind", FORMATS)
def test_writing_where_one_cannot(tmp_path, place, kind):
    vectors = read_text(place, "a 1\n")
    with pytest.raises(FileError):
        write_vectors(vectors, tmp_path / "no" / "such" / "place", format=kind)
    (tmp_path / "file").write_text("keep")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine").write_text("keep")
    target = tmp_path / ("file" if kind == "artifact" else "folder")
    with pytest.raises(FileError):
        write_vectors(vectors, target, format=kind)
    assert (tmp_path / "folder" / "mine").read_text() == "keep"


# gensim reads what we write, and we what it writes


def realistic() -> WordVectors:
    rng = np.random.default_rng(5)
    matrix = (rng.standard_normal((300, 20)) / 20).astype(np.float32)
    return WordVectors([f"mot{n}" for n in range(298)] + ["été", "naïve"], matrix)


@pytest.mark.parametrize("is_binary", [False, True])
def test_gensim_reads_ours(tmp_path, is_binary):
    from gensim.models import KeyedVectors

    vectors = realistic()
    write_vectors(vectors, tmp_path / "v", format="word2vec-binary" if is_binary else "word2vec")
    keyed = KeyedVectors.load_word2vec_format(tmp_path / "v", binary=is_binary)
    assert keyed.index_to_key == vectors.words
    np.testing.assert_array_equal(keyed.vectors, vectors.matrix)


@pytest.mark.parametrize(("is_binary", "header"), [(False, True), (False, False), (True, True)])
def test_we_read_gensims(tmp_path, is_binary, header):
    from gensim.models import KeyedVectors

    vectors = realistic()
    keyed = KeyedVectors(20)
    keyed.add_vectors(vectors.words, vectors.matrix.copy())
    keyed.save_word2vec_format(tmp_path / "v.gz", binary=is_binary, write_header=header)
    again = read_vectors(tmp_path / "v.gz")
    assert again.words == vectors.words
    np.testing.assert_array_equal(again.matrix, vectors.matrix)
