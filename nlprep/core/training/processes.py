"""What Accelerate makes of the way a run was launched."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import torch

from nlprep.core.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from accelerate import Accelerator
    from torch import Tensor

    from nlprep.core.training.configuration import TrainingConfig


def make_accelerator(config: TrainingConfig, directory: Path | None, *, cpu: bool = False) -> Accelerator:
    """The devices, processes and trackers of a run whose caller brought no `Accelerator`.

    Args:
        config: Of the loop, for its tracker.
        directory: Where a tracker keeps what it is told.
        cpu: Whether to leave GPUs alone.

    Raises:
        OptionError: The tracker is unknown, not installed, or needs a directory.
    """
    from accelerate import Accelerator

    # Accelerate joins processes on CPUs only when told that CPUs are meant.
    cpu = cpu or (int(os.environ.get("WORLD_SIZE", "1")) > 1 and not torch.accelerator.is_available())
    try:
        accelerator = Accelerator(log_with=config.tracker, project_dir=directory, cpu=cpu)
    except ValueError as error:
        if config.tracker is None:
            raise
        raise OptionError(f"tracker = {config.tracker!r}: {error}") from None
    if config.tracker is not None and not accelerator.log_with:
        raise OptionError(f"tracker = {config.tracker!r}: its package is not installed; install it, or do without")
    return accelerator


def accelerator_on(name: str | None, config: TrainingConfig, directory: Path | None) -> Accelerator | None:
    """What a run is given whose user names a device; None if none is named, so that the run finds one.

    Args:
        name: ``cpu``, ``cuda``, ``cuda:1``...
        config: As for `make_accelerator`.
        directory: Likewise.

    Raises:
        OptionError: The device is not there, one GPU is named for several processes, or as `make_accelerator`.
    """
    from nlprep.core.devices import find_device

    if name is None:
        return None
    device = find_device(name)
    if device.index is not None and device.type != "cpu":
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise OptionError(f"device = {name!r}: each of several processes has its own: say {device.type}")
        torch.accelerator.set_device_index(device.index)
    accelerator = make_accelerator(config, directory, cpu=device.type == "cpu")
    if accelerator.device.type != device.type:
        raise OptionError(f"device = {name!r}: Accelerate was set up for {accelerator.device.type}: make them agree")
    return accelerator


def check_processes(accelerator: Accelerator) -> None:
    """Refuse what the loop does not serve, and processes that would all believe themselves alone.

    Raises:
        OptionError: Accelerate was set up for model parallelism, or for fewer processes than were launched.
    """
    kind = str(accelerator.distributed_type.value)
    if kind != "NO" and not kind.startswith("MULTI_"):
        raise OptionError(
            f"Accelerate was set up for {kind}: use plain data parallelism (torchrun, or accelerate launch --multi_gpu)"
        )
    launched = int(os.environ.get("WORLD_SIZE", "1"))
    if launched > 1 and accelerator.num_processes == 1:
        raise OptionError(
            f"{launched} processes were launched, but Accelerate was set up for one: set ACCELERATE_USE_CPU=true for "
            "processes on CPUs"
        )


@torch.no_grad()
def broadcast_from_main(tensors: Iterable[Tensor]) -> None:
    """Make tensors on every process what they are on the main one, in place."""
    for tensor in tensors:
        # Whatever their layout in memory.
        sent = tensor.detach().contiguous()
        torch.distributed.broadcast(sent, src=0)
        tensor.copy_(sent)


def gather_rows(tensor: Tensor, accelerator: Accelerator) -> tuple[list[Tensor], int]:
    """A tensor of every process, of equal shapes, in their order, and which of them is this process's."""
    if accelerator.num_processes == 1:
        return [tensor], 0
    tensor = tensor.contiguous()
    gathered = [torch.empty_like(tensor) for _ in range(accelerator.num_processes)]
    torch.distributed.all_gather(gathered, tensor)
    return gathered, accelerator.process_index
