"""What killed processes leave behind goes; what a live one is writing stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nlprep.core import files
from nlprep.core.files import atomic_directory, atomic_file
from nlprep.core.temporaries import held_directory, hold, is_temporary, make_temporary, remove_leftovers

WRITER = """
import sys, time
from pathlib import Path
from nlprep.core.files import atomic_directory, atomic_file

folder = Path(sys.argv[1])
with atomic_directory(folder / "model", kind="thing") as assembly, atomic_file(folder / "vectors.vec") as stream:
    (assembly / "weights").write_text("half")
    stream.write(b"half")
    stream.flush()
    print("writing", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def writer(tmp_path: Path):
    process = subprocess.Popen([sys.executable, "-c", WRITER, tmp_path], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "writing\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def hidden(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.name.startswith(".")}


def write_both(folder: Path) -> None:
    with atomic_directory(folder / "model", kind="thing") as assembly:
        (assembly / "weights").write_text("whole")
    with atomic_file(folder / "vectors.vec") as stream:
        stream.write(b"whole")


def test_the_next_writer_removes_what_a_killed_one_left(tmp_path: Path, writer: subprocess.Popen[str]) -> None:
    left = hidden(tmp_path)
    assert len(left) == 2
    assert all(map(is_temporary, left))
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    assert hidden(tmp_path) == left
    with atomic_file(tmp_path / "other") as stream:
        stream.write(b"x")
    assert hidden(tmp_path) == left
    write_both(tmp_path)
    assert hidden(tmp_path) == set()
    assert (tmp_path / "model" / "weights").read_text() == (tmp_path / "vectors.vec").read_text() == "whole"


def test_what_a_live_one_writes_stays(tmp_path: Path, writer: subprocess.Popen[str]) -> None:
    left = hidden(tmp_path)
    write_both(tmp_path)
    remove_leftovers(tmp_path)
    assert hidden(tmp_path) == left
    assert {path.read_bytes() for name in left for path in (tmp_path / name).glob("weights")} == {b"half"}


def test_one_that_this_process_writes_stays(tmp_path: Path) -> None:
    with atomic_directory(tmp_path / "model", kind="thing") as outer:
        with atomic_directory(tmp_path / "model", kind="thing") as inner:
            (inner / "a").touch()
        assert outer.exists()
        (outer / "b").touch()
    assert {path.name for path in (tmp_path / "model").iterdir()} == {"b", "nlprep.json"}
    assert hidden(tmp_path) == set()


def test_only_names_of_ours_are_taken_for_leftovers(tmp_path: Path) -> None:
    mine = (".model.tmp", ".model.12345678.tmp", "model.nlprep-12345678.tmp", ".model.nlprep-12345678.tmp.txt")
    for name in mine:
        (tmp_path / name).write_text("mine")
    (tmp_path / ".model.nlprep-12345678.tmp").symlink_to(tmp_path / ".model.tmp")
    (tmp_path / ".models.nlprep-12345678.tmp").write_text("of another target")
    write_both(tmp_path)
    remove_leftovers(tmp_path, "model")
    assert all((tmp_path / name).read_text() == "mine" for name in mine)
    assert (tmp_path / ".models.nlprep-12345678.tmp").exists()


def test_what_was_set_aside_is_put_back(tmp_path: Path) -> None:
    with atomic_directory(tmp_path / "model", kind="thing") as assembly:
        (assembly / "weights").write_text("old")
    (tmp_path / "model").rename(tmp_path / ".model.nlprep-12345678.old")
    with pytest.raises(KeyboardInterrupt), atomic_directory(tmp_path / "model", kind="thing"):
        raise KeyboardInterrupt
    assert (tmp_path / "model" / "weights").read_text() == "old"
    assert hidden(tmp_path) == set()


def test_what_was_set_aside_goes_when_its_place_is_taken_unless_it_is_somebodys(tmp_path: Path) -> None:
    for name in ("model", "foreign"):
        with atomic_directory(tmp_path / name, kind="thing") as assembly:
            (assembly / "weights").write_text(name)
    (tmp_path / "foreign" / "thesis.txt").write_text("years of work")
    (tmp_path / "foreign").rename(tmp_path / ".model.nlprep-00000001.old")
    with atomic_directory(tmp_path / "x", kind="thing") as assembly:
        (assembly / "weights").write_text("old")
    (tmp_path / "x").rename(tmp_path / ".model.nlprep-00000002.old")
    with atomic_directory(tmp_path / "model", kind="thing") as assembly:
        (assembly / "weights").write_text("new")
    assert hidden(tmp_path) == {".model.nlprep-00000001.old"}
    assert (tmp_path / ".model.nlprep-00000001.old" / "thesis.txt").exists()


@pytest.mark.parametrize("swap", [True, False])
@pytest.mark.parametrize("moment", ["rename", "_swap"])
@pytest.mark.slow
def test_killed_while_they_change_places(tmp_path: Path, swap: bool, moment: str) -> None:
    """Whenever it is killed, the old one or the new one is there after the next writer has come by."""
    program = f"""
import os, signal, sys
from pathlib import Path
from nlprep.core import files
from nlprep.core.files import atomic_directory

target, count = Path(sys.argv[1]), int(sys.argv[2])
if not {swap}:
    files._renameat2 = lambda *_: False
owner, name = (Path, "rename") if {moment!r} == "rename" else (files, "_swap")
done = getattr(owner, name)
calls = 0

def die(*words):
    global calls
    found = done(*words)
    calls += 1
    if calls == count:
        os.kill(os.getpid(), signal.SIGKILL)
    return found

with atomic_directory(target, kind="thing") as assembly:
    (assembly / "weights").write_text("new")
    setattr(owner, name, die)
"""
    for count in range(1, 5):
        folder = tmp_path / str(count)
        folder.mkdir()
        with atomic_directory(folder / "model", kind="thing") as assembly:
            (assembly / "weights").write_text("old")
        done = subprocess.run([sys.executable, "-c", program, folder / "model", str(count)], check=False)
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL
        with pytest.raises(KeyboardInterrupt), atomic_directory(folder / "model", kind="thing"):
            raise KeyboardInterrupt
        assert (folder / "model" / "weights").read_text() in ("old", "new")
        assert hidden(folder) == set()
    assert count > 1


def test_a_temporary_that_was_cleared_away_at_birth_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nlprep.core import temporaries

    hold, removed = temporaries.hold, []

    def clear_first(descriptor: int) -> bool | None:
        if not removed:
            removed.append(next(tmp_path.iterdir()))
            temporaries.remove(removed[0])
        return hold(descriptor)

    for directory in (True, False):
        removed.clear()
        with monkeypatch.context() as patch:
            patch.setattr(temporaries, "hold", clear_first)
            path, descriptor = make_temporary(tmp_path / "x", directory=directory)
        os.close(descriptor)
        assert path.exists()
        assert path != removed[0]
        temporaries.remove(path)


def test_without_locks_nothing_is_taken_for_dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nlprep.core import temporaries

    (tmp_path / ".model.nlprep-12345678.tmp").mkdir()
    monkeypatch.setattr(temporaries, "hold", lambda _: None)
    write_both(tmp_path)
    assert hidden(tmp_path) == {".model.nlprep-12345678.tmp"}
    assert files.is_at(tmp_path / "nowhere", 0) is False


def test_a_directory_is_held_by_one_process_at_a_time(tmp_path):
    def asked_elsewhere() -> str:
        program = (
            "import sys; from pathlib import Path; from nlprep.core.errors import FileError\n"
            "from nlprep.core.temporaries import held_directory\n"
            "try:\n    held_directory(Path(sys.argv[1])).__enter__()\n    print('held')\n"
            "except FileError as error:\n    print(error)"
        )
        done = subprocess.run(
            [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    with held_directory(tmp_path):
        with held_directory(tmp_path):
            pass
        assert asked_elsewhere() == (
            f"{tmp_path}: another process is at work in it: wait until that is done, or name another directory"
        )
    assert asked_elsewhere() == "held"


def test_a_child_does_not_hold_on_what_its_parent_held(tmp_path):
    with held_directory(tmp_path):
        child = os.fork()
        if child == 0:
            time.sleep(30)
            os._exit(0)
    try:
        descriptor = os.open(tmp_path, os.O_RDONLY)
        deadline = time.monotonic() + 20
        # The child lets go as soon as it runs.
        while not (ours := hold(descriptor)) and time.monotonic() < deadline:
            time.sleep(0.01)
        os.close(descriptor)
        assert ours is True
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
