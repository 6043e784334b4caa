"""Contrastive refinement of maps with hard negatives (Li et al., ACL 2022, first stage).

A map that is fitted to pairs in closed form never sees the words that are wrong. Here the pairs are told from the
words that are taken for them: for each pair the nearest wrong targets of its source and the nearest wrong sources of
its target, under CSLS. The loss is the cross-entropy of choosing the right one (section 2.1 there)::

    - log  e^(cos(x, z) / t)  /  (e^(cos(x, z) / t) + sum over wrong targets z'  + sum over wrong sources x')

with both maps trained by gradient steps; negatives are looked for anew in every round. Departures: the maps that are
refined are the whitened and refined ones, and the pairs stay what they were instead of growing between rounds, which
refinement has done already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from nlprep.core.progress import SILENT
from nlprep.core.threads import torch_threads
from nlprep.core.training.configuration import TrainingConfig
from nlprep.core.training.loop import fit
from nlprep.core.training.steps.step import PlainStep
from nlprep.translation.aligners.configuration import HardNegativesConfig
from nlprep.translation.aligners.maps import map_words
from nlprep.vectors.csls import find_candidates

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nlprep.core.progress import Progress
    from nlprep.core.randomness import Seeds
    from nlprep.translation.aligners.maps import Maps


class ContrastiveMaps(nn.Module):
    """The maps of both sides and the loss of pairs against negatives.

    Args:
        maps: To begin with, (d, r) and (e, r).
        temperature: What cosines are divided by.
    """

    def __init__(self, maps: Maps, temperature: float) -> None:
        super().__init__()
        self.source, self.target = (nn.Parameter(torch.from_numpy(matrix.astype(np.float32))) for matrix in maps)
        self.temperature = temperature

    def forward(
        self, source: Tensor, target: Tensor, wrong_sources: Tensor, wrong_targets: Tensor, allowed: Tensor
    ) -> dict[str, Tensor]:
        """The mean loss of pairs.

        Args:
            source: (b, d) source vectors of the pairs.
            target: (b, e) target vectors.
            wrong_sources: (b, k, d) negatives of the targets.
            wrong_targets: (b, k, e) negatives of the sources.
            allowed: (b, 2 k) bool, False where a negative is a right one after all: of the targets, then the sources.

        Returns:
            ``loss``, and ``accuracy``, the share of pairs that come first.
        """
        x, z = normalize(source @ self.source, dim=-1), normalize(target @ self.target, dim=-1)
        other_targets = normalize(wrong_targets @ self.target, dim=-1)
        other_sources = normalize(wrong_sources @ self.source, dim=-1)
        right = (x * z).sum(-1, keepdim=True)
        wrong = torch.cat([(other_targets @ x[..., None]).squeeze(-1), (other_sources @ z[..., None]).squeeze(-1)], 1)
        wrong = wrong.masked_fill(~allowed, -torch.inf)
        logits = torch.cat([right, wrong], 1) / self.temperature
        answers = torch.zeros(len(logits), dtype=torch.long, device=logits.device)
        first = (logits.argmax(1) == 0).float().mean()
        return {"loss": cross_entropy(logits, answers), "accuracy": first}


class PairsWithNegatives:
    """Pairs of vectors with hard negatives, by number.

    Args:
        source: (n, d) float32 normalised vectors.
        target: (m, e) likewise.
        pairs: (p, 2) rows.
        wrong_targets: (p, k) rows of targets near each pair's source.
        wrong_sources: (p, k) rows of sources near each pair's target.
    """

    def __init__(
        self,
        source: NDArray[np.float32],
        target: NDArray[np.float32],
        pairs: NDArray[np.int64],
        wrong_targets: NDArray[np.int64],
        wrong_sources: NDArray[np.int64],
    ) -> None:
        self._sides = (source, target)
        self._pairs = pairs
        self._wrong = (wrong_targets, wrong_sources)
        listed = np.sort(pairs[:, 0] * len(target) + pairs[:, 1])
        keys = [pairs[:, :1] * len(target) + wrong_targets, wrong_sources * len(target) + pairs[:, 1:]]
        self._allowed = ~np.isin(np.concatenate(keys, axis=1), listed)

    def __len__(self) -> int:
        return len(self._pairs)

    def batch(self, indices: NDArray[np.int64], seeds: Seeds) -> dict[str, Tensor]:  # noqa: ARG002 - nothing random
        """Fetch pairs as `ContrastiveMaps` takes them."""
        source, target = self._sides
        wrong_targets, wrong_sources = (rows[indices] for rows in self._wrong)
        arrays = {
            "source": source[self._pairs[indices, 0]],
            "target": target[self._pairs[indices, 1]],
            "wrong_sources": source[wrong_sources],
            "wrong_targets": target[wrong_targets],
            "allowed": self._allowed[indices],
        }
        return {name: torch.from_numpy(array) for name, array in arrays.items()}


def refine_by_contrast(
    source: NDArray[np.float32],
    target: NDArray[np.float32],
    pairs: NDArray[np.int64],
    maps: Maps,
    config: HardNegativesConfig | None = None,
    *,
    cutoff: int = 20_000,
    seed: int = 1,
    neighborhood: int = 10,
    threads: int | None = None,
    progress: Progress = SILENT,
) -> tuple[Maps, list[float]]:
    """Refine maps on pairs.

    Args:
        source: (n, d) normalised vectors, frequent words first.
        target: (m, e) likewise.
        pairs: (p, 2) rows; those beyond the cut-off are left out.
        maps: Of both sides, fitted to the pairs.
        config: Settings; `HardNegativesConfig` by default.
        cutoff: Look for negatives among this many of the most frequent words.
        seed: Of the order of the pairs.
        neighborhood: Neighbours averaged by CSLS.
        threads: Processors to use; all by default.
        progress: Gets updates.

    Returns:
        The maps, the same for the same number of threads, and the mean loss at the end of every round.
    """
    settings = config or HardNegativesConfig()
    pairs = pairs[(pairs < cutoff).all(axis=1)]
    # Entries of about one, whatever the dimension, so that one learning rate serves all.
    scales = [np.sqrt(np.mean(matrix**2)) for matrix in maps]
    model = ContrastiveMaps((maps[0] / scales[0], maps[1] / scales[1]), settings.temperature)
    losses = []
    for number in range(settings.rounds):
        now = _as_maps(model)
        one, other = map_words(source, target, now, cutoff)
        found = find_candidates(one, other, settings.negatives, neighborhood=neighborhood, threads=threads)
        examples = PairsWithNegatives(source, target, pairs, found.targets[pairs[:, 0]], found.sources[pairs[:, 1]])
        training = TrainingConfig(
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            learning_rate=settings.learning_rate,
            weight_decay=0.0,
            precision="fp32",
            seed=seed + number,
            keep_best=False,
        )
        with torch_threads(threads):
            history = fit(PlainStep(model, unit="pairs"), examples, config=training, progress=progress)
        losses.append(float(history.last("loss") or 0.0))
    return _as_maps(model), losses


def _as_maps(model: ContrastiveMaps) -> Maps:
    one, other = (parameter.detach().cpu().double().numpy().copy() for parameter in (model.source, model.target))
    return one, other
