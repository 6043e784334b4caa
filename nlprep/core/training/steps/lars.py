"""LARS: stochastic gradients whose length follows that of the weights, layer by layer, for very large batches.

With gradient g of a tensor w (You, Gitman and Ginsburg 2017, "Large Batch Training of Convolutional Networks",
algorithm 1),

    v <- m v + lr * t ||w|| / ||g + d w|| * (g + d w),        w <- w - v

with momentum m, decay d and trust coefficient t. Where a norm is 0, its quotient counts as 1. Deviation: the paper
divides by ||g|| + d ||w||, an upper bound of the norm here, which is that of what is in fact subtracted, and what the
published code of SimCLR divides by. As there, vectors (biases, norms) neither decay nor are adapted: of them, v and w
are those of plain momentum.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import nn

    from nlprep.core.training.configuration import TrainingConfig


class Lars(torch.optim.Optimizer):
    """LARS over groups of parameters.

    Args:
        groups: Parameters, or dictionaries of ``params`` and settings; with ``adapt=False`` plain momentum is left.
        lr: Learning rate.
        momentum: m.
        weight_decay: d.
        trust: t.
    """

    def __init__(
        self,
        groups: Iterable[Any],
        *,
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust: float = 1e-3,
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "trust": trust, "adapt": True}
        super().__init__(groups, defaults)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override] # noqa: ARG002 - the loop has no closures
        """Make one update; norms are of whole tensors, and nothing waits for the device."""
        for group in self.param_groups:
            for weights in group["params"]:
                if weights.grad is None:
                    continue
                change = weights.grad.add(weights, alpha=group["weight_decay"])
                if group["adapt"]:
                    length, norm = weights.norm(), change.norm()
                    known = (length > 0) & (norm > 0)
                    change.mul_(torch.where(known, group["trust"] * length / norm, 1.0))
                state = self.state[weights]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(weights)
                state["momentum"].mul_(group["momentum"]).add_(change, alpha=group["lr"])
                weights.sub_(state["momentum"])


def make_lars(module: nn.Module, config: TrainingConfig) -> Lars:
    """LARS over the trainable parameters of a module; the momentum is ``beta1``.

    Tensors of two and more dimensions decay and are adapted; biases, norms and other vectors are not.
    """
    trainable = [parameter for parameter in module.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trainable if p.dim() >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in trainable if p.dim() < 2], "weight_decay": 0.0, "adapt": False},
    ]
    return Lars([group for group in groups if group["params"]], lr=config.learning_rate, momentum=config.beta1)
