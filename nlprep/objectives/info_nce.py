"""Contrast within a batch: telling what belongs together from everything else that is there.

`info_nce` looks for each query's own key among all keys (van den Oord et al. 2018, "Representation Learning with
Contrastive Predictive Coding", equation 4). Of texts and their answers it is the multiple negatives ranking loss
(Henderson et al. 2017, "Efficient Natural Language Response Suggestion for Smart Reply", section 4); both ways, of
images and their captions, it is CLIP's (Radford et al. 2021). `nt_xent` looks for the other view of an example among
both views of all (Chen et al. 2020, "A Simple Framework for Contrastive Learning of Visual Representations", equation
1). Similarity is the cosine, over a temperature.

All are computed in float32 at least, under autocast too: differences of cosines over a small temperature are lost
in half the bits. Memory is that of one matrix of similarities and its gradient.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn.functional import cross_entropy, normalize

from nlprep.core.errors import OptionError
from nlprep.core.training.steps.wholeness import check_whole

if TYPE_CHECKING:
    from torch import Tensor


def info_nce(
    queries: Tensor,
    keys: Tensor,
    *,
    temperature: float | Tensor = 0.07,
    negatives: Tensor | None = None,
    symmetric: bool = False,
) -> Tensor:
    """The cross-entropy of choosing each query's own key.

    It is::

        mean_i  - log( e^(cos(q_i, k_i) / t) / sum_j e^(cos(q_i, k_j) / t) )

    With n equal vectors it is log n.

    Args:
        queries: (n, d).
        keys: (n, d); the i-th belongs to the i-th query, and is a negative of the others.
        temperature: t, above 0; a tensor may be learned.
        negatives: (m, d) more keys, that belong to none.
        symmetric: Average it with that of choosing each key's own query, among the n.

    Returns:
        A scalar, in nats.

    Raises:
        OptionError: Shapes that do not fit, a temperature that is not above 0, or a part of a batch, in a step that
            does not say that its loss is coupled.

    Example:
        >>> import torch
        >>> round(float(info_nce(torch.eye(2), torch.eye(2), temperature=1.0)), 4)  # log(1 + 1 / e)
        0.3133
    """
    return info_nce_of(pair_logits(queries, keys, temperature=temperature, negatives=negatives), symmetric=symmetric)


def nt_xent(first: Tensor, second: Tensor, *, temperature: float | Tensor = 0.5) -> Tensor:
    """The normalised temperature-scaled cross-entropy of two views of each example.

    Of the 2n views z, where j(i) is the other view of i's example::

        mean_i  - log( e^(cos(z_i, z_j(i)) / t) / sum_(k != i) e^(cos(z_i, z_k) / t) )

    A view is no candidate for itself: it is masked, since to subtract its term from the sum leaves nothing of the
    others where the temperature is low. With 2n equal vectors the loss is log(2n - 1), of a single example 0.

    Args:
        first: (n, d) a view of each example.
        second: (n, d) another one.
        temperature: t, above 0; a tensor may be learned.

    Returns:
        A scalar, in nats.

    Raises:
        OptionError: As `info_nce`.

    Example:
        >>> import torch
        >>> round(float(nt_xent(torch.ones(2, 5), torch.ones(2, 5))), 4)  # log 3
        1.0986
    """
    _check_pairs(first, second)
    views = torch.cat([first, second])
    logits = pair_logits(views, views, temperature=temperature)
    others = torch.arange(len(views), device=views.device).roll(len(first))
    return cross_entropy(logits.fill_diagonal_(-torch.inf), others)


def pair_logits(
    queries: Tensor, keys: Tensor, *, temperature: float | Tensor = 0.07, negatives: Tensor | None = None
) -> Tensor:
    """Cosines over the temperature, (n, n + m), of which the diagonal is the right choice; arguments of `info_nce`."""
    check_whole("a contrast")
    _check_pairs(queries, keys)
    if negatives is not None and (negatives.dim() != 2 or negatives.shape[1] != keys.shape[1]):
        raise OptionError(f"negatives of shape {list(negatives.shape)}: expected (m, {keys.shape[1]})")
    if not isinstance(temperature, torch.Tensor) and not temperature > 0:
        raise OptionError(f"temperature = {temperature}: must be above 0")
    same = keys is queries and negatives is None
    candidates = keys if negatives is None else torch.cat([keys, negatives])
    with torch.autocast(queries.device.type, enabled=False):
        kind = torch.promote_types(torch.promote_types(queries.dtype, candidates.dtype), torch.float32)
        queries = normalize(queries.to(kind), dim=1)
        candidates = queries if same else normalize(candidates.to(kind), dim=1)
        # Cosines first: divided by a very low temperature, vectors might overflow.
        cosines = queries @ candidates.T
        return cosines / temperature if isinstance(temperature, torch.Tensor) else cosines.div_(temperature)


def info_nce_of(logits: Tensor, *, symmetric: bool = False) -> Tensor:
    """`info_nce` of what `pair_logits` gave, for callers who want to look at that too."""
    right = torch.arange(len(logits), device=logits.device)
    loss = cross_entropy(logits, right)
    return (loss + cross_entropy(logits[:, : len(logits)].T, right)) / 2 if symmetric else loss


def _check_pairs(one: Tensor, other: Tensor) -> None:
    if one.dim() != 2 or one.shape != other.shape or not len(one):
        raise OptionError(f"pairs of shapes {list(one.shape)} and {list(other.shape)}: expected (n, d) twice")
