"""Files in and out: compressed or plain input as streams, output that is whole or absent.

Every writer of the project goes through `atomic_file` or `atomic_directory`: the result is written
beside its target, synced, and renamed into place, so that a reader, a crash or Ctrl-C never meets half of it.
What may be replaced is `nlprep.core.ownership`'s to say.
"""

from __future__ import annotations

import bz2
import contextlib
import ctypes
import gzip
import io
import lzma
import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, cast

from nlprep.core.errors import FileError, OptionError, os_errors_named
from nlprep.core.ownership import check_replaceable, problem_of_replacing, write_mark, written_place
from nlprep.core.temporaries import created_mode, discard, is_at, make_temporary, remove, remove_leftovers, sync

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

    from nlprep.core.ownership import FileFormat

EncodingErrors = Literal["strict", "replace", "ignore", "skip-line"]
"""What to do with bytes that are not UTF-8; ``skip-line`` drops the whole line."""

STANDARD_INPUT = "-"
_MAGIC = {b"\x1f\x8b": "gz", b"\xfd7zXZ\x00": "xz", b"\x28\xb5\x2f\xfd": "zst", b"BZh": "bz2"}
_LONGEST_MAGIC = max(map(len, _MAGIC))
# Flags of renameat2.
_NO_REPLACE, _EXCHANGE = 1, 2


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


@contextmanager
def atomic_file(
    path: str | os.PathLike[str],
    *,
    format: FileFormat | None = None,  # noqa: A002
    overwrite: bool = False,
) -> Iterator[BinaryIO]:
    """Yield a binary file that takes the place of ``path`` when the block ends well, and else vanishes.

    Args:
        path: The file. Behind a symbolic link, what it points to is replaced.
        format: What is written, by which it is known what it may replace; None: nothing but an empty file.
        overwrite: Whether it may replace a file of this format that cannot say who wrote it.

    Raises:
        FileError: What is there is not to be replaced (see `nlprep.core.ownership`), the folder is missing or
            read-only, or the disk is full; ``path`` is then untouched.
    """
    with _Replacement(path, format, overwrite=overwrite) as replacement:
        # The descriptor stays open, and the file held, until it is in place.
        with os.fdopen(os.dup(replacement.descriptor), "wb", buffering=1 << 20) as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        replacement.temporary.chmod(created_mode(0o666))
        replacement.put_in_place()


@contextmanager
def atomic_directory(
    path: str | os.PathLike[str], *, kind: str, overwrite: bool = False, private: bool = False
) -> Iterator[Path]:
    """Yield an empty directory that takes the place of ``path`` when the block ends well, and else vanishes.

    What was written is marked with its kind and the digests of its files (see `nlprep.core.ownership`), so that it is
    known as ours later, and whether somebody has put something in.

    Args:
        path: The directory. Behind a symbolic link, what it points to is replaced.
        kind: What it is; an older one of the same kind is replaced, if nothing in it is anybody else's.
        overwrite: Whether one of another kind of ours may be replaced, too.
        private: Whether its folder is a run's own, in which nobody else writes and damage is to be replaced.

    Raises:
        FileError: ``path`` is something else's, the folder is missing or read-only, or the disk is full;
            ``path`` is then untouched.
    """
    with _Replacement(path, kind, overwrite=overwrite, private=private) as replacement:
        assembly = replacement.temporary
        assembly.chmod(created_mode(0o777))
        yield assembly
        write_mark(assembly, kind)
        for written in sorted(assembly.rglob("*")):
            sync(written)
        sync(assembly)
        replacement.put_in_place()


