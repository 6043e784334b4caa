"""What an output may take the place of: only what this package wrote, whole and of the same kind; never an input.

*Directories* carry ``nlprep.json``, which names their kind and, for each file that was written, its size and a digest
of its content. One with another file in it, or in which a file has changed since, holds somebody's work and is refused.

*Runs* are directories in which work goes on, so that their files change. Their mark names the entries that are the
run's; nothing else in them is ever touched.

*Files* are told by a `FileFormat`: a format that can say who wrote a file (figures are sealed) answers for itself;
others cannot, so that replacing even a file of the same format has to be asked for.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlprep.core.errors import FileError, os_errors_named
from nlprep.core.temporaries import (
    created_mode,
    discard,
    final_name,
    hold,
    is_abandoned,
    is_temporary,
    make_temporary,
    remove,
    remove_leftovers,
    sync,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

MARK_NAME = "nlprep.json"
MARK_VERSION = 1
# What file managers leave wherever somebody looks.
_IGNORED = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})
_BLOCK, _BLOCKS, _PIECE = 1 << 20, 64, 1 << 16
_ASK = "give --overwrite to replace it, or name another place"
_CREATE = "no such directory: create it first"
_ELSEWHERE = "name a new place"


@dataclass(frozen=True)
class FileFormat:
    """A format of single files, and how one is known.

    Attributes:
        name: What such a file is called in errors, with its article.
        recognises: Whether a file is in the format, by its content.
        sealed: Whether a file says that this package wrote it and nobody changed it; None if the format cannot say.
    """

    name: str
    recognises: Callable[[Path], bool]
    sealed: Callable[[Path], bool] | None = None


def _is_of_a_run(path: Path) -> bool:
    mark = read_mark(path.parent)
    return mark is not None and final_name(path.name) in mark.get("entries", ())


def _is_unchanged(path: Path) -> bool:
    """Whether a run's file is what `record_file` noted, if it did: what is appended to is not noted."""
    mark, name = read_mark(path.parent), final_name(path.name)
    if mark is None or name not in mark.get("entries", ()):
        return False
    return name not in mark.get("written", {}) or seal_of(path) == mark["written"][name]


FILE_OF_A_RUN = FileFormat("a file of a run", recognises=_is_of_a_run, sealed=_is_unchanged)
"""What runs keep beside their directories: told by the run's own mark."""


def check_replaceable(
    path: str | os.PathLike[str],
    kind: str | FileFormat | None,
    *,
    inputs: Iterable[str | os.PathLike[str]] = (),
    overwrite: bool = False,
) -> None:
    """Fail now, rather than after hours of work, if `atomic_directory` or `atomic_file` would refuse to write.

    Args:
        path: The output.
        kind: The kind of a directory, the format of a file, or None for a file that must be new.
        inputs: What is read, which the output must neither be nor contain nor lie in; ``-`` is standard input.
        overwrite: Whether another kind of ours may be replaced, and a file whose format cannot say who wrote it.

    Raises:
        FileError: Says why not, and what to do.
    """
    if str(path) == "-":
        raise FileError(path, "is standard output, on which only results are written: name a file or a directory")
    target = written_place(path)
    check_apart(path, inputs)
    with os_errors_named(path):
        parent = target.absolute().parent
        if not parent.is_dir():
            problem = "is a file, not a directory: check the path" if parent.exists() else _CREATE
            raise FileError(parent, problem)
        refusal = problem_of_replacing(target, kind, overwrite=overwrite)
        if refusal is not None:
            raise FileError(path, refusal)
        if not os.access(parent, os.W_OK | os.X_OK):
            raise FileError(parent, "the directory is not writable: choose another place or change its permissions")


def written_place(path: str | os.PathLike[str]) -> Path:
    """Where writing to ``path`` writes: behind a symbolic link, which stays as it is."""
    target = Path(path)
    return Path(os.path.realpath(target)) if target.is_symlink() else target


def check_apart(path: str | os.PathLike[str], inputs: Iterable[str | os.PathLike[str]]) -> None:
    """Fail if an output is an input, contains one or lies in one, by whatever names.

    Raises:
        FileError: It does.
    """
    output = Path(path)
    standing = _status(output)
    above_output = [found for above in _real(output).parents if (found := _status(above)) is not None]
    for given in inputs:
        if str(given) == "-":
            if standing is not None and _is_standard_input(standing):
                raise FileError(path, "is what standard input comes from: name another place for the output")
            continue
        source = Path(given)
        found = _status(source)
        if found is None:
            # A missing input is its reader's to name.
            continue
        if standing is not None and os.path.samestat(standing, found):
            raise FileError(path, f"is the input {str(given)!r}: name another place for the output")
        if stat.S_ISDIR(found.st_mode) and any(os.path.samestat(found, above) for above in above_output):
            raise FileError(path, f"lies in the input {str(given)!r}: name a place outside it")
        if standing is not None and any(
            os.path.samestat(standing, above_input)
            for above in _real(source).parents
            if (above_input := _status(above)) is not None
        ):
            raise FileError(path, f"contains the input {str(given)!r}: name another place for the output")


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except (OSError, ValueError):
        return None


