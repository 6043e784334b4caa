"""How fast training goes, and what share of the device that is."""

from __future__ import annotations

import re
import time

import torch

# Dense bf16 matrix products, FLOP/s, from the makers' data sheets; the first whose words the device's name has wins.
_PEAKS = {
    "B200": 2250e12,
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H100": 989e12,
    "L40S": 362e12,
    "A100": 312e12,
    "A40": 150e12,
    "A10G": 70e12,
    "L40": 181e12,
    "L4": 121e12,
    "RTX 4090": 165e12,
    "RTX 3090": 71e12,
}


def peak_flops(device: torch.device, precision: str) -> float | None:
    """The most bf16 operations a second that a device can do, where it is known; None for fp32 and for CPUs."""
    if device.type != "cuda" or precision != "bf16":
        return None
    name = torch.cuda.get_device_name(device)
    # Whole words: an RTX A4000 is no A40. Those in laptops bear the name of something faster.
    found = (peak for known, peak in _PEAKS.items() if re.search(rf"\bG?{known}\b", name))
    return None if "Laptop" in name else next(found, None)


class Meter:
    """Units per second since it was last read, time spent on other things left out."""

    def __init__(self) -> None:
        self._units = 0
        self._started = time.perf_counter()
        self._paused = 0.0

    def count(self, units: int) -> None:
        """Add units done."""
        self._units += units

    def leave_out(self, seconds: float) -> None:
        """Leave out time that went into evaluation or a checkpoint."""
        self._paused += seconds

    def read(self) -> float:
        """Units per second since the last reading."""
        now = time.perf_counter()
        rate = self._units / max(now - self._started - self._paused, 1e-9)
        self._units, self._started, self._paused = 0, now, 0.0
        return rate


def abbreviate(number: float) -> str:
    """A number in three digits: 12.3k, 4.56M."""
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g}{letter}"
    return f"{number:.3g}"
