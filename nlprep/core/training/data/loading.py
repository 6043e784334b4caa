"""Batches that are prepared by other processes while the model computes."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Protocol

from torch.utils.data import DataLoader

from nlprep.core.errors import NlprepError

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    import torch
    from torch import Tensor


class NumberedBatches(Protocol):
    """Batches that can be fetched by number, in any process."""

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        """The batch of this number."""


def load_batches(
    batches: NumberedBatches, numbers: Sequence[int], *, workers: int, device: torch.device
) -> Generator[dict[str, Tensor]]:
    """Fetch batches in the order given; the same ones, however many processes prepare them.

    Close it to end its processes early (`contextlib.closing`).

    Args:
        batches: What is fetched from.
        numbers: Which batches.
        workers: Processes that prepare them; 0: this one.
        device: Where they will go: for a GPU they are put where it can fetch them while it computes.

    Raises:
        NlprepError: As ``batches`` do, in whichever process.
    """
    loader: DataLoader[dict[str, Tensor] | NlprepError] = DataLoader(
        _MistakesGiven(batches),  # type: ignore[arg-type]
        sampler=numbers,
        batch_size=None,
        num_workers=min(workers, len(numbers)),
        worker_init_fn=_leave_signals_to_the_main_process,
        pin_memory=device.type == "cuda",
    )
    for batch in loader:
        if isinstance(batch, NlprepError):
            raise batch
        yield batch


class _MistakesGiven:
    """Gives what the user can mend in place of a batch: torch makes a traceback of what another process raises."""

    def __init__(self, batches: NumberedBatches) -> None:
        self._batches = batches

    def __getitem__(self, number: int) -> dict[str, Tensor] | NlprepError:
        try:
            return self._batches[number]
        except NlprepError as error:
            return error


def _leave_signals_to_the_main_process(_worker: int) -> None:
    """Terminals and clusters signal loader processes too; they must outlive the step that is being finished.

    They end when the main process tells them to, or when it is gone.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
