"""Views of the same examples made to correlate: what deep canonical correlation analysis maximises.

With X_i the centred codes of view i, (n, d_i), and covariances C_ij = X_i^T X_j / n, each view is whitened by the
Cholesky factor of its own covariance, C_ii + r_i I = L_i L_i^T, and the canonical correlations of two views are the
singular values of

    T = L_1^-1 C_12 L_2^-T                      (Andrew, Arora, Bilmes and Livescu, ICML 2013)

`correlation_loss` is less their **sum**, the paper's objective; `squared_correlation_loss` less the sum of their
**squares**, another objective, which some published code has under the paper's name; `generalized_correlation_loss`
that of several views by a variable that they share (Benton et al. 2019, "Deep Generalized Canonical Correlation
Analysis"). All three are functions of a whole batch, and want one many times as large as a code has numbers.
`soft_decorrelation_loss` (Chang, Xiang and Hospedales, CVPR 2018, "Scalable and Effective Deep CCA via Soft
Decorrelation") whitens nothing, and takes batches of any size.

**Always finite.** Published losses take roots of covariances by their eigenvectors, whose gradient has the differences
of eigenvalues as divisors, and is no number where two are the same: white views, dead units. Factors of Cholesky and
singular values have no such divisors. A singular value of zero has many slopes; it gets the least of them, which is 0.
The ridge r_i is relative to the view's mean variance, so that losses do not depend on a view's scale, and that has a
floor, so that a view without any variance is correlated with nothing and has a gradient of 0.

Everything is computed in float64, under autocast too: matrices are as small as codes are.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import torch

from nlprep.core.errors import OptionError
from nlprep.core.training.steps.wholeness import check_whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

LEAST_RIDGE = 1e-8
"""Below it, Cholesky factors of a code with hundreds of numbers, some the same, may not exist in float64."""
_FLOOR = 1e-12
"""Of the mean variance; views of a millionth are still told from rounding."""
_NOTHING = 1e-7
"""Correlations below it are rounding."""


def correlation_loss(
    first: Tensor, second: Tensor, *, num_directions: int | None = None, ridge: float = 1e-4
) -> Tensor:
    """Less the sum of the canonical correlations of two views (Andrew et al. 2013).

    Args:
        first: (n, d) codes of one view of each example; n above d + 1.
        second: (n, e) of another; n above e + 1.
        num_directions: How many of the largest correlations count; all min(d, e) by default.
        ridge: Added to the variances of each view, in units of their mean; at least 1e-8.

    Returns:
        A scalar between -min(d, e) and 0. With a ridge, correlations are less than Pearson's.

    Raises:
        OptionError: Shapes or settings that do not fit, a batch in which any views would correlate, or a part of a
            batch in a step that is not coupled.

    Example:
        >>> import torch
        >>> views = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0], [0.0, 0.0]])
        >>> round(float(correlation_loss(views, -3 * views.flip(1), ridge=1e-8)), 5)
        -2.0
    """
    found = _largest(canonical_correlations(first, second, ridge=ridge), num_directions)
    loss: Tensor = -found.sum().to(_kind((first, second)))
    return loss


def squared_correlation_loss(
    first: Tensor, second: Tensor, *, num_directions: int | None = None, ridge: float = 1e-4
) -> Tensor:
    """Less the sum of the squares of the canonical correlations of two views; arguments as `correlation_loss`.

    That is ``-||T||^2``, the squared Frobenius norm, where all count. It cares less than the sum for what is hardly
    correlated, and more for making what is correlated perfectly so.

    Example:
        >>> import torch
        >>> one = torch.tensor([[1.0], [-1.0], [1.0], [-1.0]])
        >>> other = torch.tensor([[1.0], [-1.0], [1.0], [0.0]])
        >>> round(-float(correlation_loss(one, other)), 3), round(-float(squared_correlation_loss(one, other)), 3)
        (0.904, 0.818)
    """
    found = _largest(canonical_correlations(first, second, ridge=ridge), num_directions)
    loss: Tensor = -found.square().sum().to(_kind((first, second)))
    return loss


def canonical_correlations(first: Tensor, second: Tensor, *, ridge: float = 1e-4) -> Tensor:
    """The canonical correlations of two views, (min(d, e),) float64, falling; arguments as `correlation_loss`."""
    whitened = _whitened((first, second), ridge)
    if whitened is None:
        return _no_numbers((first, second)).expand(min(first.shape[1], second.shape[1]))
    one, other = whitened
    found: Tensor = torch.linalg.svdvals(one.T @ other)
    return found


def generalized_correlation_loss(
    views: Sequence[Tensor], *, num_directions: int | None = None, ridge: float = 1e-4
) -> Tensor:
    """Less the sum of the correlations of several views with what they share (Benton et al. 2019).

    The paper minimises, over an orthonormal G that all views share and their linear maps U_j,
    ``sum_j |G - X_j U_j|^2 = r J - sum of the r largest eigenvalues of sum_j P_j``, P_j projecting on the columns of
    X_j. These eigenvalues, between 0 and the number J of views, are those of the matrix of all whitened
    cross-covariances, which is small. Here they are counted as correlations::

        - sum_(k <= r) (eigenvalue_k - 1) / (J - 1)

    which is the paper's objective but for a factor and a constant: it is -r for views that agree, and for two views
    exactly `correlation_loss`, but for the ridge.

    Args:
        views: (n, d_j) each; n above d_j + 1.
        num_directions: r, at most and by default the smallest d_j.
        ridge: As for `correlation_loss`.

    Raises:
        OptionError: As `correlation_loss`, or fewer than two views.

    Example:
        >>> import torch
        >>> view = torch.tensor([[1.0], [2.0], [4.0], [7.0]])
        >>> round(float(generalized_correlation_loss([view, -view, 5 * view], ridge=1e-8)), 5)
        -1.0
    """
    whitened = _whitened(views, ridge)
    if whitened is None:
        return -_no_numbers(views)
    smallest = min(view.shape[1] for view in views)
    count = smallest if num_directions is None else num_directions
    _check_count(count, smallest)
    together = torch.cat(whitened, dim=1)
    eigenvalues = torch.linalg.eigvalsh(together.T @ together)[-count:]
    loss: Tensor = -((eigenvalues - 1).sum() / (len(views) - 1)).to(_kind(views))
    return loss


def soft_decorrelation_loss(
    views: Sequence[Tensor], *, weight: float = 0.1, past: Tensor | None = None, memory: float = 0.9
) -> Tensor:
    """Standardised numbers made alike in all views, and unlike each other in each (Chang et al. 2018).

    With z_i the views' numbers at mean 0 and variance 1 in the batch, and K_i their covariances::

        mean over pairs i < j of  mean_n |z_i - z_j|^2   +   weight * mean over i of  sum_(k != l) |K_i,kl|

    K_i is ``memory`` times that of the past and ``1 - memory`` times the batch's, so that it may be known better than
    from a batch that has fewer examples than a code has numbers. The paper normalises a sum that begins with nothing,
    which soon is the same. The gradient is that of the batch's part.

    Args:
        views: (n, d) each; n at least 2.
        weight: Of what different numbers have in common.
        past: (J, d, d) covariances from before (`standardised_covariances`); none: the batch's alone.
        memory: The past's share.

    Raises:
        OptionError: Shapes or settings that do not fit, or a part of a batch in a step that is not coupled.

    Example:
        >>> import torch
        >>> ideal = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
        >>> round(float(soft_decorrelation_loss([ideal, 3 * ideal])), 6)
        0.0
    """
    if not weight >= 0:
        raise OptionError(f"weight = {weight}: must be at least 0")
    if not 0 <= memory < 1:
        raise OptionError(f"memory = {memory}: must be at least 0 and below 1")
    standardised = _standardised(views)
    pairs = list(itertools.combinations(standardised, 2))
    apart = torch.stack([(one - other).square().sum(1).mean() for one, other in pairs]).mean()
    found = torch.stack([view.T @ view / len(view) for view in standardised])
    if past is not None:
        if past.shape != found.shape:
            raise OptionError(f"past of shape {list(past.shape)}: expected {list(found.shape)}")
        found = memory * past.to(found) + (1 - memory) * found
    size = found.shape[-1]
    others = ~torch.eye(size, dtype=torch.bool, device=found.device)
    return (apart + weight * found.abs()[:, others].sum() / len(views)).to(_kind(views))


@torch.no_grad()
def standardised_covariances(views: Sequence[Tensor]) -> Tensor:
    """(J, d, d) float64 covariances of views' standardised numbers, for the ``past`` of `soft_decorrelation_loss`."""
    return torch.stack([view.T @ view / len(view) for view in _standardised(views)])


