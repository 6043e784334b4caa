"""Files in and out: compressed or plain input as streams, output that is whole or absent.

Every writer of the project goes through `atomic_file` or `atomic_directory`: the result is written
beside its target, synced, and renamed into place, so that a reader, a crash or Ctrl-C never meets half of it.
"""

from __future__ import annotations

import bz2
import contextlib
import ctypes
import gzip
import io
import lzma
import os
import shutil
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, cast

from nlprep.core.errors import FileError, OptionError, os_errors_named

if TYPE_CHECKING:
    from collections.abc import Iterator

EncodingErrors = Literal["strict", "replace", "ignore", "skip-line"]
"""What to do with bytes that are not UTF-8; ``skip-line`` drops the whole line."""

STANDARD_INPUT = "-"
_MAGIC = {b"\x1f\x8b": "gz", b"\xfd7zXZ\x00": "xz", b"\x28\xb5\x2f\xfd": "zst", b"BZh": "bz2"}
_LONGEST_MAGIC = max(map(len, _MAGIC))


def display_name(path: str | os.PathLike[str]) -> str:
    """The name errors and progress use for ``path``; standard input is ``<stdin>``."""
    return "<stdin>" if str(path) == STANDARD_INPUT else str(path)


@contextmanager
def open_binary(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file for reading, decompressing gzip, xz, zstandard and bzip2 by content, not by name.

    Args:
        path: The file; ``-`` is standard input, which may be compressed too.

    Raises:
        FileError: Missing, unreadable, or corrupt or truncated compressed data (also while it is read).
    """
    name = display_name(path)
    with contextlib.ExitStack() as stack:
        with os_errors_named(name):
            if str(path) == STANDARD_INPUT:
                # A daemon or a closed descriptor leaves sys.stdin as None.
                if sys.stdin is None:
                    raise FileError(name, "standard input is closed: name a file")
                raw: Any = sys.stdin.buffer
            else:
                raw = stack.enter_context(Path(path).open("rb", buffering=1 << 20))
            head = raw.peek(_LONGEST_MAGIC)[:_LONGEST_MAGIC]
        compression = next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), None)
        stream: Any = raw
        for opened in _decompressors(raw, compression):
            stream = stack.enter_context(opened)
        try:
            with os_errors_named(name):
                yield stream
        except (EOFError, lzma.LZMAError, gzip.BadGzipFile) as error:
            raise FileError(name, _corrupt(compression)) from error
        except FileError as error:
            # gzip and bz2 report bad data as a bare OSError, zlib and zstd with classes of their own.
            if compression and isinstance(error.__cause__, OSError) and error.__cause__.errno is None:
                raise FileError(name, _corrupt(compression)) from error
            raise
        except Exception as error:
            if compression and type(error).__name__ in {"error", "ZstdError"}:
                raise FileError(name, _corrupt(compression)) from error
            raise


def is_compressed(path: str | os.PathLike[str]) -> bool:
    """Whether a regular file's content is compressed in a way that `open_binary` undoes.

    Raises:
        FileError: Missing or unreadable.
    """
    with os_errors_named(path), Path(path).open("rb") as stream:
        return stream.read(_LONGEST_MAGIC).startswith(tuple(_MAGIC))


def _decompressors(raw: Any, compression: str | None) -> Iterator[Any]:
    """The streams to open over ``raw``, in turn; the last is the one to read."""
    if compression == "gz":
        yield gzip.GzipFile(fileobj=raw)
    elif compression == "xz":
        yield lzma.LZMAFile(raw)  # noqa: SIM115
    elif compression == "bz2":
        yield bz2.BZ2File(raw)
    elif compression == "zst":
        yield io.BufferedReader(_ZstandardFrames(raw), 1 << 20)


class _ZstandardFrames(io.RawIOBase):
    """The content of zstandard frames one after another.

    The library's own stream reader takes a frame that is cut short for its end; here it raises `EOFError`.
    """

    def __init__(self, raw: Any) -> None:
        import zstandard

        self._raw = raw
        self._begin_frame = zstandard.ZstdDecompressor().decompressobj
        self._frame: Any = None
        self._compressed = b""
        self._content = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        while not self._content:
            if not self._compressed:
                self._compressed = self._raw.read(1 << 17)
                if not self._compressed:
                    if self._frame is not None:
                        raise EOFError
                    return 0
            frame = self._begin_frame() if self._frame is None else self._frame
            self._content = memoryview(frame.decompress(self._compressed))
            self._compressed = frame.unused_data
            self._frame = None if frame.eof else frame
        size = min(len(buffer), len(self._content))
        buffer[:size] = self._content[:size]
        self._content = self._content[size:]
        return size


def _corrupt(compression: str | None) -> str:
    return f"the {compression} data is damaged or cut short: compress or download the file again"


def read_lines(
    path: str | os.PathLike[str], *, encoding_errors: EncodingErrors = "strict"
) -> Iterator[tuple[int, str]]:
    r"""Stream ``(line number, text)`` from a UTF-8 text file, plain or compressed, line ends removed.

    A byte-order mark is dropped; ``\r\n`` and ``\n`` both end a line.

    Args:
        path: The file; ``-`` is standard input.
        encoding_errors: What to do with bytes that are not UTF-8.

    Raises:
        FileError: Unreadable file, or, with ``strict``, a line that is not UTF-8 (its number is given).
    """
    name = display_name(path)
    decode_errors = "strict" if encoding_errors == "skip-line" else encoding_errors
    with open_binary(path) as stream:
        for number, raw in enumerate(stream, start=1):
            try:
                line = raw.decode("utf-8", decode_errors)
            except UnicodeDecodeError as error:
                if encoding_errors == "skip-line":
                    continue
                raise FileError(
                    name,
                    f"byte 0x{raw[error.start]:02x} at column {error.start + 1} is not UTF-8: convert the file "
                    "to UTF-8, or choose an encoding-errors policy (replace, ignore or skip-line)",
                    line=number,
                ) from None
            if number == 1:
                line = line.removeprefix("\ufeff")
            yield number, line.rstrip("\r\n")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _created_mode(base: int) -> int:
    """Permissions that ``open`` or ``mkdir`` would have given; tempfile's are for the owner alone."""
    mask = os.umask(0)
    os.umask(mask)
    return base & ~mask


@contextmanager
def atomic_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Yield a binary file that takes the place of ``path`` when the block ends well, and else vanishes.

    Raises:
        FileError: The folder is missing or read-only, or the disk is full; ``path`` is then untouched.
    """
    target = Path(path)
    with os_errors_named(target):
        if target.is_dir():
            raise FileError(target, "is a directory: name a file to write")
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name[:100]}.", suffix=".tmp", dir=target.parent)
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb", buffering=1 << 20) as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            temporary.chmod(_created_mode(0o666))
            temporary.replace(target)
            _sync(target.parent)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


@contextmanager
def atomic_directory(path: str | os.PathLike[str], *, replaces: str = "config.json") -> Iterator[Path]:
    """Yield an empty directory that takes the place of ``path`` when the block ends well, and else vanishes.

    An existing directory is replaced only if it is empty or holds a file named ``replaces``, the mark of one
    of our own: a mistyped path must not cost a folder of other things.

    Raises:
        FileError: ``path`` is something else's, the folder is missing or read-only, or the disk is full;
            ``path`` is then untouched.
    """
    target = Path(path)
    with os_errors_named(target):
        check_replaceable(target, replaces=replaces)
        parent = target.absolute().parent
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name[:100]}.", suffix=".tmp", dir=parent))
        try:
            temporary.chmod(_created_mode(0o777))
            yield temporary
            for written in sorted(temporary.rglob("*")):
                _sync(written)
            _sync(temporary)
            _put_in_place(temporary, target)
            _sync(parent)
        finally:
            # After a swap the temporary name holds the old directory.
            shutil.rmtree(temporary, ignore_errors=True)


def check_replaceable(path: str | os.PathLike[str], *, replaces: str = "config.json") -> None:
    """Fail now, rather than after hours of work, if `atomic_directory` would refuse to write to ``path``.

    Raises:
        FileError: ``path`` is a file, a directory of something else, or its folder is missing or read-only.
    """
    target = Path(path)
    if target.exists():
        if not target.is_dir():
            raise FileError(target, "is a file: name a directory to write")
        if any(target.iterdir()) and not (target / replaces).is_file():
            raise FileError(
                target, f"exists and holds no {replaces}, so it is not ours to replace: name a new directory"
            )
    parent = target.absolute().parent
    if not parent.is_dir():
        raise FileError(parent, "no such directory: create it first")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise FileError(parent, "the directory is not writable: choose another place or change its permissions")


def _put_in_place(temporary: Path, target: Path) -> None:
    if not target.exists():
        temporary.rename(target)
    elif not _swap(temporary, target):
        # Without an atomic swap there is a moment with no target: step aside first, step back on failure.
        aside = temporary.with_suffix(".old")
        target.rename(aside)
        try:
            temporary.rename(target)
        except BaseException:
            aside.rename(target)
            raise
        aside.rename(temporary)


def _swap(one: Path, other: Path) -> bool:
    """Exchange two directories in one step where the kernel can (Linux ``renameat2``); say whether it did."""
    if sys.platform != "linux":
        return False
    at_working_directory, exchange = -100, 2
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    done: int = renameat2(at_working_directory, os.fsencode(one), at_working_directory, os.fsencode(other), exchange)
    return done == 0


def parse_encoding_errors(policy: str) -> EncodingErrors:
    """Check the name of an encoding-errors policy.

    Raises:
        OptionError: Not one of the four.
    """
    if policy not in ("strict", "replace", "ignore", "skip-line"):
        raise OptionError(f"encoding errors {policy!r}: choose strict, replace, ignore or skip-line")
    return cast("EncodingErrors", policy)
