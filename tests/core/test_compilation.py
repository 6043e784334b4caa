from __future__ import annotations

import os
import signal

import numpy as np
import pytest
from numba.core.dispatcher import Dispatcher

from nlprep.core.compilation import compiled


def twice(values):
    return values + values


@pytest.mark.slow
def test_an_interrupt_while_compiling_is_not_lost(monkeypatch) -> None:
    plain = Dispatcher.compile
    pressed = []

    def compile_interrupted(self, signature):
        # Once: what the function calls is compiled inside, and a second Ctrl-C is not held back.
        if not pressed:
            pressed.append(signature)
            os.kill(os.getpid(), signal.SIGINT)
        return plain(self, signature)

    monkeypatch.setattr(Dispatcher, "compile", compile_interrupted)
    kernel = compiled(twice)
    with pytest.raises(KeyboardInterrupt):
        kernel(np.arange(3))
    # Compiled all the same: the interrupt waited.
    assert len(kernel.signatures) == 1
    assert kernel(np.arange(3)).tolist() == [0, 2, 4]
