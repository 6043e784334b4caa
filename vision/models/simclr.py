"""SimCLR: telling the other view of an image from all other views in the batch.

Of n images 2n views z are compared by the normalised temperature-scaled cross-entropy (Chen et al. 2020, "A Simple
Framework for Contrastive Learning of Visual Representations", algorithm 1; `nlprep.objectives.info_nce.nt_xent`)

    loss = mean_i  - log( e^(cos(z_i, z_j(i)) / t) / sum_(k != i) e^(cos(z_i, z_k) / t) ).

What is recorded besides is the ``accuracy`` with which the other view is the nearest. Deviations: the network's
normalisation is by groups unless it is asked for otherwise, so that the loss of a batch does not depend on how it is
divided; the head has none. With LARS (``optimizer``) the paper's learning rate is 0.3 for each 256 images of a batch.

Promised, and tested: the loss is that of a slow loop over pairs; parts of a batch and several processes have the whole
batch's gradient; the head leaves no trace in a code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from nlprep.objectives.info_nce import nt_xent
from vision.models.joint_embedding import JointEmbedding

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from vision.models.view_configuration import SimClrConfig


class SimClr(JointEmbedding):
    """A contrastive model."""

    config: SimClrConfig

    def compare(self, first: Tensor, second: Tensor) -> Mapping[str, Tensor]:
        """The ``loss``, in nats, and the ``accuracy``."""
        loss = nt_xent(first, second, temperature=self.config.temperature)
        return {"loss": loss, "accuracy": _nearest(first.detach().float(), second.detach().float())}


def _nearest(first: Tensor, second: Tensor) -> Tensor:
    """The share of views whose nearest other one is that of the same image."""
    views = torch.nn.functional.normalize(torch.cat([first, second]), dim=1)
    cosines = (views @ views.T).fill_diagonal_(-torch.inf)
    others = torch.arange(len(views), device=views.device).roll(len(first))
    return (cosines.argmax(1) == others).float().mean()
