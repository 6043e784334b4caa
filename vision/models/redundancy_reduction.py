"""Two views of each image made alike, while the numbers that they are compared by are kept from saying the same.

Where SimCLR pushes images apart, these push numbers apart: `BarlowTwins` wants the correlations between the numbers of
both views to be the identity (Zbontar et al. 2021), `VicReg` each number to vary and different ones not to vary
together (Bardes, Ponce and LeCun 2022). The losses, with their formulas, are in `nlprep.objectives.redundancy`; they
are functions of a whole batch, as the loop is told. Deviation: heads of one hidden layer without batch norm, where the
papers' have two with it.

Promised, and tested: parts of a batch have the whole batch's gradient; the head leaves no trace in a code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nlprep.objectives.redundancy import barlow_twins, vicreg
from vision.models.joint_embedding import JointEmbedding

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from vision.models.view_configuration import BarlowTwinsConfig, VicRegConfig


class BarlowTwins(JointEmbedding):
    """A model whose numbers are correlated with themselves alone."""

    config: BarlowTwinsConfig

    def compare(self, first: Tensor, second: Tensor) -> Mapping[str, Tensor]:
        """The ``loss``."""
        return {"loss": barlow_twins(first, second, weight=self.config.weight)}


class VicReg(JointEmbedding):
    """A model whose numbers vary, are alike in both views, and do not vary together."""

    config: VicRegConfig

    def compare(self, first: Tensor, second: Tensor) -> Mapping[str, Tensor]:
        """The ``loss``."""
        config = self.config
        loss = vicreg(
            first, second, invariance=config.invariance, variance=config.variance, covariance=config.covariance
        )
        return {"loss": loss}
