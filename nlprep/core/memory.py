"""Memory that a process keeps for itself, and how much there is."""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# Of glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4
_MIB = 1 << 20
_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""Where a container is told how much of the machine's memory it may have."""


def machine_memory() -> int | None:
    """Bytes of memory that the machine has, or that a container may have of it; None where nobody says."""
    try:
        found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
    for limit in _LIMITS:
        # The word max, a number beyond all memory, or no such file: there is no limit.
        with suppress(OSError, ValueError):
            found = min(found, int(limit.read_text()))
    return found if found > 0 else None


@contextmanager
def kept_memory() -> Iterator[None]:
    """Let the process keep the memory that is freed inside the block, for the next allocation of its size.

    On a processor PyTorch leaves memory to the C library, and glibc gives large pieces back to the system at once. Each
    training step then asks for the same gigabyte again, which the system fills with zeros page by page: about a sixth
    of the time of a small language model. At the end of the block the memory is given back, and glibc is left as its
    own adjustment would leave it. With other C libraries nothing is done.
    """
    malloc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if malloc is None or not hasattr(malloc, "mallopt"):
        yield
        return
    malloc.mallopt(_MMAP_MAX, 0)
    malloc.mallopt(_TRIM_THRESHOLD, -1)
    try:
        yield
    finally:
        malloc.mallopt(_MMAP_MAX, 65_536)
        malloc.mallopt(_MMAP_THRESHOLD, 32 * _MIB)
        malloc.mallopt(_TRIM_THRESHOLD, 64 * _MIB)
        malloc.malloc_trim(0)