class _Replacement:
    """Something new being written beside its place, which it then takes from what may be replaced."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        kind: str | FileFormat | None,
        *,
        overwrite: bool,
        private: bool = False,
    ) -> None:
        self.path, self.kind, self.overwrite, self.private = path, kind, overwrite, private
        self.target = written_place(path)
        self.named = os_errors_named(path)

    def __enter__(self) -> Self:
        self.named.__enter__()
        try:
            parent = self.target.absolute().parent
            remove_leftovers(parent, self.target.name, may_be_replaced=lambda place: self._problem(place) is None)
            if not self.private:
                check_replaceable(self.path, self.kind, overwrite=self.overwrite)
            self.temporary, self.descriptor = make_temporary(self.target, directory=isinstance(self.kind, str))
        except BaseException as error:
            # Turns an OSError into a FileError.
            self.named.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> bool | None:
        try:
            for place in (self.temporary, self._aside):
                self._clear(place)
        finally:
            os.close(self.descriptor)
        return self.named.__exit__(kind, error, trace)

    @property
    def _aside(self) -> Path:
        return self.temporary.with_suffix(".old")

    def _clear(self, place: Path) -> None:
        """Remove what is new, or old and replaceable; anything else is somebody's."""
        with contextlib.suppress(OSError):
            if is_at(place, self.descriptor):
                remove(place)
            elif os.path.lexists(place) and self._problem(place) is None:
                discard(place)

    def _problem(self, place: Path) -> str | None:
        return None if self.private else problem_of_replacing(place, self.kind, overwrite=self.overwrite)

    def _check(self, place: Path) -> None:
        problem = self._problem(place)
        if problem is not None:
            raise FileError(self.path, problem)

    def put_in_place(self) -> None:
        """Take the place, whatever may have come to stand there since the beginning.

        Raises:
            FileError: Something that may not be replaced.
            OSError: It cannot be done.
        """
        target, aside = self.target, self._aside
        while not _rename_to_nothing(self.temporary, target):
            self._check(target)
            self.temporary.rename(aside)
            if _swap(aside, target):
                try:
                    # Now nobody else reaches it by its name.
                    self._check(aside)
                except BaseException:
                    _swap(aside, target)
                    raise
                break
            aside.rename(self.temporary)
            if os.path.lexists(target):
                self._step_aside()
                break
        sync(target.absolute().parent)

    def _step_aside(self) -> None:
        """Without an atomic swap a file is replaced at once; of a directory, there is none for a moment."""
        target, aside = self.target, self._aside
        if not isinstance(self.kind, str):
            self.temporary.replace(target)
            return
        target.rename(aside)
        try:
            self._check(aside)
            self.temporary.rename(target)
        except BaseException:
            aside.rename(target)
            raise


def _rename_to_nothing(one: Path, other: Path) -> bool:
    """Rename a file or a directory if there is nothing of the new name; say whether that was so."""
    if _renameat2(one, other, _NO_REPLACE):
        return True
    if os.path.lexists(other):
        return False
    # Not this kernel or file system. A directory is never renamed over one that holds something; a link to a file
    # never takes a place.
    if not one.is_dir():
        try:
            other.hardlink_to(one)
        except FileExistsError:
            return False
        except OSError:
            pass
        else:
            one.unlink()
            return True
    one.rename(other)
    return True


def _swap(one: Path, other: Path) -> bool:
    """Exchange two files or directories in one step where the kernel can; say whether it did."""
    return _renameat2(one, other, _EXCHANGE)


def _renameat2(one: Path, other: Path, flag: int) -> bool:
    """Linux's ``renameat2``; False where it is not there, or failed."""
    if sys.platform != "linux":
        return False
    at_working_directory = -100
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    done: int = renameat2(at_working_directory, os.fsencode(one), at_working_directory, os.fsencode(other), flag)
    return done == 0


def parse_encoding_errors(policy: str) -> EncodingErrors:
    """Check the name of an encoding-errors policy.

    Raises:
        OptionError: Not one of the four.
    """
    if policy not in ("strict", "replace", "ignore", "skip-line"):
        raise OptionError(f"encoding errors {policy!r}: choose strict, replace, ignore or skip-line")
    return cast("EncodingErrors", policy)
