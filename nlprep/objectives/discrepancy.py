"""How far two samples are from having come from one distribution: the maximum mean discrepancy.

With a kernel k and samples x of P and y of Q, its square is (Gretton et al. 2012, "A Kernel Two-Sample Test",
lemma 6)::

    MMD^2(P, Q) = E k(x, x') + E k(y, y') - 2 E k(x, y)

which is 0 where P is Q, and above 0 otherwise if the kernel is characteristic, as those here are. It is what is
*minimised* to make samples alike: a model that subtracts it drives them apart. Two estimates of the first two means
are in use: over all pairs, which is biased upwards and never below 0, and over pairs of different examples, which is
unbiased and may come out a little below 0.

A discrepancy couples the examples of a batch, so that a part of one is refused. Computed in float32 at least, under
autocast too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from nlprep.core.errors import OptionError
from nlprep.core.training.steps.wholeness import check_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor


def gaussian_kernel(*bandwidths: float) -> Callable[[Tensor], Tensor]:
    """The sum over bandwidths h of ``exp(-d^2 / (2 h^2))``.

    Args:
        bandwidths: Above 0; several make a kernel that sees differences of several sizes.

    Raises:
        OptionError: None, or one that is not above 0.
    """
    _check_scales("bandwidths", bandwidths)
    return lambda squares: _sum_of([torch.exp(squares / (-2 * width**2)) for width in bandwidths])


def inverse_multiquadric_kernel(*scales: float) -> Callable[[Tensor], Tensor]:
    """The sum over scales C of ``C / (C + d^2)``, whose tails still pull at codes far out (Tolstikhin et al. 2018).

    Args:
        scales: Above 0, as squared distances are measured. Of d-dimensional standard normals two lie 2d apart.

    Raises:
        OptionError: None, or one that is not above 0.
    """
    _check_scales("scales", scales)
    return lambda squares: _sum_of([scale / (scale + squares) for scale in scales])


def squared_mmd(
    first: Tensor, second: Tensor, kernel: Callable[[Tensor], Tensor] | None = None, *, unbiased: bool = True
) -> Tensor:
    """An estimate of the squared maximum mean discrepancy of two samples, to be minimised.

    Args:
        first: (n, d).
        second: (m, d).
        kernel: Of squared distances; None: `gaussian_kernel` of bandwidth 1.
        unbiased: Leave out pairs of an example with itself; no: the square of a distance, never below 0.

    Returns:
        A scalar.

    Raises:
        OptionError: Shapes that do not fit, fewer than two examples (unbiased), or a part of a batch, in a step that
            does not say that its loss is coupled.

    Example:
        >>> import torch
        >>> near, far = torch.zeros(3, 1), torch.full((3, 1), 9.0)
        >>> round(float(squared_mmd(near, far)), 4), round(float(squared_mmd(near, near)), 4)
        (2.0, 0.0)
    """
    check_whole("a discrepancy")
    if first.dim() != 2 or second.dim() != 2 or first.shape[1] != second.shape[1] or not len(first) or not len(second):
        raise OptionError(f"samples of shapes {list(first.shape)} and {list(second.shape)}: expected (n, d) and (m, d)")
    if unbiased and min(len(first), len(second)) < 2:
        raise OptionError("one example has no other to be paired with: give two of each sample, or unbiased=False")
    kernel = gaussian_kernel(1.0) if kernel is None else kernel
    with torch.autocast(first.device.type, enabled=False):
        kind = torch.promote_types(torch.promote_types(first.dtype, second.dtype), torch.float32)
        first, second = first.to(kind), second.to(kind)
        within = _mean_within(kernel, first, unbiased=unbiased) + _mean_within(kernel, second, unbiased=unbiased)
        return within - 2 * kernel(squared_distances(first, second)).mean()


def squared_distances(first: Tensor, second: Tensor) -> Tensor:
    """(n, m) squared Euclidean distances of rows (n, d) and (m, d), never below 0, with a gradient everywhere."""
    # Their common mean is taken away first: far from 0, the differences of squares would be lost to rounding.
    centre = second.detach().mean(0)
    first, second = first - centre, second - centre
    squares = first.square().sum(1)[:, None] + second.square().sum(1) - 2 * first @ second.T
    return squares.clamp(min=0)


def _mean_within(kernel: Callable[[Tensor], Tensor], sample: Tensor, *, unbiased: bool) -> Tensor:
    values = kernel(squared_distances(sample, sample))
    count = len(sample)
    if not unbiased:
        return values.mean()
    itself = torch.eye(count, dtype=torch.bool, device=sample.device)
    return values.masked_fill(itself, 0).sum() / (count * (count - 1))


def _sum_of(values: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(values)).sum(0)


def _check_scales(name: str, values: Sequence[float]) -> None:
    if not values or not all(value > 0 for value in values):
        raise OptionError(f"{name} = {list(values)}: give one or more, all above 0")