def check_batch(count: int, dimensions: Sequence[int], *, noun: str = "a batch") -> None:
    """Fail if a batch has too few examples to whiten, as every function of it would correlate fully there.

    Args:
        count: Examples.
        dimensions: Numbers in the codes of each view.
        noun: What of so many examples is meant.

    Raises:
        OptionError: It has; says both numbers.

    >>> check_batch(50, [50, 40])
    Traceback (most recent call last):
    nlprep.core.errors.OptionError: a batch of 50 examples for codes of 50 numbers: any views of at most 51 examples \
correlate fully, so that there is nothing to learn; give many more, or codes of fewer numbers
    """
    largest = max(dimensions)
    if count <= largest + 1:
        raise OptionError(
            f"{noun} of {count} examples for codes of {largest} numbers: any views of at most {largest + 1} examples "
            "correlate fully, so that there is nothing to learn; give many more, or codes of fewer numbers"
        )


def _whitened(views: Sequence[Tensor], ridge: float) -> list[Tensor] | None:
    """X_j L_j^-T / sqrt(n) of every view, whose products are whitened covariances; None where something is no number.

    Without numbers there are no factors: the loss is to be none either, of which the loop says where it was.
    """
    _check(views)
    check_batch(len(views[0]), [view.shape[1] for view in views])
    if not LEAST_RIDGE <= ridge < float("inf"):
        raise OptionError(f"ridge = {ridge}: must be at least {LEAST_RIDGE}")
    whitened = []
    with torch.autocast(views[0].device.type, enabled=False):
        for view in views:
            centred = _centred(view)
            covariance = centred.T @ centred / len(view)
            if not torch.isfinite(covariance).all():
                return None
            least = ridge * covariance.diagonal().mean().clamp(min=_FLOOR)
            factor = torch.linalg.cholesky(covariance + least * torch.eye(len(covariance)).to(covariance))
            whitened.append(torch.linalg.solve_triangular(factor, centred.T, upper=False).T / len(view) ** 0.5)
    return whitened


