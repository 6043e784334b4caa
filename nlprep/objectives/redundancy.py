"""Two views of each example made alike without negatives: the numbers of a code are kept from saying the same.

Both functions look at statistics of a batch, and belong to a coupled step as contrast does. They are computed in
float32 at least, under autocast too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn.functional import mse_loss, relu

from nlprep.core.errors import OptionError
from nlprep.core.training.steps.wholeness import check_whole

if TYPE_CHECKING:
    from torch import Tensor

_FLOOR = 1e-4
_TINY = 1e-12


def barlow_twins(first: Tensor, second: Tensor, *, weight: float = 5e-3) -> Tensor:
    """How far the correlations of two views' numbers are from the identity.

    With C_jk the correlation over the batch of the first view's number j and the second's k (Zbontar et al. 2021,
    "Barlow Twins: Self-Supervised Learning via Redundancy Reduction", equations 1 and 2)::

        sum_j (1 - C_jj)^2 + weight * sum_(j != k) C_jk^2

    Args:
        first: (n, d) a view of each example; n at least 2.
        second: (n, d) another one.
        weight: Of what different numbers have in common.

    Returns:
        A scalar. A number that is the same for all examples is correlated with nothing, and has a gradient of 0.

    Raises:
        OptionError: Shapes that do not fit, a negative weight, or a part of a batch in a step that is not coupled.

    Example:
        >>> import torch
        >>> views = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
        >>> float(barlow_twins(views, -views))
        8.0
    """
    first, second = _checked(first, second, weight=weight)
    with torch.autocast(first.device.type, enabled=False):
        correlations = _standardised(first).T @ _standardised(second)
        own = correlations.diagonal()
        return (1 - own).square().sum() + weight * (correlations.square().sum() - own.square().sum())


def vicreg(
    first: Tensor, second: Tensor, *, invariance: float = 25.0, variance: float = 25.0, covariance: float = 1.0
) -> Tensor:
    """Variance, invariance and covariance of two views.

    With views z, w and their covariance matrices K over the batch, divided by n - 1 (Bardes, Ponce and LeCun 2022,
    "VICReg", equations 1 to 6; the first term is a mean over numbers too, as in the paper's algorithm 1)::

        invariance * mean_ij (z_ij - w_ij)^2
        + variance * [v(z) + v(w)],        v(z) = 1/d sum_j max(0, 1 - sqrt(K_jj + 1e-4))
        + covariance * [c(z) + c(w)],      c(z) = 1/d sum_(j != k) K_jk^2

    Args:
        first: (n, d) a view of each example; n at least 2.
        second: (n, d) another one.
        invariance: Weight of how views differ.
        variance: Of numbers that vary too little.
        covariance: Of numbers that say the same.

    Raises:
        OptionError: As `barlow_twins`.

    Example:
        >>> import torch
        >>> round(float(vicreg(torch.zeros(3, 2), torch.zeros(3, 2))), 4)  # 2 * 25 * (1 - 0.01)
        49.5
    """
    first, second = _checked(first, second, invariance=invariance, variance=variance, covariance=covariance)
    with torch.autocast(first.device.type, enabled=False):
        loss = invariance * mse_loss(first, second)
        for view in (first, second):
            centred = view - view.mean(0)
            matrix = centred.T @ centred / (len(view) - 1)
            own = matrix.diagonal()
            loss = loss + variance * relu(1 - (own + _FLOOR).sqrt()).mean()
            loss = loss + covariance * (matrix.square().sum() - own.square().sum()) / len(own)
        return loss


def _standardised(view: Tensor) -> Tensor:
    """Numbers of mean 0 whose squares add up to 1, those that do not vary 0."""
    centred = view - view.mean(0)
    return centred / centred.square().sum(0).clamp(min=_TINY).sqrt()


def _checked(first: Tensor, second: Tensor, **weights: float) -> tuple[Tensor, Tensor]:
    check_whole("redundancy reduction")
    if first.dim() != 2 or first.shape != second.shape or len(first) < 2:
        raise OptionError(
            f"views of shapes {list(first.shape)} and {list(second.shape)}: expected (n, d) twice, n at least 2"
        )
    for name, weight in weights.items():
        if not weight >= 0:
            raise OptionError(f"{name} = {weight}: must be at least 0")
    kind = torch.promote_types(torch.promote_types(first.dtype, second.dtype), torch.float32)
    return first.to(kind), second.to(kind)
