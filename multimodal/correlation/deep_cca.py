"""Deep canonical correlation analysis of two views (Andrew, Arora, Bilmes and Livescu, ICML 2013).

Networks f and g make codes of both views, and the correlations of these are maximised:

    sum_k s_k,   s the singular values of  C_ff^(-1/2) C_fg C_gg^(-1/2)         (objective ``sum``, the paper's)
    sum_k s_k^2                                                                 (``squares``, another objective)

or numbers are made alike in both views and decorrelated softly (``soft``, Chang, Xiang and Hospedales 2018), which
whitens nothing and so takes batches with fewer examples than a code has numbers. Deviations from the paper: ReLU and
mini-batches with Adam for a cubic activation, layer-wise pretraining and L-BFGS on all examples; the ridge is relative
to the mean variance of a code. `soft` keeps a running average where the paper normalises a running sum, which soon is
the same.

Promised, and tested: two processes learn what one does; the value and the gradient are finite on every view; codes end
in linear CCA of the training codes by the weights that were kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from multimodal.correlation.model import CorrelationModel
from nlprep.core.errors import OptionError
from nlprep.objectives.correlation import (
    correlation_loss,
    soft_decorrelation_loss,
    squared_correlation_loss,
    standardised_covariances,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from multimodal.correlation.configuration import DeepCcaConfig


class DeepCca(CorrelationModel):
    """Two networks whose codes correlate."""

    config: DeepCcaConfig
    past: Tensor
    batches: Tensor

    def add_parts(self) -> None:
        """What earlier batches leave behind for the objective ``soft``.

        Raises:
            OptionError: Networks whose codes are not equally long, whose numbers it could not make alike.
        """
        if self.config.objective == "soft":
            sizes = [view.outputs for view in self._views()]
            size = sizes[0]
            if len(set(sizes)) > 1:
                raise OptionError(
                    f"objective = 'soft': networks make {' and '.join(map(str, sizes))} numbers: give such as make "
                    "equally many, or choose sum or squares"
                )
            self.register_buffer("past", torch.zeros(len(self.names), size, size))
            self.register_buffer("batches", torch.zeros((), dtype=torch.int64))

    def compare(self, **embeddings: Tensor) -> Mapping[str, Tensor]:
        """The ``loss``."""
        return {"loss": self.contrast(self.codes(embeddings))}

    def contrast(self, codes: Sequence[Tensor]) -> Tensor:
        """The objective of the codes of a whole batch."""
        config = self.config
        if config.objective == "soft":
            return self._decorrelate(codes)
        loss = correlation_loss if config.objective == "sum" else squared_correlation_loss
        first, second = codes
        count = min(config.dimension, first.shape[1], second.shape[1])
        return loss(first, second, num_directions=count, ridge=config.ridge)

    def whitened_numbers(self) -> int:
        """None, by the objective ``soft``."""
        return 0 if self.config.objective == "soft" else super().whitened_numbers()

    def _decorrelate(self, codes: Sequence[Tensor]) -> Tensor:
        past = self.past.clone() if int(self.batches) else None
        loss = soft_decorrelation_loss(codes, weight=self.config.weight, past=past, memory=self.config.memory)
        if self.training:
            with torch.no_grad():
                found = standardised_covariances(codes).to(self.past)
                self.past.copy_(found if past is None else past.lerp(found, 1 - self.config.memory))
                self.batches += 1
        return loss
