"""What may be replaced: only what this package wrote, whole and of the same kind; never an input."""

from __future__ import annotations

import json
import os
import shutil
import stat
from pathlib import Path

import numpy as np
import pytest

from nlprep.core import files, ownership
from nlprep.core.artifacts import write_artifact
from nlprep.core.errors import FileError
from nlprep.core.files import atomic_directory, atomic_file
from nlprep.core.ownership import (
    FILE_OF_A_RUN,
    FileFormat,
    check_apart,
    check_replaceable,
    check_run,
    claim_run,
    remove_directory,
    remove_run,
    seal_of,
)

LETTER = FileFormat("a letter", recognises=lambda path: path.read_bytes().startswith(b"Dear"))
SIGNED = FileFormat("a signed letter", LETTER.recognises, sealed=lambda path: path.read_bytes().endswith(b"signed"))


def write(path: Path, kind: str = "thing", content: str = "ours", **settings: bool) -> Path:
    with atomic_directory(path, kind=kind, **settings) as assembly:
        (assembly / "config.json").write_text(content)
        (assembly / "inner").mkdir()
        (assembly / "inner" / "tokens.txt").write_text(content)
    return path


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_one_of_the_same_kind_is_replaced(tmp_path: Path) -> None:
    target = write(tmp_path / "out")
    write(target, content="newer")
    assert (target / "inner" / "tokens.txt").read_text() == "newer"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    copied = shutil.copytree(target, tmp_path / "copied", copy_function=shutil.copyfile)
    write(copied, content="newest")


def test_one_of_another_kind_has_to_be_asked_for(tmp_path: Path) -> None:
    target = write(tmp_path / "out")
    for attempt in (lambda: write(target, "other"), lambda: check_replaceable(target, "other")):
        with pytest.raises(FileError, match=r"holds 'thing', not 'other': give --overwrite to replace it, or name"):
            attempt()
    assert (target / "config.json").read_text() == "ours"
    check_replaceable(target, "other", overwrite=True)
    write(target, "other", "newer", overwrite=True)
    assert (target / "config.json").read_text() == "newer"


def add_a_file(target: Path) -> str:
    (target / "thesis.txt").write_text("years of work")
    return "holds 'thesis.txt', which nlprep did not write"


def add_a_file_further_in(target: Path) -> str:
    (target / "inner" / "notes").mkdir()
    (target / "inner" / "notes" / "thesis.txt").write_text("years of work")
    return "holds 'inner/notes/thesis.txt', which nlprep did not write"


def add_a_link(target: Path) -> str:
    (target / "data").symlink_to(target.parent)
    return "holds 'data', which nlprep did not write"


def change_a_file(target: Path) -> str:
    (target / "config.json").write_text("mine")
    return "'config.json' in it was changed after nlprep wrote it"


def remove_the_mark(target: Path) -> str:
    (target / "nlprep.json").unlink()
    return "holds 'config.json' and no mark of nlprep"


def spoil_the_mark(target: Path) -> str:
    (target / "nlprep.json").write_text("{")
    return "holds 'config.json' and no mark of nlprep"


@pytest.mark.parametrize(
    "work", [add_a_file, add_a_file_further_in, add_a_link, change_a_file, remove_the_mark, spoil_the_mark]
)
def test_what_somebody_put_into_ours_is_never_lost(tmp_path: Path, work) -> None:
    target = write(tmp_path / "out")
    problem = work(target)
    before = content(tmp_path)
    for attempt in (
        lambda overwrite: check_replaceable(target, "thing", overwrite=overwrite),
        lambda overwrite: write(target, overwrite=overwrite),
        lambda overwrite: claim_run(target, "a-run", ["model"], overwrite=overwrite),
        lambda _: remove_directory(target),
    ):
        for overwrite in (False, True):
            with pytest.raises(FileError) as caught:
                attempt(overwrite)
            assert problem in str(caught.value)
            assert "\n" not in str(caught.value)
    assert content(tmp_path) == before


def test_traces_of_a_file_manager_do_not_count(tmp_path: Path) -> None:
    target = write(tmp_path / "out")
    (target / ".DS_Store").write_bytes(b"\0")
    write(target)
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / ".DS_Store").write_bytes(b"\0")
    write(empty)


def test_what_was_removed_from_ours_is_no_hindrance(tmp_path: Path) -> None:
    target = write(tmp_path / "out")
    (target / "config.json").unlink()
    write(target)


