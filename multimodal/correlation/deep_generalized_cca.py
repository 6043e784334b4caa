"""Deep generalized canonical correlation analysis of any number of views (Benton et al. 2019).

Networks f_j make codes of all views, which are to be linear functions of one variable that all share:

    minimise  sum_j |G - f_j(X_j) U_j|^2   over the networks, U_j, and G with orthonormal columns

The best G and U_j of a batch are a matter of linear algebra (`nlprep.objectives.correlation`
``.generalized_correlation_loss``); at the end they are found for all training examples, and a code is
``(f_j(x) - mean) U_j``. For two views that is deep CCA.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from multimodal.correlation.model import CorrelationModel
from nlprep.objectives.correlation import generalized_correlation_loss

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from multimodal.correlation.configuration import DeepGeneralizedCcaConfig


class DeepGeneralizedCca(CorrelationModel):
    """Networks whose codes correlate with what all share."""

    config: DeepGeneralizedCcaConfig

    def compare(self, **embeddings: Tensor) -> Mapping[str, Tensor]:
        """The ``loss``."""
        loss = generalized_correlation_loss(
            self.codes(embeddings), num_directions=self.config.dimension, ridge=self.config.ridge
        )
        return {"loss": loss}
