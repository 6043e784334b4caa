"""CPC: which of these patches stands there, further down the image?

The patches of an image's grid (`vision.models.patch_codes`) have codes z, and a network that sees the rows from the top
down to row r makes of them a context c, at every column. By one matrix W_k for each k, the patch that stands k rows
below in the same column is looked for among the patches of that row of all images of the batch (van den Oord, Li and
Vinyals 2018, "Representation Learning with Contrastive Predictive Coding", equation 4 and section 3.3;
`nlprep.objectives.info_nce`). With s(q, z) = cos(q, z) / t, images i, j and columns u, v,

    loss = mean_(k, r) mean_(i, u)  - log( e^s(W_k c_iru, z_i(r+k)u) / sum_(j, v) e^s(W_k c_iru, z_j(r+k)v) ).

With n images of m columns it is log(n m) at chance. Rows k = 1, which share half their pixels with the last row seen,
are left out. The ``accuracy`` with which the right patch is the nearest is recorded besides. Deviations: cosines over a
temperature, where the paper has products; the context is made by convolutions over the row itself and those above, not
by a PixelCNN, and normalises nothing over places, which would tell of the rows below.

The loss couples the images of a batch, and is declared so to the loop.

Promised, and tested: the loss is that of a loop; no context depends on a row below it; parts of a batch have the whole
batch's gradient.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from nlprep.core.errors import OptionError
from nlprep.core.training.steps.coupled import PlainCoupledStep
from nlprep.objectives.info_nce import info_nce_of, pair_logits
from vision.images.collection import unit_pixels
from vision.models.model import Embedding
from vision.models.patch_codes import PatchModel
from vision.models.pretext import seeded_head

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from vision.images.collection import Shape
    from vision.models.pretext_configuration import CpcConfig

_NEXT = 2
"""Rows down to the first that has no pixel in common, patches overlapping by half."""


class RowsAbove(nn.Module):
    """A residual block of maps that sees, of each place, its own row and the one above, and a column to either side.

    Args:
        channels: Of the maps.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels, channels, (2, 3))
        self.last = nn.Conv2d(channels, channels, 1)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps of the same shape."""
        seen = functional.pad(functional.silu(maps), (1, 1, 1, 0))
        changed: Tensor = maps + self.last(functional.silu(self.convolution(seen)))
        return changed


class Cpc(PatchModel):
    """A contrastive predictive model.

    Args:
        shape: Of the images.
        config: Its settings.
        num_classes: Must be 0: it sees no labels.
        seed: Of its weights.

    Attributes:
        ahead: The rows down that are predicted.

    Raises:
        OptionError: Images too small to have such rows.
    """

    config: CpcConfig

    def __init__(self, shape: Shape, config: CpcConfig, *, num_classes: int = 0, seed: int = 1) -> None:
        super().__init__(shape, config, num_classes=num_classes, seed=seed)
        self.ahead = tuple(range(_NEXT, _NEXT + config.ahead))
        if self.ahead[-1] >= self.grid[0]:
            raise OptionError(
                f"ahead = {config.ahead}: images of {shape[1]} x {shape[2]} pixels have {self.grid[0]} rows of "
                f"patches: predict at most {self.grid[0] - _NEXT}"
            )
        with seeded_head(seed):
            self.context = nn.Sequential(
                nn.Conv2d(config.dimension, config.hidden, 1), *(RowsAbove(config.hidden) for _ in range(config.layers))
            )
            self.to_predictions = nn.Conv2d(config.hidden, len(self.ahead) * config.dimension, 1)

    def forward(self, images: Tensor, **given: Tensor) -> Mapping[str, Tensor]:  # noqa: ARG002 - sees no labels
        """The losses of `compare`."""
        return self.compare(**self.predict(images))

    def predict(self, images: Tensor) -> dict[str, Tensor]:
        """``codes`` (b, rows, columns, dimension) and what is ``predicted``, (b, ahead, rows, columns, dimension)."""
        codes = self.codes_of(self.patches_of(unit_pixels(images)))
        made = self.to_predictions(self.context(codes.permute(0, 3, 1, 2)))
        predicted = made.unflatten(1, (len(self.ahead), self.dimension)).permute(0, 1, 3, 4, 2)
        return {"codes": codes, "predicted": predicted}

    def compare(self, codes: Tensor, predicted: Tensor) -> Mapping[str, Tensor]:
        """The ``loss``, in nats, and the ``accuracy``, of all images of a batch, as `predict` gives them."""
        losses, right = [], []
        for number, ahead in enumerate(self.ahead):
            for row in range(self.grid[0] - ahead):
                logits = pair_logits(
                    predicted[:, number, row].flatten(0, 1), codes[:, row + ahead].flatten(0, 1),
                    temperature=self.config.temperature,
                )  # fmt: skip
                losses.append(info_nce_of(logits))
                nearest = logits.detach().argmax(1)
                right.append((nearest == torch.arange(len(nearest), device=nearest.device)).float().mean())
        return {"loss": torch.stack(losses).mean(), "accuracy": torch.stack(right).mean()}

    def step(self) -> PlainCoupledStep:
        """One player, whose loss couples the images of a batch."""
        return CpcStep(self)


class CpcStep(PlainCoupledStep):
    """How it is trained.

    Args:
        model: The model.
    """

    def __init__(self, model: Cpc) -> None:
        super().__init__(Embedding(model, model.predict), model.compare, unit="images")
