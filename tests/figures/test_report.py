"""A report that holds all it shows, and shows what it is given and nothing else."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from html.parser import HTMLParser
from types import MappingProxyType

import numpy as np
import pytest

from nlprep.core.errors import FileError, NlprepError, OptionError
from nlprep.evaluation.configuration import ProbeConfig
from nlprep.evaluation.intervals import wilson_interval
from nlprep.figures.curves import Line, draw_lines
from nlprep.figures.report import Heading, Paragraph, Picture, Settings, Table, format_report, write_report

HOSTILE = "<script>alert('1')</script> & \"quotes\" <img src=x onerror=alert(1)>"
VOID = {"meta", "img"}


class Checker(HTMLParser):
    """Reads a document: that its tags nest, what it holds, and what it leads to."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(document)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style" and data.strip():
            self.words.append(data.strip())


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "figure.svg"
    draw_lines([Line("a line", [1, 2], [1.0, 2.0])], path, x_label="x", y_label="y")
    return path


def test_it_holds_everything_itself_and_leads_nowhere(picture, tmp_path):
    parts = [
        Heading("Results"),
        Paragraph("What was measured."),
        Table(("name", "accuracy", "labels"), [("ours", 0.5, 12_000), ("theirs", None, 3)], caption="On the test set"),
        Picture(picture, "Accuracy", description="A rising line"),
        Settings(ProbeConfig(seed=3), caption="probe"),
    ]
    write_report("A report", parts, tmp_path / "a.html")
    write_report("A report", parts, tmp_path / "b.html")
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    document = (tmp_path / "a.html").read_text(encoding="utf-8")
    checked = Checker(document)
    assert {"script", "link", "iframe", "object", "a"} & {tag for tag, _ in checked.tags} == set()
    sources = [attributes for _, attributes in checked.tags if "src" in attributes or "href" in attributes]
    (image,) = sources
    assert image["alt"] == "A rising line"
    kind, content = image["src"].split(";base64,")
    assert kind == "data:image/svg+xml"
    assert base64.b64decode(content) == picture.read_bytes()
    assert "url(" not in document
    assert "@import" not in document
    assert not re.search(r"https?://", document.replace(content, ""))
    assert str(tmp_path) not in document
    (policy,) = (tag["content"] for _, tag in checked.tags if tag.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy
    for words in (
        "A report",
        "Results",
        "On the test set",
        "0.5000",
        "12,000",
        "–",
        "Accuracy",
        "probe",
        "1%,10%,100%",
    ):
        assert words in checked.words, words


def test_whatever_comes_from_data_is_escaped(picture):
    parts = [
        Heading(HOSTILE),
        Paragraph(HOSTILE),
        Table((HOSTILE,), [(HOSTILE,)], caption=HOSTILE),
        Picture(picture, HOSTILE),
        Settings({HOSTILE: HOSTILE}, caption=HOSTILE),
    ]
    document = format_report(HOSTILE, parts, language='"><script>')
    checked = Checker(document)
    assert [tag for tag, _ in checked.tags].count("script") == 0
    assert [tag for tag, _ in checked.tags].count("img") == 1
    assert all("onerror" not in attributes for _, attributes in checked.tags)
    assert sum(HOSTILE in words for words in checked.words) == 11


def test_numbers_are_written_for_reading():
    interval = wilson_interval(843, 1000)
    rows = [
        (0.84312, np.float32(0.5), np.int64(1_234_567), True, interval),
        (12345.678, None, 0, False, None),
    ]
    document = format_report("t", [Table(("a", "b", "c", "d", "e"), rows)])
    for cell in ("0.8431", "0.5000", "1,234,567", "True", "12,346", "0.8430 (0.8191 – 0.8642)"):
        assert f">{cell}</td>" in document
    # Numbers stand to the right, words to the left.
    assert document.count('<th scope="col" class="number">') == 4
    assert '<th scope="col">d</th>' in document


def test_nested_settings_are_named_with_dots():
    @dataclass(frozen=True)
    class Inner:
        rate: float = 0.1

    @dataclass(frozen=True)
    class Outer:
        inner: Inner
        steps: int = 5

    frozen = MappingProxyType({"b": MappingProxyType({"c": [1, 2]})})
    document = format_report("t", [Settings(Outer(Inner())), Settings(MappingProxyType({"a": frozen}))])
    for name, value in (("inner.rate", "0.1"), ("steps", "5"), ("a.b.c", "[1, 2]")):
        assert f"<code>{name}</code></th><td><code>{value}</code>" in document


def test_only_a_report_of_ours_is_replaced(tmp_path):
    path = tmp_path / "a.html"
    write_report("one", [], path)
    write_report("two", [], path)
    assert "<h1>two</h1>" in path.read_text()
    for touched in (path.read_text().replace("two", "mine"), "<!DOCTYPE html>\n<p>a thesis</p>\n", "notes"):
        path.write_text(touched)
        with pytest.raises(FileError):
            write_report("three", [], path)
        assert path.read_text() == touched


def test_what_cannot_be_reported(tmp_path):
    with pytest.raises(OptionError, match=r"end its name in \.html"):
        write_report("t", [], tmp_path / "a.pdf")
    with pytest.raises(NlprepError, match="row 2 of the table has 1 cells under 2 names"):
        write_report("t", [Table(("a", "b"), [(1, 2), (1,)])], tmp_path / "a.html")
    with pytest.raises(FileError, match=r"gone\.png"):
        write_report("t", [Picture(tmp_path / "gone.png")], tmp_path / "a.html")
    with pytest.raises(FileError, match="no picture that a report can hold"):
        write_report("t", [Picture(tmp_path / "a.pdf")], tmp_path / "a.html")
    with pytest.raises(NlprepError, match="settings of type list"):
        write_report("t", [Settings([1])], tmp_path / "a.html")
    with pytest.raises(FileError):
        write_report("t", [], tmp_path / "gone" / "a.html")
    assert list(tmp_path.iterdir()) == []
