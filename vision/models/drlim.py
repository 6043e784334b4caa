"""DrLIM: a map of images in which neighbours are those that are alike, by what is known of them.

Codes G(x) of all pairs of a batch are compared by the contrastive loss (Hadsell, Chopra and LeCun 2006,
"Dimensionality Reduction by Learning an Invariant Mapping", equation 4;
`nlprep.objectives.metric_learning.contrastive_in_batch`), D being their distance and m the margin:

    loss = mean over alike pairs  D^2 / 2  +  mean over other pairs  max(0, m - D)^2 / 2.

Which are alike, the classes say: at most ``reach`` steps lie between them. Classes may be poses of a thing that turns:
numbered through the ``heights`` of each turn first, with ``around`` where turns go round. A step is to the next turn or
to the next height, as in the paper's section 4.3; how an image is lit, or where the thing lies, does not count, so that
the map comes to be indifferent to it. With ``reach`` 0 images of one class are alike.

Recorded besides is the ``accuracy``: the share of images whose nearest other one in the batch is alike. Deviations: the
pairs are those of a batch instead of a list of all, and both kinds count for the same, where the paper sums.

Promised, and tested: the loss is that of a loop over pairs; parts of a batch have the whole batch's gradient; poses
that are alike are those of a walk over the grid; the pose is read off the codes of pictures of a thing that turns, in a
light that was not seen in training.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from nlprep.core.errors import NlprepError, OptionError
from nlprep.core.randomness import seeded_torch
from nlprep.core.training.steps.coupled import PlainCoupledStep
from nlprep.objectives.metric_learning import contrastive_in_batch, distances
from vision.backbones.networks import make_backbone
from vision.images.collection import unit_pixels
from vision.models.model import ImageModel

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vision.backbones.backbone import Backbone
    from vision.images.collection import Shape
    from vision.models.label_configuration import DrLimConfig


class CodeNetwork(nn.Module):
    """A network and a matrix, which make a code.

    Args:
        config: The model's settings.
        shape: Of the images.
    """

    def __init__(self, config: DrLimConfig, shape: Shape) -> None:
        super().__init__()
        self.backbone: Backbone = make_backbone(config.backbone, shape)
        # To move all codes changes no distance: a bias would learn from rounding errors alone.
        self.to_codes = nn.Linear(self.backbone.dimension, config.dimension, bias=False)

    def forward(self, images: Tensor, labels: Tensor) -> Mapping[str, Tensor]:
        """``codes`` (b, dimension) of images, and their ``labels`` as they are."""
        return {"codes": self.encode(images), "labels": labels}

    def encode(self, images: Tensor) -> Tensor:
        """Codes (b, dimension) of images as `vision.models.model.ImageModel.forward` takes them."""
        codes: Tensor = self.to_codes(self.backbone(unit_pixels(images)))
        return codes


class DrLim(ImageModel):
    """A map of images by what is alike.

    Args:
        shape: Of the images.
        config: Its settings.
        num_classes: How many classes.
        seed: Of its weights.

    Raises:
        OptionError: Fewer than two classes, or a number that the heights do not divide.
    """

    config: DrLimConfig

    def __init__(self, shape: Shape, config: DrLimConfig, *, num_classes: int = 0, seed: int = 1) -> None:
        super().__init__()
        if num_classes < 2:
            raise OptionError(
                f"num_classes = {num_classes}: a map by labels needs two at least: give images with labels"
            )
        if num_classes % config.heights:
            raise OptionError(f"heights = {config.heights}: {num_classes} classes are not as many of each turn")
        self.shape, self.config, self.dimension, self.num_classes = shape, config, config.dimension, num_classes
        with seeded_torch(seed):
            self.network = CodeNetwork(config, shape)

    @property
    def backbone(self) -> Backbone:
        """The network of features."""
        return self.network.backbone

    def forward(self, images: Tensor, **given: Tensor) -> Mapping[str, Tensor]:
        """The ``loss`` and the ``accuracy``, given ``labels`` (b,).

        Raises:
            NlprepError: No labels.
        """
        if "labels" not in given:
            raise NlprepError("labels say which images are alike: give one of each image")
        return self.compare(**self.network(images, given["labels"]))

    def compare(self, codes: Tensor, labels: Tensor) -> Mapping[str, Tensor]:
        """The losses of all pairs of a batch, of codes (b, dimension) and labels (b,)."""
        config = self.config
        turns = self.num_classes // config.heights if config.around else None
        alike = steps_apart(labels, heights=config.heights, turns=turns) <= config.reach
        loss = contrastive_in_batch(codes, alike, margin=config.margin)
        apart = distances(codes.detach(), codes.detach()).fill_diagonal_(torch.inf)
        nearest = alike.gather(1, apart.argmin(1, keepdim=True))
        return {"loss": loss, "accuracy": nearest.float().mean()}

    def encode(self, images: Tensor) -> Tensor:
        """Codes (b, dimension): places in the map."""
        return self.network.encode(images)

    def step(self) -> PlainCoupledStep:
        """One player, whose loss couples the images of a batch."""
        return PlainCoupledStep(self.network, self.compare, unit="images")


def steps_apart(labels: Tensor, *, heights: int = 1, turns: int | None = None) -> Tensor:
    """How many steps lie between the poses of each two images.

    >>> steps_apart(torch.tensor([0, 1, 5]), heights=2, turns=3).tolist()  # turn 0: 0, 1; turn 1: 2, 3; turn 2: 4, 5
    [[0, 1, 2], [1, 0, 1], [2, 1, 0]]

    Args:
        labels: (n,) whole numbers from 0, turn * heights + height.
        heights: How many there are.
        turns: How many there are, where the last is next to the first; None: it is not.

    Returns:
        (n, n) whole numbers, of steps to the next turn or to the next height.
    """
    turn, height = labels // heights, labels % heights
    sideways = (turn[:, None] - turn).abs()
    if turns is not None:
        sideways = torch.minimum(sideways, turns - sideways)
    return sideways + (height[:, None] - height).abs()
