"""How many threads to use, and holding libraries to it."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING

from nlprep.core.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from threadpoolctl import ThreadpoolController


def available_threads() -> int:
    """Processors this process may run on; containers and ``taskset`` are respected."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def resolve_threads(threads: int | None) -> int:
    """``threads``, or every available processor if it is None.

    Raises:
        OptionError: Fewer than one.
    """
    if threads is None:
        return available_threads()
    if threads < 1:
        raise OptionError(f"threads = {threads}: give at least 1, or leave it out to use every processor")
    return threads


@contextmanager
def blas_threads(threads: int | None) -> Iterator[int]:
    """Hold NumPy's matrix products to ``threads`` (every processor if None) inside the block."""
    resolved = resolve_threads(threads)
    with _loaded_libraries(len(sys.modules)).limit(limits=resolved, user_api="blas"):
        yield resolved


@lru_cache(maxsize=1)
def _loaded_libraries(_num_modules: int) -> ThreadpoolController:
    """The libraries with threads of their own, looked for again once more modules were imported, which load them.

    To go through all that are loaded takes 20 ms beside PyTorch, as long as a search among a few thousand vectors.
    """
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


@contextmanager
def torch_threads(threads: int | None) -> Iterator[None]:
    """Hold PyTorch's operators to ``threads`` (PyTorch's own choice if None) inside the block."""
    if threads is None:
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(resolve_threads(threads))
    try:
        yield
    finally:
        torch.set_num_threads(before)
