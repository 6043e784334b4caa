"""Divergences of Gaussians whose dimensions are independent, in closed form.

Such a Gaussian is given by its mean m and the logarithm of its standard deviation s, which may be any number. Of two of
them (Kingma and Welling 2014, "Auto-Encoding Variational Bayes", appendix B, has that to the standard normal)::

    KL(N(m, s^2) || N(n, t^2)) = sum_j  log t_j - log s_j + (s_j^2 + (m_j - n_j)^2) / (2 t_j^2) - 1/2

Everything is a sum over dimensions, the last axis, and there is no mean over examples: that is the caller's. Computed
in float32 at least, under autocast too.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from nlprep.core.errors import OptionError

_LOG_TWO_PI = math.log(2 * math.pi)


def gaussian_kl(
    mean: Tensor, log_scale: Tensor, other_mean: Tensor | None = None, other_log_scale: Tensor | None = None
) -> Tensor:
    """The divergence of one diagonal Gaussian from another, by default the standard normal.

    Args:
        mean: (..., d) of the Gaussian in whose expectation it is.
        log_scale: (..., d) the logarithm of its standard deviation.
        other_mean: Likewise of the other, broadcast; None: 0.
        other_log_scale: Likewise; None: 0, a standard deviation of 1.

    Returns:
        (...) in nats, summed over the last axis.

    Raises:
        OptionError: Shapes that do not fit.

    Example:
        >>> import torch
        >>> gaussian_kl(torch.tensor([[1.0, 2.0]]), torch.zeros(1, 2))  # (1 + 4) / 2
        tensor([2.5000])
    """
    return gaussian_kl_terms(mean, log_scale, other_mean, other_log_scale).sum(-1)


def gaussian_kl_terms(
    mean: Tensor, log_scale: Tensor, other_mean: Tensor | None = None, other_log_scale: Tensor | None = None
) -> Tensor:
    """As `gaussian_kl`, but (..., d): what each dimension adds."""
    if mean.shape != log_scale.shape:
        raise OptionError(
            f"a mean of shape {list(mean.shape)} and scales of {list(log_scale.shape)}: give as many of both"
        )
    mean, log_scale = mean.to(_at_least_float32(mean)), log_scale.to(_at_least_float32(log_scale))
    away = mean if other_mean is None else mean - other_mean
    if other_log_scale is None:
        return (torch.exp(2 * log_scale) + away.square() - 1) / 2 - log_scale
    # Differences of logarithms: a quotient of variances may overflow where the divergence does not.
    ratio = log_scale - other_log_scale
    return (torch.expm1(2 * ratio) + away.square() * torch.exp(-2 * other_log_scale)) / 2 - ratio


def gaussian_log_density(values: Tensor, mean: Tensor | None = None, log_scale: Tensor | None = None) -> Tensor:
    """The logarithm of a diagonal Gaussian's density.

    Args:
        values: (..., d).
        mean: (..., d), broadcast; None: 0.
        log_scale: The logarithm of the standard deviation, likewise; None: 0.

    Returns:
        (...) in nats, summed over the last axis.

    Example:
        >>> import torch
        >>> round(float(gaussian_log_density(torch.zeros(2))), 4)  # - log(2 pi)
        -1.8379
    """
    values = values.to(_at_least_float32(values))
    away = values if mean is None else values - mean
    if log_scale is None:
        return -(away.square() + _LOG_TWO_PI).sum(-1) / 2
    away = away * torch.exp(-log_scale)
    return -((away.square() + _LOG_TWO_PI) / 2 + log_scale).sum(-1)


def _at_least_float32(tensor: Tensor) -> torch.dtype:
    return torch.promote_types(tensor.dtype, torch.float32)
