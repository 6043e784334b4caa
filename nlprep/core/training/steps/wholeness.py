"""Whether what is being computed is the whole batch, for losses that couple its examples.

A step says that its loss is coupled (`nlprep.core.training.steps.coupled`). A coupled loss in a step that says nothing
would be that of a part, and wrong without a word; so the losses that know it of themselves ask here, and of other
losses the loop finds out by trying.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from nlprep.core.errors import OptionError
from nlprep.core.randomness import seed_torch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import nn

    from nlprep.core.training.steps.step import Batch, Moment, Step

# Sums of other sizes are rounded differently; a coupling that is worth a word changes a loss by more.
_TOLERANCE = 1e-3

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


def find_coupling(step: Step, modules: Mapping[str, nn.Module], pair: Batch, *, moment: Moment) -> str | None:
    """What is wrong with computing a batch in parts, if the loss of two examples is not the mean of their losses.

    A loss that is random even in evaluation mode (a draw from a posterior) differs from itself: of that nothing can be
    said, and nothing is.

    Args:
        step: What is trained; one that says whether it is coupled is believed.
        modules: The players' modules, in evaluation mode, without gradients; their buffers are put back.
        pair: Two examples, on the device.
        moment: Where in the run this is.

    Returns:
        A line that says how to have the loss computed right; None if nothing was found.
    """
    if step.coupled is not None:
        return None
    singles = [{name: tensor[place : place + 1] for name, tensor in pair.items()} for place in range(2)]
    weights = [step.weight(single) for single in singles]
    buffers = {buffer: buffer.clone() for module in modules.values() for buffer in module.buffers()}
    device = next(iter(pair.values())).device

    def loss(player: str, batch: Batch, seed: int) -> float:
        seed_torch(seed, device)
        return step.losses(player, modules, batch, moment=moment)["loss"].item()

    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        try:
            for player in modules:
                together = loss(player, pair, 0)
                if not _close(together, loss(player, pair, 1)):
                    continue
                alone = sum(weight * loss(player, single, 0) for weight, single in zip(weights, singles, strict=True))
                mean = alone / (sum(weights) or 1.0)
                if not _close(together, mean):
                    of = f" of the {player}" if len(modules) > 1 else ""
                    return (
                        f"the loss{of} couples the examples of a batch (two examples: {together:.6g} together, "
                        f"{mean:.6g} on average alone), so that computing the batch in parts would change it: train it "
                        "as a CoupledStep, which divides it right, or leave out micro_batch_size and further "
                        "processes; if parts are what is wanted, declare coupled = False on the step; if the mean is "
                        "of other things than examples, give their number as weight"
                    )
        finally:
            with torch.no_grad():
                for buffer, value in buffers.items():
                    buffer.copy_(value)
    return None


def _close(one: float, other: float) -> bool:
    return abs(one - other) <= _TOLERANCE * max(abs(one), abs(other)) + 1e-6