def _is_standard_input(output: os.stat_result) -> bool:
    try:
        return os.path.samestat(output, os.fstat(sys.stdin.fileno()))
    except (OSError, ValueError, AttributeError):
        return False


def problem_of_replacing(place: Path, kind: str | FileFormat | None, *, overwrite: bool) -> str | None:
    """Why what stands at ``place`` may not be replaced, or None if it may or nothing stands there.

    Raises:
        OSError: It cannot be looked at.
    """
    if not os.path.lexists(place):
        return None
    status = place.stat()
    if isinstance(kind, str):
        if not stat.S_ISDIR(status.st_mode):
            return "is a file: name a directory to write"
        return _problem_of_directory(place, kind, overwrite=overwrite)
    if stat.S_ISDIR(status.st_mode):
        return "is a directory: name a file to write"
    if not stat.S_ISREG(status.st_mode):
        return "is no ordinary file: name a file to write"
    if status.st_size == 0:
        return None
    if kind is None:
        return f"exists: {_ELSEWHERE}"
    if kind.sealed is not None:
        if kind.sealed(place):
            return None
        known = "was not written by nlprep, or was changed since" if kind.recognises(place) else f"is not {kind.name}"
        return f"exists and {known}, so it is not ours to replace: {_ELSEWHERE}"
    if not kind.recognises(place):
        return f"exists and is not {kind.name}, so it is not ours to replace: {_ELSEWHERE}"
    return None if overwrite else f"exists, and {kind.name} cannot say who wrote it: {_ASK}"


def _problem_of_directory(place: Path, kind: str, *, overwrite: bool) -> str | None:
    found, problem = examine(place)
    if problem is not None:
        return problem
    return None if found in (None, kind) or overwrite else f"holds {found!r}, not {kind!r}: {_ASK}"


def examine(directory: Path) -> tuple[str | None, str | None]:
    """The kind of a directory of ours (None if it is empty), and why it may not be removed, if it may not.

    Raises:
        OSError: It cannot be read.
    """
    mark = read_mark(directory)
    if mark is None:
        being_marked = f".{MARK_NAME}."
        others = (path for path in sorted(directory.iterdir()) if not _passes(path))
        foreign = next((path.name for path in others if not path.name.startswith(being_marked)), None)
        if foreign is None:
            return None, None
        return None, f"holds {foreign!r} and no mark of nlprep, so it is not ours to replace: {_ELSEWHERE}"
    kind = str(mark["kind"])
    if "entries" in mark:
        return kind, _problem_of_run(directory, mark["entries"])
    for path in _files_in(directory):
        name = path.relative_to(directory).as_posix()
        if name == MARK_NAME or _passes(path):
            continue
        if name not in mark["files"] or path.is_symlink():
            return kind, f"holds {name!r}, which nlprep did not write: move it away, or {_ELSEWHERE}"
        if seal_of(path) != mark["files"][name]:
            return kind, f"{name!r} in it was changed after nlprep wrote it: {_ELSEWHERE}, or move the directory away"
    return kind, None


def _problem_of_run(directory: Path, entries: Sequence[str]) -> str | None:
    for path in sorted(directory.iterdir()):
        if path.name == MARK_NAME or _passes(path):
            continue
        if path.name not in entries or path.is_symlink():
            return f"holds {path.name!r}, which nlprep did not write: move it away, or {_ELSEWHERE}"
        if not path.is_dir():
            if not _is_unchanged(path):
                return f"{path.name!r} in it was changed after nlprep wrote it: {_ELSEWHERE}, or move it away"
            continue
        # Of many, such as checkpoints, each has its own mark.
        for inner in [path] if read_mark(path) is not None else sorted(path.iterdir()):
            if _passes(inner):
                continue
            name = inner.relative_to(directory).as_posix()
            if inner.is_symlink() or not inner.is_dir():
                return f"holds {name!r}, which nlprep did not write: move it away, or {_ELSEWHERE}"
            problem = examine(inner)[1]
            if problem is not None:
                return f"{name!r} in it is not ours to remove ({problem.partition(':')[0]}): {_ELSEWHERE}"
    return None


