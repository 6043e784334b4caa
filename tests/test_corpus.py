from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import sys
import tracemalloc
import unicodedata
from collections import Counter
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zstandard
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import nlprep.corpus
from nlprep.core.artifacts import write_artifact
from nlprep.core.errors import FileError, NlprepError, OptionError
from nlprep.corpus import EncodedCorpus, encode_corpus, read_dataset_sentences, read_sentences, tokenize

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gz": gzip.compress,
    "xz": lzma.compress,
    "bz2": bz2.compress,
    "zst": zstandard.ZstdCompressor().compress,
}
shared_directory = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


class RecordedProgress:
    """Keeps what was reported: one ``[description, total, done]`` for each task."""

    def __init__(self) -> None:
        self.tasks: list[list[Any]] = []
        self.open = 0

    @contextmanager
    def task(self, description: str, total: float | None = None) -> Iterator[Any]:
        record = [description, total, 0.0]
        self.tasks.append(record)

        class Task:
            def advance(self, amount: float = 1) -> None:
                record[2] += amount

            def describe(self, message: str) -> None:
                pass

        # Two bars at once cannot be drawn on one terminal.
        assert self.open == 0
        self.open += 1
        try:
            yield Task()
        finally:
            self.open -= 1


def decode(corpus: EncodedCorpus) -> list[list[str]]:
    words = corpus.vocabulary.words
    bounds = corpus.offsets.tolist()
    return [[words[i] for i in corpus.ids[start:stop].tolist()] for start, stop in pairwise(bounds)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("L'Été, 2 CHATS noirs_!", ["l", "été", "2", "chats", "noirs_"]),
        ("", []),
        ("—…“”", []),
        ("ΣΊΣΥΦΟΣ Москва 東京", ["σίσυφος", "москва", "東京"]),
        ("हिन्दी में लिखा", ["हिन्दी", "में", "लिखा"]),
        ("مُحَمَّد", ["مُحَمَّد"]),
        ("می\u200cخواهم", ["می\u200cخواهم"]),
        ("İstanbul", ["i̇stanbul"]),
        ("“quoted”—dash", ["quoted", "dash"]),
    ],
)
def test_tokenize(text: str, words: list[str]) -> None:
    assert tokenize(text) == words


def test_both_spellings_of_an_accent_give_one_word() -> None:
    text = "déjà été à Zürich"
    assert tokenize(unicodedata.normalize("NFD", text)) == tokenize(text) == text.lower().split()


@pytest.mark.parametrize("compression", COMPRESSORS)
def test_reads_plain_and_compressed_files_in_turn(tmp_path: Path, compression: str) -> None:
    compress = COMPRESSORS[compression]
    (tmp_path / "one").write_bytes(compress(b"Un chat.\n\n ! \nDeux\r\n"))
    (tmp_path / "two").write_bytes(compress("\ufeffTrois é".encode()))
    sentences = read_sentences([tmp_path / "one", str(tmp_path / "two")])
    assert list(sentences) == [["un", "chat"], ["deux"], ["trois", "é"]]


def test_one_path_needs_no_list(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("a b\n")
    assert list(read_sentences(str(tmp_path / "text"))) == [["a", "b"]]


def test_reads_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BufferedReader(io.BytesIO(gzip.compress(b"a b\nc"))))  # type: ignore[arg-type]
    monkeypatch.setattr(sys, "stdin", stream)
    assert list(read_sentences(["-"])) == [["a", "b"], ["c"]]


