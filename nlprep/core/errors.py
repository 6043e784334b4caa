"""The one way to fail: an `NlprepError` is something the user can mend, in one line.

The commands print it on stderr and leave with status 2. Anything else is a bug and keeps its traceback.
"""

from __future__ import annotations

import errno
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator


class NlprepError(Exception):
    """Something the user can mend; its text is one line that says what was seen and what to do."""


class OptionError(NlprepError):
    """A setting outside its range, of the wrong type, or in conflict with another."""


class FileError(NlprepError):
    """A file that cannot be used as it is.

    Args:
        path: The file, or a name for a stream such as ``<stdin>``.
        problem: What was seen and, after a colon, what to do about it.
        line: One-based line number, where the file has lines.
    """

    def __init__(self, path: str | os.PathLike[str], problem: str, *, line: int | None = None) -> None:
        self.path = str(path)
        self.problem = problem
        self.line = line
        where = self.path if line is None else f"{self.path}:{line}"
        super().__init__(f"{where}: {problem}")

    def __reduce__(self) -> tuple[object, ...]:
        """Survive the trip from a worker process."""
        return _rebuild_file_error, (self.path, self.problem, self.line)


def _rebuild_file_error(path: str, problem: str, line: int | None) -> FileError:
    return FileError(path, problem, line=line)


_REMEDIES = {
    errno.ENOENT: "no such file or directory: check the path",
    errno.ENOTDIR: "a part of this path is a file, not a directory: check the path",
    errno.EISDIR: "is a directory, not a file: name a file in it",
    errno.EACCES: "permission denied: choose another place or change its permissions",
    errno.EPERM: "permission denied: choose another place or change its permissions",
    errno.EROFS: "the file system is read-only: choose another place",
    errno.ENOSPC: "no space left on the device: free some space or choose another place; nothing was changed",
    errno.EDQUOT: "disk quota exceeded: free some space or choose another place; nothing was changed",
    errno.EFBIG: "the file would grow past its size limit: raise the limit; nothing was changed",
    errno.ENAMETOOLONG: "the name is too long: choose a shorter one",
}

_WRITTEN_IN_PART = re.compile(r"^\d+ requested and \d+ written")


@contextmanager
def os_errors_named(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn an `OSError` raised inside into a `FileError` about ``path`` that says what to do."""
    try:
        yield
    except OSError as error:
        # NumPy says of a full disk how much of an array it wrote, and not why.
        written_in_part = error.errno is None and _WRITTEN_IN_PART.search(str(error)) is not None
        problem = _REMEDIES.get(errno.ENOSPC if written_in_part else error.errno or 0)
        if problem is None:
            problem = f"{error.strerror or error}: check the file and its disk"
        raise FileError(path, problem) from error