def _passes(path: Path) -> bool:
    """Whether an entry of a directory counts for nothing."""
    return path.name in _IGNORED or (is_temporary(path.name) and is_abandoned(path))


def _files_in(directory: Path) -> Iterator[Path]:
    """Everything below a directory but directories, in order; links are not followed."""

    def fail(error: OSError) -> None:
        raise error

    for folder, folders, names in os.walk(directory, onerror=fail):
        folders.sort()
        links = [name for name in folders if (Path(folder) / name).is_symlink()]
        for name in sorted([*names, *links]):
            yield Path(folder) / name


def seal_of(path: Path) -> list[Any]:
    """Size and digest of a file, by which it is known again; of a large one, 64 blocks of a MiB are looked at.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        digest = hashlib.blake2b(digest_size=16)
        whole = size <= _BLOCK * _BLOCKS
        for number in range(1 if whole else _BLOCKS):
            stream.seek(number * (size - _BLOCK) // (_BLOCKS - 1))
            left = size if whole else _BLOCK
            # In small pieces: a corpus is written in little memory.
            while left and (piece := stream.read(min(left, _PIECE))):
                digest.update(piece)
                left -= len(piece)
    return [size, digest.hexdigest()]


def read_mark(directory: Path) -> dict[str, Any] | None:
    """The mark of a directory; None if it has none that can be read."""
    try:
        mark = json.loads((directory / MARK_NAME).read_bytes())
    except (OSError, ValueError):
        return None
    if not isinstance(mark, dict) or not isinstance(mark.get("kind"), str):
        return None
    held = mark.get("files", mark.get("entries"))
    return mark if isinstance(held, dict if "files" in mark else list) else None


def write_mark(directory: Path, kind: str) -> None:
    """Mark a directory that is being assembled, with all that is in it, as one of a kind.

    Raises:
        OSError: It cannot be written.
    """
    files = {path.relative_to(directory).as_posix(): seal_of(path) for path in _files_in(directory)}
    _write_json(directory / MARK_NAME, {"kind": kind, "format_version": MARK_VERSION, "files": files})


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


# Runs


def check_run(
    path: str | os.PathLike[str],
    kind: str,
    *,
    inputs: Iterable[str | os.PathLike[str]] = (),
    overwrite: bool = False,
) -> None:
    """Fail if `claim_run` would: arguments and errors as of `check_replaceable`.

    A run of the same kind is one to go on with, whatever else is in its directory.
    """
    target = written_place(path)
    mark = read_mark(target)
    if mark is not None and "entries" in mark and mark["kind"] == kind:
        check_apart(path, inputs)
        return
    check_replaceable(path, kind, inputs=inputs, overwrite=overwrite)


def claim_run(
    path: str | os.PathLike[str],
    kind: str,
    entries: Sequence[str],
    *,
    inputs: Iterable[str | os.PathLike[str]] = (),
    overwrite: bool = False,
    inside: bool = False,
) -> None:
    """Make the directory of a run, or see that it is one of this kind.

    Args:
        path: The directory.
        kind: What kind of run it is.
        entries: The files and directories that the run keeps in it.
        inputs: As for `check_replaceable`.
        overwrite: Whether another kind of ours may be removed.
        inside: Whether a run of any kind will do, and a directory of other things that has none of the entries: for
            what is a part of runs and also works alone.

    Raises:
        FileError: As `check_run`.
    """
    target = written_place(path)
    with os_errors_named(path):
        mark = read_mark(target)
        ours = mark is not None and "entries" in mark and (inside or mark["kind"] == kind)
        if mark is not None and ours:
            check_apart(path, inputs)
            missing = [name for name in entries if name not in mark["entries"]]
            if missing:
                _replace_mark(target, mark | {"entries": [*mark["entries"], *missing]})
            return
        parent = target.absolute().parent
        if not parent.exists():
            parent.mkdir(parents=True, exist_ok=True)
        if inside and mark is None and target.is_dir():
            # Nothing but the entries is ever touched.
            check_apart(path, inputs)
            taken = next((name for name in entries if os.path.lexists(target / name)), None)
            if taken is not None:
                raise FileError(
                    path, f"holds {taken!r} and no mark of nlprep, so it is not ours to go on with: {_ELSEWHERE}"
                )
        else:
            check_replaceable(path, kind, inputs=inputs, overwrite=overwrite)
        if mark is not None:
            _take_away(path, target)
        target.mkdir(exist_ok=True)
        _replace_mark(target, {"kind": kind, "format_version": MARK_VERSION, "entries": list(entries)})


def record_file(path: Path) -> None:
    """Note in the mark of its run what a file holds, so that it is replaced only if nobody has changed it.

    Raises:
        FileError: The mark cannot be written.
    """
    with os_errors_named(path):
        mark = read_mark(path.parent)
        if mark is not None:
            _replace_mark(path.parent, mark | {"written": {**mark.get("written", {}), path.name: seal_of(path)}})


def _replace_mark(directory: Path, mark: dict[str, Any]) -> None:
    temporary, descriptor = make_temporary(directory / MARK_NAME, directory=False)
    try:
        _write_json(temporary, mark)
        temporary.chmod(created_mode(0o666))
        # An empty mark, after a power cut, would make a whole run one that is not ours.
        sync(temporary)
        temporary.replace(directory / MARK_NAME)
        sync(directory)
    finally:
        os.close(descriptor)
        temporary.unlink(missing_ok=True)


def remove_directory(path: str | os.PathLike[str]) -> None:
    """Remove a directory of ours, if it is whole and holds nothing else; one that is missing is removed.

    Raises:
        FileError: It holds something else, or was changed.
    """
    target = written_place(path)
    with os_errors_named(path):
        if os.path.lexists(target):
            problem = examine(target)[1]
            if problem is not None:
                raise FileError(path, problem)
            _take_away(path, target)


def _take_away(path: str | os.PathLike[str], target: Path) -> None:
    """Remove a directory, looked at once more when nobody finds it any longer."""
    with _set_aside(path, target) as aside:
        discard(aside)


@contextlib.contextmanager
def _set_aside(path: str | os.PathLike[str], target: Path) -> Iterator[Path]:
    """Rename a directory of ours, where nobody finds it any longer, and hold it for the time of the block."""
    aside = target.with_name(f".{target.name[:40]}.nlprep-{os.urandom(4).hex()}.old")
    descriptor = os.open(target, os.O_RDONLY)
    try:
        # Held, so that no other writer takes it for something to put back.
        hold(descriptor)
        target.rename(aside)
        problem = examine(aside)[1]
        if problem is not None:
            aside.rename(target)
            raise FileError(path, problem)
        yield aside
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def making_room(path: str | os.PathLike[str], came_to_something: Callable[[], bool]) -> Iterator[None]:
    """Have a directory of ours out of the way of a run for the time of the block, and remove it at the end.

    Args:
        path: The directory: whole, and with nothing else in it.
        came_to_something: Asked at the end. If not, what the run left is removed and the directory is put back: work
            is not given up for a run that could not even begin.

    Raises:
        FileError: It holds something else, or was changed.
    """
    target = written_place(path)
    with os_errors_named(path), _set_aside(path, target) as aside:
        try:
            yield
        finally:
            if came_to_something():
                discard(aside)
            else:
                remove_run(target)
                if not os.path.lexists(target):
                    aside.rename(target)


def settle_room(path: str | os.PathLike[str], came_to_something: Callable[[], bool]) -> None:
    """Put back, or remove, what a process that was killed had taken out of a run's way with `making_room`."""
    target = written_place(path)
    remove_leftovers(
        target.absolute().parent, target.name,
        may_be_replaced=lambda aside: came_to_something() and examine(aside)[1] is None,
    )  # fmt: skip


def remove_run(path: str | os.PathLike[str]) -> None:
    """Remove what a run keeps in its directory, and the directory if nothing else is in it.

    An entry in which there is something else, or which was changed, stays.
    """
    target = written_place(path)
    mark = read_mark(target)
    if mark is None or "entries" not in mark:
        return
    # A mark names entries of its directory, not ways out of it.
    entries = [target / name for name in mark["entries"] if Path(name).name == name]
    for entry in entries:
        with contextlib.suppress(OSError):
            if entry.is_symlink() or not entry.is_dir() or examine(entry)[1] is None:
                remove(entry)
    if any(os.path.lexists(entry) for entry in entries):
        return
    remove_leftovers(target)
    if all(child.name == MARK_NAME or child.name in _IGNORED for child in target.iterdir()):
        discard_name = target.with_name(f".{target.name[:40]}.nlprep-{os.urandom(4).hex()}.tmp")
        with contextlib.suppress(OSError):
            remove(target.rename(discard_name))
    else:
        (target / MARK_NAME).unlink(missing_ok=True)