@pytest.mark.parametrize("swap", [True, False])
def test_what_comes_while_we_work_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, swap: bool) -> None:
    if not swap:
        monkeypatch.setattr(files, "_renameat2", lambda *_: False)

    def write_meanwhile(target: Path, make, between) -> None:
        with make(target) as place:
            between(target)
            if isinstance(place, Path):
                (place / "new").touch()
            else:
                place.write(b"Dear new")

    def make_directory(path: Path):
        return atomic_directory(path, kind="thing")

    def make_file(path: Path):
        return atomic_file(path, format=LETTER)

    def put_a_thesis(target: Path) -> None:
        target.mkdir(exist_ok=True)
        (target / "thesis.txt").write_text("years of work")

    for make in (make_directory, make_file):
        target = tmp_path / make.__name__
        with pytest.raises(FileError, match=r"thesis.txt|is a directory: name a file"):
            write_meanwhile(target, make, put_a_thesis)
        assert [path.name for path in target.iterdir()] == ["thesis.txt"]
    ours = write(tmp_path / "ours")
    with pytest.raises(FileError, match=r"holds 'thesis.txt'"):
        write_meanwhile(ours, make_directory, put_a_thesis)
    assert (ours / "config.json").read_text() == "ours"
    letter = tmp_path / "letter"
    with pytest.raises(FileError, match="exists, and a letter cannot say who wrote it"):
        write_meanwhile(letter, make_file, lambda target: target.write_text("Dear mother"))
    assert letter.read_text() == "Dear mother"
    with pytest.raises(FileError, match="is a file: name a directory"):
        write_meanwhile(letter, make_directory, lambda _: None)
    fresh = tmp_path / "fresh"
    with pytest.raises(FileError, match="is a file: name a directory"):
        write_meanwhile(fresh, make_directory, lambda target: target.write_text("mine"))
    assert fresh.read_text() == "mine"
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_what_comes_in_the_last_instant_is_put_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = write(tmp_path / "out")
    swap = files._swap

    def swap_late(one: Path, other: Path) -> bool:
        if not (one / "thesis.txt").exists():
            (target / "thesis.txt").write_text("years of work")
        return swap(one, other)

    monkeypatch.setattr(files, "_swap", swap_late)
    with pytest.raises(FileError, match=r"holds 'thesis.txt'"):
        write(target, content="newer")
    assert content(target).keys() == {"config.json", "inner/tokens.txt", "nlprep.json", "thesis.txt"}
    assert (target / "config.json").read_text() == "ours"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_file_is_replaced_by_its_format(tmp_path: Path) -> None:
    path = tmp_path / "out"

    def attempt(kind: FileFormat | None, overwrite: bool) -> None:
        check_replaceable(path, kind, overwrite=overwrite)
        with atomic_file(path, format=kind, overwrite=overwrite) as stream:
            stream.write(b"Dear all")
        path.write_bytes(before)

    allowed = {
        (b"", None, False), (b"", None, True), (b"", LETTER, False), (b"", LETTER, True), (b"", SIGNED, False),
        (b"", SIGNED, True), (b"Dear me", LETTER, True), (b"Dear me, signed", LETTER, True),
        (b"Dear me, signed", SIGNED, False), (b"Dear me, signed", SIGNED, True),
    }  # fmt: skip
    for before in (b"", b"a thesis", b"Dear me", b"Dear me, signed"):
        path.write_bytes(before)
        for kind in (None, LETTER, SIGNED):
            for overwrite in (False, True):
                if (before, kind, overwrite) in allowed:
                    attempt(kind, overwrite)
                    continue
                with pytest.raises(FileError) as caught:
                    attempt(kind, overwrite)
                assert "exists" in str(caught.value)
                assert path.read_bytes() == before
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(FileError, match="is no ordinary file"):
        check_replaceable(pipe, LETTER, overwrite=True)


