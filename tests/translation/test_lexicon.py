"""Dictionaries in every format, and every way they can be wrong."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nlprep.core.errors import FileError, NlprepError, OptionError
from nlprep.embeddings.word_vectors import WordVectors
from nlprep.translation.lexicon import Lexicon, read_lexicon

PAIRS = (("cat", "chat"), ("dog", "chien"), ("cat", "chatte"))


def write(path, text):
    path.write_bytes(text.encode("utf-8"))
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("muse.txt", "cat chat\ndog chien\ncat chatte\n"),
        ("muse-tabs.txt", "cat\tchat\ndog\tchien\ncat\tchatte"),
        ("muse-mixed.txt", "cat  chat\ndog\tchien\n\n   \ncat \t chatte\r\n"),
        ("xling.tsv", "cat\tchat\r\ndog\tchien\r\ncat\tchatte\r\n"),
        ("plain.csv", "source,target\ncat,chat\ndog,chien\ncat,chatte\n"),
        ("more.csv", "rank,target,source\n1,chat,cat\n2,chien,dog\n3,chatte,cat\n"),
        ("semicolons.csv", 'english;french\n"cat";chat\ndog;chien\ncat;chatte\n'),
        ("no-suffix", "source,target\ncat,chat\ndog,chien\ncat,chatte\n"),
        ("repeated.txt", "cat chat\ncat chat\ndog chien\ncat chatte\ndog chien\n"),
        ("bom.txt", "\ufeffcat chat\ndog chien\ncat chatte\n"),
    ],
)
def test_reads(name, text, tmp_path):
    assert read_lexicon(write(tmp_path / name, text)).pairs == PAIRS


def test_reads_compressed(tmp_path):
    path = tmp_path / "muse.txt.gz"
    path.write_bytes(gzip.compress(b"cat chat\ndog chien\ncat chatte\n"))
    assert read_lexicon(path).pairs == PAIRS


def test_entries_of_several_words_survive_where_tabs_separate(tmp_path):
    assert read_lexicon(write(tmp_path / "a.tsv", "ice cream\tglace\n")).pairs == (("ice cream", "glace"),)


@pytest.mark.parametrize(
    ("text", "layout", "line", "message"),
    [
        ("", "auto", None, "holds no pairs"),
        ("\n \n", "auto", None, "holds no pairs"),
        ("source,target\n", "csv", None, "a header and no pairs"),
        ("cat chat\ndog\n", "auto", 2, "found 1 in 'dog'"),
        ("cat chat\n\nice cream glace\n", "muse", 3, "found 3 in 'ice cream glace'"),
        ("cat\tchat\tchatte\n", "xling", 1, "found 3"),
        ("cat\t\n", "xling", 1, "expected a source and a target word"),
        ("source,target\ncat,\n", "csv", 2, "expected a word in columns 'source' and 'target'"),
        ("source,target\ncat\n", "csv", 2, "found 'cat'"),
        ('source,target\n"cat,chat\n', "csv", 2, "not valid CSV"),
        ("source\ncat\n", "csv", 1, "a header of at least two columns"),
    ],
)
def test_names_file_line_and_what_it_saw(text, layout, line, message, tmp_path):
    path = write(tmp_path / "lexicon", text)
    with pytest.raises(FileError, match=message) as caught:
        read_lexicon(path, format=layout)
    assert caught.value.line == line
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bytes_that_are_not_utf8(tmp_path):
    path = tmp_path / "latin.txt"
    path.write_bytes("cat chat\nsummer été\n".encode("latin-1"))
    with pytest.raises(FileError, match="not UTF-8") as caught:
        read_lexicon(path)
    assert caught.value.line == 2
    assert read_lexicon(path, encoding_errors="skip-line").pairs == (("cat", "chat"),)


def test_missing_file_and_unknown_format(tmp_path):
    with pytest.raises(FileError, match="no such file"):
        read_lexicon(tmp_path / "absent.txt")
    with pytest.raises(OptionError, match="'json': choose from auto, muse, xling, csv"):
        read_lexicon(tmp_path / "absent.txt", format="json")


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.binary(max_size=200), layout=st.sampled_from(["auto", "muse", "xling", "csv"]))
@pytest.mark.slow
def test_any_bytes_give_a_lexicon_or_a_file_error(data, layout, tmp_path):
    path = tmp_path / "anything"
    path.write_bytes(data)
    try:
        lexicon = read_lexicon(path, format=layout)
    except FileError as error:
        message = str(error)
    else:
        message = ""
        assert len(lexicon) > 0
        assert all(source and target for source, target in lexicon)
    assert "\n" not in message


WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=8)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    pairs=st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=8),
    case=st.sampled_from([(" ", "muse"), ("\t", "xling")]),
)
@pytest.mark.slow
def test_what_is_written_is_read(pairs, case, tmp_path):
    separator, layout = case
    path = write(tmp_path / "pairs", "".join(f"{one}{separator}{other}\n" for one, other in pairs))
    # A first line that starts with a byte-order mark loses it by design.
    expected = tuple(dict.fromkeys(pairs))
    assert read_lexicon(path, format=layout).pairs == expected


def test_lexicon_views():
    lexicon = Lexicon(PAIRS)
    assert lexicon.reversed().pairs == (("chat", "cat"), ("chien", "dog"), ("chatte", "cat"))
    assert lexicon.reversed().reversed() == lexicon
    assert lexicon.translations() == {"cat": ["chat", "chatte"], "dog": ["chien"]}
    assert lexicon.limit(1).pairs == (PAIRS[0], PAIRS[2])
    assert lexicon.without({"cat"}).pairs == (PAIRS[1],)


@pytest.mark.parametrize("bad", [["cat"], [("cat",)], [("cat", "")], [("a", "b", "c")], ["ab"]])
def test_a_lexicon_is_made_of_pairs(bad):
    with pytest.raises(NlprepError, match="expected a source word and a target word"):
        Lexicon(bad)


def test_coverage_and_rows():
    lexicon = Lexicon([*PAIRS, ("bird", "oiseau"), ("cow", "vache")])
    source = WordVectors(["dog", "cat", "bird"], np.eye(3, dtype=np.float32))
    target = WordVectors(["chien", "chatte", "vache"], np.eye(3, dtype=np.float32))
    coverage = lexicon.coverage(source, target)
    assert (coverage.num_pairs, coverage.pairs_found) == (5, 2)
    assert (coverage.num_source_words, coverage.source_words_found, coverage.source_words_usable) == (4, 3, 2)
    assert (coverage.num_target_words, coverage.target_words_found) == (5, 3)
    assert coverage.percent == 50.0
    assert str(coverage) == "2 of 5 pairs found; 2 of 4 source words (50.0%)"
    np.testing.assert_array_equal(lexicon.rows(source, target), [[0, 0], [1, 1]])


def test_published_dictionaries_have_their_published_sizes(shared_data):
    dictionaries = shared_data / "dictionaries"
    train = read_lexicon(dictionaries / "en-fr.0-5000.txt")
    test = read_lexicon(dictionaries / "en-fr.5000-6500.txt")
    assert (len(train), len(train.translations())) == (10_872, 5_000)
    assert (len(test), len(test.translations())) == (2_943, 1_500)
    assert len(read_lexicon(dictionaries / "xling" / "en-fr.test.freq.2k.tsv").translations()) == 2_000
