"""Whether what is being computed is the whole batch, for losses that couple its examples.

A step says that its loss is coupled (`nlprep.core.training.steps.coupled`). A coupled loss in a step that says nothing
would be that of a part, and wrong without a word; so the losses that know it of themselves ask here.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from nlprep.core.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Iterator

_dividing = False


@contextmanager
def divided(parts: int) -> Iterator[None]:
    """A batch is computed in so many parts, over all processes, in the block."""
    global _dividing
    before, _dividing = _dividing, parts > 1
    try:
        yield
    finally:
        _dividing = before


def check_whole(loss: str) -> None:
    """Fail if a part of a batch is being computed.

    Args:
        loss: What cannot be computed on a part, such as ``a contrast``.

    Raises:
        OptionError: Says how to have it computed right.
    """
    if _dividing:
        raise OptionError(
            f"{loss} couples the examples of a batch, and this batch is computed in parts: train it as a CoupledStep, "
            "which divides it right, or leave out micro_batch_size and further processes"
        )
