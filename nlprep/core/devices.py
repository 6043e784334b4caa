"""Which torch device to use, and how much memory it has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nlprep.core.errors import OptionError

if TYPE_CHECKING:
    import torch


def find_device(name: str | None) -> torch.device:
    """The torch device of a name, tried out; a GPU where there is one for None.

    Raises:
        OptionError: Unknown, or not in this machine.
    """
    import torch

    if name is None:
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).strip().split("\n")[0]
        raise OptionError(f"device = {name!r}: torch cannot use it ({reason:.100}): choose cpu") from None
    return device


def device_memory(device: torch.device) -> int | None:
    """Bytes of memory of a device; None where it does not say."""
    import torch

    from nlprep.core.memory import machine_memory

    if device.type == "cpu":
        return machine_memory()
    return torch.cuda.get_device_properties(device).total_memory if device.type == "cuda" else None
