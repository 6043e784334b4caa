from __future__ import annotations

import os
import signal

import pytest

from nlprep.core.errors import OptionError
from nlprep.core.interrupts import deferred_interrupt
from nlprep.core.threads import available_threads, blas_threads, resolve_threads


def test_the_first_interrupt_waits_and_the_second_does_not() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), deferred_interrupt() as interrupt:
        interrupt.raise_if_requested()
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupt.requested
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        interrupt.raise_if_requested()
    assert signal.getsignal(signal.SIGINT) is before


def test_threads_are_those_available_unless_asked_otherwise() -> None:
    assert resolve_threads(None) == available_threads() >= 1
    assert resolve_threads(3) == 3
    with pytest.raises(OptionError, match="threads = 0"):
        resolve_threads(0)
    with blas_threads(1) as threads:
        assert threads == 1
