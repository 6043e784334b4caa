from __future__ import annotations

import os
import signal

import pytest

from nlprep.core.errors import OptionError
from nlprep.core.interrupts import deferred_interrupt, uninterrupted
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


def test_an_interrupt_is_delivered_after_the_block_to_whoever_handles_it() -> None:
    before = signal.getsignal(signal.SIGINT)
    finished = []
    with pytest.raises(KeyboardInterrupt), uninterrupted():
        os.kill(os.getpid(), signal.SIGINT)
        finished.append("alone")
    with deferred_interrupt() as interrupt:
        with uninterrupted():
            os.kill(os.getpid(), signal.SIGINT)
            assert not interrupt.requested
        assert interrupt.requested
    assert finished == ["alone"]
    assert signal.getsignal(signal.SIGINT) is before


def test_terminations_are_held_back_when_asked() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), deferred_interrupt(terminations=True) as interrupt:
        os.kill(os.getpid(), signal.SIGTERM)
        assert interrupt.requested
        interrupt.raise_if_requested()
    assert signal.getsignal(signal.SIGTERM) is before


def test_threads_are_those_available_unless_asked_otherwise() -> None:
    assert resolve_threads(None) == available_threads() >= 1
    assert resolve_threads(3) == 3
    with pytest.raises(OptionError, match="threads = 0"):
        resolve_threads(0)
    with blas_threads(1) as threads:
        assert threads == 1
