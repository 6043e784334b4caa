"""The compiled writer of rows of numbers: the shortest decimal that reads back as the same float32.

The digits come from Schubfach (Giulietti 2020, "The Schubfach way to render doubles"), in single precision.
"""

from __future__ import annotations

import numpy as np

from nlprep.core.compilation import compiled

BYTES_PER_NUMBER = 18
"""At most: a space, a sign, 9 digits, a point, and an exponent or leading zeros."""

_LEAST_POWER, _LARGEST_POWER = -31, 45


def _powers() -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    """10^k for k = -31 to 45, scaled by a power of two to 64 bits, rounded up."""
    table = []
    for exponent in range(_LEAST_POWER, _LARGEST_POWER + 1):
        shift = 63 - (exponent * 1741647 >> 19)
        top = 10 ** max(exponent, 0) << max(shift, 0)
        bottom = 10 ** max(-exponent, 0) << max(-shift, 0)
        table.append(-(-top // bottom))
    return np.array(table, dtype=np.uint64)


POWERS = _powers()
"""An argument of `format_rows`."""

_LOW_HALF = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


@compiled
def _round_to_odd(power, factor):  # type: ignore[no-untyped-def]
    """The top of a 64 by 32 bit product, its last bit set if anything was cut off."""
    low = (power & _LOW_HALF) * factor
    high = (power >> _HALF) * factor + (low >> _HALF)
    result = high >> _HALF
    if (high & _LOW_HALF) > np.uint64(1):
        result |= np.uint64(1)
    return np.int64(result)


@compiled
def _shortest(bits, powers):  # type: ignore[no-untyped-def]
    """Integer and exponent of ten of the shortest decimal that rounds to a positive finite float32."""
    fraction = np.int64(bits & 0x7FFFFF)
    biased = np.int64((bits >> 23) & 0xFF)
    if biased != 0:
        mantissa = fraction | 0x800000
        exponent = biased - 150
        if -24 < exponent <= 0 and (mantissa & ((1 << -exponent) - 1)) == 0:
            return mantissa >> -exponent, 0
    else:
        mantissa = fraction
        exponent = np.int64(-149)
    odd = mantissa & 1
    closer = 1 if fraction == 0 and biased > 1 else 0
    k = (exponent * 1262611 - (524031 if closer else 0)) >> 22
    h = exponent + ((-k * 1741647) >> 19) + 1
    power = powers[-k - _LEAST_POWER]
    lower = _round_to_odd(power, np.uint64((4 * mantissa - 2 + closer) << h)) + odd
    middle = _round_to_odd(power, np.uint64((4 * mantissa) << h))
    upper = _round_to_odd(power, np.uint64((4 * mantissa + 2) << h)) - odd
    s = middle // 4
    if s >= 10:
        tenth = s // 10
        below_inside = lower <= 40 * tenth
        above_inside = 40 * tenth + 40 <= upper
        if below_inside != above_inside:
            return tenth + (1 if above_inside else 0), k + 1
    below_inside = lower <= 4 * s
    above_inside = 4 * s + 4 <= upper
    if below_inside != above_inside:
        return s + (1 if above_inside else 0), k
    half = 4 * s + 2
    up = middle > half or (middle == half and (s & 1) == 1)
    return s + (1 if up else 0), k


@compiled
def _put_number(bits, powers, digits, out, at):  # type: ignore[no-untyped-def]
    """Write one number at ``out[at:]`` and return where it ends."""
    if bits >> 31:
        out[at] = 45
        at += 1
    magnitude = bits & 0x7FFFFFFF
    if magnitude == 0:
        out[at] = 48
        return at + 1
    value, exponent = _shortest(magnitude, powers)
    while value % 10 == 0:
        value //= 10
        exponent += 1
    count = 0
    while value > 0:
        digits[count] = 48 + value % 10
        value //= 10
        count += 1
    # The point stands after this many digits.
    point = count + exponent
    if -4 < point <= 0:
        out[at] = 48
        out[at + 1] = 46
        at += 2
        for _ in range(-point):
            out[at] = 48
            at += 1
        for position in range(count - 1, -1, -1):
            out[at] = digits[position]
            at += 1
        return at
    if 0 < point <= 9:
        for position in range(max(count, point)):
            if position == point:
                out[at] = 46
                at += 1
            out[at] = digits[count - 1 - position] if position < count else 48
            at += 1
        return at
    for position in range(count):
        if position == 1:
            out[at] = 46
            at += 1
        out[at] = digits[count - 1 - position]
        at += 1
    scale = point - 1
    out[at] = 101
    out[at + 1] = 45 if scale < 0 else 43
    scale = abs(scale)
    out[at + 2] = 48 + scale // 10
    out[at + 3] = 48 + scale % 10
    return at + 4


@compiled
def format_rows(words, ends, matrix, powers, out):  # type: ignore[no-untyped-def]
    """Write ``word number number ...`` lines.

    Args:
        words: (bytes,) uint8, the words one after another.
        ends: (n,) int64, where each ends.
        matrix: (n, d) uint32, the bits of finite float32 numbers.
        powers: `POWERS`.
        out: (at least bytes + n (d BYTES_PER_NUMBER + 1),) uint8.

    Returns:
        The bytes of ``out`` that were filled.
    """
    digits = np.empty(10, dtype=np.uint8)
    at = 0
    position = 0
    for row in range(matrix.shape[0]):
        while position < ends[row]:
            out[at] = words[position]
            at += 1
            position += 1
        for column in range(matrix.shape[1]):
            out[at] = 32
            at = _put_number(np.int64(matrix[row, column]), powers, digits, out, at + 1)
        out[at] = 10
        at += 1
    return at
