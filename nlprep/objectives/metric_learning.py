"""Losses of distances: what is alike is drawn together, what is not is held apart, up to a margin.

- `contrastive` and `contrastive_in_batch`: pairs that are alike or not (Hadsell, Chopra and LeCun 2006, "Dimensionality
  Reduction by Learning an Invariant Mapping", equations 3 and 4).
- `triplet`: an example is nearer to those of its class than to others, by a margin (Schroff, Kalenichenko and Philbin
  2015, "FaceNet", equation 2), with triplets found in the batch by labels (Hermans, Beyer and Leibe 2017, "In Defense
  of the Triplet Loss", equations 5 and 7).
- `centre`: examples lie near the centre of their class (Wen, Zhang, Li and Qiao 2016, "A Discriminative Feature
  Learning Approach for Deep Face Recognition", equation 2).

All are computed in float32 at least, under autocast too. Distances are taken of differences, not of products, which
lose small ones; where two vectors coincide, their distance has the gradient 0, one of those that it might have there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from nlprep.core.errors import OptionError
from nlprep.core.training.steps.wholeness import check_whole

if TYPE_CHECKING:
    from torch import Tensor

MININGS = ("hard", "all")


def contrastive(first: Tensor, second: Tensor, alike: Tensor, *, margin: float = 1.0) -> Tensor:
    """The contrastive loss of given pairs.

    With D the distance of a pair, and Y = 0 where it is alike, 1 where it is not, it is::

        mean  (1 - Y) D^2 / 2  +  Y max(0, m - D)^2 / 2

    Args:
        first: (n, d) one of each pair.
        second: (n, d) the other.
        alike: (n,) bool. The paper's Y is its opposite.
        margin: m, above 0: pairs that are not alike and farther apart are left alone.

    Returns:
        A scalar: the mean over pairs, where the paper has their sum.

    Raises:
        OptionError: Shapes that do not fit, or a margin that is not above 0.

    Example:
        >>> import torch
        >>> zero, one = torch.zeros(2, 1), torch.tensor([[0.5], [0.25]])
        >>> float(contrastive(zero, one, torch.tensor([True, False])))  # (0.125 + 0.28125) / 2
        0.203125
    """
    if first.dim() != 2 or first.shape != second.shape or not len(first):
        raise OptionError(f"pairs of shapes {list(first.shape)} and {list(second.shape)}: expected (n, d) twice")
    if alike.shape != first.shape[:1]:
        raise OptionError(f"alike of shape {list(alike.shape)} for {len(first)} pairs: expected one for each")
    with torch.autocast(first.device.type, enabled=False):
        apart = distances(first[:, None], second[:, None])[:, 0, 0]
        return _pair_losses(apart, alike.bool(), margin).mean()


def contrastive_in_batch(vectors: Tensor, alike: Tensor, *, margin: float = 1.0) -> Tensor:
    """The contrastive loss of all pairs of a batch, in which both kinds count for the same.

    It is the mean of `contrastive` over the pairs that are alike plus the mean over those that are not. The paper sums
    over all pairs of a training set; among a batch those that are alike are few, and would count for little.

    Args:
        vectors: (n, d).
        alike: (n, n) bool, symmetric; the diagonal does not count.
        margin: As for `contrastive`.

    Returns:
        A scalar; a kind of which there is no pair adds 0.

    Raises:
        OptionError: As `contrastive`, or a part of a batch, in a step that does not say that its loss is coupled.
    """
    check_whole("a loss of pairs")
    count = _checked(vectors)
    if alike.shape != (count, count):
        raise OptionError(f"alike of shape {list(alike.shape)} for {count} vectors: expected ({count}, {count})")
    with torch.autocast(vectors.device.type, enabled=False):
        one, other = torch.triu_indices(count, count, 1, device=vectors.device)
        same = alike.bool()[one, other]
        losses = _pair_losses(distances(vectors, vectors)[one, other], same, margin)
        return _mean(losses, same) + _mean(losses, ~same)


def triplet(vectors: Tensor, labels: Tensor, *, margin: float = 0.2, mining: str = "hard") -> Tensor:
    """The triplet loss of a batch: an anchor's own class is nearer than others, by a margin.

    With D the distance (not its square, as in Hermans et al.) and a an anchor, p of its class, n of another one::

        hard:  mean_a      max(0, m + max_p D(a, p) - min_n D(a, n))
        all:   mean_a,p,n  max(0, m + D(a, p) - D(a, n))

    Anchors that are alone in their class, or in a batch of one class, have no triplet and are left out. Memory is that
    of one matrix of distances, and for ``all`` that of a row of it for each pair of a class.

    Args:
        vectors: (n, d); normalise them where their length is to mean nothing, as Schroff et al. do.
        labels: (n,) whole numbers.
        margin: m, above 0.
        mining: One of `MININGS`.

    Returns:
        A scalar; 0 if there is no triplet.

    Raises:
        OptionError: Shapes that do not fit, a margin that is not above 0, another mining, or a part of a batch, in a
            step that does not say that its loss is coupled.

    Example:
        >>> import torch
        >>> vectors, labels = torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([0, 0, 1])
        >>> float(triplet(vectors, labels, margin=1.5))  # anchors 0 and 1: max(0, -0.5) and 0.5
        0.25
    """
    check_whole("a loss of triplets")
    count = _checked(vectors)
    _check_labels(labels, count)
    _check_margin(margin)
    if mining not in MININGS:
        raise OptionError(f"mining = {mining!r}: choose from {', '.join(MININGS)}")
    with torch.autocast(vectors.device.type, enabled=False):
        apart = distances(vectors, vectors)
        others = labels[:, None] != labels
        same = ~others
        same.fill_diagonal_(False)
        if mining == "hard":
            farthest = apart.masked_fill(~same, -torch.inf).amax(1)
            nearest = apart.masked_fill(~others, torch.inf).amin(1)
            counts = same.any(1) & others.any(1)
            # An infinity that is left out only afterwards would make its gradient a NaN.
            excess = farthest[counts] - nearest[counts]
        else:
            anchors, partners = same.nonzero(as_tuple=True)
            excess = (apart[anchors, partners, None] - apart[anchors])[others[anchors]]
        return (margin + excess).relu().sum() / max(1, len(excess))


def centre(vectors: Tensor, labels: Tensor, centres: Tensor) -> Tensor:
    """The centre loss: half the squared distance of each example from the centre of its class.

    It is::

        mean_i  |x_i - c_(y_i)|^2 / 2

    Centres may be parameters: this loss has a gradient in them, (c_j - x_i) / n for each example of their class, which
    an optimiser follows. The paper's own rule moves them by that direction, averaged over the class (equation 4).

    Args:
        vectors: (n, d).
        labels: (n,) int64, from 0.
        centres: (classes, d).

    Returns:
        A scalar: the mean over examples, where the paper has their sum. It couples no examples.

    Raises:
        OptionError: Shapes that do not fit.
    """
    count = _checked(vectors)
    _check_labels(labels, count)
    if centres.dim() != 2 or centres.shape[1] != vectors.shape[1]:
        raise OptionError(f"centres of shape {list(centres.shape)}: expected (classes, {vectors.shape[1]})")
    with torch.autocast(vectors.device.type, enabled=False):
        kind = _kind(vectors, centres)
        return (vectors.to(kind) - centres.to(kind)[labels]).square().sum(1).mean() / 2


def distances(first: Tensor, second: Tensor) -> Tensor:
    """Distances (..., n, m) of vectors (..., n, d) from others (..., m, d); their gradient is 0 where they are."""
    kind = _kind(first, second)
    return torch.cdist(first.to(kind), second.to(kind), compute_mode="donot_use_mm_for_euclid_dist")


def _pair_losses(apart: Tensor, alike: Tensor, margin: float) -> Tensor:
    _check_margin(margin)
    return torch.where(alike, apart, (margin - apart).relu()).square() / 2


def _mean(losses: Tensor, chosen: Tensor) -> Tensor:
    return losses[chosen].sum() / chosen.sum().clamp(min=1)


def _kind(one: Tensor, other: Tensor) -> torch.dtype:
    return torch.promote_types(torch.promote_types(one.dtype, other.dtype), torch.float32)


def _checked(vectors: Tensor) -> int:
    if vectors.dim() != 2 or not len(vectors):
        raise OptionError(f"vectors of shape {list(vectors.shape)}: expected (n, d)")
    return len(vectors)


def _check_labels(labels: Tensor, count: int) -> None:
    if labels.shape != (count,):
        raise OptionError(f"labels of shape {list(labels.shape)} for {count} vectors: expected one for each")


def _check_margin(margin: float) -> None:
    if not margin > 0:
        raise OptionError(f"margin = {margin}: must be above 0")
