"""A network that follows another: what gives the targets where nothing else does.

After every optimiser step, number k of K, each weight of the target moves towards that of the network that is trained,

    target <- m_k target + (1 - m_k) network,        m_k = 1 - (1 - m) (cos(pi k / K) + 1) / 2

(Grill et al. 2020, "Bootstrap your own latent", equation 1 and section 3.3): slowly at first, and at the end hardly at
all. The target's weights are frozen parameters of the model: checkpoints hold them, so that a run that goes on has the
same bits, and processes and parts of a batch, whose gradients are those of the whole batch, have the same target.
Statistics of batch norm, if a network is asked for it, are each network's own.
"""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from nlprep.core.training.steps.step import PlainStep

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nlprep.core.training.steps.step import Moment

Network = TypeVar("Network", bound=nn.Module)


def make_target(network: Network) -> Network:
    """A copy of a network that takes no gradients."""
    target = copy.deepcopy(network)
    for parameter in target.parameters():
        parameter.requires_grad_(False)
    return target


def momentum_at(moment: Moment, first: float) -> float:
    """m_k.

    Args:
        moment: The optimiser step.
        first: m.

    >>> from nlprep.core.training.steps.step import Moment
    >>> [momentum_at(Moment(step, 4), 0.9) for step in (0, 2, 4)]
    [0.9, 0.95, 1.0]
    """
    return 1 - (1 - first) * (math.cos(math.pi * moment.progress) + 1) / 2


@torch.no_grad()
def follow(target: nn.Module, network: nn.Module, momentum: float) -> None:
    """Move a target's weights towards a network's, of the same form.

    Args:
        target: What follows.
        network: What is followed.
        momentum: The share of the target that stays.
    """
    move = get_ema_multi_avg_fn(momentum)  # type: ignore[no-untyped-call]
    move(list(target.parameters()), [weights.detach() for weights in network.parameters()], None)


class MomentumStep(PlainStep):
    """One module, in which networks follow others.

    Args:
        module: Its call on a batch gives the losses; means over examples, of which each has its own.
        followers: Pairs of a target and the network that it follows, both parts of the module.
        momentum: m.
    """

    def __init__(self, module: nn.Module, followers: Sequence[tuple[nn.Module, nn.Module]], *, momentum: float) -> None:
        super().__init__(module, unit="images")
        self.followers, self.momentum = followers, momentum

    def after_update(self, player: str, *, moment: Moment) -> None:  # noqa: ARG002 - there is one
        """The targets follow."""
        for target, network in self.followers:
            follow(target, network, momentum_at(moment, self.momentum))
