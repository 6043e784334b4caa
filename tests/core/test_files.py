from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from nlprep.core import files
from nlprep.core.errors import FileError, os_errors_named
from nlprep.core.files import atomic_directory, atomic_file, open_binary, read_lines
from nlprep.core.ownership import FileFormat, check_replaceable

COMPRESSORS = {
    "plain": lambda data: data,
    "gz": gzip.compress,
    "xz": lzma.compress,
    "bz2": bz2.compress,
    "zst": zstandard.ZstdCompressor(write_checksum=True).compress,
}


@pytest.mark.parametrize("kind", COMPRESSORS)
def test_lines_come_out_of_every_compression_whatever_the_name(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "text.dat"
    path.write_bytes(COMPRESSORS[kind]("\ufeffun été\r\ndeux\n\nquatre".encode()))
    assert list(read_lines(path)) == [(1, "un été"), (2, "deux"), (3, ""), (4, "quatre")]


@pytest.mark.parametrize("kind", ["gz", "xz", "bz2", "zst"])
@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_damaged_compression_is_one_clear_error(tmp_path: Path, kind: str, damage: str) -> None:
    whole = bytearray(COMPRESSORS[kind](os.urandom(5000)))
    if damage == "flipped":
        for place in range(len(whole) // 2, len(whole) // 2 + 40):
            whole[place] ^= 0xFF
    else:
        del whole[len(whole) // 2 :]
    path = tmp_path / "f"
    path.write_bytes(whole)
    with pytest.raises(FileError, match=rf"f: the {kind} data is damaged or cut short"), open_binary(path) as stream:
        stream.read()


def test_zstandard_frames_follow_one_another(tmp_path: Path) -> None:
    path = tmp_path / "f"
    contents = [os.urandom(300_000), b"", b"abc", bytes(10_000_000)]
    path.write_bytes(b"".join(COMPRESSORS["zst"](content) for content in contents))
    with open_binary(path) as stream:
        assert stream.read() == b"".join(contents)


@given(st.binary(max_size=200))
def test_any_bytes_are_lines_or_a_file_error(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(data)
    try:
        lines = list(read_lines(path))
    except FileError as error:
        assert "\n" not in str(error)
    else:
        assert [number for number, _ in lines] == list(range(1, len(lines) + 1))


def test_bytes_that_are_not_utf8_name_their_line_or_follow_the_policy(tmp_path: Path) -> None:
    path = tmp_path / "latin"
    path.write_bytes("bon\nété\nfin\n".encode("latin-1"))
    with pytest.raises(FileError, match=r"latin:2: byte 0xe9 at column 1 is not UTF-8"):
        list(read_lines(path))
    assert list(read_lines(path, encoding_errors="skip-line")) == [(1, "bon"), (3, "fin")]
    assert dict(read_lines(path, encoding_errors="ignore"))[2] == "t"
    assert dict(read_lines(path, encoding_errors="replace"))[2] == "\ufffdt\ufffd"


def test_standard_input_may_be_compressed(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BufferedReader(io.BytesIO(gzip.compress(b"a b\n"))))
    monkeypatch.setattr(sys, "stdin", stream)
    assert list(read_lines("-")) == [(1, "a b")]


def test_missing_files_and_directories_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"nowhere: no such file or directory: check the path"):
        list(read_lines(tmp_path / "nowhere"))
    with pytest.raises(FileError, match="is a directory, not a file"):
        list(read_lines(tmp_path))


ANYTHING = FileFormat("anything", recognises=lambda _: True)


def test_an_atomic_file_is_whole_or_absent(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_file(target, format=ANYTHING, overwrite=True) as stream:
        stream.write(b"half")
        raise KeyboardInterrupt
    assert target.read_text() == "old"
    with atomic_file(target, format=ANYTHING, overwrite=True) as stream:
        stream.write(b"new")
    assert target.read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    mask = os.umask(0)
    os.umask(mask)
    assert target.stat().st_mode & 0o777 == 0o666 & ~mask


@pytest.mark.parametrize("swap", [True, False])
def test_an_atomic_directory_is_whole_or_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, swap: bool) -> None:
    if not swap:
        monkeypatch.setattr(files, "_swap", lambda *_: False)
    target = tmp_path / "model"
    for content in ("old", "new"):
        with atomic_directory(target, kind="thing") as directory:
            (directory / "config.json").write_text(content)
    assert (target / "config.json").read_text() == "new"
    with pytest.raises(KeyboardInterrupt), atomic_directory(target, kind="thing") as directory:
        (directory / "config.json").write_text("half")
        raise KeyboardInterrupt
    assert (target / "config.json").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_failing_second_rename_puts_the_old_directory_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_swap", lambda *_: False)
    target = tmp_path / "model"
    with atomic_directory(target, kind="thing") as directory:
        (directory / "config.json").write_text("old")
    rename = Path.rename

    def fail_on_new(self: Path, other: Path) -> Path:
        if self.suffix == ".tmp" and other == target:
            raise OSError(28, "No space left on device")
        return rename(self, other)

    monkeypatch.setattr(Path, "rename", fail_on_new)
    with pytest.raises(FileError, match="no space left"), atomic_directory(target, kind="thing") as directory:
        (directory / "config.json").write_text("new")
    assert (target / "config.json").read_text() == "old"


def test_a_directory_of_other_things_is_not_replaced(tmp_path: Path) -> None:
    target = tmp_path / "photos"
    target.mkdir()
    (target / "dear.jpg").touch()
    with pytest.raises(FileError, match="not ours to replace"), atomic_directory(target, kind="thing"):
        pass
    assert (target / "dear.jpg").exists()
    with pytest.raises(FileError, match="no such directory: create it first"):
        check_replaceable(tmp_path / "a" / "b", "thing")
    (tmp_path / "file").touch()
    with pytest.raises(FileError, match="is a file: name a directory"):
        check_replaceable(tmp_path / "file", "thing")


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.write_text("old")
    program = f"""
import resource, signal
from nlprep.core.files import atomic_file
from nlprep.core.ownership import FileFormat
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, {resource.RLIM_INFINITY}))
with atomic_file({str(target)!r}, format=FileFormat('it', lambda _: True), overwrite=True) as stream:
    stream.write(b"x" * 3_000_000)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "FileError" in done.stderr
    assert "nothing was changed" in done.stderr
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_array_that_was_written_in_part_is_for_want_of_room(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="no space left on the device"), os_errors_named(tmp_path):
        raise OSError("32000 requested and 5088 written")
