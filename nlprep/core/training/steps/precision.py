"""The number format that a device computes in; weights are float32 whatever it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from nlprep.core.errors import OptionError

if TYPE_CHECKING:
    from accelerate import Accelerator


def choose_precision(wanted: str, accelerator: Accelerator) -> str:
    """``bf16`` or ``fp32``.

    Raises:
        OptionError: Accelerate was set up for another precision, or the device has no bf16.
    """
    launched = accelerator.mixed_precision
    if launched not in ("no", "bf16"):
        raise OptionError(f"Accelerate was told to use mixed precision {launched}: choose bf16 or no")
    if wanted == "auto":
        return "bf16" if launched == "bf16" or has_bf16(accelerator.device) else "fp32"
    if wanted == "fp32" and launched == "bf16":
        raise OptionError("precision = 'fp32', but Accelerate was told to use bf16: make them agree")
    if wanted == "bf16" and accelerator.device.type == "cuda" and not has_bf16(accelerator.device):
        raise OptionError("precision = 'bf16': this GPU does not compute it; use fp32")
    return wanted


def has_bf16(device: torch.device) -> bool:
    """Whether a device has instructions for bf16 products; without them it is slower than fp32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        # No public question exists in torch 2; both have answered since 2.4.
        return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())  # noqa: SLF001
    return False
