"""What is being written, beside where it will be: names that say so, held by a lock while somebody writes.

``.model.nlprep-k3x9a_0z.tmp`` is being written for ``model``; its writer holds a lock (``flock``) on it, which the
system lets go of however the writer ends. One that nobody holds was left by a killed process, and the next writer to
the same place removes it. ``.model.nlprep-k3x9a_0z.old`` is whole: the old ``model`` or the new one, in the instant
in which they change places. It is put back if ``model`` is missing, and never removed unless it may be replaced.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from nlprep.core.errors import FileError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_NAME = re.compile(r"\.(?P<target>.+)\.nlprep-[a-z0-9_]{8}\.(?P<stage>tmp|old)", re.DOTALL)
# Names may have 255 bytes, of which a character can take four.
_LONGEST_TARGET = 40
_HELD_BY_ANOTHER = frozenset({errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES})


def is_temporary(name: str) -> bool:
    """Whether a name is of the kind that `make_temporary` gives."""
    return _NAME.fullmatch(name) is not None


def final_name(name: str) -> str:
    """The name of what a temporary name stands for, or has been set aside from; another name is itself."""
    match = _NAME.fullmatch(name)
    return name if match is None else match["target"]


def make_temporary(target: Path, *, directory: bool) -> tuple[Path, int]:
    """Make an empty file or directory beside ``target``, held until its descriptor is closed.

    Returns:
        Its path and the descriptor, open for writing if it is a file.

    Raises:
        OSError: It cannot be made.
    """
    prefix, parent = f".{target.name[:_LONGEST_TARGET]}.nlprep-", target.absolute().parent
    while True:
        if directory:
            name = tempfile.mkdtemp(prefix=prefix, suffix=".tmp", dir=parent)
            try:
                descriptor = os.open(name, os.O_RDONLY)
            except FileNotFoundError:
                # Between making and holding it, it looked like something left behind.
                continue
        else:
            descriptor, name = tempfile.mkstemp(prefix=prefix, suffix=".tmp", dir=parent)
        path = Path(name)
        if hold(descriptor) is not False and is_at(path, descriptor):
            return path, descriptor
        os.close(descriptor)


def hold(descriptor: int) -> bool | None:
    """Lock what a descriptor is of: True if it is ours now, False if another holds it, None if nothing can be held."""
    try:
        import fcntl
    except ImportError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        # Some file systems of networks lock no directories.
        return False if error.errno in _HELD_BY_ANOTHER else None
    return True


@contextlib.contextmanager
def held_directory(path: Path) -> Iterator[None]:
    """Hold a directory for the time of the block, in which this process may hold it again.

    Raises:
        FileError: Another process holds it.
    """
    descriptor = os.open(path, os.O_RDONLY)
    status = os.fstat(descriptor)
    place = status.st_dev, status.st_ino
    if place in _held_directories:
        os.close(descriptor)
        yield
        return
    if hold(descriptor) is False:
        os.close(descriptor)
        raise FileError(path, "another process is at work in it: wait until that is done, or name another directory")
    _held_directories[place] = descriptor
    try:
        yield
    finally:
        # In a child, that may be gone already.
        if _held_directories.pop(place, None) is not None:
            os.close(descriptor)


def _let_go() -> None:
    """Close what the parent holds: a child that outlives it must not hold it on."""
    for descriptor in _held_directories.values():
        os.close(descriptor)
    _held_directories.clear()


_held_directories: dict[tuple[int, int], int] = {}
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)


def is_at(path: Path, descriptor: int) -> bool:
    """Whether ``path`` is what a descriptor was opened on."""
    try:
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def is_abandoned(path: Path) -> bool:
    """Whether something of a temporary name is being written by nobody."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        return hold(descriptor) is True
    finally:
        os.close(descriptor)


def discard(path: Path) -> None:
    """Remove something whole that was set aside; what a kill leaves of it counts as never finished."""
    unfinished = path.with_suffix(".tmp")
    with contextlib.suppress(OSError):
        path = path.rename(unfinished)
    remove(path)


def remove(path: Path) -> None:
    """Remove a file or a directory, as far as that is possible."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def remove_leftovers(
    folder: Path, target: str | None = None, *, may_be_replaced: Callable[[Path], bool] | None = None
) -> None:
    """Remove from a folder what killed processes were writing, and put back what they had set aside.

    Args:
        folder: The folder.
        target: The name that it was written for; None for any.
        may_be_replaced: Whether something whole that was set aside may go, its place being taken; by default, not.
    """
    try:
        names = [entry.name for entry in folder.iterdir()]
    except OSError:
        # Whoever writes there says what is wrong.
        return
    for name in names:
        match = _NAME.fullmatch(name)
        if match is None or (target is not None and match["target"] != target[:_LONGEST_TARGET]):
            continue
        path = folder / name
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            continue
        try:
            if hold(descriptor) and is_at(path, descriptor):
                _settle(path, match["target"], match["stage"], may_be_replaced)
        finally:
            os.close(descriptor)


def _settle(path: Path, target: str, stage: str, may_be_replaced: Callable[[Path], bool] | None) -> None:
    if stage == "tmp":
        remove(path)
        return
    place = path.with_name(target)
    if len(target) < _LONGEST_TARGET and not os.path.lexists(place):
        with contextlib.suppress(OSError):
            path.rename(place)
    elif may_be_replaced is not None and may_be_replaced(path):
        discard(path)


def sync(path: Path) -> None:
    """Have a file's bytes, or a directory's names, outlive a power cut from here on."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def created_mode(base: int) -> int:
    """Permissions that ``open`` or ``mkdir`` would have given; tempfile's are for the owner alone."""
    mask = os.umask(0)
    os.umask(mask)
    return base & ~mask