def test_tokenizer_is_any_callable(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("Un-deux TROIS\n")
    assert list(read_sentences([tmp_path / "text"], tokenizer=str.split)) == [["Un-deux", "TROIS"]]


def test_bytes_that_are_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "latin.txt"
    path.write_bytes(b"bon\n" + "déjà vu\n".encode("latin-1") + b"fin\n")
    with pytest.raises(FileError, match=r"latin\.txt:2: byte 0xe9 at column 2 is not UTF-8"):
        list(read_sentences([path]))
    policies: dict[Any, list[list[str]]] = {
        "skip-line": [["bon"], ["fin"]],
        "ignore": [["bon"], ["dj", "vu"], ["fin"]],
        "replace": [["bon"], ["d", "j", "vu"], ["fin"]],
    }
    for policy, sentences in policies.items():
        assert list(read_sentences([path], encoding_errors=policy)) == sentences


def test_missing_file_fails_before_anything_is_read(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("a")
    with pytest.raises(FileError, match="two: no such file"):
        read_sentences([tmp_path / "one", tmp_path / "two"])
    with pytest.raises(FileError, match="is a directory"):
        read_sentences([tmp_path])
    with pytest.raises(OptionError, match="no text files"):
        read_sentences([])


def test_truncated_archive_is_named(tmp_path: Path) -> None:
    path = tmp_path / "text.xz"
    path.write_bytes(lzma.compress(b"some words here\n" * 1000)[:-20])
    with pytest.raises(FileError, match=r"text\.xz: the xz data is damaged or cut short"):
        list(read_sentences([path]))


@pytest.mark.slow
def test_progress_counts_bytes(tmp_path: Path) -> None:
    plain, packed = tmp_path / "plain", tmp_path / "packed"
    plain.write_text("où été\n" * 130_000, encoding="utf-8")
    packed.write_bytes(gzip.compress(b"a b\n"))
    size = plain.stat().st_size
    progress = RecordedProgress()
    list(read_sentences([plain], progress=progress))
    list(read_sentences([plain, packed], progress=progress))
    assert progress.tasks == [["reading text", size, size], ["reading text", None, size + 4]]


@shared_directory
@given(data=st.binary(max_size=300), compression=st.sampled_from(sorted(COMPRESSORS)))
@pytest.mark.slow
def test_arbitrary_bytes_give_sentences_or_a_file_error(tmp_path: Path, data: bytes, compression: str) -> None:
    assume(not data.startswith((b"\x1f\x8b", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"BZh")))
    path = tmp_path / "text"
    path.write_bytes(COMPRESSORS[compression](data))
    try:
        sentences = list(read_sentences([path]))
    except FileError as error:
        assert error.path == str(path)
        with pytest.raises(UnicodeDecodeError):
            data.decode()
    else:
        assert all(sentence and all(word.split() == [word] for word in sentence) for sentence in sentences)
    for policy in ("replace", "ignore", "skip-line"):
        list(read_sentences([path], encoding_errors=policy))  # type: ignore[arg-type]


@shared_directory
@given(
    data=st.binary(max_size=60),
    magic=st.sampled_from([b"\x1f\x8b\x08", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd", b"BZh9"]),
)
def test_bytes_that_claim_to_be_compressed(tmp_path: Path, data: bytes, magic: bytes) -> None:
    path = tmp_path / "text"
    path.write_bytes(magic + data)
    try:
        list(read_sentences([path]))
    except FileError as error:
        assert str(path) in str(error)


words = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=4)


@shared_directory
@given(
    sentences=st.lists(st.lists(words, min_size=1, max_size=6), max_size=8),
    compression=st.sampled_from(sorted(COMPRESSORS)),
)
@pytest.mark.slow
def test_written_sentences_come_back(tmp_path: Path, sentences: list[list[str]], compression: str) -> None:
    path = tmp_path / "text"
    text = "".join(" ".join(sentence) + "\n" for sentence in sentences)
    path.write_bytes(COMPRESSORS[compression](text.encode()))
    assert list(read_sentences([path], tokenizer=str.split)) == sentences


def test_datasets_objects() -> None:
    datasets = pytest.importorskip("datasets")
    rows = {"text": ["Un chat", "Deux\nlignes", "", "!"], "label": [0, 1, 2, 3]}
    expected = [["un", "chat"], ["deux"], ["lignes"]]
    dataset = datasets.Dataset.from_dict(rows)
    assert list(read_dataset_sentences(dataset)) == expected
    assert list(read_dataset_sentences(dataset.to_iterable_dataset())) == expected
    with pytest.raises(NlprepError, match=r"no column 'body': choose one of text, label"):
        list(read_dataset_sentences(dataset, column="body"))
    with pytest.raises(NlprepError, match=r"choose a split first"):
        list(read_dataset_sentences(datasets.DatasetDict(train=dataset)))
    with pytest.raises(NlprepError, match=r"row 1 of the dataset has 0 in column 'label', expected text"):
        list(read_dataset_sentences(dataset, column="label"))


def test_rows_of_any_kind_and_their_progress() -> None:
    progress = RecordedProgress()
    rows = [{"body": "a B"}, {"body": "c"}]
    assert list(read_dataset_sentences(rows, column="body", progress=progress)) == [["a", "b"], ["c"]]
    assert progress.tasks == [["reading text", 2, 2]]


def encode_slowly(
    sentences: list[list[str]], min_count: int, max_vocabulary: int | None
) -> tuple[list[str], list[int], list[list[str]]]:
    """Counter keeps first appearance among equals, and its most_common is stable."""
    ranked = Counter(word for sentence in sentences for word in sentence).most_common()
    ranked = [item for item in ranked if item[1] >= min_count][:max_vocabulary]
    known = {word for word, _ in ranked}
    kept = [[word for word in sentence if word in known] for sentence in sentences]
    return [word for word, _ in ranked], [count for _, count in ranked], [words for words in kept if words]


@shared_directory
@given(
    sentences=st.lists(st.lists(st.sampled_from("abcdefg"), max_size=9), max_size=30),
    min_count=st.integers(1, 4),
    max_vocabulary=st.none() | st.integers(1, 5),
    block=st.integers(1, 7),
)
@pytest.mark.slow
def test_encoding_agrees_with_counting(
    tmp_path: Path, sentences: list[list[str]], min_count: int, max_vocabulary: int | None, block: int
) -> None:
    expected_words, expected_counts, expected = encode_slowly(sentences, min_count, max_vocabulary)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nlprep.corpus, "_BLOCK_TOKENS", block)
        if not expected:
            with pytest.raises(NlprepError, match=r"has no words|no word occurs min_count"):
                encode_corpus(sentences, tmp_path / "none", min_count=min_count, max_vocabulary=max_vocabulary)
            assert not (tmp_path / "none").exists()
            return
        made = encode_corpus(sentences, tmp_path / "corpus", min_count=min_count, max_vocabulary=max_vocabulary)
    for corpus in (made, EncodedCorpus.load(tmp_path / "corpus")):
        assert corpus.vocabulary.words == expected_words
        assert corpus.vocabulary.counts.tolist() == expected_counts
        assert decode(corpus) == expected
        assert corpus.num_raw_tokens == sum(map(len, sentences))
        assert (corpus.min_count, corpus.max_vocabulary) == (min_count, max_vocabulary)
        assert corpus.num_tokens == sum(expected_counts)
        assert corpus.num_sentences == len(expected)
        assert (corpus.ids.dtype, corpus.offsets.dtype) == (np.int32, np.int64)


def test_encoded_corpus_is_mapped_and_leaves_no_scratch(tmp_path: Path) -> None:
    corpus = encode_corpus([["a", "b"], ["a"]], tmp_path / "corpus", min_count=1)
    assert not corpus.ids.flags.owndata
    assert not corpus.ids.flags.writeable
    assert sorted(path.name for path in (tmp_path / "corpus").iterdir()) == [
        "config.json",
        "nlprep.json",
        "tensors.safetensors",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]
    config = json.loads((tmp_path / "corpus" / "config.json").read_text())
    assert config["kind"] == "corpus"
    assert (config["num_raw_tokens"], config["min_count"]) == (3, 1)


def test_any_iterable_and_any_sequence_of_words(tmp_path: Path) -> None:
    sentences = iter([("a", "b"), np.array(["b", "c"]), ["c", "b"]])
    corpus = encode_corpus(sentences, tmp_path / "corpus", min_count=1)  # type: ignore[arg-type]
    assert corpus.vocabulary.words == ["b", "c", "a"]
    assert {type(word) for word in corpus.vocabulary.words} == {str}


def test_long_sentences_are_not_cut(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text(" ".join(f"w{i % 100}" for i in range(25_000)) + "\nw1 w2\n")
    corpus = encode_corpus(read_sentences([path]), tmp_path / "corpus")
    assert corpus.offsets.tolist() == [0, 25_000, 25_002]


def test_progress_of_both_phases_never_overlaps(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("a b\nc\n")
    progress = RecordedProgress()
    sentences = read_sentences([tmp_path / "text"], progress=progress)
    encode_corpus(sentences, tmp_path / "corpus", min_count=1, progress=progress)
    assert progress.tasks == [["reading text", 6, 6], ["numbering words", 3, 3]]


def test_failure_closes_the_reader_and_keeps_the_old_corpus(tmp_path: Path) -> None:
    before = encode_corpus([["old"]], tmp_path / "corpus", min_count=1)
    closed = []

    def sentences() -> Iterator[Any]:
        try:
            yield ["new"]
            yield "plain string"
        finally:
            closed.append(True)

    # The generator is held here, so that only an explicit close can have run its finally.
    stream = sentences()
    with pytest.raises(NlprepError, match="sentence 2 is 'plain string'"):
        encode_corpus(stream, tmp_path / "corpus")
    assert closed == [True]
    assert EncodedCorpus.load(tmp_path / "corpus").vocabulary == before.vocabulary
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]


def test_interrupt_leaves_nothing(tmp_path: Path) -> None:
    def sentences() -> Iterator[list[str]]:
        yield ["a"] * 10
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode_corpus(sentences(), tmp_path / "corpus")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="sets a POSIX resource limit")
def test_full_disk_leaves_nothing(tmp_path: Path) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(FileError, match="corpus: the file would grow past its size limit"):
            encode_corpus([["a", "b"] * 50_000], tmp_path / "corpus")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_memory_does_not_grow_with_the_corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nlprep.corpus, "_BLOCK_TOKENS", 1 << 12)
    words = [f"w{i}" for i in range(500)]
    tracemalloc.start()
    try:
        corpus = encode_corpus((words for _ in range(2000)), tmp_path / "corpus")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert corpus.ids.nbytes == 4_000_000
    assert peak < 1_500_000


@pytest.mark.parametrize(
    ("sentences", "message"),
    [
        (["a plain string"], "sentence 1 is 'a plain string', expected a list of words"),
        ([["a"], b"bytes"], "sentence 2 is b'bytes'"),
        ("text.txt", "got the plain string 'text.txt', expected sentences"),
        ([{"text": "a"}], "sentence 1 is {'text': 'a'}, expected a list of words"),
        ([3], "sentence 1 is 3, expected a list of words"),
        ([["a", 3]], "a sentence holds 3, which is no word"),
        ([["a", ["b"]]], "a sentence holds something that is no word"),
        ([["a", "New York"]], "the word 'New York', which has white space"),
        ([["a", "b\n"]], "white space"),
        ([["a", "10\u00a0000"]], "white space"),
        ([["a", ""]], "an empty word"),
        ([["\udce9t\udce9"]], "which is not Unicode text"),
        ([], "the corpus has no words"),
        ([[], []], "the corpus has no words"),
        ([["a", "b", "b"]], r"no word occurs min_count = 5 times: the most frequent, 'b', occurs 2 times"),
    ],
)
def test_unusable_sentences(tmp_path: Path, sentences: Any, message: str) -> None:
    with pytest.raises(NlprepError, match=message):
        encode_corpus(sentences, tmp_path / "corpus")
    assert list(tmp_path.iterdir()) == []


def test_options_out_of_range(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="min_count = 0"):
        encode_corpus([["a"]], tmp_path / "corpus", min_count=0)
    with pytest.raises(OptionError, match="max_vocabulary = 0"):
        encode_corpus([["a"]], tmp_path / "corpus", max_vocabulary=0)


def test_a_directory_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "thesis.txt").write_text("a")
    with pytest.raises(FileError, match="not ours to replace"):
        encode_corpus([["a"]], tmp_path / "notes", min_count=1)
    assert (tmp_path / "notes" / "thesis.txt").read_text() == "a"


