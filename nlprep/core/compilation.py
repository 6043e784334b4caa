"""How kernels are compiled: to machine code that releases the interpreter lock and is kept on disk if it can be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from nlprep.core.interrupts import uninterrupted

if TYPE_CHECKING:
    from collections.abc import Callable


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function with numba on first use; threads may run it side by side.

    numba keeps the machine code beside the source or, where that is read-only, in the user's cache directory.
    Where it can write to neither, it refuses to define the function: then it is compiled in every process anew.
    """
    from numba import njit

    try:
        dispatcher: Any = njit(cache=True, nogil=True)(function)
    except RuntimeError as error:
        if "cache" not in str(error):
            raise
        dispatcher = njit(nogil=True)(function)
    compile_or_load = dispatcher.compile

    def compile_undisturbed(signature: Any) -> Any:
        # The compiler calls back into Python: a KeyboardInterrupt raised there would be swallowed.
        with uninterrupted():
            return compile_or_load(signature)

    dispatcher.compile = compile_undisturbed
    return cast("Callable[..., Any]", dispatcher)
