"""Losses of two players, of whom one tells real examples from made ones and the other makes them.

With D a discriminator's logits, above 0 for what it takes to be real, x real examples and y made ones:

- **Non-saturating** (Goodfellow et al. 2014, "Generative Adversarial Nets", section 3). The discriminator minimises the
  cross-entropy, the maker -log of what the discriminator takes to be its chance of being real, whose gradient does not
  vanish where the maker is bad, as that of log(1 - s(D(y))) does, s being the logistic function::

      discriminator   mean softplus(-D(x)) + mean softplus(D(y))        = - mean log s(D(x)) - mean log(1 - s(D(y)))
      generator       mean softplus(-D(y))                              = - mean log s(D(y))

- **Hinge** (Lim and Ye 2017, "Geometric GAN"; Miyato et al. 2018, equations 16 and 17)::

      discriminator   mean max(0, 1 - D(x)) + mean max(0, 1 + D(y))
      generator       - mean D(y)

- **R1** (Mescheder et al. 2018, "Which Training Methods for GANs do actually Converge?", equation 9): the squared
  length of the gradient of D at real examples, without which the players may turn about each other for ever::

      weight / 2  mean |dD(x) / dx|^2

Losses are means over examples, and the two of a discriminator are added, not averaged. They couple no examples, if D
couples none: a network with batch norm does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn.functional import softplus

from nlprep.core.errors import OptionError

if TYPE_CHECKING:
    from torch import Tensor

ADVERSARIAL_LOSSES = ("non-saturating", "hinge")


def discriminator_loss(real: Tensor, made: Tensor, kind: str = "non-saturating") -> Tensor:
    """What the one that tells apart minimises.

    Args:
        real: (b,) logits of real examples.
        made: (c,) logits of made ones.
        kind: One of `ADVERSARIAL_LOSSES`.

    Raises:
        OptionError: Another kind.

    >>> import torch
    >>> float(discriminator_loss(torch.tensor([3.0]), torch.tensor([0.5]), "hinge"))
    1.5
    """
    _check_kind(kind)
    if kind == "hinge":
        return (1 - real).relu().mean() + (1 + made).relu().mean()
    return softplus(-real).mean() + softplus(made).mean()


def generator_loss(made: Tensor, kind: str = "non-saturating") -> Tensor:
    """What the one that makes examples minimises; arguments as `discriminator_loss`.

    >>> import torch
    >>> round(float(generator_loss(torch.zeros(4))), 4)  # log 2
    0.6931
    """
    _check_kind(kind)
    return -made.mean() if kind == "hinge" else softplus(-made).mean()


def gradient_penalty(logits: Tensor, examples: Tensor) -> Tensor:
    """The squared length of each logit's gradient by its example, in the mean over examples: R1's without its weight.

    Itself differentiable, so that it can be minimised.

    Args:
        logits: (b,) computed of the examples, each of its own.
        examples: (b, ...), which take gradients.

    Returns:
        A scalar.

    >>> import torch
    >>> x = torch.ones(3, 2, requires_grad=True)
    >>> float(gradient_penalty(x @ torch.tensor([3.0, 4.0]), x))  # 9 + 16
    25.0
    """
    # Logits of other examples have no gradient by this one, so that the sum's gradient is that of each.
    (gradient,) = torch.autograd.grad(logits.sum(), examples, create_graph=True)
    return gradient.float().square().flatten(1).sum(1).mean()


def _check_kind(kind: str) -> None:
    if kind not in ADVERSARIAL_LOSSES:
        raise OptionError(f"kind = {kind!r}: choose from {', '.join(ADVERSARIAL_LOSSES)}")
