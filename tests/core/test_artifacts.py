from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import load_file, save_file

from nlprep.core import artifacts
from nlprep.core.artifacts import (
    FORMAT_VERSION,
    Artifact,
    artifact_kind,
    pack_words,
    read_artifact,
    read_tensors,
    unpack_words,
    write_artifact,
    write_tensors,
)
from nlprep.core.errors import FileError

ARRAYS = hnp.arrays(
    st.sampled_from([np.float32, np.float64, np.float16, np.int32, np.int64, np.uint8, np.uint64, np.bool_]),
    hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5),
)


@given(st.dictionaries(st.text(min_size=1, max_size=8).filter(lambda name: name != "__metadata__"), ARRAYS, max_size=4))
@pytest.mark.slow
def test_tensors_agree_with_the_safetensors_library(
    tmp_path_factory: pytest.TempPathFactory, tensors: dict[str, np.ndarray]
) -> None:
    directory = tmp_path_factory.getbasetemp()
    write_tensors(directory / "ours", tensors)
    save_file({name: np.ascontiguousarray(array) for name, array in tensors.items()}, directory / "theirs")
    for read, name in ((load_file, "ours"), (read_tensors, "theirs"), (read_tensors, "ours")):
        found = read(directory / name)
        assert found.keys() == tensors.keys()
        for key, array in tensors.items():
            assert found[key].dtype == array.dtype
            # ascontiguousarray gives a scalar one dimension.
            np.testing.assert_array_equal(found[key].reshape(array.shape), array)


def test_blocks_are_copied_in_order_whatever_their_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts, "_COPY_BYTES", 64)
    array = np.arange(300, dtype=np.float32).reshape(100, 3)[::-1]
    write_tensors(tmp_path / "t", {"a": array})
    mapped = read_tensors(tmp_path / "t")["a"]
    np.testing.assert_array_equal(mapped, array)
    assert not mapped.flags.writeable
    assert mapped.ctypes.data % 64 == 0


def test_an_artifact_comes_back_as_written(tmp_path: Path) -> None:
    words = ["été", "a\u2028b", "", "x y"]
    write_artifact(tmp_path / "a", kind="thing", config={"n": 4}, tensors={"words": pack_words(words)})
    artifact = read_artifact(tmp_path / "a", kind="thing")
    assert artifact.config == {"n": 4}
    assert unpack_words(artifact, "words", 4) == words
    assert artifact_kind(tmp_path / "a") == "thing"
    assert artifact_kind(tmp_path) is None


def _broken(tmp_path: Path) -> Path:
    write_artifact(tmp_path / "a", kind="thing", config={}, tensors={"m": np.ones((4, 5), np.float32)})
    return tmp_path / "a"


def test_artifacts_of_another_kind_or_a_newer_version_are_refused(tmp_path: Path) -> None:
    path = _broken(tmp_path)
    with pytest.raises(FileError, match=r"holds 'thing', expected 'other'"):
        read_artifact(path, kind="other")
    config = json.loads((path / "config.json").read_text())
    config["format_version"] = FORMAT_VERSION + 1
    (path / "config.json").write_text(json.dumps(config))
    with pytest.raises(FileError, match=r"format version 2, this nlprep reads up to 1: upgrade"):
        read_artifact(path, kind="thing")
    (path / "config.json").write_text("{")
    with pytest.raises(FileError, match="is not valid JSON"):
        read_artifact(path, kind="thing")
    with pytest.raises(FileError, match=r"holds no config\.json"):
        read_artifact(tmp_path, kind="thing")
    with pytest.raises(FileError, match="no such file or directory"):
        read_artifact(tmp_path / "nowhere", kind="thing")


@pytest.mark.parametrize("kept", [0, 7, 8, 40, 100, -1])
def test_a_truncated_artifact_is_refused(tmp_path: Path, kept: int) -> None:
    path = _broken(tmp_path)
    whole = (path / "tensors.safetensors").read_bytes()
    (path / "tensors.safetensors").write_bytes(whole[:kept])
    with pytest.raises(FileError, match="cut short"):
        read_artifact(path, kind="thing")


@given(st.binary(max_size=80), st.booleans())
def test_any_bytes_are_tensors_or_a_file_error(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, framed: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(struct.pack("<Q", len(data)) + data if framed else data)
    try:
        read_tensors(path)
    except FileError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F32", "shape": [4, 6], "data_offsets": [0, 80]},
        {"dtype": "F32", "shape": [-4, -5], "data_offsets": [0, 80]},
        {"dtype": "F32", "shape": [2**62, 2**62], "data_offsets": [0, 80]},
        {"dtype": "F32", "shape": [4, 5], "data_offsets": [-80, 0]},
        {"dtype": "Q9", "shape": [4, 5], "data_offsets": [0, 80]},
        {"shape": [4, 5], "data_offsets": [0, 80]},
        [],
    ],
)
def test_a_header_that_lies_is_refused(tmp_path: Path, entry: object) -> None:
    header = json.dumps({"m": entry}).encode()
    (tmp_path / "t").write_bytes(struct.pack("<Q", len(header)) + header + bytes(80))
    with pytest.raises(FileError, match=r"make the file again|cut short"):
        read_tensors(tmp_path / "t")


@pytest.mark.parametrize("shape", [[3], [2**62, 2**62], [2**70, 0], [-1], []])
def test_a_header_that_lies_of_a_file_without_bytes_is_refused(tmp_path: Path, shape: list[int]) -> None:
    header = json.dumps({"m": {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]}}).encode()
    (tmp_path / "t").write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(FileError, match="make the file again"):
        read_tensors(tmp_path / "t")


def test_a_tensor_is_checked_when_asked_for(tmp_path: Path) -> None:
    artifact = read_artifact(_broken(tmp_path), kind="thing")
    assert artifact.tensor("m", dtype="float32", shape=(None, 5)).shape == (4, 5)
    with pytest.raises(FileError, match=r"tensor 'm' is float32 \(4, 5\), expected int32"):
        artifact.tensor("m", dtype="int32", shape=(4, 5))
    with pytest.raises(FileError, match="has no tensor 'n'"):
        artifact.tensor("n", dtype="float32", shape=(4, 5))


def test_words_that_cannot_be_told_apart_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="line feed"):
        pack_words(["a\nb"])
    artifact = Artifact(tmp_path, {}, {"words": pack_words(["a", "b"])})
    with pytest.raises(FileError, match="has 2 words, expected 3"):
        unpack_words(artifact, "words", 3)
