"""Which entries of the cache are removed, and when.

After an entry was written, those that were not used for longest are removed until all of them together take no more
than `largest_cache`. Never removed is the one just written, nor one that a running process has open: whoever opens an
entry holds a lock on it (``flock``, shared) for as long as its pixels are mapped, and who removes one must hold it
alone. Where directories cannot be locked, as on some network file systems, nothing is removed.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
import warnings
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

from nlprep.core.errors import FileError, OptionError
from nlprep.core.temporaries import hold, is_at, remove

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SIZE_VARIABLE = "NLPREP_CACHE_GIB"
"""The environment variable that says how large the cache may be."""
_DEFAULT_GIB = 32.0
_ENTRY = re.compile(r"[0-9a-f]{24}-[0-9a-f]{16}")


class RemovedImagesWarning(UserWarning):
    """Images that were decoded once are no longer kept."""


def largest_cache() -> int | None:
    """Bytes that the cache may take: ``$NLPREP_CACHE_GIB`` GiB, 32 if that is not set; None (for 0): any number.

    Raises:
        OptionError: The variable is no number, or negative.
    """
    given = os.environ.get(SIZE_VARIABLE, "")
    try:
        size = float(given) if given else _DEFAULT_GIB
    except ValueError:
        size = -1.0
    if not 0 <= size < float("inf"):
        raise OptionError(f"{SIZE_VARIABLE} = {given!r}: give a number of GiB, or 0 for a cache without a limit")
    return round(size * 2**30) or None


def hold_open(path: Path) -> int | None:
    """Hold an entry that is about to be mapped, and note that it is used now.

    Returns:
        A descriptor to give to `release_with`; None where directories cannot be locked.

    Raises:
        FileError: It is not there, or is being removed.
    """
    try:
        import fcntl
    except ImportError:
        return None
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        raise FileError(path, "is not there: read the images again") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise FileError(path, "is being removed: read the images again") from None
    except OSError:
        os.close(descriptor)
        return None
    if not is_at(path, descriptor):
        os.close(descriptor)
        raise FileError(path, "was removed: read the images again")
    # A cache that others keep may not be ours to write in.
    with contextlib.suppress(OSError):
        os.utime(path)
    return descriptor


def release_with(pixels: NDArray[np.uint8], descriptor: int | None) -> None:
    """Let go of an entry when nothing refers to its mapped pixels any more, or the process ends."""
    if descriptor is None:
        return
    mapped: Any = pixels
    while isinstance(mapped, np.ndarray) and mapped.base is not None:
        mapped = mapped.base
    weakref.finalize(mapped, os.close, descriptor).atexit = False


def evict(folder: Path, keep: Path) -> None:
    """Remove entries by the rule above.

    Args:
        folder: The cache.
        keep: The entry just written.

    Warns:
        RemovedImagesWarning: Some were removed.

    Raises:
        OptionError: As `largest_cache`.
    """
    limit = largest_cache()
    if limit is None:
        return
    found = [(*_used_and_size(path), path) for path in folder.iterdir() if _ENTRY.fullmatch(path.name)]
    total = sum(size for _, size, _ in found)
    removed: list[tuple[float, int]] = []
    for used, size, path in sorted(found):
        if total <= limit:
            break
        if path != keep and _remove(path):
            total -= size
            removed.append((used, size))
    if removed:
        last = time.strftime("%Y-%m-%d", time.localtime(max(used for used, _ in removed)))
        freed = sum(size for _, size in removed) / 2**30
        warnings.warn(
            f"{folder}: may take {limit / 2**30:.4g} GiB; {len(removed):,} sets of decoded images ({freed:.2f} GiB), "
            f"not used since {last}, were removed and will be decoded again when they are asked for: set "
            f"{SIZE_VARIABLE} to keep more",
            RemovedImagesWarning,
            stacklevel=4,
        )


def _used_and_size(entry: Path) -> tuple[float, int]:
    """When an entry was last opened, and its bytes."""
    try:
        return entry.stat().st_mtime, sum(file.stat().st_size for file in entry.iterdir())
    except OSError:
        # Removed by another process just now.
        return 0.0, 0


def _remove(path: Path) -> bool:
    """Remove an entry, unless somebody has it open."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        if hold(descriptor) is not True or not is_at(path, descriptor):
            return False
        # Under a name that says that it is no entry, and that is tidied up if this process is killed.
        aside = path.with_name(f".{path.name[:40]}.nlprep-{os.getpid() % 10**8:08d}.tmp")
        try:
            remove(path.rename(aside))
        except OSError:
            return False
        return True
    finally:
        os.close(descriptor)
