"""Signed square roots and rows of length 1, which keep products of two sides within bounds.

They are from Perronnin et al. 2010, "Improving the Fisher Kernel for Large-Scale Image Classification".
The root of |x| has no derivative at 0, where what is published gives NaN or, with something added below the root, a
derivative of tens of thousands: noise of the size of rounding, which a Fourier transform leaves in place of a zero,
would outweigh everything. Here the root is a line near 0.
"""

from __future__ import annotations

import torch
from torch import Tensor

_FLOOR = 1e-4


def signed_root(values: Tensor, *, floor: float = _FLOOR) -> Tensor:
    """sign(x) sqrt(|x|), and x / sqrt(floor) where |x| is below the floor: continuous, its derivatives finite.

    Args:
        values: Any shape.
        floor: Above 0; derivatives are at most 1 / sqrt(floor).

    Example:
        >>> signed_root(torch.tensor([-4.0, 0.0, 9.0]))
        tensor([-2.,  0.,  3.])
    """
    return values * values.abs().clamp_min(floor).rsqrt()


def normalized(values: Tensor) -> Tensor:
    """The signed roots of rows, at length 1.

    A row is divided by its largest number first. That changes nothing, as the length is divided out, but what counts
    as near 0: what is below a ten-thousandth of the row's largest. So rows of every magnitude are treated alike, and
    none overflows. A row of zeros stays one, and its derivatives are finite.

    Args:
        values: (b, d).

    Returns:
        (b, d).
    """
    largest = values.detach().abs().amax(1, keepdim=True)
    roots = signed_root(values / torch.where(largest > 0, largest, 1.0))
    # The largest root is 1, so that nothing but a row of zeros is shorter.
    return roots * roots.square().sum(1, keepdim=True).clamp_min(1.0).rsqrt()
