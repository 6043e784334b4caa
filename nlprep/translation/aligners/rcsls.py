"""Maps that are best under CSLS itself, rather than under squared error (Joulin et al., EMNLP 2018).

The loss of a pair (x, z) under a map W, with rows of length one, is equation (5) there::

    - 2 x W z^T  +  1/k sum of x W z_j^T over the k targets nearest to x W
                 +  1/k sum of x_j W z^T over the k sources whose images are nearest to z

It is convex but for which neighbours are nearest: those are found anew for each step, and the gradient is taken with
them held. Steps are projected onto maps of spectral norm at most one, the convex hull of the orthogonal ones, over
which the paper optimises; its published script leaves that out by default, and then overfits where vocabularies are
small. A step that makes the loss greater is halved.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nlprep.core.progress import SILENT
from nlprep.core.threads import blas_threads
from nlprep.translation.aligners.aligner import Aligned
from nlprep.translation.aligners.configuration import RcslsConfig
from nlprep.translation.aligners.maps import make_fit, onto_target
from nlprep.vectors.nearest import top_k
from nlprep.vectors.normalization import scaled_to_unit
from nlprep.vectors.procrustes import fit_procrustes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nlprep.core.progress import Progress
    from nlprep.translation.aligners.aligner import FewWords, Supervision, Work
    from nlprep.translation.aligners.configuration import AlignmentConfig
    from nlprep.translation.spelling import Spellings


class Rcsls:
    """Made for vocabularies of 200,000 words; among small ones expect nothing over Procrustes. It is not refined."""

    name = "rcsls"
    needs_dictionary = True
    takes_dictionary = True

    def with_few_words(self, settings: AlignmentConfig) -> FewWords:  # noqa: ARG002 - it has none of its own
        """It starts from a rotation, of which a part is arbitrary."""
        return "arbitrary"

    def align(self, work: Work, supervision: Supervision, spellings: Spellings | None) -> Aligned:
        """From the best rotation down the loss."""
        rotate = make_fit(work.source, work.target, onto_target(fit_procrustes))
        start, identity = rotate(supervision.pairs, np.ones(len(supervision.pairs)))
        settings = work.settings
        mapping, losses = fit_rcsls(
            work.source,
            work.target,
            supervision.pairs,
            start,
            settings.rcsls,
            neighborhood=settings.neighborhood,
            threads=work.threads,
            progress=work.progress,
        )
        maps = (mapping, identity)
        return Aligned(maps, work.weigh(spellings, maps), told={"losses": losses})


@dataclass(frozen=True)
class Neighborhoods:
    """Sums over the neighbours of every pair's sides.

    Attributes:
        of_sources: (p, d) float32, mean of the target vectors nearest to each mapped source.
        of_targets: (p, d) float32, mean of the source vectors, not mapped, whose images are nearest to each target.
    """

    of_sources: NDArray[np.float32]
    of_targets: NDArray[np.float32]


def fit_rcsls(
    source: NDArray[np.float32],
    target: NDArray[np.float32],
    pairs: NDArray[np.int64],
    start: NDArray[np.floating],
    config: RcslsConfig | None = None,
    *,
    neighborhood: int = 10,
    threads: int | None = None,
    progress: Progress = SILENT,
) -> tuple[NDArray[np.float64], list[float]]:
    """Minimise the loss by projected gradient descent.

    Args:
        source: (n, d) vectors among which neighbours are looked for; lengths do not matter.
        target: (m, d) likewise.
        pairs: (p, 2) rows to fit to.
        start: (d, d), usually from `nlprep.vectors.procrustes.fit_procrustes`.
        config: Settings; `RcslsConfig` by default.
        neighborhood: k.
        threads: Processors to use; all by default.
        progress: Gets steps.

    Returns:
        W (d, d) of spectral norm at most one, to be used as ``x @ W``, and the loss before every step and at the end.
    """
    settings = config or RcslsConfig()
    steps, rate = settings.steps, settings.rate
    x_all, z_all = scaled_to_unit(source), scaled_to_unit(target)
    x, z = x_all[pairs[:, 0]], z_all[pairs[:, 1]]
    mapping = project(start.astype(np.float64))
    with blas_threads(threads), progress.task("rcsls", total=steps) as task:
        near = find_neighborhoods(mapping, x_all, z_all, x, z, neighborhood, threads=threads)
        losses = [mean_loss(mapping, x, z, near)]
        smallest = rate / 1024
        while len(losses) <= steps and rate > smallest:
            proposal = project(mapping - rate * mean_gradient(x, z, near))
            reached = find_neighborhoods(proposal, x_all, z_all, x, z, neighborhood, threads=threads)
            loss = mean_loss(proposal, x, z, reached)
            if loss >= losses[-1]:
                rate /= 2
                continue
            mapping, near = proposal, reached
            losses.append(loss)
            task.describe(f"loss {loss:.4f}")
            task.advance()
    return mapping, losses


def find_neighborhoods(
    mapping: NDArray[np.float64],
    sources: NDArray[np.float32],
    targets: NDArray[np.float32],
    x: NDArray[np.float32],
    z: NDArray[np.float32],
    k: int,
    *,
    threads: int | None = None,
) -> Neighborhoods:
    """The neighbours of the pairs (x, z) under a map, among all sources and targets."""
    matrix = mapping.astype(np.float32)
    _, of_sources = top_k(x @ matrix, targets, k, threads=threads)
    _, of_targets = top_k(z, sources @ matrix, k, threads=threads)
    return Neighborhoods(targets[of_sources].mean(axis=1), sources[of_targets].mean(axis=1))


def mean_loss(
    mapping: NDArray[np.float64], x: NDArray[np.float32], z: NDArray[np.float32], near: Neighborhoods
) -> float:
    """The loss of the pairs, their neighbours given, averaged."""
    matrix = mapping.astype(np.float32)
    own = np.einsum("ij,ij->i", x @ matrix, near.of_sources - 2 * z, dtype=np.float64)
    others = np.einsum("ij,ij->i", near.of_targets @ matrix, z, dtype=np.float64)
    return float((own + others).mean())


def mean_gradient(x: NDArray[np.float32], z: NDArray[np.float32], near: Neighborhoods) -> NDArray[np.float64]:
    """The gradient of `mean_loss` in the map, (d, d); the loss being linear, it is the same everywhere."""
    gradient: NDArray[np.float64] = (x.T @ (near.of_sources - 2 * z) + near.of_targets.T @ z).astype(np.float64)
    return gradient / len(x)


def project(mapping: NDArray[np.float64]) -> NDArray[np.float64]:
    """The nearest map of spectral norm at most one: its singular values cut at one."""
    with blas_threads(1):
        left, values, right = np.linalg.svd(mapping)
    projected: NDArray[np.float64] = (left * np.minimum(values, 1)) @ right
    return projected
