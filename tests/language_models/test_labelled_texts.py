"""Texts with labels: three formats read alike, every mistake named with its line."""

from __future__ import annotations

import csv
import gzip
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlprep.core.errors import FileError
from nlprep.language_models.text.labelled_texts import read_labelled_texts


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.tsv", 'text\tlabel\nthe cat\tanimal\na "car", red\tthing\n'),
        ("a.csv", 'text,label\nthe cat,animal\n"a ""car"", red",thing\n'),
        ("a.jsonl", '{"text": "the cat", "label": "animal"}\n\n{"label": "thing", "text": "a \\"car\\", red"}\n'),
        ("tabs", 'label\ttext\r\nanimal\tthe cat\r\nthing\ta "car", red\r\n'),
        ("objects", '{"text": "the cat", "label": "animal"}\n{"text": "a \\"car\\", red", "label": "thing"}'),
        ("commas", '\ufefflabel,text\nanimal,the cat\nthing,"a ""car"", red"\n'),
    ],
)
def test_the_formats_are_read_alike(tmp_path, name, content):
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    data = read_labelled_texts(path)
    assert list(data.texts) == ["the cat", 'a "car", red']
    assert list(data.labels) == ["animal", "thing"]
    assert data.pairs is None
    with gzip.open(tmp_path / f"{name}.gz", "wt", encoding="utf-8") as stream:
        stream.write(content)
    assert read_labelled_texts(tmp_path / f"{name}.gz").texts == data.texts


@given(
    st.lists(
        st.tuples(st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\r\0\ufeff"), max_size=12),
                  st.sampled_from(["yes", "no"])),
        min_size=1,
        max_size=6,
    )
)  # fmt: skip
@pytest.mark.slow
def test_whatever_csv_is_written_is_read(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerows([("text", "label"), *rows])
    path.write_text(stream.getvalue(), encoding="utf-8", newline="")
    data = read_labelled_texts(path)
    assert list(zip(data.texts, data.labels, strict=True)) == rows


def test_pairs_and_named_columns(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text("text\ttext_pair\tlabel\tother\none\ttwo\t1\tx\n")
    data = read_labelled_texts(path)
    assert (list(data.pairs), list(data.labels)) == (["two"], ["1"])
    data = read_labelled_texts(path, text="text_pair", text_pair="other", label="text")
    assert (data.texts, data.pairs, data.labels) == (["two"], ["x"], ["one"])


def test_json_labels_may_be_numbers(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(json.dumps({"text": "x", "label": label}) for label in (10, 2, True)))
    assert read_labelled_texts(path).labels == ["10", "2", "true"]


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.tsv", "", "holds no examples"),
        ("a.tsv", "text\tlabel\n", "holds no examples"),
        ("a.tsv", "sentence\tlabel\nx\ty\n", r":2: has no column 'text', but 'sentence', 'label'"),
        ("a.tsv", "text\tlabel\nx\ty\nonly a text\n", r":3: expected 2 fields \(text, label\), found 1"),
        ("a.csv", "text,label\nx,y\na, b,y\n", r":3: expected 2 fields .* found 3: is there a comma"),
        ("a.csv", 'text,label\n"a\nb",y\n"open,y\n', r":4: is not CSV"),
        ("a.tsv", "text\tlabel\nx\t \n", r":2: expected a label in 'label', found ' '"),
        ("a.jsonl", '{"text": "x", "label": "y"}\n{"text": "x"}\n', r":2: expected a label in 'label', found nothing"),
        ("a.jsonl", '{"text": "x", "label": "y"}\n{"label": "x"}\n', r":2: expected a text in 'text', found nothing"),
        ("a.jsonl", '{"text": 3, "label": "y"}\n', r":1: expected a text in 'text', found 3"),
        ("a.jsonl", '{"text": "x", "label": 0.5}\n', r":1: expected a label in 'label', found 0.5"),
        ("a.jsonl", '["x"]\n', r":1: expected a JSON object"),
        ("a.jsonl", '{"text": \n', r":1: is not JSON"),
    ],
)
def test_files_that_cannot_be_read(tmp_path, name, content, problem):
    (tmp_path / name).write_text(content)
    with pytest.raises(FileError, match=problem) as caught:
        read_labelled_texts(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_an_unseen_label_is_named_with_its_line(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text("text\tlabel\nx\tyes\n\nx\tmaybe\n")
    with pytest.raises(FileError, match=r"a\.tsv:4: label 'maybe' was not seen in training, which had 'no', 'yes'"):
        read_labelled_texts(path).label_indices(["no", "yes"])