def _largest(correlations: Tensor, count: int | None) -> Tensor:
    """The largest, without those that are nothing."""
    count = len(correlations) if count is None else count
    _check_count(count, len(correlations))
    found = correlations[:count]
    return found.where(~(found <= _NOTHING), 0.0)


def _check_count(count: int, most: int) -> None:
    if not 1 <= count <= most:
        raise OptionError(f"num_directions = {count}: must be from 1 to {most}, the numbers in the shortest code")


def _standardised(views: Sequence[Tensor]) -> list[Tensor]:
    """Numbers of mean 0 and variance 1, those that do not vary 0."""
    _check(views)
    if len({view.shape[1] for view in views}) > 1:
        raise OptionError(f"views of shapes {[list(view.shape) for view in views]}: codes must be equally long")
    with torch.autocast(views[0].device.type, enabled=False):
        centred = [_centred(view) for view in views]
        variances = [view.square().mean(0) for view in centred]
        # A number that does not vary has no slope either: by the floor's root it would be a million.
        scales = [found.clamp(min=_FLOOR).rsqrt() * ~(found <= _FLOOR) for found in variances]
        return [view * scale for view, scale in zip(centred, scales, strict=True)]


def _centred(view: Tensor) -> Tensor:
    # Apple's GPUs know no float64.
    wide = view.to(torch.float32 if view.device.type == "mps" else torch.float64)
    return wide - wide.mean(0)


def _check(views: Sequence[Tensor]) -> None:
    check_whole("a correlation")
    shapes = [list(view.shape) for view in views]
    if len(views) < 2 or any(len(shape) != 2 for shape in shapes) or len({shape[0] for shape in shapes}) > 1:
        raise OptionError(f"views of shapes {shapes}: give two or more, (n, d) of the same n examples")
    if shapes[0][0] < 2:
        raise OptionError(f"views of shapes {shapes}: what varies together takes two examples or more")


def _kind(views: Sequence[Tensor]) -> torch.dtype:
    """What a loss is of: the views' own, float32 at least."""
    kind = torch.float32
    for view in views:
        kind = torch.promote_types(kind, view.dtype)
    return kind


def _no_numbers(views: Sequence[Tensor]) -> Tensor:
    """NaN, in whose graph the views are."""
    lost = torch.stack([view.to(_kind(views)).sum() for view in views]).sum()
    return lost * float("nan")
