"""How kernels are compiled: to machine code that releases the interpreter lock and is kept on disk if it can be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Callable


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function with numba on first use; threads may run it side by side.

    numba keeps the machine code beside the source or, where that is read-only, in the user's cache directory.
    Where it can write to neither, it refuses to define the function: then it is compiled in every process anew.
    """
    from numba import njit

    try:
        return cast("Callable[..., Any]", njit(cache=True, nogil=True)(function))
    except RuntimeError as error:
        if "cache" not in str(error):
            raise
        return cast("Callable[..., Any]", njit(nogil=True)(function))
