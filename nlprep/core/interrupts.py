"""Ctrl-C at a moment of one's own choosing."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType


class Interrupt:
    """Whether Ctrl-C was pressed inside `deferred_interrupt`."""

    def __init__(self) -> None:
        self.requested = False

    def raise_if_requested(self) -> None:
        """Raise the `KeyboardInterrupt` that was held back, if there was one."""
        if self.requested:
            raise KeyboardInterrupt


@contextmanager
def deferred_interrupt(*, terminations: bool = False) -> Iterator[Interrupt]:
    """Hold back the first Ctrl-C, so that a loop can stop between two steps and save what it has.

    The loop asks ``interrupt.requested`` and ends with ``raise_if_requested``. A second Ctrl-C is not held back.
    Outside the main thread, where Python delivers no signals, nothing is changed.

    Args:
        terminations: Treat SIGTERM, with which clusters announce the end of a job, in the same way.
    """
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    numbers = (signal.SIGINT, signal.SIGTERM) if terminations else (signal.SIGINT,)
    previous = {number: signal.getsignal(number) for number in numbers}

    def remember(number: int, _frame: FrameType | None) -> None:
        interrupt.requested = True
        signal.signal(number, previous[signal.Signals(number)])

    for number in numbers:
        signal.signal(number, remember)
    try:
        yield interrupt
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold back Ctrl-C for the time of the block and deliver it at the end, to whoever handles it there.

    For code that calls back into Python from a foreign library: an exception raised there would be lost.
    """
    with deferred_interrupt() as interrupt:
        yield
    if interrupt.requested:
        signal.raise_signal(signal.SIGINT)