def test_behind_a_link_is_written_and_the_link_stays(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    for name in ("directory", "file"):
        (tmp_path / name).symlink_to(tmp_path / "elsewhere" / name)
    for text in ("old", "new"):
        write(tmp_path / "directory", content=text)
        with atomic_file(tmp_path / "file", format=LETTER, overwrite=True) as stream:
            stream.write(f"Dear {text}".encode())
    assert (tmp_path / "elsewhere" / "directory" / "config.json").read_text() == "new"
    assert (tmp_path / "elsewhere" / "file").read_text() == "Dear new"
    assert (tmp_path / "directory").is_symlink()
    assert (tmp_path / "file").is_symlink()
    (tmp_path / "mine").symlink_to(tmp_path / "photos")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "dear.jpg").touch()
    with pytest.raises(FileError, match=r"holds 'dear.jpg'"):
        write(tmp_path / "mine")


def test_an_output_is_apart_from_the_inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("texts/deep/er/en.txt", "corpus.txt", "other.txt"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text("text")
    Path("symbolic").symlink_to("corpus.txt")
    Path("hard").hardlink_to("corpus.txt")
    Path("linked").symlink_to("texts")
    same, inside, around = "is the input", "lies in the input", "contains the input"
    for output, given, problem in (
        ("corpus.txt", "corpus.txt", same),
        ("corpus.txt", "./corpus.txt", same),
        ("corpus.txt", tmp_path / "texts" / ".." / "corpus.txt", same),
        ("symbolic", "corpus.txt", same),
        ("corpus.txt", "symbolic", same),
        ("hard", "corpus.txt", same),
        ("texts", "texts/", same),
        ("linked", "texts", same),
        ("texts/run", "texts", inside),
        ("linked/run", "texts", inside),
        ("texts/deep/run", "linked", inside),
        ("texts", "texts/deep/er/en.txt", around),
        ("texts", "linked/deep", around),
        (".", "corpus.txt", around),
        ("run", ".", inside),
    ):
        with pytest.raises(FileError, match=problem) as caught:
            check_apart(output, ["other.txt", given])
        assert "\n" not in str(caught.value)
    for output, given in (
        ("run", "texts"),
        ("texts2", "texts"),
        ("texts", "corpus.txt"),
        ("corpus.txt.vec", "corpus.txt"),
        ("run", "gone"),
        ("texts/run", "texts/deep"),
        ("run", "-"),
    ):
        check_apart(output, [given])
    with pytest.raises(FileError, match=same):
        check_replaceable("corpus.txt", LETTER, inputs=["hard"], overwrite=True)
    with pytest.raises(FileError, match=inside):
        claim_run("texts/run", "a-run", ["model"], inputs=["texts"])


def test_an_output_is_not_what_standard_input_comes_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "corpus.txt"
    path.write_text("text")
    with path.open() as stream:
        monkeypatch.setattr("sys.stdin", stream)
        with pytest.raises(FileError, match="is what standard input comes from"):
            check_apart(path, ["-"])
        check_apart(tmp_path / "other", ["-"])


def test_names_that_differ_in_case_alone(tmp_path: Path) -> None:
    path = tmp_path / "Corpus.txt"
    path.write_text("text")
    if not (tmp_path / "corpus.TXT").exists():
        # Elsewhere the two names are two files, and a device number and an inode stand for what would be one.
        (tmp_path / "corpus.TXT").hardlink_to(path)
    with pytest.raises(FileError, match="is the input"):
        check_apart(tmp_path / "corpus.TXT", [path])


def test_a_run_is_gone_on_with_and_other_things_in_it_are_let_be(tmp_path: Path) -> None:
    run = tmp_path / "deep" / "run"
    claim_run(run, "a-run", ["metrics.jsonl"])
    (run / "notes.txt").write_text("mine")
    claim_run(run, "a-run", ["model"])
    assert json.loads((run / "nlprep.json").read_bytes())["entries"] == ["metrics.jsonl", "model"]
    claim_run(run, "part-of-a-run", ["metrics.jsonl"], inside=True)
    with pytest.raises(FileError, match=r"holds 'notes.txt', which nlprep did not write"):
        check_run(run, "another-run", overwrite=True)
    (run / "notes.txt").unlink()
    write(run / "model")
    with pytest.raises(FileError, match="holds 'a-run', not 'another-run': give --overwrite"):
        check_run(run, "another-run")
    claim_run(run, "another-run", ["model"], overwrite=True)
    assert [path.name for path in run.iterdir()] == ["nlprep.json"]
    assert [path.name for path in run.parent.iterdir()] == ["run"]


def test_the_mark_of_a_run_is_on_the_disk_before_it_is_renamed_and_readable_as_other_files_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    synced, renamed = os.fsync, Path.replace

    def note_sync(descriptor: int) -> None:
        synced(descriptor)
        events.append("directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")

    def note_rename(path: Path, target: Path) -> Path:
        events.append("rename")
        return renamed(path, target)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(Path, "replace", note_rename)
    mask = os.umask(0o027)
    try:
        claim_run(tmp_path / "run", "a-run", ["model"])
    finally:
        os.umask(mask)
    assert events == ["file", "rename", "directory"]
    assert stat.S_IMODE((tmp_path / "run" / "nlprep.json").stat().st_mode) == 0o640


def test_a_run_with_something_changed_is_not_taken_away(tmp_path: Path) -> None:
    run = tmp_path / "run"
    claim_run(run, "a-run", ["text", "model", "checkpoints"])
    write(run / "model")
    write(run / "checkpoints" / "1") if (run / "checkpoints").mkdir() is None else None
    check_run(run, "another-run", overwrite=True)
    for place in (run / "model", run / "checkpoints" / "1", run / "checkpoints"):
        (place / "mine").write_text("mine")
        for attempt in (
            lambda: check_run(run, "another-run", overwrite=True),
            lambda: write(run, overwrite=True),
            lambda: remove_directory(run),
        ):
            with pytest.raises(FileError, match=r"model|checkpoints/1|checkpoints/mine"):
                attempt()
        remove_run(run)
        assert (place / "mine").read_text() == "mine"
        (place / "mine").unlink()
        claim_run(run, "a-run", ["text", "model", "checkpoints"])
        for inner in ("model", "checkpoints/1"):
            write(run / inner)
    (run / "checkpoints" / "1").rename(tmp_path / "1")
    remove_run(run)
    assert not run.exists()


def test_files_of_a_run_are_replaced_unless_changed(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="is not ours to replace"):
        (tmp_path / "text").write_text("mine")
        check_replaceable(tmp_path / "text", FILE_OF_A_RUN, overwrite=True)
    run = tmp_path / "run"
    claim_run(run, "a-run", ["text"])
    (run / "text").write_text("ours")
    check_replaceable(run / "text", FILE_OF_A_RUN)
    ownership.record_file(run / "text")
    check_replaceable(run / "text", FILE_OF_A_RUN)
    (run / "text").write_text("mine")
    with pytest.raises(FileError, match="was changed since"):
        check_replaceable(run / "text", FILE_OF_A_RUN)
    with pytest.raises(FileError, match="'text' in it was changed"):
        check_run(run, "another-run", overwrite=True)


def test_entries_lead_nowhere_else(tmp_path: Path) -> None:
    run, outside = tmp_path / "run", tmp_path / "thesis"
    claim_run(run, "a-run", ["../thesis", "link", "/etc"])
    outside.mkdir()
    (outside / "chapter").touch()
    (run / "link").symlink_to(outside)
    remove_run(run)
    assert (outside / "chapter").exists()


def test_large_files_are_known_by_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ownership, "_BLOCK", 1 << 10)
    path = tmp_path / "large"
    block = np.random.default_rng(1).bytes(1 << 10)
    with path.open("wb") as stream:
        for _ in range(70):
            stream.write(block)
    before = seal_of(path)
    assert seal_of(path) == before
    with path.open("r+b") as stream:
        stream.seek(-1, os.SEEK_END)
        stream.write(bytes([block[-1] ^ 1]))
    assert seal_of(path) != before
    with path.open("ab") as stream:
        stream.write(b"x")
    assert seal_of(path)[0] == before[0] + 1


def test_artifacts_of_a_kind(tmp_path: Path) -> None:
    tensors = {"m": np.ones((2, 3), np.float32)}
    write_artifact(tmp_path / "a", kind="thing", config={}, tensors=tensors)
    write_artifact(tmp_path / "a", kind="thing", config={}, tensors=tensors)
    with pytest.raises(FileError, match="holds 'thing', not 'other'"):
        write_artifact(tmp_path / "a", kind="other", config={}, tensors=tensors)
    write_artifact(tmp_path / "a", kind="other", config={}, tensors=tensors, overwrite=True)
    # A project of somebody else's, with a config.json that says the same.
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    (tmp_path / "b" / "nlprep.json").unlink()
    with pytest.raises(FileError, match="no mark of nlprep"):
        write_artifact(tmp_path / "b", kind="other", config={}, tensors=tensors, overwrite=True)
