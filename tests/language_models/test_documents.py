from __future__ import annotations

import gzip
import io

import pytest

from nlprep.core.errors import FileError, NlprepError, OptionError
from nlprep.language_models.text.documents import find_text_files, read_documents


def test_lines_paragraphs_and_files(tmp_path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("one\r\ntwo\n\n \nthree é\n".encode())
    assert list(read_documents(path)) == ["one", "two", "three é"]
    assert list(read_documents(path, unit="paragraph")) == ["one\ntwo", "three é"]
    assert list(read_documents(path, unit="file")) == ["one\ntwo\n\n \nthree é"]


def test_a_document_never_spans_two_files(tmp_path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.txt").write_text(f"{name} without end")
    assert list(read_documents([tmp_path / "a.txt", tmp_path / "b.txt"], unit="paragraph")) == [
        "a without end",
        "b without end",
    ]


def test_folders_are_searched_in_order(tmp_path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "x").write_text("no")
    (tmp_path / ".secret").write_text("no")
    (tmp_path / "b.txt").write_text("second\n")
    (tmp_path / "a.txt").write_text("")
    (tmp_path / "deep" / "er" / "c.txt.gz").write_bytes(gzip.compress(b"third\n"))
    names = find_text_files(tmp_path)
    assert [name.removeprefix(f"{tmp_path}/") for name in names] == ["a.txt", "b.txt", "deep/er/c.txt.gz"]
    assert list(read_documents(tmp_path)) == ["second", "third"]


def test_nothing_to_read_is_said(tmp_path) -> None:
    (tmp_path / "empty.txt").write_text("\n  \n")
    with pytest.raises(NlprepError, match=r"empty.txt: no text in there"):
        list(read_documents(tmp_path / "empty.txt"))
    (tmp_path / "folder").mkdir()
    with pytest.raises(FileError, match="holds no files"):
        read_documents(tmp_path / "folder")
    with pytest.raises(FileError, match="no such file"):
        read_documents(tmp_path / "missing.txt")


def test_another_unit_is_refused_and_not_taken_for_files(tmp_path) -> None:
    (tmp_path / "a.txt").write_text("a\n")
    with pytest.raises(OptionError, match="unit = 'pages': choose from line, paragraph, file"):
        list(read_documents(tmp_path / "a.txt", unit="pages"))


def test_bytes_that_are_not_utf8_are_named(tmp_path) -> None:
    (tmp_path / "latin.txt").write_bytes(b"fine\ncaf\xe9\n")
    with pytest.raises(FileError, match=r"latin.txt:2: byte 0xe9"):
        list(read_documents(tmp_path / "latin.txt"))
    assert list(read_documents(tmp_path / "latin.txt", encoding_errors="skip-line")) == ["fine"]


def test_standard_input(monkeypatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(b"one\ntwo\n"))))
    assert list(read_documents("-")) == ["one", "two"]
