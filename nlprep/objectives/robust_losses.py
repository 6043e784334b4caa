"""Errors that few large residuals do not rule: M-estimators' losses, by name.

A loss rho gives each residual r a number, and its derivative psi, the influence function, says how much the residual
pulls on what is fitted (Huber 1964, "Robust Estimation of a Location Parameter"; Hampel 1974). The squared error's
influence grows without bound, so that one outlier may move everything; that of the others is bounded, and for some it
falls back to nothing. With c, the scale beyond which a residual counts as large:

======================  ==========================================  =============================  ===========
name                    rho(r)                                      psi(r)                         far away
======================  ==========================================  =============================  ===========
``squared``             r^2 / 2                                     r                              grows
``absolute``            |r|                                        sign r                         1
``huber``               r^2 / 2, beyond c: c |r| - c^2 / 2         r, beyond c: c sign r          c
``fair``                c^2 (|r| / c - log(1 + |r| / c))          r / (1 + |r| / c)             c
``l2-l1``               c^2 (sqrt(1 + (r / c)^2) - 1)               r / sqrt(1 + (r / c)^2)        c
``cauchy``              c^2 / 2 log(1 + (r / c)^2)                  r / (1 + (r / c)^2)            falls as 1/r
``geman-mcclure``       r^2 / 2 / (1 + (r / c)^2)                   r / (1 + (r / c)^2)^2          falls as r^-3
``correntropy``         c^2 / 2 (1 - exp(-(r / c)^2))               r exp(-(r / c)^2)              falls as exp
======================  ==========================================  =============================  ===========

Forms and names as Zhang (1997, "Parameter Estimation Techniques: A Tutorial with Application to Conic Fitting", table
1), whose ``L1-L2`` is ``l2-l1`` with c = sqrt(2), also called pseudo-Huber; his Geman-McClure has c = 1, his Welsch
function is ``correntropy``, that is the correntropy-induced loss of Liu, Pokharel and Principe (2007) with the kernel's
width c / sqrt(2). All but ``absolute`` have curvature 1 at 0: small residuals are treated alike, and learning rates
carry over.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from nlprep.core.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


@dataclass(frozen=True)
class RobustLoss:
    """A loss of single residuals.

    Attributes:
        name: As in `ROBUST_LOSSES`.
        rho: The loss (...) of residuals (...) and a scale.
        psi: Its derivative by the residuals, in closed form.
        efficient_scale: The scale, in standard deviations of Gaussian noise, at which a location estimated with it has
            0.95 of the mean's efficiency; None where it has no scale.
    """

    name: str
    rho: Callable[[Tensor, float], Tensor]
    psi: Callable[[Tensor, float], Tensor]
    efficient_scale: float | None

    def __call__(self, residuals: Tensor, scale: float = 1.0) -> Tensor:
        """The loss of each residual.

        Args:
            residuals: Of any shape; computed in float32 at least.
            scale: c, above 0 and finite, in units of the residuals.

        Returns:
            Of that shape, at least 0.

        Raises:
            OptionError: Another scale.
        """
        return self.rho(_checked(residuals, scale), scale)

    def influence(self, residuals: Tensor, scale: float = 1.0) -> Tensor:
        """The derivative of the loss at each residual; arguments and errors of a call. ``absolute`` has 0 at 0."""
        return self.psi(_checked(residuals, scale), scale)


def _checked(residuals: Tensor, scale: float) -> Tensor:
    if not (scale > 0 and math.isfinite(scale)):
        raise OptionError(f"scale = {scale}: must be above 0 and finite")
    return residuals.to(torch.promote_types(residuals.dtype, torch.float32))


def _huber(residuals: Tensor, scale: float) -> Tensor:
    near = residuals.clamp(-scale, scale)
    # r near - near^2 / 2 is r^2 / 2 within and c |r| - c^2 / 2 beyond, with the gradient of both.
    return near * (residuals - near / 2)


def _l2_l1(residuals: Tensor, scale: float) -> Tensor:
    # c^2 (sqrt(1 + u) - 1) loses small residuals to rounding; as r^2 over the conjugate it does not.
    return residuals.square() / (1 + (1 + (residuals / scale).square()).sqrt())


def _fair(residuals: Tensor, scale: float) -> Tensor:
    share = residuals.abs() / scale
    return scale**2 * (share - share.log1p())


ROBUST_LOSSES: dict[str, RobustLoss] = {
    loss.name: loss
    for loss in (
        RobustLoss("squared", lambda r, _: r.square() / 2, lambda r, _: r, None),
        RobustLoss("absolute", lambda r, _: r.abs(), lambda r, _: r.sign(), None),
        RobustLoss("huber", _huber, lambda r, c: r.clamp(-c, c), 1.345),
        RobustLoss("fair", _fair, lambda r, c: r / (1 + r.abs() / c), 1.3998),
        RobustLoss("l2-l1", _l2_l1, lambda r, c: r / (1 + (r / c).square()).sqrt(), 1.2871),
        RobustLoss(
            "cauchy",
            lambda r, c: c**2 / 2 * (r / c).square().log1p(),
            lambda r, c: r / (1 + (r / c).square()),
            2.3849,
        ),
        RobustLoss(
            "geman-mcclure",
            lambda r, c: r.square() / 2 / (1 + (r / c).square()),
            lambda r, c: r / (1 + (r / c).square()).square(),
            3.7874,
        ),
        RobustLoss(
            "correntropy",
            lambda r, c: -(c**2) / 2 * (-(r / c).square()).expm1(),
            lambda r, c: r * (-(r / c).square()).exp(),
            2.9846,
        ),
    )
}
"""By name; the scales of Huber's, Fair's, Cauchy's and Welsch's are Zhang's, the others were computed likewise."""


def find_robust_loss(name: str) -> RobustLoss:
    """The loss of a name.

    Raises:
        OptionError: There is none; says which there are.

    >>> import torch
    >>> find_robust_loss("huber")(torch.tensor([0.5, -3.0]), scale=1.0).tolist()
    [0.125, 2.5]
    """
    if name not in ROBUST_LOSSES:
        raise OptionError(f"robust loss {name!r}: choose from {', '.join(ROBUST_LOSSES)}")
    return ROBUST_LOSSES[name]
