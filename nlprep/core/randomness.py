"""Random numbers that are functions of where they are used, not of what was drawn before.

A generator's state depends on every draw since it was seeded: a run that stops and resumes, or fetches its data in
other processes, would need that state restored everywhere at once. Here a number is a hash of a key and a counter,
so that anybody can compute it at any time. The hash is the finaliser of SplitMix64 (Steele, Lea and Flood 2014,
"Fast splittable pseudorandom number generators"), whose outputs pass the usual batteries when fed a counter.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

Seeds = NDArray[np.uint64]
"""Keys, one for each example: ``uint64`` of any shape."""

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
_ALL_BITS = 0xFFFFFFFFFFFFFFFF


def mix(values: Seeds) -> Seeds:
    """Scramble 64-bit values: a bijection of which every output bit depends on every input bit."""
    with np.errstate(over="ignore"):
        values = values + _GOLDEN
        values = (values ^ (values >> np.uint64(30))) * _FIRST
        values = (values ^ (values >> np.uint64(27))) * _SECOND
    return values ^ (values >> np.uint64(31))


def combine(*parts: int | NDArray[np.integer]) -> Seeds:
    """One key from several numbers, whose order matters; arrays broadcast.

    Args:
        parts: Whole numbers; negative ones count modulo 2^64.

    Returns:
        Keys of the broadcast shape (shape () for plain numbers).
    """
    key: Seeds | int = 0
    for part in parts:
        if isinstance(key, int) and isinstance(part, int):
            # Numbers that lead are mixed as such: NumPy takes ten times as long for one value.
            key = _mix_number(key ^ (part & _ALL_BITS))
        else:
            values = np.asarray(part & _ALL_BITS if isinstance(part, int) else part).astype(np.uint64)
            key = mix(np.asarray(key, np.uint64) ^ values)
    return np.asarray(key, np.uint64)


def _mix_number(value: int) -> int:
    """`mix` of a plain number."""
    value = (value + int(_GOLDEN)) & _ALL_BITS
    value = ((value ^ (value >> 30)) * int(_FIRST)) & _ALL_BITS
    value = ((value ^ (value >> 27)) * int(_SECOND)) & _ALL_BITS
    return value ^ (value >> 31)


def uniforms(seeds: Seeds, count: int, *, purpose: int) -> NDArray[np.float64]:
    """Uniform numbers in [0, 1) for each seed.

    Args:
        seeds: (...,) keys.
        count: How many for each.
        purpose: Tells apart draws that one example makes for different ends.

    Returns:
        (..., count) float64 with 53 random bits.
    """
    bits = integers(seeds, count, purpose=purpose) >> np.uint64(11)
    return bits.astype(np.float64) * 2.0**-53


def integers(seeds: Seeds, count: int, *, purpose: int) -> Seeds:
    """As `uniforms`, but (..., count) of 64 random bits each."""
    keys = combine(seeds, purpose)[..., None]
    return combine(keys, np.arange(count, dtype=np.uint64))


def normals(seeds: Seeds, count: int) -> NDArray[np.float32]:
    """Standard normal numbers that are functions of keys (Box and Muller 1958).

    Args:
        seeds: (...) keys, one for each sample.
        count: Numbers of each.

    Returns:
        (..., count) float32.
    """
    pairs = (count + 1) // 2
    bits = integers(seeds, pairs, purpose=0)
    # Two numbers of 32 bits out of one hash; the first is above 0, so that its logarithm is finite.
    first = ((bits >> np.uint64(32)).astype(np.float32) + np.float32(0.5)) * np.float32(2.0**-32)
    second = (bits & np.uint64(0xFFFFFFFF)).astype(np.float32) * np.float32(2 * math.pi * 2.0**-32)
    radius = np.sqrt(-2 * np.log(np.minimum(first, np.float32(1))))
    return np.concatenate([radius * np.cos(second), radius * np.sin(second)], -1)[..., :count]


def seed_torch(seed: int, device: torch.device | None = None) -> None:
    """Let what torch draws from here on be a seed's, on the processor and on one other device.

    Args:
        seed: The seed.
        device: The other device, if one draws.
    """
    import torch

    # Not `torch.manual_seed`, which sets the generators of every GPU and for every kind of device that is not there
    # keeps a call stack in text.
    torch.default_generator.manual_seed(seed)
    if device is not None and device.type != "cpu":
        torch.get_device_module(device).manual_seed(seed)


@contextmanager
def seeded_torch(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """Let what torch draws in the block be a seed's, and the caller's generators afterwards be as if nothing was drawn.

    Args:
        seed: As for `seed_torch`.
        device: Likewise.
    """
    import torch

    with torch.random.fork_rng(devices=[device] if device is not None and device.type == "cuda" else []):
        seed_torch(seed, device)
        yield