def test_damaged_corpora_are_refused(tmp_path: Path) -> None:
    good = {
        "ids": np.array([0, 1, 0], np.int32),
        "offsets": np.array([0, 3], np.int64),
        "counts": np.array([2, 1], np.int64),
        "words": np.frombuffer(b"a\nb", np.uint8),
    }
    config = {"num_raw_tokens": 3, "min_count": 1, "max_vocabulary": None}
    write_artifact(tmp_path / "good", kind="corpus", config=config, tensors=good)
    assert decode(EncodedCorpus.load(tmp_path / "good")) == [["a", "b", "a"]]
    changes: list[dict[str, Any]] = [
        {"offsets": np.array([0, 2], np.int64)},
        {"offsets": np.array([], np.int64)},
        {"counts": np.array([2, 2], np.int64)},
        {"ids": np.array([0, 1, 0], np.int64)},
        {"words": np.frombuffer(b"a", np.uint8)},
    ]
    for change in changes:
        write_artifact(tmp_path / "bad", kind="corpus", config=config, tensors=good | change)
        with pytest.raises(FileError, match="bad"):
            EncodedCorpus.load(tmp_path / "bad")
    write_artifact(tmp_path / "bad", kind="corpus", config={}, tensors=good)
    with pytest.raises(FileError, match="lacks the corpus settings"):
        EncodedCorpus.load(tmp_path / "bad")
    stored = tmp_path / "good" / "tensors.safetensors"
    stored.write_bytes(stored.read_bytes()[:-2])
    with pytest.raises(FileError, match="cut short"):
        EncodedCorpus.load(tmp_path / "good")
    with pytest.raises(FileError, match="no such file"):
        EncodedCorpus.load(tmp_path / "absent")


def test_tokenize_keeps_capitals_when_asked() -> None:
    assert tokenize("Le Été de Ravel", lowercase=False) == ["Le", "Été", "de", "Ravel"]
    # Combining marks stay with their letter all the same.
    assert tokenize("E\u0301te\u0301 हिन्दी", lowercase=False) == ["Été", "हिन्दी"]
