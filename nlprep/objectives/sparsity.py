"""Penalties and operations that leave few of a code's units active.

- `l1_penalty`: sum_j |z_j|, which shrinks all and sets many to zero (Tibshirani 1996; of codes, Olshausen and Field
  1996).
- `kl_penalty`: sum_j KL(rho || rho_j) of Bernoulli variables, where rho_j is a unit's mean activity over the batch (Ng
  2011, "Sparse Autoencoder", CS294A, section 3). It couples the examples of a batch.
- `keep_largest`: only the k most active units of an example pass, with their gradients (Makhzani and Frey 2013,
  "k-Sparse Autoencoders", section 2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from nlprep.core.errors import OptionError
from nlprep.core.training.steps.wholeness import check_whole

if TYPE_CHECKING:
    from torch import Tensor


def l1_penalty(codes: Tensor) -> Tensor:
    """The mean over examples of the sum of a code's absolute values; ``codes`` are (b, d).

    >>> import torch
    >>> float(l1_penalty(torch.tensor([[1.0, -2.0], [0.0, 1.0]])))
    2.0
    """
    return codes.abs().sum(1).mean()


def kl_penalty(activities: Tensor, target: float) -> Tensor:
    """The sum over units of the divergence of a unit's mean activity from the one that is wanted.

    It is::

        sum_j  rho log(rho / rho_j) + (1 - rho) log((1 - rho) / (1 - rho_j)),   rho_j = mean_i a_ij

    Args:
        activities: (b, d) in [0, 1], such as of logistic units; the whole batch.
        target: rho, between 0 and 1.

    Returns:
        A scalar, in nats, 0 where every unit's mean is the target; finite if a unit is always off.

    Raises:
        OptionError: Another target, or a part of a batch in a step that does not say that its loss is coupled.

    >>> import torch
    >>> round(float(kl_penalty(torch.tensor([[0.0], [0.5]]), 0.25)), 6)
    0.0
    """
    check_whole("the mean activity of a unit")
    if not 0 < target < 1:
        raise OptionError(f"target = {target}: must be between 0 and 1")
    means = activities.float().mean(0)
    # Saturated units have a logarithm, and a gradient that leads out.
    tiny = torch.finfo(torch.float32).eps
    means = means + (means.clamp(tiny, 1 - tiny) - means).detach()
    goal = torch.full_like(means, target)
    return (torch.xlogy(goal, goal / means) + torch.xlogy(1 - goal, (1 - goal) / (1 - means))).sum()


def keep_largest(codes: Tensor, number: int) -> Tensor:
    """Codes of which all but the largest values of each example are zero.

    Args:
        codes: (b, d).
        number: How many stay, of equal ones the first; at least 1 and at most d.

    Raises:
        OptionError: Another number.

    >>> import torch
    >>> keep_largest(torch.tensor([[3.0, 1.0, 2.0]]), 2).tolist()
    [[3.0, 0.0, 2.0]]
    """
    if not 1 <= number <= codes.shape[1]:
        raise OptionError(f"{number} units are to stay active of {codes.shape[1]}: give from 1 to {codes.shape[1]}")
    chosen = codes.topk(number, dim=1).indices
    return torch.zeros_like(codes).scatter(1, chosen, codes.gather(1, chosen))
